"""Quantizing a graph of any architecture in place: its linear layers and its large lookup tables."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..progress import track
from .algebra import balance
from .model import Model, names_read, replace_nodes
from .quantize import CONTRIB, Quantized, TokenQuantizer, look_up, multiply, product_error
from .sessions import open_session, run_texts
from .writer import Writer

TABLE_BYTES = 1 << 20
"""Lookup tables from this size on become int8."""

LEAST_GAIN = 0.8
"""Channels are evened out where that lowers the square error of the products to less than this part of it."""

BELOW = {"Gelu": 0.1701, "FastGelu": 0.1701, "Relu": 0.0}
"""The most that the values of an operator go below zero."""


def quantize_in_place(model: Model, texts: Sequence[Sequence[int]], scratch: Path) -> None:
    """Quantize the linear layers and the large lookup tables of ``model``, and write out its softmaxes.

    Args:
        model: of the opset that :func:`.optimize.optimize` leaves, or later.
        texts: token ids to measure the inputs of the linear layers on, special tokens included.
        scratch: a folder with room for the weights.
    """
    _write_out_softmax(model)
    graph, weights = model.graph, model.weights
    operators = {output: node.op_type for node in graph.node for output in node.output}
    inputs = _measure_inputs(model, texts, scratch)
    # Layers that share a weight, as ALBERT's, share its scaled rows too, so their inputs cannot be evened out one by one.
    uses = Counter(node.input[1] for node in graph.node if _is_linear(node, weights))
    writer = Writer("quantized.")
    quantizer = TokenQuantizer(writer)
    sources: dict[str, tuple[Quantized, np.ndarray | float]] = {}
    for node in track(graph.node, "operators"):
        table = weights.get(node.input[0]) if node.input else None
        if _is_linear(node, weights) and node.input[0] in inputs:
            source = node.input[0]
            if source not in sources:
                readers = [other for other in graph.node if _is_linear(other, weights) and other.input[0] == source]
                matrix = np.hstack([weights[reader.input[1]] for reader in readers])
                shared = any(uses[reader.input[1]] > 1 for reader in readers)
                divisors, value = None if shared else _divisors(inputs[source], matrix), source
                if divisors is not None:
                    value = writer.node("Mul", source, writer.constant(f"{source}.scale", 1 / divisors))
                    inputs[source] = inputs[source] / divisors
                below = BELOW.get(operators.get(value))
                sources[source] = quantizer.quantize(value, below), 1 if divisors is None else divisors[:, None]
            quantized, rows = sources[source]
            weight = weights[node.input[1]] * rows
            multiply(writer, node.input[1], weight, quantized, inputs=inputs[source])
        elif node.op_type == "Gather" and table is not None and _is_large_table(table):
            look_up(writer, node.input[0], table, node.input[1])
        else:
            writer.nodes.append(node)
            continue
        writer.nodes[-1].output[0] = node.output[0]
    used = names_read(writer.nodes)
    model.weights = {name: value for name, value in weights.items() if name in used} | writer.constants
    replace_nodes(graph, writer.nodes)
    if not any(opset.domain == CONTRIB for opset in model.proto.opset_import):
        model.proto.opset_import.append(helper.make_opsetid(CONTRIB, 1))


def _measure_inputs(model: Model, texts: Sequence[Sequence[int]], scratch: Path) -> dict[str, np.ndarray]:
    """The inputs [1, tokens, in] of linear layers by the names of the values, for all tokens: float32 [tokens, in]."""
    names = list(dict.fromkeys(node.input[0] for node in model.graph.node if _is_linear(node, model.weights)))
    if not names:
        return {}
    outputs = [output.name for output in model.graph.output]
    taps = [name for name in names if name not in outputs]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in taps)
    session = open_session(model, scratch)
    del model.graph.output[len(outputs) :]
    return {
        name: np.concatenate([values[0] for values in tap])
        for name, tap in zip(names, run_texts(session, texts, names), strict=True)
        if all(values.ndim == 3 and values.shape[:2] == (1, len(ids)) for values, ids in zip(tap, texts, strict=True))
    }


def _is_linear(node: onnx.NodeProto, weights: dict[str, np.ndarray]) -> bool:
    return node.op_type == "MatMul" and node.input[1] in weights and weights[node.input[1]].ndim == 2


def _divisors(inputs: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """Divisors [in] that even out the channels of ``inputs`` [tokens, in]; None if that gains little."""
    divisors = balance(np.abs(inputs).max(0), weight)
    even = product_error(inputs / divisors, weight * divisors[:, None])
    return divisors if even < LEAST_GAIN * product_error(inputs, weight) else None


def _write_out_softmax(model: Model) -> None:
    """Replace softmaxes over the last axis by operators that give the same bits on every x86 CPU, as ``balanced`` does.

    Where only products read a softmax, their results are divided by its sum, which are fewer values.
    """
    graph, writer = model.graph, Writer("softmax.")
    undivided: dict[str, tuple[str, str]] = {}
    for node in graph.node:
        if node.op_type == "Softmax" and _attribute(node, "axis", -1) == -1:
            last_axis = writer.constant("axis", np.array([-1]))
            largest = writer.node("ReduceMax", node.input[0], last_axis, keepdims=1)
            weights = writer.node("Exp", writer.node("Sub", node.input[0], largest))
            total = writer.node("ReduceSum", weights, last_axis, keepdims=1)
            readers = [other for other in graph.node if node.output[0] in other.input]
            if all(_multiplies(other, node.output[0]) for other in readers):
                undivided[node.output[0]] = weights, total
                continue
            writer.node("Div", weights, total)
        elif node.input and node.input[0] in undivided:
            weights, total = undivided[node.input[0]]
            product = onnx.NodeProto()
            product.CopyFrom(node)
            product.input[0], product.output[0] = weights, f"{node.output[0]}.undivided"
            writer.nodes.append(product)
            writer.node("Div", product.output[0], total)
        else:
            writer.nodes.append(node)
            continue
        writer.nodes[-1].output[0] = node.output[0]
    replace_nodes(graph, writer.nodes)
    model.weights |= writer.constants


def _multiplies(node: onnx.NodeProto, weights: str) -> bool:
    """Whether ``node`` multiplies the rows of ``weights``."""
    turned = _attribute(node, "transA", 0) or _attribute(node, "transBatchA", 0)
    return node.op_type in ("MatMul", "FusedMatMul") and node.input[0] == weights and not turned


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def _is_large_table(table: np.ndarray) -> bool:
    return table.dtype == np.float32 and table.ndim == 2 and table.nbytes >= TABLE_BYTES
