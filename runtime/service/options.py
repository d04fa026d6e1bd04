"""Configuration of a service, options of a request, and the usage that a request is charged for."""

from typing import Literal

import msgspec

from .limits import Limits

OutputPrecision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
LongTexts = Literal["error", "truncate", "window"]
Direction = Literal["left", "right"]


class ServiceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of requests, and the defaults for options that a request leaves out."""

    limits: Limits = Limits()
    default_prompt: str | None = None
    """Name of the prompt put before an input. By default the checkpoint's default prompt, if it has one."""
    long_texts: LongTexts = "truncate"
    """Treatment of a text that is longer than the model reads; TEI truncates since 1.9."""


class EncodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How inputs become tokens."""

    prompt_name: str | None = None
    """By default the service's default prompt; the empty name means no prompt."""
    long_texts: LongTexts | None = None
    """By default the service's."""
    truncation_direction: Direction = "right"
    """The side that is cut off."""
    window_overlap: int | None = None
    """Tokens that neighbouring windows share. ``runtime.service.windows`` has the default."""


class EmbedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How vectors are finished."""

    normalize: bool = True
    dimensions: int | None = None
    """By default all that the model has."""
    precision: OutputPrecision = "float32"


class Encoded(msgspec.Struct, frozen=True):
    """The tokens of a request: for each input the windows that the model reads, special tokens included."""

    windows: list[list[list[int]]]
    tokens: int
    characters: int
    truncated: int
    """Inputs that were cut off."""
    seconds: float
    """Time spent on encoding."""
    types: list[list[int]] | None = None
    """For each input, read in one window, the types of its tokens; None if all are 0."""


class Usage(msgspec.Struct, frozen=True):
    """Texts, tokens and time that a request took."""

    texts: int
    tokens: int
    characters: int
    truncated: int
    """Texts that were cut off."""
    windowed: int
    """Texts that were read in several windows."""
    tokenization_seconds: float
    inference_seconds: float
