"""Events of a Function URL (payload format 2.0) or of a REST API of API Gateway (1.0) to HTTP requests, and responses to the
results that both expect.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

import binascii
from collections.abc import Mapping
from typing import Any

from ..http.messages import BodyError, Request, Response
from ..service.errors import writable

GATEWAY_SECONDS = 28
"""API Gateway waits 29 seconds for an answer, which includes its way there and back."""


def is_http(event: Any) -> bool:
    """Whether ``event`` is an HTTP request; if not, it is a direct invocation."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and ("http" in context or is_gateway(event))


def is_gateway(event: Mapping[str, Any]) -> bool:
    """Whether an ``event`` with a ``requestContext`` comes from API Gateway."""
    return "httpMethod" in event["requestContext"]


def parse(event: Mapping[str, Any], request_id: str = "") -> Request:
    """The HTTP request of an event. Parts that are missing or not strings count as empty.

    ``request_id`` is used if the event has no id.
    """
    context = event["requestContext"]
    method, path, caller = _gateway_request(event) if is_gateway(event) else _url_request(event)
    request = Request(
        method=_text(method).upper(),
        path=_text(path) or "/",
        headers={name.lower(): value for name, value in _dict(event.get("headers")).items() if isinstance(value, str)},
        id=_text(context.get("requestId")) or request_id,
        caller={name: value for name in caller if (value := _text(caller[name]))},
    )
    try:
        request.body = _body(event.get("body"), event.get("isBase64Encoded") is True)
    except BodyError as error:
        request.body_error = error
    return request


def _url_request(event: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Method, path and caller in an event of a Function URL."""
    context = event["requestContext"]
    http, iam = _dict(context["http"]), _dict(_dict(context.get("authorizer")).get("iam"))
    caller = {"principal": iam.get("userArn"), "source_ip": http.get("sourceIp")}
    return http.get("method"), event.get("rawPath") or http.get("path"), caller


def _gateway_request(event: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Method, path and caller in an event of API Gateway."""
    identity = _dict(event["requestContext"].get("identity"))
    caller = {"principal": identity.get("userArn"), "source_ip": identity.get("sourceIp")}
    return event.get("httpMethod"), event.get("path"), caller


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


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
    """The result that makes the Function URL or API Gateway send ``response``."""
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
