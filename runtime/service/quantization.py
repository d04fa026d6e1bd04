"""Output precisions: vectors quantized by the formulas of sentence-transformers' ``quantize_embeddings``.

https://github.com/UKPLab/sentence-transformers, ``sentence_transformers/util/quantization.py``. Its ``int8`` takes a range for
each dimension, by default that of the given vectors. Here the range is the same for all vectors and dimensions, so that a
text always gets the same vector, and the dot product of int8 vectors is the scaled dot product of the originals.
"""

import numpy as np

from .options import OutputPrecision

RANGE = 5.0
"""The int8 range is plus and minus this, in units of the root mean square of a unit vector's numbers, 1/sqrt(dimensions).
The largest number in 800 vectors of multilingual-e5-small was 3.7; larger ones are clipped."""


def quantize(vectors: np.ndarray, precision: OutputPrecision) -> np.ndarray:
    """Quantize unit vectors, float32 [n, dimensions], to ``precision``.

    ``int8`` and ``uint8`` keep the shape; ``binary`` (int8) and ``ubinary`` (uint8) pack eight dimensions into one number.
    """
    if precision.endswith("binary"):
        packed = np.packbits(vectors > 0, axis=-1)
        return packed if precision == "ubinary" else (packed - 128).view(np.int8)
    low, step = int8_range(vectors.shape[-1])
    steps = np.clip(np.floor((vectors - low) / step), 0, 255)
    return steps.astype(np.uint8) if precision == "uint8" else (steps - 128).astype(np.int8)


def int8_range(dimensions: int) -> tuple[np.float32, np.float32]:
    """The lower end of the int8 range for vectors of this many dimensions, and the width of each of its 255 steps."""
    high = np.float32(RANGE / np.sqrt(dimensions))
    return -high, high * np.float32(2 / 255)
