"""Eight bits: weights as int8, and the nodes that quantize activations to uint8 and multiply the two.

onnxruntime's dynamic quantization takes one scale for a whole tensor, so that one token with a large value costs all others
their precision (and, in a batch, one text the others). :class:`TokenQuantizer` takes one scale a token instead:
``x`` [1, tokens, width] becomes

    scale = max |x| / 127 along the last axis, values = round(x / scale) + 128 as uint8

A token's scale depends on the token's own values alone, so a vector does not depend on the tokens beside it.
"""

from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper
from scipy.linalg import cholesky, lapack

from .writer import Writer

CONTRIB = "com.microsoft"

PAIR_LIMIT = 128
"""Two weights that are neighbours in a column may have magnitudes of this sum. A CPU without VNNI adds the products of two
uint8 activations with them in 16 bits: 255 x 128 stays below 32,768, so that no CPU saturates and all compute the same
integers. Limiting each weight to 7 bits (``reduce_range`` in onnxruntime) does that too, but two neighbours are seldom
both large: limiting their sum leaves steps that are a third finer."""

WEIGHT_LIMIT = 127

ROWS = 64
"""Rows that are rounded before their errors are passed on to all others in one product; an even number."""

TABLE_LIMIT = 127
"""A table is only looked up, never multiplied in integers: it may use all 8 bits."""

TABLE_ROWS = 1 << 14
"""Rows of a table that are quantized at a time."""

MIDDLE = 128
"""Zero point of values of both signs."""

LOW = 32
"""Zero point of values that hardly go below zero, as behind GELU: seven eighths of the steps remain for positive ones."""


class Quantized(NamedTuple):
    """Names of a graph's values that stand for a quantized one."""

    values: str
    """uint8 [1, tokens, width]."""
    scale: str
    """float32 [1, tokens, 1], or a scalar."""
    zero_point: str
    """uint8, a scalar."""
    per_token: bool
    """True if each token has a scale; False if one scale holds for all tokens."""


