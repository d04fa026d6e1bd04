"""What an encoder of the BERT family is made of, read from Optimum's fp32 export by the shape of its computation.

Values are followed backwards from the output and names are never looked at, so that BERT, RoBERTa, XLM-RoBERTa, DistilBERT
and ELECTRA read alike. The reading is loose (it looks past masks and reshapes); :mod:`~model_export.graph` proves by
numbers that what was read computes the same as what was exported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

_SHAPING = frozenset({"Cast", "Expand", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Where"})


class NotAnEncoderError(Exception):
    """The graph is not an encoder of the BERT family; the message says where it differs."""


@dataclass(frozen=True)
class Linear:
    """``x @ weight + bias``."""

    weight: np.ndarray
    """float32 [in, out]."""
    bias: np.ndarray | None
    """float32 [out]; None where there is none."""


@dataclass(frozen=True)
class Norm:
    """Layer normalization over the last axis."""

    scale: np.ndarray
    bias: np.ndarray
    epsilon: float


@dataclass(frozen=True)
class Layer:
    """Self-attention and feed-forward network, each followed by residual addition and layer normalization."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: Norm
    intermediate: Linear
    output: Linear
    output_norm: Norm
    attention_scale: np.ndarray | None = None
    """float32 [hidden]: what the input of query, key and value (not the residual) is multiplied by."""
    feed_forward_scale: np.ndarray | None = None
    """float32 [hidden]: what the input of the intermediate layer (not the residual) is multiplied by."""


@dataclass(frozen=True)
class Encoder:
    """The whole model, from token ids to token vectors."""

    words: np.ndarray
    """float32 [vocabulary, hidden]."""
    positions: np.ndarray
    """float32 [positions, hidden]: what is added to the word at each position, token type 0 included."""
    norm: Norm
    layers: list[Layer]
    heads: int
    activation: str
    """As ``hidden_act`` in the checkpoint's ``config.json``."""


def read_encoder(model: onnx.ModelProto, output: str, config: dict[str, Any]) -> Encoder:
    """Read the encoder whose token vectors are the value ``output`` of ``model``.

    Raises:
        NotAnEncoderError: the graph is built otherwise.
    """
    graph = _Graph(model)
    heads = config.get("num_attention_heads") or config.get("n_heads")
    activation = config.get("hidden_act") or config.get("activation")
    if not heads or not activation:
        raise NotAnEncoderError("config.json names no attention heads or no activation")
    layers: list[Layer] = []
    value = output
    while True:
        norm, total = graph.norm(value)
        if (read := _read_layer(graph, norm, total)) is None:
            break
        layer, value = read
        layers.insert(0, layer)
    if not layers:
        raise NotAnEncoderError(f"the last layer normalization ({value}) does not follow a feed-forward network")
    words = graph.word_table()
    return Encoder(words, _read_positions(model, graph, total, words, config), norm, layers, heads, activation)


def _read_layer(graph: "_Graph", output_norm: Norm, total: str) -> tuple[Layer, str] | None:
    """The layer whose last sum is ``total``, and its input; None where ``total`` is the sum of embeddings."""
    found = graph.residual(total)
    if found is None:
        return None
    output, hidden, middle = found
    attention_norm, total = graph.norm(middle)
    [(intermediate, source)] = graph.linears_behind(hidden, 1)
    if source != middle:
        raise NotAnEncoderError(f"the feed-forward network before {total} reads another value than its residual")
    found = graph.residual(total)
    if found is None:
        raise NotAnEncoderError(f"{total} is not the sum of an attention output and a residual")
    attention_output, context, residual = found
    query, key, value = _read_attention(graph, context, residual)
    layer = Layer(query, key, value, attention_output, attention_norm, intermediate, output, output_norm)
    return layer, residual


def _read_attention(graph: "_Graph", context: str, source: str) -> tuple[Linear, Linear, Linear]:
    product = graph.behind(context, "MatMul")
    softmax = graph.behind(product.input[0], "Softmax", _SHAPING)
    scores = graph.behind(softmax.input[0], "MatMul", _SHAPING | {"Add", "Div", "Mul"})
    linears = []
    for value in (scores.input[0], scores.input[1], product.input[1]):
        [(linear, read)] = graph.linears_behind(value, 1)
        if read != source:
            raise NotAnEncoderError(f"the attention before {context} reads another value than its residual")
        linears.append(linear)
    return tuple(linears)


