"""Output precisions, by the formulas of sentence-transformers' ``quantize_embeddings``.

https://github.com/UKPLab/sentence-transformers, ``sentence_transformers/util/quantization.py``. Its ``int8`` takes a range for
each dimension, by default that of the vectors at hand. Here the range is the same for all vectors and dimensions, so that a
text always has the same vector, and so that the dot product of int8 vectors is that of the originals, scaled.
"""

import numpy as np

from .options import Precision

RANGE = 5.0
"""The int8 range is plus and minus this over the root of the dimensions, in which a unit vector's numbers have root mean
square 1. The largest number of 800 multilingual-e5-small vectors was 3.7 of it; what exceeds it is clipped."""


def quantize(vectors: np.ndarray, precision: Precision) -> np.ndarray:
    """Quantize unit vectors, float32 [n, dimensions], to ``precision``.

    ``int8`` and ``uint8`` keep the shape; ``binary`` (int8) and ``ubinary`` (uint8) have eight dimensions in one number.
    """
    if precision.endswith("binary"):
        packed = np.packbits(vectors > 0, axis=-1)
        return packed if precision == "ubinary" else (packed - 128).view(np.int8)
    low, step = int8_range(vectors.shape[-1])
    steps = np.clip(np.floor((vectors - low) / step), 0, 255)
    return steps.astype(np.uint8) if precision == "uint8" else (steps - 128).astype(np.int8)


def int8_range(dimensions: int) -> tuple[np.float32, np.float32]:
    """Where the int8 range of vectors with so many dimensions starts, and how wide each of its 255 steps is."""
    high = np.float32(RANGE / np.sqrt(dimensions))
    return -high, high * np.float32(2 / 255)
