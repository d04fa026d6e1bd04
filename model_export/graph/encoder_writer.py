"""Writing an encoder as a graph, in the operators that onnxruntime runs fastest on a CPU."""

import numpy as np
from onnx import TensorProto, helper

from ..progress import track
from .arithmetic import Arithmetic
from .encoder import Encoder, Layer, Norm
from .model import Model
from .quantize import CONTRIB
from .writer import Writer

OUTPUT = "token_vectors"
"""The output of every body, by its name in the manifest."""
TOKEN_TYPES = "token_type_ids"
OPSETS = [helper.make_opsetid("", 23), helper.make_opsetid(CONTRIB, 1)]

ACTIVATIONS = {
    "gelu": ("Gelu", {}, 0.17),
    "gelu_new": ("Gelu", {"approximate": "tanh"}, 0.1701),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}, 0.1701),
    "relu": ("Relu", {}, 0.0),
}
"""By ``hidden_act``: the operator, its attributes, and the most that its values go below zero."""

ATTENTION_POSITIONS = 1024
"""Up to this many positions, attention is that of the precision, which is fastest, but holds all scores of a head at least (1 MB for 512
tokens); longer models take the operator that computes them piece by piece."""


class EncoderWriter:
    """Writes an encoder as a graph from ``input_ids`` [1, tokens], and ``token_type_ids`` if it reads pairs of texts, to token vectors
    [1, tokens, hidden]."""

    def __init__(self, encoder: Encoder, arithmetic: type[Arithmetic] = Arithmetic) -> None:
        """``arithmetic``: that of a precision; by default fp32."""
        self.taps: list[str] = []
        """Names of the inputs of linear layers, in order: four a layer."""
        self._encoder = encoder
        self._width = encoder.words.shape[1]
        self._writer = Writer()
        self._arithmetic = arithmetic(self._writer)

    def write(self, tapped: bool = False) -> Model:
        """The graph; with ``tapped``, :attr:`taps` are outputs of it too."""
        value = self._embeddings()
        for index, layer in enumerate(track(self._encoder.layers, "layers")):
            value = self._layer(f"layer{index}", layer, value)
        self._writer.nodes[-1].output[0] = OUTPUT
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, "tokens", self._width])]
        if tapped:
            outputs += [helper.make_tensor_value_info(tap, TensorProto.FLOAT, [1, "tokens", None]) for tap in self.taps]
        names = ["input_ids"] if self._encoder.types is None else ["input_ids", TOKEN_TYPES]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "tokens"]) for name in names]
        graph = helper.make_graph(self._writer.nodes, "encoder", inputs, outputs)
        proto = helper.make_model(graph, opset_imports=OPSETS, ir_version=11, producer_name="model_export")
        return Model(proto, self._writer.constants)

    def _embeddings(self) -> str:
        node, constant, encoder = self._writer.node, self._writer.constant, self._encoder
        words = self._arithmetic.look_up("words", encoder.words, "input_ids")
        zero = constant("zero", np.array([0]))
        count = node("Shape", "input_ids", start=1, end=2)
        positions = node("Slice", constant("positions", encoder.positions), zero, count, zero)
        total = node("Add", words, positions)
        if encoder.types is not None:
            total = node("Add", total, node("Gather", constant("types", encoder.types), TOKEN_TYPES))
        return self._norm("norm", encoder.norm, total)

    def _layer(self, name: str, layer: Layer, value: str) -> str:
        node, arithmetic = self._writer.node, self._arithmetic
        scaled = self._scaled(f"{name}.attention.scale", layer.attention_scale, value)
        source = arithmetic.to_source(scaled)
        query, key, values = (
            arithmetic.multiply(f"{name}.{part}", getattr(layer, part), source) for part in ("query", "key", "value")
        )
        context = self._attention(query, key, values)
        change = arithmetic.multiply(f"{name}.attention", layer.attention_output, arithmetic.context_to_source(context))
        value = self._norm(f"{name}.attention.norm", layer.attention_norm, node("Add", change, value))
        self.taps += [scaled, context]
        scaled = self._scaled(f"{name}.intermediate.scale", layer.feed_forward_scale, value)
        source = arithmetic.to_source(scaled)
        operator, attributes, below = ACTIVATIONS[self._encoder.activation]
        hidden = node(operator, arithmetic.multiply(f"{name}.intermediate", layer.intermediate, source), **attributes)
        change = arithmetic.multiply(f"{name}.output", layer.output, arithmetic.to_source(hidden, below))
        self.taps += [scaled, hidden]
        return self._norm(f"{name}.output.norm", layer.output_norm, node("Add", change, value))

    def _attention(self, query: str, key: str, value: str) -> str:
        heads = self._encoder.heads
        if len(self._encoder.positions) > ATTENTION_POSITIONS:
            return self._writer.node("MultiHeadAttention", query, key, value, domain=CONTRIB, num_heads=heads)
        return self._arithmetic.attend(query, key, value, heads, self._width)

    def _scaled(self, name: str, scale: np.ndarray | None, value: str) -> str:
        return value if scale is None else self._writer.node("Mul", value, self._writer.constant(name, scale))

    def _norm(self, name: str, norm: Norm, value: str) -> str:
        scale = self._writer.constant(f"{name}.scale", norm.scale)
        bias = self._writer.constant(f"{name}.bias", norm.bias)
        return self._writer.node("LayerNormalization", value, scale, bias, axis=-1, epsilon=norm.epsilon)
