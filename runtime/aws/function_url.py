"""Function URL events (payload format 2.0) in, what Lambda expects back out.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

import binascii
import zlib
from collections.abc import Mapping
from typing import Any

from ..http.messages import GZIP_FROM_BYTES, GZIP_LEVEL, GZIP_WBITS, Request, Response, accepts_gzip
from ..service.errors import writable


def is_http(event: Any) -> bool:
    """Whether ``event`` comes from a Function URL, and not from a direct invocation."""
    return (
        isinstance(event, dict) and isinstance(event.get("requestContext"), dict) and "http" in event["requestContext"]
    )


def parse(event: Mapping[str, Any]) -> Request:
    """The HTTP request that a Function URL event describes. Parts that are missing or no strings count as empty."""
    context = event["requestContext"]
    http = context["http"] if isinstance(context["http"], dict) else {}
    headers = event.get("headers") if isinstance(event.get("headers"), dict) else {}
    body = event.get("body")
    return Request(
        method=_text(http.get("method")).upper(),
        path=_text(event.get("rawPath") or http.get("path")) or "/",
        headers={name.lower(): value for name, value in headers.items() if isinstance(value, str)},
        body=body if isinstance(body, (str, bytes)) else b"",
        is_base64=event.get("isBase64Encoded") is True,
        id=_text(context.get("requestId")),
    )


def _text(value: Any) -> str:
    return writable(value) if isinstance(value, str) else ""


def answer(response: Response, request: Request) -> dict[str, Any]:
    """The result that makes the Function URL send ``response``, compressed if it is long and the client takes gzip."""
    headers = {"content-type": response.content_type, **response.headers}
    body, is_base64 = response.body, False
    if len(body) >= GZIP_FROM_BYTES and accepts_gzip(request.headers.get("accept-encoding", "")):
        compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WBITS)
        compressed = compressor.compress(body) + compressor.flush()
        # Lambda takes bytes as base64 only, which costs a third again.
        if 4 * len(compressed) < 3 * len(body):
            headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
            body, is_base64 = compressed, True
    if request.method == "HEAD":
        body, is_base64 = b"", False
    text = binascii.b2a_base64(body, newline=False).decode() if is_base64 else body.decode()
    return {"statusCode": response.status, "headers": headers, "body": text, "isBase64Encoded": is_base64}
