"""``balanced``: int8, with a scale for each token, channels centred and smoothed, weights rounded for real inputs, and the same bits on every x86 CPU."""

import numpy as np

from ..graph.algebra import fold_biases, keep_inputs, smooth
from ..graph.arithmetic import Activations, Precision
from ..graph.encoder import Encoder
from ..graph.quantize import CONTRIB, Quantized, TokenQuantizer, quantize_text
from ..graph.writer import Writer
from .fast import TextArithmetic


class TokenArithmetic(TextArithmetic):
    """As ``fast``, but the inputs of linear layers have a scale for each token, except for the result of an attention."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self._tokens = TokenQuantizer(writer)

    def to_source(self, value: str, below: float | None = None) -> Quantized:
        return self._tokens.quantize(value, below)

    def context_to_source(self, value: str) -> Quantized:
        return quantize_text(self.writer, value)

    def attend(self, query: str, key: str, value: str, heads: int, width: int) -> str:
        """Attention that gives the same bits on every x86 CPU with AVX2.

        Of all operators here, onnxruntime's softmax alone has an fp32 sum whose order depends on the CPU's vector width. A
        last bit changes a rounding to int8 now and then, and such changes multiply from layer to layer.
        """
        node, constant = self.writer.node, self.writer.constant
        size = width // heads
        split, last_axis = constant("heads", np.array([-1, heads, size])), constant("last", np.array([2]))
        query, key, value = (node("Reshape", part, split) for part in (query, key, value))
        heads_first = {"domain": CONTRIB, "transBatchB": 1}
        scores = node("FusedMatMul", query, key, transBatchA=1, transB=1, alpha=size**-0.5, **heads_first)
        weights = node("Exp", node("Sub", scores, node("ReduceMax", scores, last_axis, keepdims=1)))
        total = node("ReduceSum", weights, last_axis, keepdims=1)
        context = node("Div", node("FusedMatMul", weights, value, **heads_first), total)
        joined = constant("joined", np.array([1, -1, width]))
        return node("Reshape", node("Transpose", context, perm=[1, 0, 2]), joined)


def _prepare(encoder: Encoder, activations: Activations) -> Encoder:
    means = [values.mean(0) for values in activations(encoder)]
    encoder = fold_biases(encoder, means[0::4])
    largest = [np.abs(values).max(0) for values in activations(encoder)]
    encoder = smooth(encoder, largest[0::4], largest[2::4])
    return keep_inputs(encoder, activations(encoder))


BALANCED = Precision(
    "balanced",
    threshold=0.99,
    score_threshold=0.05,
    words_threshold=0.8,
    arithmetic=TokenArithmetic,
    prepare=_prepare,
    quantizes_in_place=True,
)
