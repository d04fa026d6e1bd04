"""Rewritings of an encoder that do not change what it computes, and make it cheaper to compute or to quantize."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .encoder import Encoder, Layer, Linear, Norm

SMOOTHING = 0.5
"""How much of the difference between channels moves from activations into weights: 0 none, 1 all (alpha in SmoothQuant)."""


def fold_biases(encoder: Encoder, means: Sequence[np.ndarray] | None = None) -> Encoder:
    """Move biases to where they cost nothing.

    A key's bias adds the same to all scores of a query, which softmax cancels. A value's bias passes through the attention
    unchanged, since its weights add up to one, so it moves into the bias of the attention's output. The bias of the
    feed-forward network's output moves into the residual that it is added to, and the other reader of the residual, the
    intermediate layer, subtracts it again.

    Args:
        means: for each layer, the mean of each channel [hidden] of its input. It is subtracted from the residual, so that the
            channels are centred and take smaller int8 scales; the attention's output, which has a bias anyway, adds it again.
    """
    layers, shifts = [], []
    for index, layer in enumerate(encoder.layers):
        shift = -means[index] if means is not None else np.zeros_like(layer.output_norm.bias)
        value_bias = layer.value.bias - shift @ layer.value.weight
        shifts.append(shift)
        layers.append(
            replace(
                layer,
                query=_shift(layer.query, -shift @ layer.query.weight),
                key=_without_bias(layer.key),
                value=_without_bias(layer.value),
                attention_output=_shift(layer.attention_output, value_bias @ layer.attention_output.weight - shift),
                attention_norm=_shift_norm(layer.attention_norm, layer.output.bias),
                intermediate=_shift(layer.intermediate, -layer.output.bias @ layer.intermediate.weight),
                output=_without_bias(layer.output),
            )
        )
    layers = [
        replace(layer, output_norm=_shift_norm(layer.output_norm, shift))
        for layer, shift in zip(layers, [*shifts[1:], np.zeros_like(shifts[0])], strict=True)
    ]
    return replace(encoder, norm=_shift_norm(encoder.norm, shifts[0]), layers=layers)


def smooth(encoder: Encoder, attentions: Sequence[np.ndarray], feed_forwards: Sequence[np.ndarray]) -> Encoder:
    """Even out the channels that enter attentions and feed-forward networks, and scale the weights behind them inversely.

    A few channels are many times as large as the others, and a token's largest magnitude decides its int8 scale, so the others
    would have few of its steps (SmoothQuant, Xiao et al. 2023, https://arxiv.org/abs/2211.10438). Of the three readers of an
    attention's input, values alone decide: errors of queries and keys hardly reach a vector.

    Args:
        attentions: for each layer, the largest magnitude of each channel [hidden] that enters its attention.
        feed_forwards: the same for its feed-forward network.
    """

    def smooth_layer(layer: Layer, attention: np.ndarray, feed_forward: np.ndarray) -> Layer:
        attention = balance(attention, layer.value.weight)
        feed_forward = balance(feed_forward, layer.intermediate.weight)
        return replace(
            layer,
            attention_scale=1 / attention,
            query=_scale_rows(layer.query, attention),
            key=_scale_rows(layer.key, attention),
            value=_scale_rows(layer.value, attention),
            feed_forward_scale=1 / feed_forward,
            intermediate=_scale_rows(layer.intermediate, feed_forward),
        )

    layers = [smooth_layer(*each) for each in zip(encoder.layers, attentions, feed_forwards, strict=True)]
    return replace(encoder, layers=layers)


def balance(magnitude: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Divisor of each channel [in]: its magnitude against that of the weights [in, out] that read it (SmoothQuant, equation 4).

    Scaled to a geometric mean of 1."""
    weights = np.abs(weight).max(1)
    scale = np.maximum(magnitude, 1e-5) ** SMOOTHING / np.maximum(weights, 1e-5) ** (1 - SMOOTHING)
    return (scale / np.exp(np.log(scale).mean())).astype(np.float32)


def keep_inputs(encoder: Encoder, inputs: Sequence[np.ndarray]) -> Encoder:
    """The same encoder, whose linear layers have their inputs for some texts (:attr:`Linear.inputs`).

    Args:
        inputs: of each layer's attention, attention output, intermediate layer and output in turn: float32 [tokens, in].
    """

    def keep(
        layer: Layer, attention: np.ndarray, context: np.ndarray, feed_forward: np.ndarray, hidden: np.ndarray
    ) -> Layer:
        return replace(
            layer,
            query=replace(layer.query, inputs=attention),
            key=replace(layer.key, inputs=attention),
            value=replace(layer.value, inputs=attention),
            attention_output=replace(layer.attention_output, inputs=context),
            intermediate=replace(layer.intermediate, inputs=feed_forward),
            output=replace(layer.output, inputs=hidden),
        )

    layers = [keep(layer, *inputs[4 * index : 4 * index + 4]) for index, layer in enumerate(encoder.layers)]
    return replace(encoder, layers=layers)


def _scale_rows(linear: Linear, scale: np.ndarray) -> Linear:
    return replace(linear, weight=linear.weight * scale[:, None])


def _without_bias(linear: Linear) -> Linear:
    return replace(linear, bias=None)


def _shift(linear: Linear, by: np.ndarray) -> Linear:
    return replace(linear, bias=(linear.bias + by).astype(np.float32))


def _shift_norm(norm: Norm, by: np.ndarray) -> Norm:
    return replace(norm, bias=(norm.bias + by).astype(np.float32))
