"""Settings of a deployment, read once from the environment.

The variable of a field is ``EMBEDDINGS_`` and the field's name in capitals. An unset or empty variable leaves the default.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import msgspec

from .service.errors import UnknownPromptError
from .service.limits import Limits
from .service.options import LongTexts, ServiceConfig
from .service.service import Service

if TYPE_CHECKING:
    from .engine.engine import Engine

PREFIX = "EMBEDDINGS_"
VCPU_MB = 1769
"""Memory in MiB that comes with one vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

Auth = Literal["iam", "api_key", "none"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class SettingsError(Exception):
    """A setting has a value that is not allowed; the message names the variable, the value and what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment serves its model."""

    model_dir: str = "/opt/model"
    """Folder of the artifact."""
    auth: Auth = "iam"
    """Who may call: ``iam`` leaves it to the Function URL, ``api_key`` requires a bearer token, ``none`` lets everyone in."""
    api_key_secret_arn: str | None = None
    """ARN of the secret in Secrets Manager that holds the key; ``api_key`` needs it."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = Limits().max_tokens
    """Most tokens of a request, special tokens and prompts included."""
    default_prompt: str | None = None
    """Name of the prompt put before an input when a request names none; by default the checkpoint's default prompt."""
    long_texts: LongTexts = "truncate"
    """Treatment of a text that is longer than the model reads, for requests that do not choose one."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the local server, ``*`` for all; on AWS the Function URL handles CORS."""
    log_level: LogLevel = "INFO"
    """The lowest level that is logged."""
    log_caller: bool = False
    """Whether the log names the caller of a request: the IAM principal and the source address that the Function URL reports."""
    served_model_names: tuple[str, ...] = ()
    """Names that OpenAI's clients may use for the model besides its id, ``*`` for any."""

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
                values[field] = _split(text) if cls.__annotations__[field] == tuple[str, ...] else text
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
    """Turn msgspec's "Expected `int` - at `$.max_tokens`" into a sentence about the variable."""
    reason, _, path = error.partition(" - at `$.")
    field = path.rstrip("`")
    allowed = get_args(cls.__annotations__.get(field))
    if allowed and all(isinstance(choice, str) for choice in allowed):
        reason = f"allowed are {', '.join(allowed)}"
    return f"{PREFIX}{field.upper()}={values.get(field)!r} is not allowed: {reason}"


def lambda_vcpus(environment: Mapping[str, str]) -> int | None:
    """The vCPUs of which the Lambda function has a share, rounded up; None outside of Lambda. The system shows two even to the
    smallest function, and a second thread that has to wait for its share costs time."""
    memory_mb = lambda_memory_mb(environment)
    return None if math.isinf(memory_mb) else math.ceil(memory_mb / VCPU_MB)


def lambda_memory_mb(environment: Mapping[str, str]) -> float:
    """Memory of the Lambda function in MiB; infinite outside of Lambda."""
    return float(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "inf"))


def make_service(engine: "Engine", settings: Settings) -> Service:
    """The service of ``engine`` with ``settings``.

    Raises:
        SettingsError: the default prompt is not one of the model's.
    """
    config = ServiceConfig(
        limits=Limits(max_tokens=settings.max_tokens),
        default_prompt=settings.default_prompt,
        long_texts=settings.long_texts,
    )
    try:
        return Service(engine, config)
    except UnknownPromptError as error:
        raise SettingsError(f"{PREFIX}DEFAULT_PROMPT: {error}") from None
