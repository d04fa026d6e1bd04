"""From logits to scores."""

from collections.abc import Callable
from math import exp

import numpy as np


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # Python's exp rather than numpy's, whose last bits depend on the CPU; labels are few.
    return np.array([1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x)) for x in logits.tolist()], np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    largest = max(logits.tolist())
    values = [exp(x - largest) for x in logits.tolist()]
    total = sum(values)
    return np.array([value / total for value in values], np.float32)


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "identity": lambda logits: logits,
}
"""By their names in the manifest; each takes and returns float32 [labels]."""
