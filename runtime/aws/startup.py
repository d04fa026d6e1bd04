"""Puts the parts together: from settings to an application that is ready to answer."""

import os
from pathlib import Path

from ..engine.engine import Engine
from ..http.auth import ApiKeyAuthenticator, Authenticator
from ..service.service import Service
from ..settings import Settings
from .application import Application
from .telemetry import Telemetry, process_seconds


def load(settings: Settings, function_name: str | None = None) -> Application:
    """The application that serves the artifact in ``settings.model_dir``.

    Raises:
        ArtifactError, SettingsError: it cannot be served, or not like this.
    """
    service = Service(Engine.load(Path(settings.model_dir), settings.threads), settings)
    telemetry = Telemetry(
        function_name,
        settings.log_level,
        process_seconds(),
        service.metrics,
        provisioned=os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency",
    )
    return Application(service, _authenticator(settings, telemetry), telemetry)


def _authenticator(settings: Settings, telemetry: Telemetry) -> Authenticator:
    if settings.auth != "api_key":
        return Authenticator()
    from .secrets import SecretError, read_secret

    def report(error: Exception) -> None:
        telemetry.record_failure(error, reason=str(error) if isinstance(error, SecretError) else None)

    authenticator = ApiKeyAuthenticator(
        lambda: read_secret(settings.api_key_secret_arn, os.environ),
        settings.api_key_refresh_seconds,
        report,
    )
    authenticator.refresh()
    return authenticator
