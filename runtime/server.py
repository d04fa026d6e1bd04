"""A local server that answers as the deployed function does: HTTP requests become Function URL events for the same handler.

``POST /2015-03-31/functions/NAME/invocations`` takes direct invocations, as the runtime interface emulator and Lambda's own
API do. For development and tests: one request at a time, as one execution environment has them.

    python -m runtime.server --model-dir build/model/latest --port 9000
"""

import argparse
import binascii
import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .aws.startup import load
from .engine.engine import ArtifactError
from .settings import LAMBDA_PAYLOAD_BYTES, PREFIX, Settings, SettingsError

INVOCATION_PATH = re.compile(r"/2015-03-31/functions/[^/]+/invocations")
ALLOWED_HEADERS = "authorization, content-type, content-encoding"


class Server(ThreadingHTTPServer):
    """Serves ``handler`` over HTTP; ``cors_origins`` may call it from a browser."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], handler: Callable[[Any, Any], Any], cors_origins: tuple[str, ...] = ()
    ) -> None:
        super().__init__(address, _RequestHandler)
        self._handler = handler
        self._lock = threading.Lock()
        self.cors_origins = cors_origins

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host}:{port}"

    def invoke(self, event: Any) -> Any:
        """The handler's result for ``event``, after all that came before."""
        with self._lock:
            return self._handler(event, None)


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
            result = self.server.invoke(self._event(body))
            content = result["body"]
            content = binascii.a2b_base64(content) if result["isBase64Encoded"] else content.encode()
            self._send(result["statusCode"], result["headers"] | self._cors_headers(), content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = handle_request

    def _body(self) -> bytes | None:
        """The request's body, or None if it was refused."""
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

    def _event(self, body: bytes) -> dict[str, Any]:
        """The event that a Function URL makes of this request (payload format 2.0)."""
        path, _, query = self.path.partition("?")
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {
                "accountId": "anonymous",
                "apiId": "local",
                "domainName": headers.get("host", ""),
                "http": {
                    "method": self.command,
                    "path": path,
                    "protocol": self.request_version,
                    "sourceIp": self.client_address[0],
                    "userAgent": headers.get("user-agent", ""),
                },
                "requestId": str(uuid.uuid4()),
                "routeKey": "$default",
                "stage": "$default",
                "timeEpoch": time.time_ns() // 1_000_000,
            },
        }
        return event | _event_body(body, headers)

    def _send_invocation(self, body: bytes) -> None:
        try:
            event = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            # What Lambda itself answers before it asks a function.
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
        # An answer to HEAD would have to tell the length of a body that is not there.
        if self.command != "HEAD" and status != 204:
            self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _cors_headers(self) -> dict[str, str]:
        """What lets a browser's page from another origin call, if that origin may."""
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
        """Say nothing: the handler logs requests."""


def _event_body(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The body as a Function URL passes it on: text where it is text, else base64."""
    is_text = "content-encoding" not in headers and headers.get("content-type", "").startswith(
        ("application/json", "text/")
    )
    if is_text:
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass  # then it is bytes
    if not body:
        return {"isBase64Encoded": False}
    return {"body": binascii.b2a_base64(body, newline=False).decode(), "isBase64Encoded": True}


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
    # As the first process of a container it would otherwise not hear SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
