"""A server with a key, as the snippets of docs/api.md expect it, and the vectors that it gives for their texts."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runtime.engine.engine import Engine
from runtime.http.auth import ApiKeyAuthenticator
from tests.clients.environments import ensure_node, ensure_python
from tests.runtime.conftest import make_handler, serving

KEY = "the-key"
PASSAGES = ["The ferry leaves at seven.", "Die Fähre fährt um sieben."]
QUESTION = "When does the ferry leave?"


@pytest.fixture(scope="session")
def url(artifact: Path) -> Iterator[str]:
    """The URL of the server, with a slash at the end as a Function URL has it."""
    handler = make_handler(
        Engine.load(artifact, threads=1), ApiKeyAuthenticator(lambda seconds: {None: KEY}, report=print)
    )
    with serving(handler) as url:
        yield f"{url}/"


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    """A client of the server that has the key."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def expected(http: httpx.Client) -> list[list[float]]:
    """The vectors of the snippets' passages and question."""
    passages = http.post("embed", json={"inputs": PASSAGES, "prompt_name": "passage"}).json()
    return passages + http.post("embed", json={"inputs": QUESTION, "prompt_name": "query"}).json()


@pytest.fixture(scope="session")
def python() -> None:
    """The environment of the Python clients is installed."""
    ensure_python()


@pytest.fixture(scope="session")
def node() -> None:
    """The packages of the Node clients are installed."""
    ensure_node()
