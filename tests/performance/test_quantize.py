"""The arithmetic of 8 bits."""

import numpy as np
import pytest

from model_export.graph.quantize import PAIR_LIMIT, quantize_columns, quantize_rows


@pytest.mark.parametrize("rows", [1, 2, 7, 384], ids="{} rows".format)
@pytest.mark.parametrize("calibrated", [False, True])
def test_no_pair_of_weights_can_saturate_sixteen_bits(rows, calibrated):
    chance = np.random.default_rng(rows)
    weights = chance.standard_t(3, (rows, 50)).astype(np.float32)
    weights[:, 0] = 0
    inputs = chance.normal(size=(100, rows)).astype(np.float32) if calibrated else None
    quantized, scale = quantize_columns(weights, inputs)
    pairs = np.abs(quantized.astype(int)[: rows // 2 * 2]).reshape(-1, 2, 50).sum(1)
    assert pairs.max(initial=0) <= PAIR_LIMIT
    assert 255 * PAIR_LIMIT < 2**15
    if not calibrated:
        assert np.abs(quantized * scale - weights).max() <= scale.max() * 0.5001


def test_rounding_for_inputs_lowers_the_error_of_the_product():
    """Also for inputs that were not rounded for, if channels go together in them as they did."""
    chance = np.random.default_rng(1)
    weights, mixing = chance.normal(size=(64, 32)).astype(np.float32), chance.normal(size=(8, 64))
    seen, unseen = (chance.normal(size=(200, 8)) @ mixing + 0.1 * chance.normal(size=(200, 64)) for _ in range(2))

    def error(quantized, scale):
        return np.linalg.norm(unseen @ (quantized * scale - weights))

    assert error(*quantize_columns(weights, seen.astype(np.float32))) < 0.7 * error(*quantize_columns(weights))


def test_rows_of_a_table_keep_their_own_precision():
    table = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32) * np.logspace(-6, 6, 20)[:, None]
    quantized, scale = quantize_rows(table.astype(np.float32))
    assert (np.abs(quantized * scale - table).max(1) <= np.abs(table).max(1) / 250).all()
