"""Endpoints for the client: the real server with the embedded model, and a server that answers as a test says."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest

from tests.runtime.conftest import engine, make_handler, serving

__all__ = ["engine"]

Answer = tuple[int, dict[str, str], object] | None | str
PASS = "pass"
"""The answer of the real server."""


@pytest.fixture(scope="session")
def log() -> list[str]:
    """The lines that the server at ``url`` logs."""
    return []


@pytest.fixture(scope="session")
def url(engine, log) -> Iterator[str]:
    """The server with default settings."""
    with serving(make_handler(engine, lines=log)) as url:
        yield url


@pytest.fixture(scope="session")
def one_by_one(url) -> Callable[..., np.ndarray]:
    """A call of ``/embed`` for each text, its numbers as JSON has them: float32 [texts, dimensions]."""

    known: dict[str, list[float]] = {}

    def call(texts: list[str], **options) -> np.ndarray:
        with httpx.Client(base_url=url, timeout=60) as http:
            for text in texts:
                body = json.dumps({"inputs": text} | options)
                if body not in known:
                    response = http.post("/embed", content=body, headers={"content-type": "application/json"})
                    (known[body],) = response.json()
        return np.array([known[json.dumps({"inputs": text} | options)] for text in texts], np.float32)

    return call


@pytest.fixture
def lambda_api(url, monkeypatch) -> None:
    """The server in place of Lambda's API."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
    aws_environment(monkeypatch)


def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a region, as the AWS CLI finds them."""
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")


def counts_of(log: list[str]) -> list[int]:
    """The number of texts of each request to OpenAI's route that was answered."""
    lines = [json.loads(line) for line in log]
    return [line["texts"] for line in lines if line.get("route") == "/v1/embeddings" and line["status"] == 200]


class Scripted:
    """A server that takes its answers to requests, but for ``/info``, from a list; then it passes them on to ``url``.

    None hangs up.
    """

    def __init__(self, url: str, answers: list[Answer]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                scripted.requests.append(self.path)
                answer = scripted.answers.pop(0) if scripted.answers and self.path != "/info" else PASS
                if answer is None:
                    self.close_connection = True
                    return
                if answer == PASS:
                    json_type = {"content-type": "application/json"}
                    passed = httpx.request(self.command, url + self.path, content=body, headers=json_type, timeout=60)
                    answer = passed.status_code, {}, passed.content
                status, headers, content = answer
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def scripted(url) -> Iterator[Callable[..., Scripted]]:
    """Starts a server that gives these answers first, but for ``/info``."""
    servers = []

    def start(*answers: Answer) -> Scripted:
        servers.append(Scripted(url, list(answers)))
        return servers[-1]

    yield start
    for each in servers:
        each.server.shutdown()
        each.server.server_close()
