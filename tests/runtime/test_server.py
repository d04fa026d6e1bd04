"""The local server on the wire: what HTTP/1.1 (RFC 9112) lets a client send, what it does not, and clients that misbehave."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest

from containers.tools import wait_until
from runtime import server as module
from runtime.http.auth import ApiKeyAuthenticator, Authenticator
from runtime.server import Server
from tests.runtime.conftest import make_handler, serving

BODY = b'{"inputs": "First text"}'
FULL = 6 * 1024 * 1024
INVOCATION = "/2015-03-31/functions/function/invocations"


def head(*lines: str, first: str = "POST /embed HTTP/1.1") -> bytes:
    """The head of a request."""
    return "\r\n".join((first, "Host: test", "Content-Type: application/json", *lines, "", "")).encode()


REQUEST = head(f"Content-Length: {len(BODY)}") + BODY


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def read(connection: socket.socket, method: str = "POST") -> HTTPResponse:
    """The next answer, its body still to be read."""
    response = HTTPResponse(connection, method=method)
    response.begin()
    return response


def ask(url: str, *data: bytes) -> tuple[int, object]:
    """The status and the JSON of the answer to a request in these pieces."""
    with connect(url) as connection:
        for piece in data:
            connection.sendall(piece)
        response = read(connection)
        return response.status, json.loads(response.read())


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes the connection and sends nothing before."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture(scope="module")
def vector(http: httpx.Client) -> list[list[float]]:
    return http.post("/embed", content=BODY, headers={"content-type": "application/json"}).json()


class TestBodies:
    @pytest.mark.parametrize(
        "chunks",
        [
            [b"18\r\n", BODY, b"\r\n0\r\n\r\n"],
            [b"c;name=value\r\n", BODY[:12], b"\r\n00C\r\n", BODY[12:], b"\r\n0\r\nTrailer: value\r\n\r\n"],
            [bytes([byte]) for byte in b"18\r\n" + BODY + b"\r\n0\r\n\r\n"],
        ],
        ids=["one chunk", "extensions and trailers", "byte by byte"],
    )
    def test_chunked(self, url, vector, chunks):
        assert ask(url, head("Transfer-Encoding: chunked"), *chunks) == (200, vector)

    def test_expect_continue(self, url, vector):
        with connect(url) as connection:
            connection.sendall(head(f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(BODY)
            assert json.loads(read(connection).read()) == vector

    def test_expect_continue_without_a_body(self, url):
        with connect(url) as connection:
            connection.sendall(head("Expect: 100-continue", first="GET /info HTTP/1.1"))
            assert read(connection).status == 200

    def test_expect_continue_with_a_body_that_is_too_long(self, url):
        with connect(url) as connection:
            connection.sendall(head(f"Content-Length: {FULL + 1}", "Expect: 100-continue"))
            assert connection.recv(12) == b"HTTP/1.1 413"

    def test_as_long_as_lambda_lets_through(self, url):
        status, answer = ask(url, head(f"Content-Length: {FULL}"), bytes(FULL))
        assert status == 400 and answer["error"].startswith("Failed to parse the request body as JSON")

    @pytest.mark.parametrize("length", [FULL + 1, 50_000_000])
    def test_longer(self, http, length):
        response = http.post("/embed", content=bytes(length), headers={"content-type": "application/json"})
        assert response.status_code == 413
        assert response.json()["error"] == f"the body is longer than the {FULL} bytes that Lambda lets through"

    def test_longer_in_the_form_of_openai(self, http):
        response = http.post("/v1/embeddings", content=bytes(FULL + 1))
        assert response.status_code == 400
        assert "bytes that Lambda lets through" in response.json()["error"]["message"]

    def test_that_cannot_be_kept(self, url, vector, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        status, answer = ask(url, head("Content-Length: 1000000"), bytes(1_000_000))
        assert (status, answer["error_type"]) == (500, "Internal")
        assert "No such file" in answer["error"]
        assert ask(url, REQUEST) == (200, vector)

    def test_half_sent(self, serve):
        lines: list[str] = []
        http = serve(lines=lines)
        with connect(str(http.base_url)) as connection:
            connection.sendall(head(f"Content-Length: {len(BODY) + 1}") + BODY)
            connection.shutdown(socket.SHUT_WR)
            assert is_closed(connection)
        assert lines == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"post /embed HTTP/1.1\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\n\r\n", 400),
        (head("Content-Length: 24", "Content-Length: 5"), 400),
        (head("Content-Length: " + "9" * 5000), 400),
        (head("Content-Length: " + "9" * 50), 413),
        (head("Content-Length: -1"), 400),
        (head("Content-Length: +5"), 400),
        (head("Content-Length : 5"), 400),
        (head("no colon"), 400),
        (head("Name: va\0lue"), 400),
        (head("Name: " + "a" * 300_000), 431),
        (head("Transfer-Encoding: chunked") + b"x\r\n", 400),
        (head("Transfer-Encoding: chunked") + b"2\r\nabc\r\n", 400),
        (head("Transfer-Encoding: gzip"), 501),
        (head("Transfer-Encoding: chunked, gzip"), 501),
        (head(first="BREW /embed HTTP/1.1"), 405),
        (head(first="OPTIONS * HTTP/1.1"), 404),
    ],
    ids=lambda value: value[:60].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_request_that_is_refused(url, vector, request_, status):
    with connect(url) as connection:
        connection.sendall(request_)
        response = read(connection)
        assert response.status == status
        assert response.headers["content-type"] == "application/json"
        answer = json.loads(response.read())
        assert answer.keys() == {"error", "error_type"} and answer["error"]
        assert status in (404, 405) or is_closed(connection)
    assert ask(url, REQUEST) == (200, vector)


def test_a_page_reads_that_its_request_is_refused(serve):
    http = serve(cors_origins=("https://app.example",))
    response = http.post("/embed", content=bytes(FULL + 1), headers={"origin": "https://app.example"})
    assert response.status_code == 413
    assert response.headers["access-control-allow-origin"] == "https://app.example"


def test_a_fault_of_the_server_is_json():
    def answer(request):
        raise ZeroDivisionError("secret")

    with serving(SimpleNamespace(answer=answer)) as url:
        status, error = ask(url, REQUEST)
    assert status == 500 and error["error_type"] == "Internal"
    assert "secret" not in error["error"]


class TestConnections:
    def test_stay_open(self, url, vector):
        with connect(url) as connection:
            for _ in range(3):
                connection.sendall(REQUEST)
                assert json.loads(read(connection).read()) == vector

    def test_pipelining(self, url):
        with connect(url) as connection:
            connection.sendall(
                REQUEST + head(first="GET /nope HTTP/1.1") + head("Connection: close", first="GET /info HTTP/1.1")
            )
            with connection.makefile("rb") as stream:
                statuses = re.findall(rb"HTTP/1.1 (\d+)", stream.read())
        assert statuses == [b"200", b"404", b"200"]

    @pytest.mark.parametrize(("line", "closed"), [("Connection: close", True), ("Connection: keep-alive", False)])
    def test_http_1_0(self, url, vector, line, closed):
        request = head(line, f"Content-Length: {len(BODY)}", first="POST /embed HTTP/1.0") + BODY
        with connect(url) as connection:
            connection.sendall(request)
            assert json.loads(read(connection).read()) == vector
            if closed:
                assert is_closed(connection)
            else:
                connection.sendall(request)
                assert json.loads(read(connection).read()) == vector

    @pytest.mark.parametrize("path", ["/info", "/docs", "/metrics", "/nope", "/embed"])
    def test_head_has_the_length_of_get(self, url, path):
        with connect(url) as connection:
            for method in ("GET", "HEAD", "GET"):
                connection.sendall(head(first=f"{method} {path} HTTP/1.1"))
                response = read(connection, method)
                length = int(response.headers["content-length"])
                assert length > 0 and len(response.read()) == (0 if method == "HEAD" else length)

    @pytest.mark.parametrize("target", ["http://test/embed", "http://test/embed?a=b", "/embed?a=b", "/embed/"])
    def test_the_target_of_a_request(self, url, vector, target):
        request = head(f"Content-Length: {len(BODY)}", first=f"POST {target} HTTP/1.1") + BODY
        assert ask(url, request) == (200, vector)

    def test_a_slow_sender_keeps_nobody_waiting(self, url, vector):
        with connect(url) as slow:
            for byte in REQUEST:
                slow.sendall(bytes([byte]))
                if byte == ord("{"):
                    assert ask(url, REQUEST) == (200, vector)
            assert json.loads(read(slow).read()) == vector

    @pytest.mark.parametrize("sent", [b"", REQUEST[:20], REQUEST[:-1], REQUEST], ids=["nothing", "head", "body", "all"])
    def test_an_idle_one_is_closed(self, engine, monkeypatch, sent):
        monkeypatch.setattr("waitress.adjustments.Adjustments.channel_timeout", 1)
        monkeypatch.setattr("waitress.adjustments.Adjustments.cleanup_interval", 1)
        with serving(make_handler(engine)) as url, connect(url) as connection:
            connection.sendall(sent)
            if sent == REQUEST:
                assert len(read(connection).read()) > 0
            assert is_closed(connection)

    def test_200_at_once(self, url):
        async def embed() -> list[int]:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
                requests = [client.post("/embed", json={"inputs": f"Text {number}"}) for number in range(200)]
                return [response.status_code for response in await asyncio.gather(*requests)]

        assert asyncio.run(embed()) == [200] * 200


class Gate(Authenticator):
    """Lets requests through when it is opened, and counts those that came."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.arrived = 0

    def check(self, request, deadline=None) -> None:
        self.arrived += 1
        assert self.opened.wait(60)


