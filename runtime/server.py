"""A local HTTP server that answers as the deployed function does.

``POST /2015-03-31/functions/NAME/invocations`` takes direct invocations, like Lambda's API and its runtime interface emulator.
It answers one request at a time, as an execution environment does; the others wait in line.

    python -m runtime.server --model-dir build/model/latest --port 9000
"""

import argparse
import json
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.task import ErrorTask
from waitress.utilities import BadRequest, Error, InternalServerError

from .aws.events import EventHandler
from .aws.startup import load
from .engine.manifest import ArtifactError
from .http.cors import ALLOWED_HEADERS, EXPOSED_HEADERS
from .http.errors import HttpError, error_answer, tei_error
from .http.messages import Request, Response
from .http.sizes import LAMBDA_PAYLOAD_BYTES
from .service.errors import RequestError
from .settings import PREFIX, Settings, SettingsError

INVOCATION_PATH = re.compile(r"/2015-03-31/functions/[^/]+/invocations")
REQUEST_TARGET = re.compile(r"(?:https?://[^/?#]*)?(?P<path>[^?#]*)")
"""The path in a request's first line, where a proxy's client writes the whole URL (RFC 9112, 3.2.2)."""
MAX_CONNECTIONS = 256
"""Further ones wait in the operating system's queue. Each may hold three files open; 1,024 is a usual limit of a process."""
FLUSH_SECONDS = 1
"""How long callers get, when the server stops, to fetch the rest of an answer."""


