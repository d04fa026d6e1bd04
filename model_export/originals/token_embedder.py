"""ColBERT: a vector for each token, through a linear layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoint import Checkpoint
from ..describe import Description
from ..export import export_body, export_head
from ..graph.encoder_writer import OUTPUT
from ..modules import LINEAR
from ..weights import check_weights
from .original import load

if TYPE_CHECKING:
    import torch


class TokenEmbedder:
    """A model whose token vectors pass through linear layers without activation, and are scaled to unit length."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        from sentence_transformers.sentence_transformer.modules import Transformer

        folder = checkpoint.folder / description.body
        self._transformer = load(
            lambda path, device, trust_remote_code, local_files_only, model_kwargs: Transformer(
                path, max_seq_length=description.max_tokens, model_kwargs={**model_kwargs, "local_files_only": True}
            ),
            folder,
        )
        self._body = self._transformer.auto_model.eval()
        self._body_width = self._body.config.hidden_size
        self.config = self._body.config.to_dict()
        paths = [layer.path for layer in description.layers] or [description.body]
        self._layers = [_linear(checkpoint.folder / path) for path in paths]
        check_weights(self._body, checkpoint, description)

    def results(self, texts: Sequence[str], prompt: str = "") -> list[np.ndarray]:
        """Unit vectors of each text's tokens: float32 [tokens, dimensions]. pylate inserts the token of a prompt behind ``[CLS]``; here
        the tokenizer makes it of the text."""
        import torch

        head, results = self._head(), []
        with torch.no_grad():
            for text in texts:
                features = self._transformer(self._transformer.preprocess([prompt + text]))
                results.append(head(features["token_embeddings"])[0].numpy())
        return results

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        body = export_body(self._body, folder)
        return body, export_head(self._head(), self._body_width, OUTPUT, folder / "head.onnx")

    def _head(self) -> "torch.nn.Module":
        import torch

        class Head(torch.nn.Module):
            def __init__(self, layers) -> None:
                super().__init__()
                self.layers = torch.nn.Sequential(*layers)

            def forward(self, token_vectors):
                return torch.nn.functional.normalize(self.layers(token_vectors), dim=-1)

        return Head(self._layers).eval()


def _linear(folder: Path) -> "torch.nn.Linear":
    """The linear layer in ``folder``, which ColBERT's own class or a module ``Dense`` saved; ``check_layers`` has found it there."""
    import torch
    from safetensors import safe_open

    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            if LINEAR in file.keys():  # noqa: SIM118
                return _from_weight(file.get_tensor(LINEAR))
    pickles = (torch.load(path, map_location="cpu", weights_only=True) for path in folder.glob("pytorch_model*.bin"))
    return _from_weight(next(weights[LINEAR] for weights in pickles if LINEAR in weights))


def _from_weight(weight: "torch.Tensor") -> "torch.nn.Linear":
    import torch

    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight = torch.nn.Parameter(weight.float())
    return linear
