"""The shipped graph: from Optimum's fp32 export to one that loads in milliseconds and computes mostly in int8.

An encoder of the BERT family is read from the export (:mod:`~model_export.encoder`) and written anew, in the operators that
onnxruntime runs fastest on a CPU: no mask and no padding (one text at a time), layer normalization
*not* fused with its residual (onnxruntime's SkipLayerNormalization takes ten times as long), hardly any
additions of biases (:mod:`~model_export.algebra`). An architecture that cannot be read so keeps its own graph, with its linear
layers quantized in place.

``docs/fidelity.md`` says what the precisions mean and what was measured.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from runtime.engine.manifest import GraphInfo

from .algebra import fold_biases, smooth
from .encoder import Encoder, Layer, Linear, Norm, NotAnEncoderError, read_encoder
from .quantize import CONTRIB, TokenQuantizer, look_up, multiply, quantize_in_place
from .writer import Writer, save

OUTPUT = "last_hidden_state"
OPSETS = [helper.make_opsetid("", 23), helper.make_opsetid(CONTRIB, 1)]

ACTIVATIONS = {
    "gelu": ("Gelu", {}, 0.17),
    "gelu_new": ("Gelu", {"approximate": "tanh"}, 0.1701),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}, 0.1701),
    "relu": ("Relu", {}, 0.0),
}
"""By ``hidden_act``: the operator, its attributes, and how far below zero its values go at most."""

ATTENTION_POSITIONS = 1024
"""Up to this many positions, attention holds all its scores at once (12 MB for 12 heads and 512 tokens), which is fastest;
longer models take the operator that computes them piece by piece."""

PROOF_TEXTS = 4
PROOF_TOLERANCE = 1e-3
"""How much a token vector of the rewritten fp32 graph may differ from the export's, of the largest magnitude: well above
what another order of additions makes (1e-5), far below what any misread part would."""


def build_graph(
    fp32: Path,
    out: Path,
    precision: str,
    config: dict[str, Any],
    calibration: Sequence[Sequence[int]],
    say: Callable[[str], None],
) -> GraphInfo:
    """Write ``model.onnx`` and its weights ``model.bin`` into ``out``.

    Args:
        fp32: Optimum's export; its folder is used for scratch files.
        precision: ``exact`` (fp32), ``balanced`` (int8, a scale for each token) or ``fast`` (int8, a scale for each text).
        config: the checkpoint's ``config.json``.
        calibration: token ids of some texts, special tokens included, for the means of activation channels.
        say: called with what is worth telling.
    """
    model = onnx.load(fp32)
    try:
        encoder = read_encoder(model, model.graph.output[0].name, config)
        if encoder.activation not in ACTIVATIONS:
            raise NotAnEncoderError(f"its activation is {encoder.activation!r}")
        if precision == "balanced":
            means = [values.mean(0) for values in _activations(encoder, calibration, fp32.parent)]
            encoder = fold_biases(encoder, means[0::2])
            largest = [np.abs(values).max(0) for values in _activations(encoder, calibration, fp32.parent)]
            encoder = smooth(encoder, largest[0::2], largest[1::2])
        else:
            encoder = fold_biases(encoder)
        exact = EncoderWriter(encoder, "exact").write()
        _prove_equal(fp32, exact, calibration)
    except NotAnEncoderError as error:
        say(f"  keeping the exported graph, which is slower than a rewritten one: {error}")
        return _keep(model, precision, out)
    save(exact if precision == "exact" else EncoderWriter(encoder, precision).write(), out)
    return GraphInfo(inputs=["input_ids"], output=OUTPUT)


def _activations(encoder: Encoder, texts: Sequence[Sequence[int]], scratch: Path) -> list[np.ndarray]:
    """What enters each attention and each feed-forward network in turn, for all tokens of the texts: float32 [tokens,
    hidden]."""
    writer = EncoderWriter(encoder, "exact")
    session = _session(writer.write(tapped=True), scratch)
    runs = [session.run(writer.taps, {"input_ids": np.array([ids], np.int64)}) for ids in texts]
    return [np.concatenate([values[0] for values in tap]) for tap in zip(*runs, strict=True)]


def _prove_equal(fp32: Path, rewritten: onnx.ModelProto, texts: Sequence[Sequence[int]]) -> None:
    """Run both graphs on some texts.

    Raises:
        NotAnEncoderError: they do not compute the same.
    """
    import onnxruntime

    original = onnxruntime.InferenceSession(fp32, providers=["CPUExecutionProvider"])
    ours = _session(rewritten, fp32.parent)
    for ids in texts[:PROOF_TEXTS]:
        input_ids = np.array([ids], np.int64)
        feeds = {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids)}
        feeds["token_type_ids"] = np.zeros_like(input_ids)
        expected = original.run(None, {value.name: feeds[value.name] for value in original.get_inputs()})[0]
        difference = np.abs(ours.run(None, {"input_ids": input_ids})[0] - expected).max()
        if not difference <= PROOF_TOLERANCE * np.abs(expected).max():
            raise NotAnEncoderError(f"rewritten, it would give other vectors (by {difference:.3g})")


def _session(model: onnx.ModelProto, scratch: Path):
    """A session for a graph that may be larger than a protobuf message can be."""
    import onnxruntime

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        save(copy, Path(folder))
        return onnxruntime.InferenceSession(Path(folder, "model.onnx"), providers=["CPUExecutionProvider"])


def _keep(model: onnx.ModelProto, precision: str, out: Path) -> GraphInfo:
    if precision != "exact":
        quantize_in_place(model)
    save(model, out)
    return GraphInfo(inputs=[value.name for value in model.graph.input], output=model.graph.output[0].name)


class EncoderWriter:
    """Writes an encoder as a graph from ``input_ids`` [1, tokens] to token vectors [1, tokens, hidden]."""

    def __init__(self, encoder: Encoder, precision: str) -> None:
        self.taps: list[str] = []
        """Names of the values that enter attentions and feed-forward networks, in order."""
        self._encoder = encoder
        self._precision = precision
        self._writer = Writer()
        self._tokens = TokenQuantizer(self._writer) if precision == "balanced" else None

    def write(self, tapped: bool = False) -> onnx.ModelProto:
        """The graph; with ``tapped``, :attr:`taps` are outputs of it too."""
        value = self._embeddings()
        for index, layer in enumerate(self._encoder.layers):
            value = self._layer(f"layer{index}", layer, value)
        self._writer.nodes[-1].output[0] = OUTPUT
        shape = [1, "tokens", self._encoder.words.shape[1]]
        names = [OUTPUT, *(self.taps if tapped else [])]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
        inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])]
        weights = list(self._writer.constants.values())
        graph = helper.make_graph(self._writer.nodes, "encoder", inputs, outputs, weights)
        return helper.make_model(graph, opset_imports=OPSETS, ir_version=11, producer_name="model_export")

    def _embeddings(self) -> str:
        node, constant, encoder = self._writer.node, self._writer.constant, self._encoder
        if self._precision == "exact":
            words = node("Gather", constant("words", encoder.words), "input_ids")
        else:
            words = look_up(self._writer, "words", encoder.words, "input_ids")
        zero = constant("zero", np.array([0]))
        count = node("Shape", "input_ids", start=1, end=2)
        positions = node("Slice", constant("positions", encoder.positions), zero, count, zero)
        return self._norm("norm", encoder.norm, node("Add", words, positions))

    def _layer(self, name: str, layer: Layer, value: str) -> str:
        node = self._writer.node
        self.taps.append(value)
        source = self._quantize(self._scaled(f"{name}.attention.scale", layer.attention_scale, value))
        query, key, values = (
            self._linear(f"{name}.{part}", getattr(layer, part), source) for part in ("query", "key", "value")
        )
        context = self._quantize_text(self._attention(query, key, values))
        change = self._linear(f"{name}.attention", layer.attention_output, context, scalar=True)
        value = self._norm(f"{name}.attention.norm", layer.attention_norm, node("Add", change, value))
        self.taps.append(value)
        source = self._quantize(self._scaled(f"{name}.intermediate.scale", layer.feed_forward_scale, value))
        operator, attributes, below = ACTIVATIONS[self._encoder.activation]
        hidden = node(operator, self._linear(f"{name}.intermediate", layer.intermediate, source), **attributes)
        change = self._linear(f"{name}.output", layer.output, self._quantize(hidden, below))
        return self._norm(f"{name}.output.norm", layer.output_norm, node("Add", change, value))

    def _scaled(self, name: str, scale: np.ndarray | None, value: str) -> str:
        return value if scale is None else self._writer.node("Mul", value, self._writer.constant(name, scale))

    def _norm(self, name: str, norm: Norm, value: str) -> str:
        scale = self._writer.constant(f"{name}.scale", norm.scale)
        bias = self._writer.constant(f"{name}.bias", norm.bias)
        return self._writer.node("LayerNormalization", value, scale, bias, axis=-1, epsilon=norm.epsilon)

    def _attention(self, query: str, key: str, value: str) -> str:
        heads = self._encoder.heads
        if len(self._encoder.positions) > ATTENTION_POSITIONS:
            return self._writer.node("MultiHeadAttention", query, key, value, domain=CONTRIB, num_heads=heads)
        if self._precision == "balanced":
            return self._portable_attention(query, key, value)
        return self._writer.node("Attention", query, key, value, q_num_heads=heads, kv_num_heads=heads)

    def _portable_attention(self, query: str, key: str, value: str) -> str:
        """Attention that gives the same bits on every x86 CPU with AVX2.

        Of all operators here, onnxruntime's softmax alone has an fp32 sum whose order depends on the CPU's vector width. A
        last bit changes a rounding to int8 now and then, and such changes multiply from layer to layer.
        """
        node, constant = self._writer.node, self._writer.constant
        width = self._encoder.words.shape[1]
        size = width // self._encoder.heads
        split, last_axis = constant("heads", np.array([-1, self._encoder.heads, size])), constant("last", np.array([2]))
        query, key, value = (node("Reshape", part, split) for part in (query, key, value))
        heads_first = {"domain": CONTRIB, "transBatchB": 1}
        scores = node("FusedMatMul", query, key, transBatchA=1, transB=1, alpha=size**-0.5, **heads_first)
        weights = node("Exp", node("Sub", scores, node("ReduceMax", scores, last_axis, keepdims=1)))
        total = node("ReduceSum", weights, last_axis, keepdims=1)
        context = node("Div", node("FusedMatMul", weights, value, **heads_first), total)
        joined = constant("joined", np.array([1, -1, width]))
        return node("Reshape", node("Transpose", context, perm=[1, 0, 2]), joined)

    def _quantize(self, value: str, below: float | None = None) -> tuple[str, ...]:
        """What :meth:`_linear` takes: the value itself in fp32, else its uint8 values, their scale and zero point."""
        if self._precision == "balanced":
            return self._tokens.quantize(value, below)
        return self._quantize_text(value)

    def _quantize_text(self, value: str) -> tuple[str, ...]:
        """The same with one scale for all tokens, which is enough for what leaves an attention: a mean of values."""
        if self._precision == "exact":
            return (value,)
        return tuple(self._writer.node_outputs("DynamicQuantizeLinear", 3, value))

    def _linear(self, name: str, linear: Linear, source: tuple[str, ...], scalar: bool = False) -> str:
        """``scalar``: whether the source has one scale for all tokens."""
        bias = "" if linear.bias is None else self._writer.constant(f"{name}.bias", linear.bias)
        if self._precision == "exact":
            product = self._writer.node("MatMul", *source, self._writer.constant(f"{name}.weight", linear.weight))
        elif scalar or self._precision == "fast":
            return multiply(self._writer, f"{name}.weight", linear.weight, source, bias)
        else:
            product = multiply(self._writer, f"{name}.weight", linear.weight, source)
        return self._writer.node("Add", product, bias) if bias else product
