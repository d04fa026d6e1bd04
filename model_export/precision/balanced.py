"""``balanced``: int8, with a scale for each token, channels centred and smoothed, weights rounded for real inputs, and the same bits on every x86 CPU."""

import numpy as np

from ..graph.algebra import fold_biases, keep_inputs, smooth
from ..graph.arithmetic import Activations, Precision
from ..graph.encoder import Encoder
from ..graph.quantize import CONTRIB, Quantized, TokenQuantizer, quantize_text
from ..graph.writer import Writer
from .fast import TextArithmetic

SHORT = 320
"""Up to so many tokens, attention computes all heads at once, which takes fewer calls. The scores of a longer text, 12 MB for 12 heads
and 512 tokens, fit into no cache near the core; those of one head do."""

EXTREME = 60
"""A long text's exponentials are added without subtracting the largest score of each token first, which takes two more passes over the
scores. Where the logarithm of a sum is of a larger magnitude, attention is computed anew, with the subtraction: exponentials
overflow at 88, and 512 times e**60 is far from that, as is what the smallest term that counts has from underflow. That too goes head by
head, so that such a text, which no measurement of memory may have met, takes hardly more memory than others."""


class TokenArithmetic(TextArithmetic):
    """As ``fast``, but the inputs of linear layers have a scale for each token, except for the result of an attention."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self._tokens = TokenQuantizer(writer)
        self._is_long = writer.node("Greater", self._tokens.count, writer.constant("short", np.array([SHORT])))

    def to_source(self, value: str, below: float | None = None) -> Quantized:
        return self._tokens.quantize(value, below)

    def context_to_source(self, value: str) -> Quantized:
        return quantize_text(self.writer, value)

    def attend(self, query: str, key: str, value: str, heads: int, width: int) -> str:
        """Attention that gives the same bits on every x86 CPU with AVX2, and takes the heads of a long text one after the other."""
        writer, node = self.writer, self.writer.node
        size = width // heads
        split = writer.constant("heads", np.array([-1, heads, size]))
        parts = [node("Reshape", part, split) for part in (query, key, value)]

        def all_at_once() -> list[str]:
            context, _ = self._attend(*parts, size, heads_inside=True, subtract_largest=True)
            return [node("Transpose", context, perm=[1, 0, 2])]

        def scan(subtract_largest: bool) -> list[str]:
            body = writer.inner_graph(
                lambda *head: self._attend(*head, size, subtract_largest=subtract_largest), inputs=3
            )
            attributes = {"num_scan_inputs": 3, "scan_input_axes": [1, 1, 1], "scan_output_axes": [1, 0], "body": body}
            return writer.node_outputs("Scan", 2, *parts, **attributes)

        def head_by_head() -> list[str]:
            context, totals = scan(subtract_largest=False)
            largest = node("ReduceMax", node("Abs", node("Log", totals)), keepdims=0)
            is_extreme = node("Greater", largest, writer.constant("extreme", np.array(EXTREME, np.float32)))
            anew = writer.inner_graph(lambda: scan(subtract_largest=True)[:1])
            as_it_is = writer.inner_graph(lambda: [node("Identity", context)])
            return [node("If", is_extreme, then_branch=anew, else_branch=as_it_is)]

        branches = {"then_branch": writer.inner_graph(head_by_head), "else_branch": writer.inner_graph(all_at_once)}
        context = node("If", self._is_long, **branches)
        return node("Reshape", context, writer.constant("joined", np.array([1, -1, width])))

    def _attend(
        self,
        query: str,
        key: str,
        value: str,
        size: int,
        heads_inside: bool = False,
        subtract_largest: bool = False,
    ) -> tuple[str, str]:
        """Attention written out: the result and the sums of the exponentials [..., tokens, 1].

        Of all operators here, onnxruntime's softmax alone has an fp32 sum whose order depends on the CPU's vector width. A
        last bit changes a rounding to int8 now and then, and such changes multiply from layer to layer.

        Args:
            query: one head [tokens, size], as ``key``, ``value`` and the result; with ``heads_inside`` [tokens, heads, size], and the
                result is [heads, tokens, size].
            subtract_largest: from the scores of each token the largest, so that no exponential overflows.
        """
        node, last_axis = self.writer.node, self.writer.constant("last", np.array([-1]))
        turned = {"domain": CONTRIB, "transBatchB": int(heads_inside)}
        scores = node("FusedMatMul", query, key, transBatchA=int(heads_inside), transB=1, alpha=size**-0.5, **turned)
        if subtract_largest:
            scores = node("Sub", scores, node("ReduceMax", scores, last_axis, keepdims=1))
        weights = node("Exp", scores)
        totals = node("ReduceSum", weights, last_axis, keepdims=1)
        return node("Div", node("FusedMatMul", weights, value, **turned), totals), totals


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
