"""Rerankers, by ``CrossEncoder``, and classifiers, by the same class: it scores texts as well as pairs."""

from pathlib import Path

import numpy as np

from ..checkpoint import Checkpoint
from ..describe import Description
from ..errors import UnsupportedModelError
from ..export import export_body, export_head
from ..weights import check_weights
from .original import Texts, head_of, load


class Scorer:
    """A model with a score for each label, one for a reranker."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        from sentence_transformers import CrossEncoder

        self._encoder = load(CrossEncoder, checkpoint.folder, max_length=description.max_tokens)
        if self._encoder.default_prompt_name:
            raise UnsupportedModelError(
                f"{checkpoint.folder}: puts the prompt {self._encoder.default_prompt_name!r} before pairs of texts, which is not supported"
            )
        self._model = self._encoder.model
        self._hidden = description.hidden
        self.config = self._model.config.to_dict()
        check_weights(self._model, checkpoint, description)

    def results(self, texts: Texts, prompt: str = "") -> np.ndarray:
        """Logits: float32 [texts, labels]."""
        import torch

        # One by one: ``CrossEncoder`` takes a list of texts for a pair.
        logits = [self._encoder.predict(each, prompt=prompt, activation_fn=torch.nn.Identity()) for each in texts]
        return np.asarray(logits, np.float32).reshape(len(texts), -1)

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        body = export_body(self._model.base_model, folder)
        return body, export_head(
            head_of(self._model, lambda logits: logits), self._hidden, "logits", folder / "head.onnx"
        )
