"""Families of models: a model's parts, read from Optimum's fp32 export by the shape of its computation.

Today there is one family, the encoders of BERT's kind: BERT, RoBERTa, XLM-RoBERTa, DistilBERT and ELECTRA. Values are followed
backwards from the output and names are never looked at, so that all of them read alike. The reading is loose (it ignores
masks and reshapes); :func:`prove_equal` then proves by numbers that the parts compute the same as the export.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from .encoder import Encoder, Layer, Linear, Norm
from .encoder_writer import TOKEN_TYPES
from .model import Model
from .sessions import open_graph, open_session, run

PROOF_TEXTS = 4
PROOF_TOLERANCE = 1e-3
"""How much a token vector of the rewritten fp32 graph may differ from the export's, relative to the largest magnitude: well
above the effect of another order of additions (1e-5), far below that of any misread part."""

_SHAPING = frozenset({"Cast", "Expand", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Where"})


class NotAnEncoderError(Exception):
    """The graph does not belong to a known family; the message says where it differs."""


def read_encoder(model: Model, output: str, config: dict[str, Any], pairs: bool = False) -> Encoder:
    """Read the encoder whose token vectors are the value ``output`` of ``model``, with its token types if it reads ``pairs`` of texts.

    Raises:
        NotAnEncoderError: the graph does not have the shape of an encoder.
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
    positions = _read_positions(graph, total, words, config)
    types = _read_types(graph, total, config) if pairs else None
    return Encoder(words, positions, norm, layers, heads, activation, types)


