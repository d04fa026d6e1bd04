"""Writing ONNX: collects a graph's nodes and constants, and writes its two files."""

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import TensorProto, helper, numpy_helper

EXTERNAL_BYTES = 1024
"""Tensors from this size on go to ``model.bin``."""


class Writer:
    """Collects the nodes and constants of a graph, in the order of the calls."""

    def __init__(self, prefix: str = "") -> None:
        """``prefix``: put before the names of all values."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._prefix = prefix
        self._count = 0

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes) -> str:
        """Add a node with one output; returns the output's name."""
        return self.node_outputs(operator, 1, *inputs, domain=domain, **attributes)[0]

    def node_outputs(self, operator: str, count: int, *inputs: str, domain: str = "", **attributes) -> list[str]:
        """Add a node with ``count`` outputs; returns their names."""
        name = f"{self._prefix}{operator}_{self._count}"
        self._count += 1
        outputs = [name] if count == 1 else [f"{name}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant unless there is one of that name; returns its name in the graph."""
        name = self._prefix + name
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        return name


def save(model: onnx.ModelProto, folder: Path) -> None:
    """Write ``model.onnx`` with its larger tensors in ``model.bin``, at page boundaries so that they can be mapped.

    The word table comes first, and the weights that every text needs come last: the kernel reads on behind the pages that are
    used, and behind the end of the file there is nothing to read. The weights are not copied on the way.
    """
    outside: dict[str, TensorProto] = {}
    tensors = [tensor for tensor in model.graph.initializer if to_bytes(tensor) >= EXTERNAL_BYTES]
    with (folder / "model.bin").open("wb") as file:
        for tensor in sorted(tensors, key=lambda tensor: -len(tensor.raw_data)):
            data = tensor.raw_data
            file.write(b"\0" * (-file.tell() % (4096 if len(data) >= 1 << 16 else 64)))
            stored = TensorProto(
                name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=TensorProto.EXTERNAL
            )
            for key, value in (("location", "model.bin"), ("offset", file.tell()), ("length", len(data))):
                stored.external_data.add(key=key, value=str(value))
            file.write(data)
            outside[tensor.name] = stored
    graph = onnx.GraphProto()
    _copy_fields(model.graph, graph, leave_out="initializer")
    graph.initializer.extend(outside.get(tensor.name, tensor) for tensor in model.graph.initializer)
    saved = onnx.ModelProto(graph=graph)
    _copy_fields(model, saved, leave_out="graph")
    (folder / "model.onnx").write_bytes(saved.SerializeToString())


def _copy_fields(source: Message, target: Message, leave_out: str) -> None:
    """Copy all fields of ``source`` to ``target`` but one, which may be large."""
    for field, value in source.ListFields():
        if field.name == leave_out:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def to_bytes(tensor: TensorProto) -> int:
    """Size of ``tensor`` in bytes. Moves its values to ``raw_data``."""
    if not tensor.raw_data and tensor.data_type != TensorProto.STRING:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    return len(tensor.raw_data)
