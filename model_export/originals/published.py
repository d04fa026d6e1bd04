"""Embedding models whose architecture only their own Python knows, by the ONNX file that their repository publishes.

That Python never runs. The file in fp32 is the original: the artifact is compared with it in onnxruntime, with the checkpoint's
tokenizer, pooling and truncation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.engine.heads.pooling import normalize, pool
from runtime.engine.session import INPUTS

from ..checkpoint import CONFIG_FILE, PUBLISHED_FILE, Checkpoint, read_json
from ..describe import Description
from ..errors import CheckpointError, UnsupportedModelError
from ..export import silence_libraries
from ..graph.encoder_writer import OUTPUT
from ..graph.head import rename_value
from ..graph.sessions import open_graph, run

if TYPE_CHECKING:
    import onnx

OUTPUTS = ("last_hidden_state", "token_embeddings", "hidden_states")
"""Names that exporters give to token vectors."""
DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Where onnxruntime's own operators are."""


class PublishedEmbedder:
    """An embedding model of a repository's own ``onnx/model.onnx``."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        import onnx

        silence_libraries()
        self._folder = checkpoint.folder / description.body
        self._file = checkpoint.folder / PUBLISHED_FILE
        if description.dense:
            raise UnsupportedModelError(
                f"{checkpoint.folder}: has layers behind the pooling, which are not served with a published ONNX file"
            )
        try:
            model = onnx.load(self._file, load_external_data=False)
        except Exception as error:  # protobuf raises its own
            raise CheckpointError(f"{self._file}: is damaged ({error})") from error
        self._output = _check(self._file, model)
        self._description = description
        self.config: dict[str, Any] = read_json(self._folder, CONFIG_FILE, dict[str, Any])

    def results(self, texts: Sequence[str], prompt: str = "") -> np.ndarray:
        """Unit vectors: float32 [texts, dimensions]."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._folder, use_fast=True, trust_remote_code=False)
        session = open_graph(self._file)
        vectors = []
        for text in texts:
            ids = tokenizer(prompt + text, truncation=True, max_length=self._description.max_tokens)["input_ids"]
            [[tokens]] = run(session, ids, [self._output])
            vectors.append(normalize(pool(tokens, self._description.pooling)[: self._description.dimensions]))
        return np.stack(vectors)

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        """As :meth:`.Original.export`: a copy whose one output is the token vectors."""
        import onnx

        model = onnx.load(self._file)
        [output] = [value for value in model.graph.output if value.name == self._output]
        del model.graph.output[:]
        model.graph.output.append(output)
        rename_value(model.graph, self._output, OUTPUT)
        file = folder / "model.onnx"
        onnx.save(model, file, save_as_external_data=True, location="model.data")
        return file, None


def _check(file: Path, model: "onnx.ModelProto") -> str:
    """The name of the output with the token vectors.

    Raises:
        UnsupportedModelError: the graph wants inputs or operators that the runtime does not have, or gives no token vectors.
    """
    inputs = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    if "input_ids" not in inputs or not inputs <= set(INPUTS):
        raise UnsupportedModelError(
            f"{file}: takes {', '.join(sorted(inputs))}; allowed are {', '.join(sorted(INPUTS))}"
        )
    foreign = sorted({node.domain for node in model.graph.node} - set(DOMAINS))
    if foreign:
        raise UnsupportedModelError(f"{file}: has operators of {', '.join(foreign)}, which onnxruntime does not have")
    for name in OUTPUTS:
        if name in [value.name for value in model.graph.output]:
            return name
    names = ", ".join(value.name for value in model.graph.output)
    raise UnsupportedModelError(f"{file}: gives {names}; one of {', '.join(OUTPUTS)} is needed")