def quantize_columns(weight: np.ndarray, inputs: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """``weight`` [in, out] as int8 [in, out] and a float32 scale for each of its columns [out].

    Args:
        inputs: float32 [tokens, in] of calibration texts. With them, weights are rounded so that their errors make up for each
            other in the product (:func:`_round_for`); without, each to the nearest step.
    """
    magnitude = np.abs(weight)
    pairs = magnitude[0::2].copy()
    pairs[: len(weight) // 2] += magnitude[1::2]
    # Rounding can add a half to each of the two.
    scale = np.maximum(pairs.max(0) / (PAIR_LIMIT - 1), magnitude.max(0) / WEIGHT_LIMIT)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    steps = weight / scale
    return (np.rint(steps) if inputs is None else _round_for(inputs, steps)).astype(np.int8), scale


def _round_for(inputs: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Round ``steps`` [in, out] one row after the other; the rows that follow make up for the error of each.

    GPTQ (Frantar et al. 2022, https://arxiv.org/abs/2210.17323, algorithm 1), which minimizes the square of ``inputs @ error``. Its
    damping is as large as a channel's mean square: there are fewer calibration tokens than a layer has inputs.
    """
    factors = _factors(inputs)
    steps, rounded = steps.astype(np.float32), np.zeros_like(steps)
    for start in range(0, len(steps), ROWS):
        block = slice(start, start + ROWS)
        errors = np.zeros_like(steps[block])
        for row, error in enumerate(errors, start):
            # The first of a pair may take all of PAIR_LIMIT but WEIGHT_LIMIT, the second what the first has left.
            limit = WEIGHT_LIMIT if row % 2 == 0 else np.minimum(WEIGHT_LIMIT, PAIR_LIMIT - np.abs(rounded[row - 1]))
            rounded[row] = np.clip(np.rint(steps[row]), -limit, limit)
            error[:] = (steps[row] - rounded[row]) / factors[row, row]
            steps[row + 1 : block.stop] -= np.outer(factors[row, row + 1 : block.stop], error)
        steps[block.stop :] -= factors[block, block.stop :].T @ errors
    return rounded


def _factors(inputs: np.ndarray) -> np.ndarray:
    """The upper triangular ``factors`` [in, in] whose ``factors.T @ factors`` is the inverse of the Hessian, float32.

    Instead of the inverse's Cholesky factor, which takes seven times the operations: with both axes turned around, the Hessian's own
    Cholesky factor has ``factors`` as its inverse.
    """
    hessian = inputs.T.astype(np.float64) @ inputs / len(inputs)
    hessian[np.diag_indices_from(hessian)] += max(np.trace(hessian) / len(hessian), 1e-9)
    lower = cholesky(hessian[::-1, ::-1], lower=True, overwrite_a=True, check_finite=False)
    inverse, _ = lapack.dtrtri(lower, lower=True, overwrite_c=True)
    return inverse[::-1, ::-1].astype(np.float32)


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``table`` [rows, width] as int8 [rows, width] and a float32 scale for each of its rows [rows, 1]."""
    scale = np.maximum(table.max(1, keepdims=True), -table.min(1, keepdims=True)) / TABLE_LIMIT
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    values = np.empty(table.shape, np.int8)
    for start in range(0, len(table), TABLE_ROWS):  # a word table may be half of a model
        rows = slice(start, start + TABLE_ROWS)
        values[rows] = np.rint(table[rows] / scale[rows])
    return values, scale


def look_up(writer: Writer, name: str, table: np.ndarray, ids: str) -> str:
    """Write the nodes that look up rows ``ids`` of a table, kept in int8: float32 [..., width]."""
    values, scales = quantize_rows(table)
    rows = writer.node("Cast", writer.node("Gather", writer.constant(name, values), ids), to=TensorProto.FLOAT)
    return writer.node("Mul", rows, writer.node("Gather", writer.constant(f"{name}.scale", scales), ids))


def quantize_text(writer: Writer, value: str) -> Quantized:
    """Write the node that quantizes ``value`` [1, tokens, width] with one scale for all tokens."""
    return Quantized(*writer.node_outputs("DynamicQuantizeLinear", 3, value), per_token=False)


def multiply(
    writer: Writer,
    name: str,
    weight: np.ndarray,
    source: Quantized,
    bias: str = "",
    inputs: np.ndarray | None = None,
) -> str:
    """``source`` times an int8 copy of ``weight`` [in, out], plus ``bias`` if it is given: float32 [..., out].

    ``name``: that of the int8 weight in the graph. ``bias``: name of a value of the graph [out]. ``inputs``: as for
    :func:`quantize_columns`.
    """
    weights, scales = quantize_columns(weight, inputs)
    weights, scales = writer.constant(name, weights), writer.constant(f"{name}.scale", scales)
    inputs = [source.values, weights, source.scale, scales, source.zero_point]
    if bias and source.per_token:
        # onnxruntime would add it before it multiplies by a scale for each token.
        return writer.node("Add", writer.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB), bias)
    return writer.node("MatMulIntegerToFloat", *inputs, *(["", bias] if bias else []), domain=CONTRIB)


def product_error(inputs: np.ndarray, weight: np.ndarray) -> float:
    """The sum of squares by which the product of ``inputs`` [tokens, in] and ``weight`` [in, out] changes in eight bits."""
    steps = np.maximum(np.abs(inputs).max(1, keepdims=True), 1e-9) / (255 - MIDDLE)
    columns, scales = quantize_columns(weight)
    return float(np.square(np.rint(inputs / steps) * steps @ (columns * scales) - inputs @ weight).sum())


class TokenQuantizer:
    """Writes the nodes that quantize values [1, tokens, width] with a scale for each token."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.count = writer.node("Shape", "input_ids", start=1, end=2)
        """How many tokens there are: int64 [1]."""
        self._zero_points: dict[int, str] = {}

    def quantize(self, value: str, below: float | None = None) -> Quantized:
        """Write the nodes for one ``value``.

        ``below``: the most that ``value`` goes below zero, if that is known to be little.
        """
        writer = self._writer
        if below is None:
            steps = self._constant("steps", 1 / (255 - MIDDLE))
            zero_point, scale = MIDDLE, writer.node("Mul", self._largest(writer.node("Abs", value)), steps)
        else:
            zero_point, steps = LOW, self._constant("steps.low", 1 / (255 - LOW))
            scale = writer.node("Mul", self._largest(value), steps)
            scale = writer.node("Max", scale, self._constant("least.low", max(below, 1e-6) / LOW))
        each = writer.node("Squeeze", scale, writer.constant("axes", np.array([0, 2])))
        values = writer.node("QuantizeLinear", value, each, self._zero_point(zero_point), axis=1)
        zero_point = writer.constant(f"zero_point.{zero_point}", np.array(zero_point, np.uint8))
        return Quantized(values, scale, zero_point, per_token=True)

    def _largest(self, value: str) -> str:
        """The largest of each token's values: [1, tokens, 1]."""
        return self._writer.node("ReduceMax", value, self._writer.constant("last_axis", np.array([2])), keepdims=1)

    def _constant(self, name: str, value: float) -> str:
        return self._writer.constant(name, np.array(value, np.float32))

    def _zero_point(self, value: int) -> str:
        """The zero point once for each token, as QuantizeLinear wants it: uint8 [tokens]."""
        if value not in self._zero_points:
            tensor = helper.make_tensor("value", TensorProto.UINT8, [1], [value])
            self._zero_points[value] = self._writer.node("ConstantOfShape", self.count, value=tensor)
        return self._zero_points[value]
