"""The arithmetic of 8 bits."""

import numpy as np
import pytest

from model_export.graph.quantize import PAIR_LIMIT, quantize_columns, quantize_rows


@pytest.mark.parametrize("rows", [1, 2, 7, 384], ids="{} rows".format)
def test_no_pair_of_weights_can_saturate_sixteen_bits(rows):
    weights = np.random.default_rng(rows).standard_t(3, (rows, 50)).astype(np.float32)
    weights[:, 0] = 0
    quantized, scale = quantize_columns(weights)
    pairs = np.abs(quantized.astype(int)[: rows // 2 * 2]).reshape(-1, 2, 50).sum(1)
    assert pairs.max(initial=0) <= PAIR_LIMIT
    assert 255 * PAIR_LIMIT < 2**15
    assert np.abs(quantized * scale - weights).max() <= scale.max() * 0.5001


def test_rows_of_a_table_keep_their_own_precision():
    table = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32) * np.logspace(-6, 6, 20)[:, None]
    quantized, scale = quantize_rows(table.astype(np.float32))
    assert (np.abs(quantized * scale - table).max(1) <= np.abs(table).max(1) / 250).all()
