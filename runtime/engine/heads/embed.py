"""The task ``embed``: one vector for a text."""

import numpy as np

from ..manifest import Manifest
from .pooling import MODES, normalize, pool


class EmbedHead:
    """Pools token vectors by the manifest's modes.

    Raises:
        ValueError: there are no modes, or one of them is unknown.
    """

    def __init__(self, manifest: Manifest) -> None:
        unknown = [mode for mode in manifest.pooling if mode not in MODES]
        if unknown or not manifest.pooling:
            given = ", ".join(map(repr, unknown)) or "none"
            raise ValueError(f"unknown pooling mode: {given}; this runtime has {', '.join(MODES)}")
        self._modes = manifest.pooling

    def vector(self, token_vectors: np.ndarray, normalize_vector: bool) -> np.ndarray:
        """The text's vector, float32 [dimensions], from its tokens' vectors, float32 [tokens, hidden]."""
        vector = pool(token_vectors, self._modes)
        return normalize(vector) if normalize_vector else vector
