"""A server with a key, as the snippets of docs/api.md expect it, and the vectors that it gives for their texts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import httpx
import pytest

from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import Engine
from runtime.http.auth import ApiKeyAuthenticator
from tests.clients.environments import ensure_node, ensure_python
from tests.model_export.conftest import minilm
from tests.model_export.families import FAMILIES
from tests.runtime.conftest import make_handler, serving

__all__ = ["minilm"]

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
def serve(minilm, tmp_path_factory) -> Iterator[Callable[[str], tuple[str, httpx.Client]]]:
    """Serves a family of models under the name that the snippets have: the URL, and a client that has the key."""
    with ExitStack() as stack:

        @cache
        def start(family: str) -> tuple[str, httpx.Client]:
            folder = tmp_path_factory.mktemp("family") / family
            FAMILIES[family](folder, minilm, tmp_path_factory.mktemp("scratch"))
            engine = Engine.load(artifacts.build(ModelSettings(model=str(folder))), threads=1)
            authenticator = ApiKeyAuthenticator(lambda seconds: {None: KEY}, report=print)
            handler = make_handler(engine, authenticator, served_model_names=("BAAI/bge-reranker-base",))
            url = f"{stack.enter_context(serving(handler))}/"
            headers = {"Authorization": f"Bearer {KEY}"}
            return url, stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60))

        yield start


@pytest.fixture(scope="session")
def python() -> None:
    """The environment of the Python clients is installed."""
    ensure_python()


@pytest.fixture(scope="session")
def node() -> None:
    """The packages of the Node clients are installed."""
    ensure_node()
