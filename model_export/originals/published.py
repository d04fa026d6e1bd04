"""Embedding models whose architecture only their own Python knows, by the ONNX file that their repository publishes.

That Python never runs. The file in fp32 is the original: the artifact is compared with it in onnxruntime, with the checkpoint's
tokenizer, pooling and truncation.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.engine.heads.pooling import normalize, pool
from runtime.engine.session import INPUTS

from ..checkpoint import CONFIG_FILE, PUBLISHED_FILE, Checkpoint, read_json
from ..describe import Description
from ..errors import CheckpointError, UnsupportedModelError
from ..graph.encoder_writer import OUTPUT
from ..graph.head import rename_value
from ..graph.model import read_model, save_model
from ..graph.optimize import WEIGHT_BYTES, raise_opset
from ..graph.sessions import open_graph, run

if TYPE_CHECKING:
    import onnx

OUTPUTS = ("last_hidden_state", "token_embeddings", "hidden_states")
"""Names that exporters give to token vectors."""
WEIGHT_TYPES = ("FLOAT", "INT32", "INT64", "BOOL")
"""Types of what an fp32 graph holds: weights, positions and masks."""
DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Where onnxruntime's own operators are."""


class PublishedEmbedder:
    """An embedding model of a repository's own ``onnx/model.onnx``."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None:
        self._folder = checkpoint.folder / description.body
        self._file = checkpoint.folder / PUBLISHED_FILE
        self._output = check_published(checkpoint, description)
        self._description = description
        self.config: dict[str, Any] = read_json(self._folder, CONFIG_FILE, dict[str, Any])

    def results(self, texts: Sequence[str], prompt: str = "") -> np.ndarray:
        """Unit vectors: float32 [texts, dimensions]."""
        vectors = []
        for text in texts:
            ids = self._tokenizer(prompt + text, truncation=True, max_length=self._description.max_tokens)["input_ids"]
            [[tokens]] = run(self._session, ids, [self._output])
            vectors.append(normalize(pool(tokens, self._description.pooling)[: self._description.dimensions]))
        return np.stack(vectors)

    @cached_property
    def _tokenizer(self):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._folder, use_fast=True, trust_remote_code=False)

    @cached_property
    def _session(self):
        return open_graph(self._file)

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        """As :meth:`.Original.export`: a copy whose one output is the token vectors."""
        model = read_model(self._file)
        [output] = [value for value in model.graph.output if value.name == self._output]
        del model.graph.output[:]
        model.graph.output.append(output)
        rename_value(model.graph, self._output, OUTPUT)
        return save_model(model, folder), None


def check_published(checkpoint: Checkpoint, description: Description) -> str:
    """The name of the output of the published ONNX file that has the token vectors.

    Raises:
        CheckpointError: the file is damaged.
        UnsupportedModelError: the graph wants inputs or operators that the runtime does not have, is not in fp32, or gives no token
            vectors.
    """
    import onnx
    from onnx import TensorProto, helper

    file = checkpoint.folder / PUBLISHED_FILE
    if description.layers:
        raise UnsupportedModelError(
            f"{checkpoint.folder}: has layers behind the pooling, which are not served with a published ONNX file"
        )
    try:
        model = onnx.load(file, load_external_data=False)
    except Exception as error:  # protobuf raises its own
        raise CheckpointError(f"{file}: is damaged ({error})") from error
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value.type.tensor_type for value in model.graph.input if value.name not in names}
    if "input_ids" not in inputs or not inputs.keys() <= INPUTS.keys():
        raise UnsupportedModelError(
            f"{file}: takes {', '.join(sorted(inputs))}; allowed are {', '.join(sorted(INPUTS))}"
        )
    others = sorted(name for name, value in inputs.items() if value.elem_type != TensorProto.INT64)
    if others:
        raise UnsupportedModelError(f"{file}: takes {', '.join(others)} of another type than int64")
    foreign = sorted({node.domain for node in model.graph.node} - set(DOMAINS))
    if foreign:
        raise UnsupportedModelError(f"{file}: has operators of {', '.join(foreign)}, which onnxruntime does not have")
    output = _token_vectors(file, model, description.hidden)
    types = {TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer if _is_large(tensor)}
    if others := sorted(types.difference(WEIGHT_TYPES)):
        raise UnsupportedModelError(
            f"{file}: has weights of the type {', '.join(others).lower()}; only fp32 is supported"
        )
    small = []
    for tensor in model.graph.initializer:
        if _is_large(tensor):
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            small.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    try:
        raise_opset(model)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{file}: {error}") from error
    return output


def _is_large(tensor: "onnx.TensorProto") -> bool:
    return tensor.ByteSize() >= WEIGHT_BYTES or tensor.data_location == tensor.EXTERNAL


def _token_vectors(file: Path, model: "onnx.ModelProto", hidden: int) -> str:
    import onnx

    outputs = {value.name: value.type.tensor_type for value in model.graph.output}
    name = next((name for name in OUTPUTS if name in outputs), None)
    if name is None:
        raise UnsupportedModelError(f"{file}: gives {', '.join(outputs)}; one of {', '.join(OUTPUTS)} is needed")
    dims = outputs[name].shape.dim
    if outputs[name].elem_type != onnx.TensorProto.FLOAT:
        raise UnsupportedModelError(f"{file}: gives {name} of another type than float32")
    if len(dims) != 3 or dims[2].dim_value not in (0, hidden):  # 0: not stated
        shape = [dim.dim_param or dim.dim_value for dim in dims]
        raise UnsupportedModelError(f"{file}: gives {name} {shape}; needed is [texts, tokens, {hidden}]")
    return name
