"""The parts of an encoder of the BERT family, with their weights: what :mod:`.families` reads and the others take."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Linear:
    """``x @ weight + bias``."""

    weight: np.ndarray
    """float32 [in, out]."""
    bias: np.ndarray | None
    """float32 [out]; None for a layer without a bias."""
    inputs: np.ndarray | None = None
    """float32 [tokens, in]: its inputs for some texts, by which its weights can be rounded."""


@dataclass(frozen=True)
class Norm:
    """Layer normalization over the last axis."""

    scale: np.ndarray
    """float32 [hidden]."""
    bias: np.ndarray
    """float32 [hidden]."""
    epsilon: float


@dataclass(frozen=True)
class Layer:
    """Self-attention and feed-forward network, each followed by residual addition and layer normalization."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: Norm
    intermediate: Linear
    output: Linear
    output_norm: Norm
    attention_scale: np.ndarray | None = None
    """float32 [hidden]: multiplies the input of query, key and value, but not the residual; None for ones."""
    feed_forward_scale: np.ndarray | None = None
    """float32 [hidden]: multiplies the input of the intermediate layer, but not the residual; None for ones."""


@dataclass(frozen=True)
class Encoder:
    """The whole model, from token ids to token vectors."""

    words: np.ndarray
    """float32 [vocabulary, hidden]."""
    positions: np.ndarray
    """float32 [positions, hidden]: added to the word at each position, token type 0 included."""
    norm: Norm
    layers: list[Layer]
    heads: int
    activation: str
    """As ``hidden_act`` in the checkpoint's ``config.json``."""
    types: np.ndarray | None = None
    """float32 [types, hidden]: added to a token of each type, less what type 0 adds; None for a model that reads no pairs of texts."""
