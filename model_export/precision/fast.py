"""``fast``: int8, with one scale for all tokens of a text."""

import numpy as np

from ..graph.arithmetic import Arithmetic, Precision
from ..graph.encoder import Linear
from ..graph.quantize import Quantized, look_up, multiply, quantize_text


class TextArithmetic(Arithmetic):
    """Weights and tables in int8. Quantizes the inputs of linear layers with onnxruntime's own operator, which takes one scale for
    all values."""

    def look_up(self, name: str, table: np.ndarray, ids: str) -> str:
        return look_up(self.writer, name, table, ids)

    def to_source(self, value: str, below: float | None = None) -> Quantized:
        return quantize_text(self.writer, value)

    def multiply(self, name: str, linear: Linear, source: Quantized) -> str:
        bias = "" if linear.bias is None else self.writer.constant(f"{name}.bias", linear.bias)
        return multiply(self.writer, f"{name}.weight", linear.weight, source, bias, linear.inputs)


FAST = Precision(
    "fast",
    threshold=0.97,
    score_threshold=0.15,
    words_threshold=0.7,
    arithmetic=TextArithmetic,
    quantizes_in_place=True,
)
