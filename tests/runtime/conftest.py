"""Servers to test against, and clients that talk to them over HTTP."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from runtime.aws.application import Application
from runtime.aws.telemetry import Telemetry
from runtime.engine.engine import Engine
from runtime.http.auth import Authenticator
from runtime.server import Server
from runtime.service.service import Service
from runtime.settings import Settings

MODEL = "intfloat/multilingual-e5-small"


@pytest.fixture(scope="session")
def engine(artifact: Path) -> Engine:
    """The embedded artifact, loaded once for all servers."""
    return Engine.load(artifact, threads=1)


def make_application(
    engine: Engine,
    authenticator: Authenticator | None = None,
    lines: list[str] | None = None,
    function_name: str | None = None,
    **settings,
) -> Application:
    """An application with these settings; its log lines go to ``lines``."""
    service = Service(engine, Settings(**settings))
    write = (lambda line: None) if lines is None else lines.append
    telemetry = Telemetry(function_name, service.settings.log_level, 0.25, service.metrics, write)
    return Application(service, authenticator or Authenticator(), telemetry)


@contextmanager
def serving(application: Application) -> Iterator[str]:
    """The URL of a server for ``application``."""
    server = Server(("127.0.0.1", 0), application, application.service.settings.cors_origins)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def application(engine: Engine) -> Application:
    """The application with default settings."""
    return make_application(engine)


@pytest.fixture(scope="session")
def url(application: Application) -> Iterator[str]:
    """The URL of a server with default settings."""
    with serving(application) as url:
        yield url


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    """A client of the server with default settings."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def serve(engine: Engine) -> Iterator[Callable[..., httpx.Client]]:
    """Starts a server with settings of a test's own, and gives a client of it."""
    with ExitStack() as stack:

        def start(**options) -> httpx.Client:
            url = stack.enter_context(serving(make_application(engine, **options)))
            return stack.enter_context(httpx.Client(base_url=url, timeout=60))

        yield start
