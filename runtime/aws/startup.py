"""Loads the artifact and puts the rooms together: from settings to a handler that is ready to answer."""

import os
from collections.abc import Callable
from pathlib import Path

from ..engine.engine import Engine
from ..http.application import Application
from ..http.auth import ApiKeyAuthenticator, Authenticator, SecretError
from ..settings import Settings, lambda_memory_mb, lambda_vcpus, make_service
from .events import EventHandler
from .telemetry import Telemetry, process_seconds


def load(
    settings: Settings,
    function_name: str | None = None,
    threads: int | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> EventHandler:
    """The handler that serves the artifact in ``settings.model_dir``.

    Args:
        settings: The deployment's settings.
        function_name: Name of the Lambda function, for metrics; None outside of Lambda.
        threads: Threads to compute with; by default one for each vCPU of the Lambda function, or each CPU that the process may use.
        on_step: Called with a step's name after each step of loading the engine.

    Raises:
        ArtifactError, SettingsError: the artifact cannot be served, or not with these settings.
    """
    threads = threads or lambda_vcpus(os.environ)
    engine = Engine.load(Path(settings.model_dir), threads, lambda_memory_mb(os.environ), on_step)
    service = make_service(engine, settings)
    telemetry = Telemetry(
        function_name,
        settings.log_level,
        process_seconds(),
        provisioned=os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency",
        function_version=os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        log_caller=settings.log_caller,
    )
    authenticator = _authenticator(settings, telemetry)
    application = Application(service, authenticator, telemetry.record_failure, settings.served_model_names)
    return EventHandler(application, telemetry)


def _authenticator(settings: Settings, telemetry: Telemetry) -> Authenticator:
    if settings.auth != "api_key":
        return Authenticator()
    from .secrets import read_keys

    def report(error: Exception) -> None:
        telemetry.record_failure(error, reason=str(error) if isinstance(error, SecretError) else None)

    arn = settings.api_key_secret_arn
    authenticator = ApiKeyAuthenticator(lambda seconds: read_keys(arn, os.environ, seconds), report)
    authenticator.refresh()
    return authenticator
