"""Our pooling in numpy against sentence-transformers' module."""

import numpy as np
import pytest

from runtime.engine.heads.pooling import MODES, normalize, pool


@pytest.mark.parametrize("modes", [*MODES, ("cls", "max", "lasttoken")], ids=str)
def test_pooling_equals_sentence_transformers(modes):
    import torch
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    vectors = np.random.default_rng(7).normal(size=(11, 24)).astype(np.float32)
    features = {
        "token_embeddings": torch.from_numpy(vectors)[None],
        "attention_mask": torch.ones(1, 11, dtype=torch.long),
    }
    features = Pooling(24, pooling_mode=modes)(features)
    modes = [modes] if isinstance(modes, str) else modes
    np.testing.assert_allclose(pool(vectors, modes), features["sentence_embedding"][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        normalize(pool(vectors, modes)), Normalize()(features)["sentence_embedding"][0], rtol=1e-5, atol=1e-6
    )