def prove_equal(export: Path, rewritten: Model, texts: Sequence[Sequence[int]]) -> None:
    """Run the export and the graph that was rewritten from it, both in fp32, on :data:`PROOF_TEXTS` of ``texts``.

    Args:
        export: Optimum's file; its folder is used for scratch files.
        texts: token ids, special tokens included.

    Raises:
        NotAnEncoderError: their token vectors differ by more than :data:`PROOF_TOLERANCE`.
    """
    has_types = TOKEN_TYPES in [value.name for value in rewritten.graph.input]
    proof = [(ids, [int(has_types and at > len(ids) // 2) for at in range(len(ids))]) for ids in texts[:PROOF_TEXTS]]

    def compute(session: onnxruntime.InferenceSession) -> list[np.ndarray]:
        return [run(session, ids, types=types)[0] for ids, types in proof]

    # One after the other: a session has a copy of most weights.
    expected = compute(open_graph(export))
    for ours, theirs in zip(compute(open_session(rewritten, export.parent)), expected, strict=True):
        difference = np.abs(ours - theirs).max()
        if not difference <= PROOF_TOLERANCE * np.abs(theirs).max():
            raise NotAnEncoderError(f"rewritten, it would give other vectors (by {difference:.3g})")


def _read_layer(graph: "_Graph", output_norm: Norm, total: str) -> tuple[Layer, str] | None:
    """The layer whose last sum is ``total``, and its input; None if ``total`` is the sum of embeddings."""
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


def _read_positions(graph: "_Graph", total: str, words: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """The vectors that the embeddings add to a word at each position: float32 [positions, hidden].

    The exported graph itself computes them, so that it does not matter how the architecture counts positions.
    """
    # Some architectures do not count padding tokens as positions.
    token = 1 if not config.get("pad_token_id") else 0
    rows = {graph.word_table_name: token + 1}
    length = _count_positions(graph, total, token, rows)
    [sums] = run(graph.part([total], TensorProto.FLOAT, rows), [token] * length)
    return sums[0] - words[token]


def _read_types(graph: "_Graph", total: str, config: dict[str, Any]) -> np.ndarray | None:
    """As :attr:`Encoder.types`; None if the model has one type or takes none."""
    count = config.get("type_vocab_size") or 1
    if count < 2:
        return None
    session = graph.part([total], TensorProto.FLOAT, {graph.word_table_name: 2})
    if TOKEN_TYPES not in [value.name for value in session.get_inputs()]:
        return None
    sums = [run(session, [1], types=[kind])[0][0, 0] for kind in range(count)]
    return np.stack(sums) - sums[0]


def _count_positions(graph: "_Graph", total: str, token: int, rows: dict[str, int]) -> int:
    """How many positions the model has: the rows of its position table, from that of the first position on.

    RoBERTa and its kin begin behind the row of the padding token's id. The position table is the one that gives two equal tokens
    rows which follow each other.
    """
    lookups = graph.lookups(total)
    if lookups:
        found = run(graph.part([ids for _, ids in lookups], TensorProto.INT64, rows), [token, token])
        for (table, _), ids in zip(lookups, found, strict=True):
            if np.array_equal(np.diff(ids), [[1]]):
                return len(table) - int(ids[0, 0])
    raise NotAnEncoderError("its embeddings look up no table by position")


class _Graph:
    """An ONNX graph, read backwards."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._nodes = {output: node for node in model.graph.node for output in node.output}

    def constant(self, name: str) -> np.ndarray | None:
        if name in self._model.weights:
            return self._model.weights[name]
        node = self._nodes.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            return numpy_helper.to_array(node.attribute[0].t)
        return None

    def is_constant(self, name: str) -> bool:
        return name in self._model.weights or (name in self._nodes and self._nodes[name].op_type == "Constant")

    def norm(self, name: str) -> tuple[Norm, str]:
        """The layer normalization that computes ``name``, and its input.

        Raises:
            NotAnEncoderError: another operation computes it.
        """
        node = self._nodes.get(name)
        if node is None or node.op_type != "LayerNormalization" or len(node.input) < 3:
            raise NotAnEncoderError(
                f"{name} is computed by {node.op_type if node else 'an input'}, not LayerNormalization"
            )
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        return Norm(self.constant(node.input[1]), self.constant(node.input[2]), epsilon), node.input[0]

    def linear(self, name: str) -> tuple[Linear, str] | None:
        """The linear layer that computes ``name``, and its input; None if another operation computes it."""
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
        """The linear layer, its input and the residual whose sum is ``name``; None if it is another sum."""
        add = self._nodes.get(name)
        if add is None or add.op_type != "Add":
            return None
        for value, other in (add.input, reversed(add.input)):
            if (found := self.linear(value)) is not None and not self.is_constant(other):
                return *found, other
        return None

    def behind(self, name: str, operator: str, through: frozenset[str] = _SHAPING) -> onnx.NodeProto:
        """The nearest node of type ``operator`` behind ``name``, looking through operators of the types ``through``.

        Raises:
            NotAnEncoderError: there is none.
        """
        for node in self._backwards(name, lambda node: node.op_type not in through):
            if node.op_type == operator:
                return node
        raise NotAnEncoderError(f"there is no {operator} behind {name}")

    def linears_behind(self, name: str, count: int) -> list[tuple[Linear, str]]:
        """The nearest linear layers behind ``name``, with their inputs.

        Raises:
            NotAnEncoderError: their number is not ``count``.
        """
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

    def _backwards(self, name: str, stop: Callable[[onnx.NodeProto], bool]) -> Iterator[onnx.NodeProto]:
        """Nodes behind ``name``, nearest first; does not look behind a node for which ``stop`` returns true."""
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
            if node.op_type == "Gather" and node.input[1] == "input_ids" and node.input[0] in self._model.weights:
                return node.input[0]
        raise NotAnEncoderError("no table is looked up by input_ids")

    def word_table(self) -> np.ndarray:
        """float32 [vocabulary, hidden]: the table that is looked up by ``input_ids``."""
        return self.constant(self.word_table_name)

    def lookups(self, name: str) -> list[tuple[np.ndarray, str]]:
        """The constant tables [rows, width] that are looked up behind ``name``, with the computed values that index them."""
        nodes = [node for node in self._backwards(name, lambda node: False) if node.op_type == "Gather"]
        tables = [(self.constant(node.input[0]), node.input[1]) for node in nodes]
        return [(table, ids) for table, ids in tables if table is not None and table.ndim == 2 and ids in self._nodes]

    def part(self, outputs: list[str], kind: int, rows: dict[str, int]) -> onnxruntime.InferenceSession:
        """A session for the part of the graph that computes ``outputs``.

        ``kind``: their ONNX data type. ``rows``: the number of rows to keep, by the names of the tables to shorten.
        """
        nodes = [node for output in outputs for node in self._backwards(output, lambda node: False)]
        needed = {value for node in nodes for value in (*node.input, *node.output)}
        part = onnx.ModelProto()
        part.ir_version = self._model.proto.ir_version
        part.opset_import.extend(self._model.proto.opset_import)
        part.graph.name = "part"
        part.graph.node.extend(node for node in self._model.graph.node if node.output[0] in needed)
        part.graph.input.extend(value for value in self._model.graph.input if value.name in needed)
        part.graph.output.extend(helper.make_tensor_value_info(output, kind, None) for output in outputs)
        for name, value in self._model.weights.items():
            if name in needed:
                part.graph.initializer.append(numpy_helper.from_array(value[: rows.get(name)], name))
        return open_graph(part.SerializeToString())
