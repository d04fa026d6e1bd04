"""Quantizing a graph of any architecture in place: its linear layers and its large lookup tables."""

import onnx
from onnx import TensorProto, helper, numpy_helper

from .quantize import CONTRIB, Quantized, TokenQuantizer, look_up, multiply
from .writer import Writer

TABLE_BYTES = 1 << 20
"""Lookup tables from this size on become int8."""


def quantize_in_place(model: onnx.ModelProto) -> None:
    """Quantize the linear layers and the large lookup tables of ``model``, and leave the rest of it as it is."""
    graph = model.graph
    opset = next(opset.version for opset in model.opset_import if opset.domain == "")
    ranks = _ranks(model)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    writer = Writer("quantized.")
    quantizer = TokenQuantizer(writer, axes_as_input=opset >= 18)
    sources: dict[str, Quantized] = {}
    for node in graph.node:
        table = weights.get(node.input[0]) if node.input else None
        weight = weights.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type == "MatMul" and weight is not None and len(weight.dims) == 2 and ranks.get(node.input[0]) == 3:
            if node.input[0] not in sources:
                sources[node.input[0]] = quantizer.quantize(node.input[0])
            multiply(writer, node.input[1], numpy_helper.to_array(weight), sources[node.input[0]])
        elif node.op_type == "Gather" and table is not None and _is_large_table(table):
            look_up(writer, node.input[0], numpy_helper.to_array(table), node.input[1])
        else:
            writer.nodes.append(node)
            continue
        writer.nodes[-1].output[0] = node.output[0]
    used = {name for node in writer.nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    _replace(graph.node, writer.nodes)
    _replace(graph.initializer, [*kept, *writer.constants.values()])
    if not any(opset.domain == CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))


def _is_large_table(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2 and len(tensor.raw_data) >= TABLE_BYTES


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Number of axes of each value whose shape onnx can infer."""
    shapes = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {value.name: len(value.type.tensor_type.shape.dim) for value in shapes}


def _replace(field, items: list) -> None:
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
