"""Embedding models, by ``SentenceTransformer``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoint import Checkpoint
from ..describe import Description
from ..export import export_body, export_head
from ..weights import check_weights
from .original import check_prompts, load

if TYPE_CHECKING:
    import torch


class Embedder:
    """An embedding model."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = load(SentenceTransformer, checkpoint.folder)
        check_prompts(self._model, description, checkpoint)
        self._model.max_seq_length = description.max_tokens
        self._body = self._model[0].auto_model
        self._hidden = description.hidden
        self.config = self._body.config.to_dict()
        check_weights(self._body, checkpoint, description)

    def results(self, texts: Sequence[str], prompt: str = "") -> np.ndarray:
        """Unit vectors: float32 [texts, dimensions]."""
        options = {"prompt": prompt, "batch_size": 1, "normalize_embeddings": True, "show_progress_bar": False}
        return self._model.encode(list(texts), **options)

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        """As :meth:`.Original.export`. The runtime pools and normalizes: only layers behind the pooling need a head, which then pools."""
        body = export_body(self._body, folder)
        behind = [module for module in list(self._model)[1:] if type(module).__name__ != "Dropout"]
        if behind and type(behind[-1]).__name__ == "Normalize":
            behind.pop()
        if all(type(module).__name__ == "Pooling" for module in behind):
            return body, None
        return body, export_head(_join(behind), self._hidden, "vector", folder / "head.onnx")


def _join(modules: "Sequence[torch.nn.Module]") -> "torch.nn.Module":
    """sentence-transformers' ``modules`` as one, from token vectors to the text's vector."""
    import torch

    class Modules(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.ModuleList(modules)

        def forward(self, token_vectors: torch.Tensor) -> torch.Tensor:
            features = {
                "token_embeddings": token_vectors,
                "attention_mask": torch.ones(token_vectors.shape[:2], dtype=torch.long),
            }
            for step in self.steps:
                features = step(features)
            return features["sentence_embedding"]

    return Modules()
