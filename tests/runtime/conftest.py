"""Servers to test against, and clients that talk to them over HTTP."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from runtime.aws.events import EventHandler
from runtime.aws.telemetry import Telemetry
from runtime.engine.engine import Engine
from runtime.http.application import Application
from runtime.http.auth import Authenticator
from runtime.server import Server
from runtime.service.service import Service
from runtime.settings import Settings, make_service

MODEL = "intfloat/multilingual-e5-small"


@pytest.fixture(scope="session")
def engine(artifact: Path) -> Engine:
    """The embedded artifact, loaded once for all servers."""
    return Engine.load(artifact, threads=1)


def make_handler(
    engine: Engine,
    authenticator: Authenticator | None = None,
    lines: list[str] | None = None,
    function_name: str | None = None,
    max_texts: int | None = None,
    **settings,
) -> EventHandler:
    """A handler with these settings, and with ``max_texts`` in place of the limit of a request; its log goes to ``lines``."""
    settings = Settings(**settings)
    service = make_service(engine, settings)
    if max_texts is not None:
        limits = msgspec.structs.replace(service.limits, max_texts=max_texts)
        service = Service(engine, msgspec.structs.replace(service.config, limits=limits))
    write = (lambda line: None) if lines is None else lines.append
    telemetry = Telemetry(function_name, settings.log_level, 0.25, write)
    application = Application(
        service, authenticator or Authenticator(), telemetry.record_failure, settings.served_model_names
    )
    return EventHandler(application, telemetry)


@contextmanager
def serving(handler: EventHandler, cors_origins: tuple[str, ...] = ()) -> Iterator[str]:
    """The URL of a server for ``handler``."""
    server = Server(("127.0.0.1", 0), handler, cors_origins)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="session")
def handler(engine: Engine) -> EventHandler:
    """The handler with default settings."""
    return make_handler(engine)


@pytest.fixture(scope="session")
def url(handler: EventHandler) -> Iterator[str]:
    """The URL of a server with default settings."""
    with serving(handler) as url:
        yield url


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    """A client of the server with default settings."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def serve(engine: Engine) -> Iterator[Callable[..., httpx.Client]]:
    """Starts a server with the settings that a test gives, and returns a client of it."""
    with ExitStack() as stack:

        def start(**options) -> httpx.Client:
            cors_origins = options.get("cors_origins", ())
            url = stack.enter_context(serving(make_handler(engine, **options), cors_origins))
            return stack.enter_context(httpx.Client(base_url=url, timeout=60))

        yield start
