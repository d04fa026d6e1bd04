"""Sparse embedding models, by ``SparseEncoder``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoint import Checkpoint
from ..describe import Description
from ..export import export_body, export_head
from ..weights import check_weights
from .original import check_prompts, head_of, load

if TYPE_CHECKING:
    import torch

BLOCK = 4096
"""Words whose logits exist at once, for all tokens: those of a whole vocabulary take more memory than the model does otherwise."""


class SparseEmbedder:
    """A model such as SPLADE: a weight for each word of the vocabulary."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        from sentence_transformers import SparseEncoder

        self._encoder = load(SparseEncoder, checkpoint.folder)
        check_prompts(self._encoder, description, checkpoint)
        self._encoder.max_seq_length = description.max_tokens
        self._model = self._encoder[0].auto_model
        self._hidden = description.hidden
        self.config = self._model.config.to_dict()
        check_weights(self._model, checkpoint, description)

    def results(self, texts: Sequence[str], prompt: str = "") -> np.ndarray:
        """Weights: float32 [texts, vocabulary]."""
        options = {"prompt": prompt, "batch_size": 1, "show_progress_bar": False, "convert_to_sparse_tensor": False}
        return np.asarray(self._encoder.encode(list(texts), **options), np.float32)

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        body = export_body(self._model.base_model, folder)
        self._model.set_output_embeddings(_largest_logits(self._model.get_output_embeddings()))
        # The logarithm and the cut at zero keep the order, so they can follow the maximum, which needs less memory.
        head = head_of(self._model, lambda logits: logits[:, 0].relu().log1p())
        return body, export_head(head, self._hidden, "weights", folder / "head.onnx")


def _largest_logits(projection: "torch.nn.Linear") -> "torch.nn.Module":
    """A module that gives the largest of all tokens' logits for each word [1, 1, vocabulary], in place of ``projection``, which gives
    all [1, tokens, vocabulary]."""
    import torch

    class LargestLogits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            blocks = projection.weight.detach().split(BLOCK)
            self.blocks = torch.nn.ParameterList([block.T.contiguous() for block in blocks])
            self.bias = projection.bias

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            logits = torch.cat([(states @ block).amax(1, keepdim=True) for block in self.blocks], -1)
            return logits if self.bias is None else logits + self.bias

    return LargestLogits()
