"""A local HTTP server that answers as the deployed function does.

``POST /2015-03-31/functions/NAME/invocations`` takes direct invocations, like Lambda's API and its runtime interface emulator.
For development and tests: it answers one request at a time, as an execution environment does.

    python -m runtime.server --model-dir build/model/latest --port 9000
"""

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import threading
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .aws.events import EventHandler
from .aws.startup import load
from .engine.manifest import ArtifactError
from .http.messages import Request, Response
from .http.sizes import LAMBDA_PAYLOAD_BYTES
from .settings import PREFIX, Settings, SettingsError

INVOCATION_PATH = re.compile(r"/2015-03-31/functions/[^/]+/invocations")
ALLOWED_HEADERS = "authorization, content-type, content-encoding"


class Server(ThreadingHTTPServer):
    """Serves ``handler`` over HTTP; pages from ``cors_origins`` may call it."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: EventHandler, cors_origins: tuple[str, ...] = ()) -> None:
        super().__init__(address, _RequestHandler)
        self._handler = handler
        self._lock = threading.Lock()
        self.cors_origins = cors_origins

    @property
    def url(self) -> str:
        """The server's URL, without a slash at the end."""
        host, port = self.server_address[:2]
        return f"http://{host}:{port}"

    def answer(self, request: Request) -> Response:
        """The handler's response, once earlier requests are answered."""
        with self._lock:
            return self._handler.answer(request)

    def invoke(self, event: Any) -> Any:
        """The handler's result for a direct invocation, once earlier requests are answered."""
        with self._lock:
            return self._handler(event)


class _RequestHandler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "serverless-embeddings", ""
    # A response in two packets waits for the acknowledgement of the first.
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_request(self) -> None:
        """Answer one request, whatever its method."""
        body = self._body()
        if body is None:
            return
        if INVOCATION_PATH.fullmatch(self.path.partition("?")[0]) and self.command == "POST":
            self._send_invocation(body)
        elif self.command == "OPTIONS" and "access-control-request-method" in self.headers and self._cors_headers():
            self._send(204, self._cors_headers(), b"")
        else:
            response = self.server.answer(self._request(body))
            headers = {"content-type": response.content_type} | response.headers | self._cors_headers()
            self._send(response.status, headers, response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = handle_request

    def _body(self) -> bytes | None:
        """The request's body, or None if the request was refused."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            return self._refuse(411, "send the body with a Content-Length")
        if int(length) > LAMBDA_PAYLOAD_BYTES:
            self.close_connection = True
            return self._refuse(
                413, f"the body is longer than the {LAMBDA_PAYLOAD_BYTES} bytes that Lambda lets through"
            )
        return self.rfile.read(int(length))

    def _request(self, body: bytes) -> Request:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        path = self.path.partition("?")[0] or "/"
        return Request(method=self.command, path=path, headers=headers, body=body, id=str(uuid.uuid4()))

    def _send_invocation(self, body: bytes) -> None:
        try:
            event = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            # Lambda gives this answer without calling the function.
            message = {"Type": "User", "Message": f"Could not parse request body into json: {error}"}
            headers = {"content-type": "application/json", "x-amzn-errortype": "InvalidRequestContentException"}
            self._send(400, headers, json.dumps(message).encode())
            return
        result = json.dumps(self.server.invoke(event)).encode()
        self._send(200, {"content-type": "application/json", "x-amz-executed-version": "$LATEST"}, result)

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": message, "error_type": "Validation"}).encode()
        self._send(status, {"content-type": "application/json"} | self._cors_headers(), body)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        # The length of the body that GET would have sent is not known here.
        if self.command != "HEAD" and status != 204:
            self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _cors_headers(self) -> dict[str, str]:
        """The headers that let a page from another origin call, if that origin may."""
        origin, allowed = self.headers.get("origin"), self.server.cors_origins
        if not origin or not ("*" in allowed or origin in allowed):
            return {}
        return {
            "access-control-allow-origin": "*" if "*" in allowed else origin,
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": ALLOWED_HEADERS,
            "access-control-max-age": "86400",
            "vary": "origin",
        }

    def log_message(self, *_: Any) -> None:
        """Log nothing, since the handler logs requests."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m runtime.server", description=__doc__.partition("\n")[0])
    parser.add_argument("--model-dir", default="build/model/latest", help="folder of the artifact (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on, 0 for any free one (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment({**os.environ, f"{PREFIX}MODEL_DIR": options.model_dir})
        server = Server((options.host, options.port), load(settings), settings.cors_origins)
    except (ArtifactError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; --port chooses another", file=sys.stderr
        )
        return 1
    print(f"serving {options.model_dir} on {server.url}", file=sys.stderr, flush=True)
    # The first process of a container ignores SIGTERM unless it has a handler.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
