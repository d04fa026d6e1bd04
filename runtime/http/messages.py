"""HTTP requests and responses, whatever the way they came."""

import binascii
import zlib
from collections.abc import Mapping

import msgspec

from ..service.options import Usage

GZIP_WBITS = 16 + zlib.MAX_WBITS
GZIP_LEVEL = 1
"""It brings digits to 44% of their size; zlib's default level to 39%, in six times as long."""
GZIP_FROM_BYTES = 14_600
"""What TCP sends before the first acknowledgement (RFC 6928): less of it would not arrive sooner."""


class Request(msgspec.Struct, kw_only=True):
    """An HTTP request."""

    method: str
    path: str
    """As it was sent: still percent-encoded."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: str | bytes = b""
    """As the event has it: see :func:`read_body`."""
    is_base64: bool = False
    id: str = ""


class Response(msgspec.Struct, kw_only=True):
    """What goes back, whatever the way it came."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    usage: Usage | None = None
    error_type: str | None = None


class BodyError(Exception):
    """The body cannot be read: the message says why, ``status`` is the HTTP status that says the same."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def read_body(request: Request, max_bytes: int) -> bytes:
    """The request's body, without the encodings that it came in.

    Raises:
        BodyError: it is damaged, or longer than ``max_bytes``.
    """
    body = request.body
    if request.is_base64:
        try:
            body = binascii.a2b_base64(body, strict_mode=True)
        except ValueError as error:  # binascii.Error, or a character that is not ASCII
            raise BodyError(400, f"the body is not base64: {error}") from None
    elif isinstance(body, str):
        try:
            body = body.encode()
        except UnicodeEncodeError:
            raise BodyError(400, "the body is not valid Unicode: it holds half of a surrogate pair") from None
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        body = _decompress(body, max_bytes)
    elif encoding != "identity":
        raise BodyError(415, f"Content-Encoding `{encoding}` is not supported; gzip and identity are")
    if len(body) > max_bytes:
        raise BodyError(413, f"the body is longer than the {max_bytes} bytes allowed")
    return body


def _decompress(body: bytes, max_bytes: int) -> bytes:
    decompressor = zlib.decompressobj(GZIP_WBITS)
    try:
        # One byte more than is allowed, so that a small body that would unfold to a huge one never does.
        data = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise BodyError(400, f"the body is not gzip: {error}") from None
    if len(data) <= max_bytes and (not decompressor.eof or decompressor.unused_data):
        raise BodyError(400, "the body is not gzip: it is cut off, or something follows it")
    return data


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an ``Accept-Encoding`` header allows gzip (RFC 9110, 12.5.3)."""
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip() in ("gzip", "x-gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