@contextmanager
def behind_a_gate(engine) -> Iterator[tuple[Server, Gate, list[str]]]:
    """A server that runs, whose handler holds the first request up; and the lines of its log."""
    gate, lines = Gate(), []
    server = Server(("127.0.0.1", 0), make_handler(engine, gate, lines))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server, gate, lines
    finally:
        gate.opened.set()
        server.stop()
        thread.join()


def spooled() -> int:
    """How many bodies of :data:`FULL` bytes are in temporary files."""
    sizes = []
    for descriptor in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{descriptor}"
        try:
            if os.readlink(path).startswith(f"{tempfile.gettempdir()}/"):
                sizes.append(os.stat(path).st_size)
        except FileNotFoundError:
            continue
    return sizes.count(FULL)


class TestTheLine:
    def test_who_hangs_up_leaves_it(self, engine):
        with behind_a_gate(engine) as (server, gate, lines), ExitStack() as stack:
            first, *hung_up, last = (stack.enter_context(connect(server.url)) for _ in range(12))
            first.sendall(REQUEST)
            wait_until(lambda: gate.arrived == 1, "the first request is being answered")
            for connection in hung_up:
                connection.sendall(REQUEST)
            last.sendall(REQUEST)
            wait_until(lambda: len(server._server.task_dispatcher.queue) == 11, "the others wait")
            for connection in hung_up:
                connection.close()
            wait_until(lambda: len(server._server.task_dispatcher.queue) == 1, "one is left")
            gate.opened.set()
            assert read(first).status == read(last).status == 200
        assert gate.arrived == 2
        assert [json.loads(line)["texts"] for line in lines] == [1, 1]

    def test_long_bodies_wait_on_disk_and_leave_it(self, engine):
        wait_until(lambda: spooled() == 0, "the files of other tests are removed")
        with behind_a_gate(engine) as (server, gate, _), ExitStack() as stack:
            first, *others = (stack.enter_context(connect(server.url)) for _ in range(9))
            first.sendall(REQUEST)
            for connection in others:
                connection.sendall(head(f"Content-Length: {FULL}") + bytes(FULL))
            wait_until(lambda: spooled() == 8, "their bodies are on disk")
            for connection in others:
                connection.close()
            wait_until(lambda: spooled() == 0, "the files are removed")
            gate.opened.set()
            assert read(first).status == 200


