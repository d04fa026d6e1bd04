"""Pooling: from the vectors of a text's tokens to the vector of the text.

The modes and their formulas are those of sentence-transformers
(https://github.com/UKPLab/sentence-transformers, ``sentence_transformer/modules/pooling.py``). Texts are never padded, so no
mask is needed.
"""

from collections.abc import Callable, Sequence

import numpy as np


def _weighted_mean(vectors: np.ndarray) -> np.ndarray:
    weights = np.arange(1, len(vectors) + 1, dtype=np.float32)
    # Row by row, as the other sums: a matrix product is BLAS's, whose order depends on the CPU.
    return (weights[:, np.newaxis] * vectors).sum(axis=0) / weights.sum()


MODES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cls": lambda vectors: vectors[0],
    "max": lambda vectors: vectors.max(axis=0),
    "mean": lambda vectors: vectors.mean(axis=0),
    "mean_sqrt_len_tokens": lambda vectors: vectors.sum(axis=0) / np.float32(np.sqrt(len(vectors))),
    "weightedmean": _weighted_mean,
    "lasttoken": lambda vectors: vectors[-1],
}
"""By name; each turns float32 [tokens, hidden] into float32 [hidden]."""


def pool(vectors: np.ndarray, modes: Sequence[str]) -> np.ndarray:
    """Pool token vectors [tokens, hidden] by each of ``modes`` and concatenate the results: float32."""
    if len(modes) == 1:
        return MODES[modes[0]](vectors)
    return np.concatenate([MODES[mode](vectors) for mode in modes])


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors [..., dimensions] to unit length; a zero vector stays zero (as torch's ``normalize``, eps 1e-12)."""
    lengths = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return vectors / np.maximum(lengths, np.float32(1e-12))
