"""Settings of a deployment, read once from the environment.

Every field is set by the variable ``EMBEDDINGS_`` and its name in capitals; one that is unset or empty keeps its default.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec

PREFIX = "EMBEDDINGS_"

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Auth = Literal["iam", "api_key", "none"]
LongTexts = Literal["error", "truncate", "window"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

LAMBDA_PAYLOAD_BYTES = 6 * 1024 * 1024
"""What Lambda lets through in one invocation, each way (AWS Lambda quotas, "Invocation payload")."""


class SettingsError(Exception):
    """A setting has a value that is not allowed: the message names the variable, the value and what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How this deployment serves its model."""

    model_dir: str = "/opt/model"
    """Folder of the artifact."""
    auth: Auth = "iam"
    """Who may call: ``iam`` leaves it to the Function URL, ``api_key`` asks for a bearer token, ``none`` lets all in."""
    api_key_secret_arn: str | None = None
    """Secret in Secrets Manager whose value is the key; needed by ``api_key``."""
    api_key_refresh_seconds: Positive = 300
    """How long a key that was read is trusted before it is read again."""
    max_texts: Positive = 2048
    """Texts a request."""
    max_tokens: Positive = 131_072
    """Tokens a request, special tokens and prompts included."""
    max_body_bytes: Positive = LAMBDA_PAYLOAD_BYTES
    """Size of a request's body, after decompression."""
    default_prompt: str | None = None
    """Name of the prompt that is put before an input when a request names none; by default the checkpoint's own."""
    long_texts: LongTexts = "error"
    """What happens to a text longer than the model reads, unless the request says."""
    window_overlap: NotNegative | None = None
    """Tokens that neighbouring windows of a long text share, unless the request says; by default 64, or half a window of a model
    that reads less than 128."""
    cors_origins: tuple[str, ...] = ()
    """Origins that the local server lets browsers call from, ``*`` for all; on AWS the Function URL answers for it."""
    log_level: LogLevel = "INFO"
    served_model_name: str | None = None
    """A name that OpenAI clients may use for the model besides its own."""
    threads: Positive | None = None
    """Threads to compute with; by default one for every CPU that the process may use."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings from ``environment``.

        Raises:
            SettingsError: a value is not allowed.
        """
        values: dict = {}
        for field in cls.__struct_fields__:
            text = environment.get(PREFIX + field.upper(), "").strip()
            if text:
                values[field] = _split(text) if field == "cors_origins" else text
        try:
            settings = msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(_explain(cls, str(error), values)) from None
        if settings.auth == "api_key" and not settings.api_key_secret_arn:
            raise SettingsError(f"{PREFIX}AUTH='api_key' needs {PREFIX}API_KEY_SECRET_ARN")
        return settings


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _explain(cls: type, error: str, values: dict) -> str:
    """Turn msgspec's "Expected `int` - at `$.max_texts`" into a sentence about the variable."""
    reason, _, path = error.partition(" - at `$.")
    field = path.rstrip("`")
    allowed = get_args(cls.__annotations__.get(field))
    if allowed and all(isinstance(choice, str) for choice in allowed):
        reason = f"allowed are {', '.join(allowed)}"
    return f"{PREFIX}{field.upper()}={values.get(field)!r} is not allowed: {reason}"