def _read_positions(
    model: onnx.ModelProto, graph: "_Graph", total: str, words: np.ndarray, config: dict[str, Any]
) -> np.ndarray:
    """What the embeddings add to a word at each position: computed by the exported graph itself, so that it does not
    matter how the architecture counts positions."""
    import onnxruntime

    padding = config.get("pad_token_id") or 0
    token = 1 if padding == 0 else 0
    part = graph.part(model, total, rows={graph.word_table_name: token + 1})
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    limit = config.get("max_position_embeddings", 0)
    # RoBERTa and its kin begin to count after the padding token's id, and so read that many positions less.
    for length in (limit, limit - padding - 1):
        ids = np.full((1, length), token, np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        try:
            [sums] = session.run(None, {value.name: feeds[value.name] for value in session.get_inputs()})
        except Exception:  # onnxruntime's errors have no base of their own; this one is an index out of range
            continue
        return sums[0] - words[token]
    raise NotAnEncoderError(f"its embeddings cannot be computed for {limit} positions")


class _Graph:
    """An ONNX graph, read backwards."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._nodes = {output: node for node in model.graph.node for output in node.output}
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}

    def constant(self, name: str) -> np.ndarray | None:
        if name in self._initializers:
            return numpy_helper.to_array(self._initializers[name])
        node = self._nodes.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            return numpy_helper.to_array(node.attribute[0].t)
        return None

    def is_constant(self, name: str) -> bool:
        return name in self._initializers or (name in self._nodes and self._nodes[name].op_type == "Constant")

    def norm(self, name: str) -> tuple[Norm, str]:
        """The layer normalization that gives ``name``, and its input."""
        node = self._nodes.get(name)
        if node is None or node.op_type != "LayerNormalization" or len(node.input) < 3:
            raise NotAnEncoderError(
                f"{name} is given by {node.op_type if node else 'an input'}, not LayerNormalization"
            )
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        return Norm(self.constant(node.input[1]), self.constant(node.input[2]), epsilon), node.input[0]

    def linear(self, name: str) -> tuple[Linear, str] | None:
        """The linear layer that gives ``name``, and its input; None if ``name`` is given otherwise."""
        add = self._nodes.get(name)
        if add is None or add.op_type != "Add":
            return None
        for bias, product in (add.input, reversed(add.input)):
            matmul = self._nodes.get(product)
            if matmul is None or matmul.op_type != "MatMul" or not self.is_constant(bias):
                continue
            weight, bias_values = self.constant(matmul.input[1]), self.constant(bias)
            if weight is not None and weight.ndim == 2 and bias_values.shape == weight.shape[1:]:
                return Linear(weight, bias_values), matmul.input[0]
        return None

    def residual(self, name: str) -> tuple[Linear, str, str] | None:
        """``name`` as the sum of a linear layer and a residual: the layer, its input, the residual."""
        add = self._nodes.get(name)
        if add is None or add.op_type != "Add":
            return None
        for value, other in (add.input, reversed(add.input)):
            if (found := self.linear(value)) is not None and not self.is_constant(other):
                return *found, other
        return None

    def behind(self, name: str, operator: str, through: frozenset[str] = _SHAPING) -> onnx.NodeProto:
        """The nearest node of type ``operator`` behind ``name``, looking through operators of the types ``through``."""
        for node in self._backwards(name, lambda node: node.op_type not in through):
            if node.op_type == operator:
                return node
        raise NotAnEncoderError(f"there is no {operator} behind {name}")

    def linears_behind(self, name: str, count: int) -> list[tuple[Linear, str]]:
        """The nearest linear layers behind ``name``, which must be ``count``, with their inputs."""
        found: dict[str, tuple[Linear, str]] = {}

        def stop(node: onnx.NodeProto) -> bool:
            linear = self.linear(node.output[0])
            if linear is not None:
                found[node.output[0]] = linear
            return linear is not None or node.op_type in ("Shape", "LayerNormalization", "Gather")

        for _ in self._backwards(name, stop):
            pass
        if len(found) != count:
            raise NotAnEncoderError(f"there are {len(found)} linear layers behind {name}, not {count}")
        return list(found.values())

    def _backwards(self, name: str, stop) -> Iterator[onnx.NodeProto]:
        """Nodes behind ``name``, nearest first; does not look behind a node for which ``stop`` holds."""
        queue, seen = [name], {name}
        while queue:
            node = self._nodes.get(queue.pop(0))
            if node is None:
                continue
            yield node
            if not stop(node):
                fresh = [value for value in node.input if value and value not in seen]
                seen.update(fresh)
                queue += fresh

    @property
    def word_table_name(self) -> str:
        for node in self._nodes.values():
            if node.op_type == "Gather" and node.input[1] == "input_ids" and node.input[0] in self._initializers:
                return node.input[0]
        raise NotAnEncoderError("no table is looked up by input_ids")

    def word_table(self) -> np.ndarray:
        """float32 [vocabulary, hidden]: the table that is looked up by ``input_ids``."""
        return self.constant(self.word_table_name)

    def part(self, model: onnx.ModelProto, output: str, rows: dict[str, int]) -> onnx.ModelProto:
        """The part of ``model`` that computes ``output``, with only the first ``rows[name]`` rows of the tables named."""
        needed = {
            value for node in self._backwards(output, lambda node: False) for value in (*node.input, *node.output)
        }
        part = onnx.ModelProto()
        part.ir_version = model.ir_version
        part.opset_import.extend(model.opset_import)
        part.graph.name = "part"
        part.graph.node.extend(node for node in model.graph.node if node.output[0] in needed)
        part.graph.input.extend(value for value in model.graph.input if value.name in needed)
        part.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
        for name, tensor in self._initializers.items():
            if name in rows:
                part.graph.initializer.append(numpy_helper.from_array(self.constant(name)[: rows[name]], name))
            elif name in needed:
                part.graph.initializer.append(tensor)
        return part
