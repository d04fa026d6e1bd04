"""Pooling: from the vectors of a text's tokens to the vector of the text.

The modes are sentence-transformers' own, with its formulas
(https://github.com/UKPLab/sentence-transformers, ``sentence_transformer/modules/pooling.py``). A text is never padded here, so
no mask is needed.
"""

from collections.abc import Callable, Sequence

import numpy as np


def _weighted_mean(vectors: np.ndarray) -> np.ndarray:
    weights = np.arange(1, len(vectors) + 1, dtype=np.float32)
    return weights @ vectors / weights.sum()


MODES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cls": lambda vectors: vectors[0],
    "max": lambda vectors: vectors.max(axis=0),
    "mean": lambda vectors: vectors.mean(axis=0),
    "mean_sqrt_len_tokens": lambda vectors: vectors.sum(axis=0) / np.float32(np.sqrt(len(vectors))),
    "weightedmean": _weighted_mean,
    "lasttoken": lambda vectors: vectors[-1],
}
"""Each takes float32 of shape [tokens, hidden] and gives float32 of shape [hidden]."""


def pool(vectors: np.ndarray, modes: Sequence[str]) -> np.ndarray:
    """Pool token vectors [tokens, hidden] by each of ``modes``; the results stand one after the other, float32."""
    if len(modes) == 1:
        return MODES[modes[0]](vectors)
    return np.concatenate([MODES[mode](vectors) for mode in modes])


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors [..., dimensions] to unit length; a zero vector stays zero (as torch's ``normalize``, eps 1e-12)."""
    lengths = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return vectors / np.maximum(lengths, np.float32(1e-12))
