"""HTTP requests and responses, and the encodings of their bodies."""

import zlib
from collections.abc import Mapping

import msgspec

from ..service.options import Usage

GZIP_WBITS = 16 + zlib.MAX_WBITS
GZIP_LEVEL = 1
"""Compresses digits to 44% of their size; zlib's default level to 39%, but takes six times as long."""
GZIP_FROM_BYTES = 14_600
"""TCP sends this much before the first acknowledgement (RFC 6928), so a smaller body would not arrive sooner."""
GZIP_SHARE = 0.75
"""A compressed body must be smaller than this share of the plain one: a Function URL sends it as base64, a third longer."""


MAX_ID_CHARACTERS = 128
"""Of a request's id, which goes into the log: a direct invocation can name any. AWS's own have 36."""


class BodyError(Exception):
    """A body that cannot be read; ``status`` is the HTTP status for the reason in ``message``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Request(msgspec.Struct, kw_only=True):
    """An HTTP request."""

    method: str
    """In capitals."""
    path: str
    """Percent-encoded, as it was sent."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes = b""
    """As it was sent; :func:`read_body` decompresses it."""
    body_error: BodyError | None = None
    """Set if the body could not be received. :func:`read_body` raises it, so that a route answers it after authentication."""
    id: str = ""
    """Cut after :data:`MAX_ID_CHARACTERS`."""
    caller: Mapping[str, str] | None = None
    """Who sent it, where that is known: ``principal`` (an ARN) and ``source_ip``. For the log only."""

    def __post_init__(self) -> None:
        self.id = self.id[:MAX_ID_CHARACTERS]


class Response(msgspec.Struct, kw_only=True):
    """The answer to a request."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    """Other headers than the content type, by name in lower case."""
    usage: Usage | None = None
    error_type: str | None = None
    key: str | None = None
    """Name of the caller's API key, for the log; None if it has none."""


def read_body(request: Request, max_bytes: int) -> bytes:
    """The request's body, decompressed.

    Raises:
        BodyError: it is damaged, or longer than ``max_bytes``.
    """
    if request.body_error:
        raise request.body_error
    body = request.body
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
        # At most one byte more than allowed, so that a small body cannot unfold to a huge one.
        data = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise BodyError(400, f"the body is not gzip: {error}") from None
    if len(data) <= max_bytes and (not decompressor.eof or decompressor.unused_data):
        raise BodyError(400, "the body is not gzip: it is cut off, or something follows it")
    return data


def finish(response: Response, request: Request) -> None:
    """Compress a long body if the client accepts gzip, and drop the body of an answer to HEAD."""
    if len(response.body) >= GZIP_FROM_BYTES and accepts_gzip(request.headers.get("accept-encoding", "")):
        compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WBITS)
        compressed = compressor.compress(response.body) + compressor.flush()
        if len(compressed) < GZIP_SHARE * len(response.body):
            response.headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
            response.body = compressed
    if request.method == "HEAD":
        response.body = b""


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an ``Accept-Encoding`` header allows gzip (RFC 9110, 12.5.3)."""
    items = (item.partition(";") for item in "".join(accept_encoding.lower().split()).split(","))
    weights = {coding: weight for coding, _, weight in items}
    # A coding that is named does not depend on the weight of `*`, wherever that stands.
    weight = next((weights[coding] for coding in ("gzip", "x-gzip", "*") if coding in weights), "q=0")
    return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
