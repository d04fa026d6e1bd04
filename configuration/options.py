"""Base class of the groups of options, and types of fields that several groups share."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

TOKEN = "${Token"
"""Start of a value that the CDK fills in at deployment, such as the ARN of a resource in the same app."""


class Options(BaseModel):
    """A group of options: immutable, and with a default for every field. An unknown name is an error.

    ``None`` and ``""`` leave a field at its default: ``-c key=`` can pass nothing but an empty string.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_unset(cls, values: Any) -> Any:
        return given(values) if isinstance(values, dict) else values


def given(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` without those that are ``None`` or an empty string."""
    return {key: value for key, value in values.items() if value is not None and value != ""}


def parse_json(value: Any) -> Any:
    """Parse ``value`` as JSON if it is a string, since ``-c key='{"a": "b"}'`` passes strings only."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"it is not JSON ({error})") from error
    return value


def _split(value: Any) -> Any:
    """Turn JSON, or words with commas between them, into a list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return parse_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _check_arn(value: str) -> str:
    if not value.startswith(("arn:", TOKEN)):
        raise ValueError("it has to be an ARN (arn:aws:…)")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list of strings; on the command line ``a,b`` or a JSON list."""
Arn = Annotated[str, AfterValidator(_check_arn)]
"""The ARN of an AWS resource."""
