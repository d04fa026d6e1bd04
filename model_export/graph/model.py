"""Graphs with their weights apart, so that these stay on disk, or are shared, instead of being copied into protobuf messages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper

EXTERNAL_BYTES = 1024
"""Tensors from this size on go to ``model.bin``."""


@dataclass
class Model:
    """A graph and its weights."""

    proto: onnx.ModelProto
    """The graph, without initializers."""
    weights: dict[str, np.ndarray]
    """Its initializers by name. Those of a model that was read from a file are mapped from it: they take no memory, and are valid as
    long as the file exists."""

    @property
    def graph(self) -> onnx.GraphProto:
        return self.proto.graph


def read_model(file: Path) -> Model:
    """The model in ``file``, whose larger weights may be in files beside it."""
    proto = onnx.load(file, load_external_data=False)
    for tensor in _tensors_of_nodes(proto.graph):
        if external_data_helper.uses_external_data(tensor):
            external_data_helper.load_external_data_for_tensor(tensor, str(file.parent))
            tensor.ClearField("data_location")
    weights = {tensor.name: _read(tensor, file.parent) for tensor in proto.graph.initializer}
    del proto.graph.initializer[:]
    return Model(proto, weights)


def _read(tensor: TensorProto, folder: Path) -> np.ndarray:
    if not external_data_helper.uses_external_data(tensor):
        return numpy_helper.to_array(tensor)
    kind, place = helper.tensor_dtype_to_np_dtype(tensor.data_type), external_data_helper.ExternalDataInfo(tensor)
    if kind.kind not in "biuf" or not tensor.dims or 0 in tensor.dims:  # such as bfloat16 or int4, or too little to map
        return numpy_helper.to_array(tensor, str(folder))
    mapped = np.memmap(folder / place.location, kind, "r", place.offset or 0, tuple(tensor.dims))
    return np.asarray(mapped)


def _tensors_of_nodes(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """The tensors in the attributes of nodes, those of inner graphs included."""
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer
                yield from _tensors_of_nodes(inner)


def names_read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The names of all values that ``nodes`` read, those in their inner graphs included."""
    names = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                names |= names_read(inner.node) | {output.name for output in inner.output}
    return names


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Give ``graph`` these ``nodes``, of which some may be its own: those are gone when the graph lets go of them."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def save_model(model: Model, folder: Path) -> Path:
    """Write ``model.onnx``, with its larger weights in ``model.bin`` at page boundaries so that they can be mapped; returns its path.

    The word table comes first, and the weights that every text needs come last: the kernel reads on behind the pages that are
    used, and behind the end of the file there is nothing to read.
    """
    outside: dict[str, TensorProto] = {}
    large = [name for name, value in model.weights.items() if value.nbytes >= EXTERNAL_BYTES and value.dtype != object]
    with (folder / "model.bin").open("wb") as file:
        for name in sorted(large, key=lambda name: -model.weights[name].nbytes):
            value = model.weights[name]
            file.write(b"\0" * (-file.tell() % (4096 if value.nbytes >= 1 << 16 else 64)))
            stored = TensorProto(
                name=name,
                data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
                dims=value.shape,
                data_location=TensorProto.EXTERNAL,
            )
            for key, text in (("location", "model.bin"), ("offset", file.tell()), ("length", value.nbytes)):
                stored.external_data.add(key=key, value=str(text))
            file.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
            outside[name] = stored
    saved = onnx.ModelProto()
    saved.CopyFrom(model.proto)
    saved.graph.initializer.extend(
        outside.get(name) or numpy_helper.from_array(value, name) for name, value in model.weights.items()
    )
    path = folder / "model.onnx"
    path.write_bytes(saved.SerializeToString())
    return path
