"""The interface of a precision, and the arithmetic that they all start from: fp32."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .algebra import fold_biases
from .encoder import Encoder, Linear
from .quantize import Quantized
from .writer import Writer

Source = str | Quantized
"""The input of a linear layer: the name of a float32 value of the graph, or a quantized one."""

Activations = Callable[[Encoder], Sequence[np.ndarray]]
"""Runs an encoder on calibration texts. Returns the inputs of its linear layers in turn, for all tokens of the texts: of each
layer's attention, attention output, intermediate layer and output, float32 [tokens, in]."""


class Arithmetic:
    """Writes the operations whose arithmetic a precision chooses. This class computes in fp32; a subclass overrides methods.

    One instance writes one graph. Values that it takes and returns are names of float32 values [1, tokens, width] of the graph.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def look_up(self, name: str, table: np.ndarray, ids: str) -> str:
        """Rows ``ids`` [1, tokens] of ``table`` [rows, width]."""
        return self.writer.node("Gather", self.writer.constant(name, table), ids)

    def to_source(self, value: str, below: float | None = None) -> Source:
        """Prepare ``value`` as input of linear layers.

        ``below``: the most that it goes below zero, if that is known to be little.
        """
        return value

    def context_to_source(self, value: str) -> Source:
        """The same for the result of an attention: means of values, which vary less from token to token than others."""
        return self.to_source(value)

    def multiply(self, name: str, linear: Linear, source: Source) -> str:
        """The output of a linear layer."""
        bias = "" if linear.bias is None else self.writer.constant(f"{name}.bias", linear.bias)
        product = self.writer.node("MatMul", source, self.writer.constant(f"{name}.weight", linear.weight))
        return self.writer.node("Add", product, bias) if bias else product

    def attend(self, query: str, key: str, value: str, heads: int, width: int) -> str:
        """Attention that holds all scores at once. ``width``: of all heads together."""
        return self.writer.node("Attention", query, key, value, q_num_heads=heads, kv_num_heads=heads)


def _fold(encoder: Encoder, activations: Activations) -> Encoder:
    return fold_biases(encoder)


@dataclass(frozen=True)
class Precision:
    """All that makes a precision."""

    name: str
    """Its value of the option ``precision``."""
    threshold: float
    """The least cosine to the fp32 model, of any text, with which an artifact may ship."""
    score_threshold: float
    """The largest difference from the fp32 model's score, of any pair of texts, with which an artifact may ship."""
    words_threshold: float
    """The least part of a text's words with the largest weights that a sparse model has to share with the fp32 model."""
    arithmetic: type[Arithmetic]
    quantizes_in_place: bool
    """Whether the weights of an architecture that cannot be read become int8 in the exported graph."""
    prepare: Callable[[Encoder, Activations], Encoder] = _fold
    """Rewrites an encoder, without changing what it computes, before it is written; by default folds its biases."""

    @property
    def tau_threshold(self) -> float:
        """The least Kendall's tau to the fp32 model's rankings of texts with which a reranker may ship: that of scores whose correlation
        is ``threshold``, the cosine of centred ones (Greiner's relation, https://en.wikipedia.org/wiki/Kendall_rank_correlation_coefficient,
        for a normal distribution)."""
        return 2 / math.pi * math.asin(self.threshold)
