"""Sparse embedding models, by ``SparseEncoder``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..checkpoint import Checkpoint
from ..describe import Description
from ..export import export_body, export_head
from ..weights import check_weights
from .original import head_of, load


class SparseEmbedder:
    """A model such as SPLADE: a weight for each word of the vocabulary."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        from sentence_transformers import SparseEncoder

        self._encoder = load(SparseEncoder, checkpoint.folder)
        self._encoder.max_seq_length = description.max_tokens
        self._model = self._encoder[0].auto_model
        self._hidden = description.hidden
        self.config = self._model.config.to_dict()
        check_weights(self._model, checkpoint, description)

    def results(self, texts: Sequence[str]) -> np.ndarray:
        """Weights: float32 [texts, vocabulary]."""
        options = {"prompt": "", "batch_size": 1, "show_progress_bar": False, "convert_to_sparse_tensor": False}
        return np.asarray(self._encoder.encode(list(texts), **options), np.float32)

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        body = export_body(self._model.base_model, folder)
        # The logarithm and the cut at zero keep the order, so they can follow the maximum, which needs less memory.
        head = head_of(self._model, lambda logits: logits.amax(1).relu().log1p())
        return body, export_head(head, self._hidden, "weights", folder / "head.onnx")
