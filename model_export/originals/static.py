"""Static embedding models: a vector for each token, looked up in a table, by ``SentenceTransformer``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from ..checkpoint import Checkpoint
from ..describe import Description
from ..graph.encoder_writer import OUTPUT
from ..graph.model import Model, save_model
from .original import check_prompts, load

OPSET = 18


class StaticEmbedder:
    """A model of sentence-transformers' ``StaticEmbedding``."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = load(SentenceTransformer, checkpoint.folder)
        check_prompts(self._model, description, checkpoint)
        self.config: dict[str, Any] = {}

    def results(self, texts: Sequence[str], prompt: str = "") -> np.ndarray:
        """Unit vectors: float32 [texts, dimensions]."""
        return self._model.encode(list(texts), prompt=prompt, normalize_embeddings=True, show_progress_bar=False)

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        table = self._model[0].embedding.weight.detach().numpy()
        node = helper.make_node("Gather", ["table", "input_ids"], [OUTPUT])
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])
        vectors = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, "tokens", table.shape[1]])
        graph = helper.make_graph([node], "static", [ids], [vectors])
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        return save_model(Model(proto, {"table": table}), folder), None
