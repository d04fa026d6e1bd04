"""Joining a body and its head to one graph."""

from pathlib import Path

import onnx
from onnx import compose


def attach_head(model: onnx.ModelProto, head: Path) -> None:
    """Append the graph in the file ``head``, from ``token_vectors`` to a result, to ``model``, which computes those.

    The token vectors stay an output only of a model whose result is a vector: others have no use for them.
    """
    part = onnx.load(head)
    [result] = part.graph.output
    part = compose.add_prefix(part, "head.", rename_inputs=False, rename_outputs=False)
    model.graph.node.extend(part.graph.node)
    model.graph.initializer.extend(part.graph.initializer)
    if result.name != "vector":
        del model.graph.output[:]
    model.graph.output.append(result)
