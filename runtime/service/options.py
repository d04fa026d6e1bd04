"""What a request may ask of the service, and what it is told of the cost: the words between ``runtime.http`` and the service."""

from typing import Literal

import msgspec

from ..settings import LongTexts

Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
Direction = Literal["left", "right"]


class EncodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How inputs become tokens."""

    prompt_name: str | None = None
    """By default the deployment's default prompt."""
    long_texts: LongTexts | None = None
    """By default the deployment's."""
    truncation_direction: Direction = "right"
    """The side that is cut off."""
    window_overlap: int | None = None
    """Tokens; by default the deployment's."""


class EmbedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How vectors are finished."""

    normalize: bool = True
    dimensions: int | None = None
    """By default all that the model has."""
    precision: Precision = "float32"


class Encoded(msgspec.Struct, frozen=True):
    """The tokens of a request: for each input the windows that the model reads, special tokens included."""

    windows: list[list[list[int]]]
    tokens: int
    characters: int
    seconds: float
    """Time that the encoding took."""


class Usage(msgspec.Struct, frozen=True):
    """What a request cost."""

    texts: int
    tokens: int
    characters: int
    tokenization_seconds: float
    inference_seconds: float