class TestStopping:
    def test_finishes_what_it_computes_and_says_what_it_drops(self, engine, caplog):
        # Quick to compute; its answer of 4 MB does not fit into the socket's buffer.
        texts = json.dumps({"inputs": ["word " * 400] * 2}).encode()
        with behind_a_gate(engine) as (server, gate, _), connect(server.url) as first, connect(server.url) as second:
            first.sendall(head(f"Content-Length: {len(texts)}", first="POST /embed_all HTTP/1.1") + texts)
            wait_until(lambda: gate.arrived == 1, "the first request is being answered")
            second.sendall(REQUEST)
            wait_until(lambda: server._server.task_dispatcher.queue, "the second waits")
            server.stop()
            gate.opened.set()
            assert [len(vectors) for vectors in json.loads(read(first).read())] == [402, 402]
            assert is_closed(second)
            assert "Canceling 1 pending task(s)" in caplog.text
            with pytest.raises(ConnectionRefusedError):
                connect(server.url)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_on_a_signal(self, artifact, number):
        command = [sys.executable, "-m", "runtime.server", "--port", "0", "--model-dir", artifact]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
            url = server.stderr.readline().split(" on ")[1].strip()
            with connect(url) as idle, connect(url) as half:
                half.sendall(REQUEST[:-1])
                assert ask(url, REQUEST)[0] == 200
                server.send_signal(number)
                start = time.monotonic()
                assert server.wait(30) == 0
                assert time.monotonic() - start < 10
                assert is_closed(idle) and is_closed(half)
                assert server.stderr.read() == ""


class TestInvocations:
    def test_are_answered_as_the_emulator_does(self, http):
        texts = {"inputs": ["First text", "Second text"]}
        response = http.post(INVOCATION, json=texts)
        assert response.json() == http.post("/embed", json=texts).json()
        assert response.headers["x-amz-executed-version"] == "$LATEST"
        response = http.post(INVOCATION, content="{")
        assert response.status_code == 400
        assert response.headers["x-amzn-errortype"] == "InvalidRequestContentException"

    @pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 401), ("the-key", 200)])
    def test_need_the_key(self, serve: Callable[..., httpx.Client], key, status):
        http = serve(authenticator=ApiKeyAuthenticator(lambda seconds: {None: "the-key"}, report=print))
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        response = http.post(INVOCATION, json={"inputs": "a"}, headers=headers)
        assert response.status_code == status
        assert status == 200 or response.json()["error_type"] == "Unauthorized"


def test_without_a_folder_for_temporary_files_it_does_not_start(monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    assert module.main([]) == 1
    assert "No usable temporary directory found in ['/nowhere']" in capsys.readouterr().err
