"""``fast``: int8, with one scale for all tokens of a text."""

import numpy as np

from ..graph.algebra import fold_biases
from ..graph.arithmetic import Activations, Arithmetic, Precision
from ..graph.encoder import Encoder, Linear
from ..graph.quantize import Quantized, look_up, multiply_linear, quantize_text


class TextArithmetic(Arithmetic):
    """Quantizes the inputs of linear layers with onnxruntime's own operator, which takes one scale for all values."""

    def look_up(self, name: str, table: np.ndarray, ids: str) -> str:
        return look_up(self.writer, name, table, ids)

    def to_source(self, value: str, below: float | None = None) -> Quantized:
        return quantize_text(self.writer, value)

    def context_to_source(self, value: str) -> Quantized:
        return quantize_text(self.writer, value)

    def multiply(self, name: str, linear: Linear, source: Quantized) -> str:
        return multiply_linear(self.writer, name, linear, source)


def _prepare(encoder: Encoder, activations: Activations) -> Encoder:
    return fold_biases(encoder)


FAST = Precision("fast", threshold=0.97, arithmetic=TextArithmetic, prepare=_prepare, quantizes_in_place=True)
