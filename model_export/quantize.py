"""Eight bits: the arithmetic of weights, and the nodes that give every token an int8 scale of its own.

onnxruntime's dynamic quantization takes one scale for a whole tensor, so that one token with a large value costs all others
their precision (and, in a batch, one text the others). Here ``x`` [1, tokens, width] becomes

    scale = max |x| / 127 along the last axis, values = round(x / scale) + 128 as uint8

with one scale a token: from nothing but the token's own values, hence independent of what stands beside it.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .writer import Writer

CONTRIB = "com.microsoft"

PAIR_LIMIT = 128
"""Two weights that are neighbours in a column may have magnitudes of this sum. A CPU without VNNI adds the products of two
uint8 activations with them in 16 bits: 255 x 128 stays below 32,768, so that no CPU saturates and all compute the same
integers. Limiting each weight to 7 bits (``reduce_range`` in onnxruntime) does that too, but two neighbours are seldom
both large: limiting their sum leaves steps that are a third finer."""

WEIGHT_LIMIT = 127

TABLE_LIMIT = 127
"""A table is only looked up, never multiplied in integers: it may use all 8 bits."""

TABLE_BYTES = 1 << 20
"""In a graph that is quantized in place, lookup tables from this size on become int8."""

MIDDLE = 128
"""Zero point of values of both signs."""

LOW = 32
"""Zero point of values that go hardly below zero, as behind GELU: seven eighths of the steps are left for the others."""


def quantize_columns(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``weight`` [in, out] as int8 [in, out] and a float32 scale for each of its columns [out]."""
    magnitude = np.abs(weight)
    pairs = magnitude[0::2].copy()
    pairs[: len(weight) // 2] += magnitude[1::2]
    # Rounding can add a half to each of the two.
    scale = np.maximum(pairs.max(0) / (PAIR_LIMIT - 1), magnitude.max(0) / WEIGHT_LIMIT)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``table`` [rows, width] as int8 [rows, width] and a float32 scale for each of its rows [rows, 1]."""
    scale = np.abs(table).max(1, keepdims=True) / TABLE_LIMIT
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(table / scale).astype(np.int8), scale


def look_up(writer: Writer, name: str, table: np.ndarray, ids: str) -> str:
    """Rows ``ids`` of a table that is kept in int8: float32 [..., width]."""
    values, scales = quantize_rows(table)
    rows = writer.node("Cast", writer.node("Gather", writer.constant(name, values), ids), to=TensorProto.FLOAT)
    return writer.node("Mul", rows, writer.node("Gather", writer.constant(f"{name}.scale", scales), ids))


def multiply(writer: Writer, name: str, weight: np.ndarray, source: tuple[str, ...], bias: str = "") -> str:
    """Quantized values, their scale and zero point (``source``) times an int8 copy of ``weight``: float32 [..., out].

    A ``bias`` may only be given with a scalar scale: onnxruntime adds it before it multiplies by a scale for each row.
    """
    values, scale, zero_point = source
    weights, scales = quantize_columns(weight)
    inputs = [values, writer.constant(name, weights), scale, writer.constant(f"{name}.scale", scales), zero_point]
    return writer.node("MatMulIntegerToFloat", *inputs, *(["", bias] if bias else []), domain=CONTRIB)


class TokenQuantizer:
    """Writes the nodes that quantize values [1, tokens, width] with a scale for each token."""

    def __init__(self, writer: Writer, axes_as_input: bool = True) -> None:
        """``axes_as_input``: whether the graph's opset is 18 or later."""
        self._writer = writer
        self._axes_as_input = axes_as_input
        self._tokens = writer.node("Shape", "input_ids", start=1, end=2)
        self._zero_points: dict[int, str] = {}

    def quantize(self, value: str, below: float | None = None) -> tuple[str, str, str]:
        """Names of the uint8 values, their scale [1, tokens, 1] and their zero point, for :func:`multiply`.

        ``below``: how far ``value`` goes below zero at most, where that is known to be little.
        """
        writer = self._writer
        if below is None:
            steps = self._constant("steps", 1 / (255 - MIDDLE))
            zero_point, scale = MIDDLE, writer.node("Mul", self._largest(writer.node("Abs", value)), steps)
        else:
            zero_point, steps = LOW, self._constant("steps.low", 1 / (255 - LOW))
            scale = writer.node("Mul", self._largest(value), steps)
            scale = writer.node("Max", scale, self._constant("least.low", max(below, 1e-6) / LOW))
        each = writer.node("Squeeze", scale, writer.constant("axes", np.array([0, 2])))
        values = writer.node("QuantizeLinear", value, each, self._zero_point(zero_point), axis=1)
        return values, scale, writer.constant(f"zero_point.{zero_point}", np.array(zero_point, np.uint8))

    def _largest(self, value: str) -> str:
        """The largest of each token's values: [1, tokens, 1]."""
        if self._axes_as_input:
            return self._writer.node("ReduceMax", value, self._writer.constant("last_axis", np.array([2])), keepdims=1)
        return self._writer.node("ReduceMax", value, axes=[2], keepdims=1)

    def _constant(self, name: str, value: float) -> str:
        return self._writer.constant(name, np.array(value, np.float32))

    def _zero_point(self, value: int) -> str:
        """The zero point once for each token, as QuantizeLinear wants it: uint8 [tokens]."""
        if value not in self._zero_points:
            tensor = helper.make_tensor("value", TensorProto.UINT8, [1], [value])
            self._zero_points[value] = self._writer.node("ConstantOfShape", self._tokens, value=tensor)
        return self._zero_points[value]


def quantize_in_place(model: onnx.ModelProto) -> None:
    """Quantize the linear layers of any encoder's graph, and its large lookup tables, where they stand."""
    graph = model.graph
    opset = next(opset.version for opset in model.opset_import if opset.domain == "")
    ranks = _ranks(model)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    writer = Writer("quantized.")
    quantizer = TokenQuantizer(writer, axes_as_input=opset >= 18)
    sources: dict[str, tuple[str, ...]] = {}
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
    """Number of axes of each value, where it can be told."""
    shapes = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {value.name: len(value.type.tensor_type.shape.dim) for value in shapes}


def _replace(field, items: list) -> None:
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
