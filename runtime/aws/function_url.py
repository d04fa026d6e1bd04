"""Function URL events (payload format 2.0) to HTTP requests, and responses to the results that Lambda expects.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

import binascii
from collections.abc import Mapping
from typing import Any

from ..http.messages import BodyError, Request, Response
from ..service.errors import writable


def is_http(event: Any) -> bool:
    """Whether ``event`` comes from a Function URL; if not, it is a direct invocation."""
    return (
        isinstance(event, dict) and isinstance(event.get("requestContext"), dict) and "http" in event["requestContext"]
    )


def parse(event: Mapping[str, Any], request_id: str = "") -> Request:
    """The HTTP request of a Function URL event. Parts that are missing or not strings count as empty.

    ``request_id`` is used if the event has no id.
    """
    context = event["requestContext"]
    http = context["http"] if isinstance(context["http"], dict) else {}
    headers = event.get("headers") if isinstance(event.get("headers"), dict) else {}
    request = Request(
        method=_text(http.get("method")).upper(),
        path=_text(event.get("rawPath") or http.get("path")) or "/",
        headers={name.lower(): value for name, value in headers.items() if isinstance(value, str)},
        id=_text(context.get("requestId")) or request_id,
        caller=_caller(context, http),
    )
    try:
        request.body = _body(event.get("body"), event.get("isBase64Encoded") is True)
    except BodyError as error:
        request.body_error = error
    return request


def _caller(context: Mapping[str, Any], http: Mapping[str, Any]) -> dict[str, str]:
    """The principal, if the URL checks signatures, and the address, as far as the event has them."""
    authorizer = context.get("authorizer")
    iam = authorizer.get("iam") if isinstance(authorizer, dict) else None
    found = {
        "principal": _text(iam.get("userArn")) if isinstance(iam, dict) else "",
        "source_ip": _text(http.get("sourceIp")),
    }
    return {name: value for name, value in found.items() if value}


def _text(value: Any) -> str:
    return writable(value) if isinstance(value, str) else ""


def _body(body: Any, is_base64: bool) -> bytes:
    if not isinstance(body, (str, bytes)):
        return b""
    if is_base64:
        try:
            return binascii.a2b_base64(body, strict_mode=True)
        except ValueError as error:  # binascii.Error, or a character that is not ASCII
            raise BodyError(400, f"the body is not base64: {error}") from None
    if isinstance(body, bytes):
        return body
    try:
        return body.encode()
    except UnicodeEncodeError:
        raise BodyError(400, "the body is not valid Unicode: it holds half of a surrogate pair") from None


def answer(response: Response) -> dict[str, Any]:
    """The result that makes the Function URL send ``response``."""
    headers = {"content-type": response.content_type, **response.headers}
    # Lambda takes a body that is not text as base64.
    is_base64 = bool(response.body) and "content-encoding" in headers
    body = binascii.b2a_base64(response.body, newline=False) if is_base64 else response.body
    return {
        "statusCode": response.status,
        "headers": headers,
        "body": body.decode(),
        "isBase64Encoded": is_base64,
    }