class WsgiApplication:
    """A handler as a WSGI application (PEP 3333); pages from ``cors_origins`` may call it."""

    def __init__(self, handler: EventHandler, cors_origins: tuple[str, ...]) -> None:
        self._handler = handler
        self._cors_origins = cors_origins

    def __call__(self, environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
        """Answer one request."""
        method, headers = environ["REQUEST_METHOD"], _request_headers(environ)
        request = Request(
            # A response to HEAD has the headers of one to GET, Content-Length included.
            method="GET" if method == "HEAD" else method,
            path=REQUEST_TARGET.match(environ["REQUEST_URI"])["path"] or "/",
            headers=headers,
            body=environ["wsgi.input"].read(),
            id=str(uuid.uuid4()),
        )
        response = self._answer(request)
        start_response(_status_line(response.status), self.response_headers(response, headers.get("origin")))
        return [] if method == "HEAD" else [response.body]

    def response_headers(self, response: Response, origin: str | None) -> list[tuple[str, str]]:
        """The headers of ``response``, among them those that let a page from ``origin`` read it, if that page may."""
        headers = {"content-type": response.content_type, "content-length": str(len(response.body))}
        return list((headers | response.headers | self._cors_headers(origin)).items())

    def _answer(self, request: Request) -> Response:
        if request.method == "POST" and INVOCATION_PATH.fullmatch(request.path):
            return self._invoke(request)
        is_preflight = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        if is_preflight and self._cors_headers(request.headers.get("origin")):
            return Response(status=204)
        return self._handler.answer(request)

    def _invoke(self, request: Request) -> Response:
        """The response of Lambda's API to a direct invocation."""
        try:
            self._handler.application.authenticator.check(request)
        except RequestError as error:
            return tei_error(error)
        try:
            event = json.loads(request.body or b"{}")
        except (ValueError, RecursionError) as error:
            # Lambda gives this answer without calling the function.
            message = {"Type": "User", "Message": f"Could not parse request body into json: {error}"}
            headers = {"x-amzn-errortype": "InvalidRequestContentException"}
            return Response(status=400, headers=headers, body=json.dumps(message).encode())
        result = json.dumps(self._handler(event)).encode()
        return Response(headers={"x-amz-executed-version": "$LATEST"}, body=result)

    def _cors_headers(self, origin: str | None) -> dict[str, str]:
        allowed = self._cors_origins
        if not origin or not ("*" in allowed or origin in allowed):
            return {}
        return {
            "access-control-allow-origin": "*" if "*" in allowed else origin,
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": ", ".join(ALLOWED_HEADERS),
            "access-control-expose-headers": ", ".join(EXPOSED_HEADERS),
            "access-control-max-age": "86400",
            "vary": "origin",
        }


class Server:
    """Serves ``handler`` over HTTP at ``address``, a host and a port; pages from ``cors_origins`` may call it.

    Waitress reads requests and sends answers in the thread of :meth:`run`; one thread more calls the handler. Of a waiting
    request or answer it keeps 512 KiB and 1 MiB in memory, and what is longer in a temporary file.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, address: tuple[str, int], handler: EventHandler, cors_origins: tuple[str, ...] = ()) -> None:
        # It warns of each request that waits, which is usual here.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._sockets: dict[int, wasyncore.dispatcher] = {}
        self._stopping = False
        self._server = create_server(
            WsgiApplication(handler, cors_origins),
            map=self._sockets,
            sockets=[socket.create_server(address)],
            threads=1,
            connection_limit=MAX_CONNECTIONS,
            # Waitress refuses bodies of this many bytes.
            max_request_body_size=LAMBDA_PAYLOAD_BYTES + 1,
            # Reads on while a request waits or is computed, and so sees when its caller hangs up.
            channel_request_lookahead=1,
            # The only thread must not wait until a slow caller has fetched the answers to several requests.
            outbuf_high_watermark=sys.maxsize,
            # Nothing reads them, and on Lambda they reach the handler as they are.
            clear_untrusted_proxy_headers=False,
            ident="serverless-embeddings",
        )
        self._server.channel_class = _Channel

    @property
    def url(self) -> str:
        """The server's URL, without a slash at the end."""
        return f"http://{self._server.effective_host}:{self._server.effective_port}"

    def run(self) -> None:
        """Serve until :meth:`stop` is called. Then a request that is being computed gets up to five seconds; those that wait
        in line are dropped, and the log says how many."""
        while not self._stopping:
            self._poll(1)
        self._server.task_dispatcher.shutdown()
        self._server.close()
        for channel in self._server.active_channels.values():
            channel.close_when_flushed = True
        end = time.monotonic() + FLUSH_SECONDS
        while self._sockets and time.monotonic() < end:
            self._poll(0.1)
        wasyncore.close_all(self._sockets)

    def stop(self) -> None:
        """Make :meth:`run` return; for other threads and signal handlers."""
        if not self._stopping:
            self._stopping = True
            self._server.pull_trigger()

    def _poll(self, seconds: float) -> None:
        """Wait for sockets that are ready, and read from and write to them."""
        wasyncore.loop(seconds, use_poll=True, map=self._sockets, count=1)


class _Parser(HTTPRequestParser):
    """Reads a request; whatever cannot be read becomes an error with an answer."""

    def received(self, data: bytes) -> int:
        try:
            consumed = super().received(data)
        except ValueError:  # a Content-Length of thousands of digits, or a URL with half an IPv6 address
            self.error, consumed = BadRequest("the Content-Length or the URL is invalid"), len(data)
        except OSError as error:
            message = f"the body cannot be kept in a temporary file: {error.strerror}"
            self.error, consumed = InternalServerError(message), len(data)
        if self.error:
            self.completed = True
        if self.completed:
            # Otherwise waitress asks for a body that is not there, or is refused, and waits for it.
            self.expect_continue = False
        return consumed


class _ErrorTask(ErrorTask):
    """Answers with an error that waitress found, in JSON like all others."""

    def execute(self) -> None:
        error: Error = self.request.error
        message = f"{error.reason}: {error.body}"
        if error.code == 413:
            message = f"the body is longer than the {LAMBDA_PAYLOAD_BYTES} bytes that Lambda lets through"
        error_type = "Internal" if error.code == 500 else "Validation"
        failure = HttpError(error.code, message, error_type=error_type)
        response = error_answer(failure, getattr(self.request, "path", ""))
        self.status = _status_line(response.status)
        application: WsgiApplication = self.channel.server.application
        self.response_headers = application.response_headers(response, self.request.headers.get("ORIGIN"))
        self.set_close_on_finish()
        self.content_length = len(response.body)
        self.write(response.body)


class _Channel(HTTPChannel):
    """A connection."""

    parser_class = _Parser
    error_task_class = _ErrorTask

    def handle_close(self) -> None:
        super().handle_close()
        # A request that waits in line leaves it, and its body is freed.
        dispatcher = self.server.task_dispatcher
        with dispatcher.lock:
            if self in dispatcher.queue:
                dispatcher.queue.remove(self)
                for request in self.requests:
                    request.close()
                self.requests = []


def _request_headers(environ: dict[str, Any]) -> dict[str, str]:
    headers = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")}
    if "CONTENT_TYPE" in environ:
        headers["CONTENT_TYPE"] = environ["CONTENT_TYPE"]
    return {name.replace("_", "-").lower(): value for name, value in headers.items()}


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m runtime.server", description=__doc__.partition("\n")[0])
    parser.add_argument("--model-dir", default="build/model/latest", help="folder of the artifact (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on, 0 for any free one (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        print(f"{error.strerror}; the server keeps long requests and answers there", file=sys.stderr)
        return 1
    try:
        settings = Settings.from_environment({**os.environ, f"{PREFIX}MODEL_DIR": options.model_dir})
        server = Server((options.host, options.port), load(settings), settings.cors_origins)
    except (ArtifactError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        # Python adds the address to the system's message.
        reason = error.strerror.partition(" (while")[0]
        print(f"cannot listen on {options.host}:{options.port}: {reason}; --port chooses another", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    print(f"serving {options.model_dir} on {server.url}", file=sys.stderr, flush=True)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
