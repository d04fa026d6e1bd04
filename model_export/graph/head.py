"""Joining a body and its head to one graph."""

from pathlib import Path

import onnx
from onnx import compose, numpy_helper

from .encoder_writer import OUTPUT
from .model import Model


def attach_head(model: Model, head: Path) -> None:
    """Append the graph in the file ``head``, from the body's token vectors to a result, to ``model``, which computes those.

    The body's token vectors stay an output only beside a vector of the text: others have no use for them.
    """
    part = onnx.load(head)
    [source], [result] = part.graph.input, part.graph.output
    part = compose.add_prefix(part, "head.")
    body, end = f"head.{source.name}", f"head.{result.name}"
    if result.name == OUTPUT:
        rename_value(model.graph, OUTPUT, body)
    else:
        rename_value(part.graph, body, OUTPUT)
    rename_value(part.graph, end, result.name)
    model.graph.node.extend(part.graph.node)
    model.weights |= {tensor.name: numpy_helper.to_array(tensor) for tensor in part.graph.initializer}
    if result.name != "vector":
        del model.graph.output[:]
    model.graph.output.append(result)


def rename_value(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Give the value ``old`` of ``graph``, an output or not, the name ``new``."""
    for output in graph.output:
        if output.name == old:
            output.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
