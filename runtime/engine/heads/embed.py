"""The task ``embed``: one vector for a text."""

import numpy as np

from ..manifest import Manifest
from .pooling import MODES, normalize, pool


class EmbedHead:
    """Takes the graph's own vector of a text, or pools token vectors by the manifest's modes.

    Raises:
        ValueError: there are no modes, or one of them is unknown.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.output = "vector" if "vector" in manifest.graph.outputs else "token_vectors"
        """The output of the graph that :meth:`vector` takes."""
        self._dimensions = manifest.dimensions
        self._modes = manifest.pooling
        unknown = [mode for mode in manifest.pooling if mode not in MODES]
        if unknown or not manifest.pooling:
            given = ", ".join(map(repr, unknown)) or "none"
            raise ValueError(f"unknown pooling mode: {given}; this runtime has {', '.join(MODES)}")

    def vector(self, values: np.ndarray, normalize_vector: bool) -> np.ndarray:
        """The text's vector, float32 [dimensions], from the value of :attr:`output`."""
        vector = values if self.output == "vector" else pool(values, self._modes)
        vector = vector[: self._dimensions]
        return normalize(vector) if normalize_vector else vector
