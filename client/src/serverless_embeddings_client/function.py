"""A Lambda function, called by its name, as a transport of httpx: requests reach it as its Function URL would send them.

So a function without a URL has the same routes, statuses and encodings. The caller needs ``lambda:InvokeFunction``.
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

import asyncio
import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoRegionError

from .sigv4 import configured_region

QUALIFIED = re.compile(r"(^|:function:)[^:]+:[^:]+$")
ARN = re.compile(r"arn:[^:]+:lambda:(?P<region>[^:]+):")
ALIAS = "live"
"""The alias that every deployment has."""
THROTTLED = ("TooManyRequestsException", "Throttling", "ThrottlingException")


class FunctionTransport(httpx.AsyncBaseTransport):
    """Calls ``function``: a name or an ARN, with ``:`` and an alias or version after it, or else its alias ``live``.

    Args:
        connections: Most calls at a time.
        seconds: How long a call may take.

    Raises:
        ValueError: no region is configured, or the profile does not exist.
    """

    def __init__(self, function: str, connections: int, seconds: float) -> None:
        self._target = {"FunctionName": function}
        if not QUALIFIED.search(function):
            self._target["Qualifier"] = ALIAS
        config = Config(
            read_timeout=seconds,
            max_pool_connections=connections,
            tcp_keepalive=True,
            retries={"total_max_attempts": 1},  # the client tries again
        )
        session, in_arn = botocore.session.Session(), ARN.match(function)
        region = in_arn["region"] if in_arn else configured_region(session)
        try:
            self._lambda = session.create_client("lambda", region, config=config)
        except NoRegionError:
            raise ValueError("no AWS region is configured; `aws configure` or AWS_REGION sets it") from None
        except BotoCoreError as error:
            raise ValueError(str(error)) from error
        self._threads = ThreadPoolExecutor(connections)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Invoke the function with ``request``.

        Raises:
            httpx.TransportError: AWS cannot be reached, or refuses the call.
        """
        payload = json.dumps(to_event(request, await request.aread()))
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._invoke, payload)

    def _invoke(self, payload: str) -> httpx.Response:
        try:
            answer = self._lambda.invoke(**self._target, Payload=payload)
            result = answer["Payload"].read()
        except HTTPClientError as error:  # also a read that takes too long
            raise httpx.NetworkError(str(error)) from error
        except ClientError as error:
            return _response_of(error)
        except BotoCoreError as error:
            raise httpx.UnsupportedProtocol(str(error)) from error
        if "FunctionError" in answer:
            # Lambda's own answer to a function that crashed or took too long, as through a Function URL.
            return httpx.Response(502, json={"error": f"the function failed: {failure(result)}"})
        return to_response(json.loads(result))

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._lambda.close()


def to_event(request: httpx.Request, body: bytes) -> dict[str, Any]:
    """``request`` in payload format 2.0."""
    path = request.url.path
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {"http": {"method": request.method, "path": path}},
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def to_response(result: dict[str, Any]) -> httpx.Response:
    """The function's result as an answer."""
    body = result["body"]
    content = base64.b64decode(body) if result["isBase64Encoded"] else body.encode()
    return httpx.Response(result["statusCode"], headers=result["headers"], content=content)


def _response_of(error: ClientError) -> httpx.Response:
    """The refusal of Lambda's API as an answer."""
    status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
    kept = {"retry-after": headers["retry-after"]} if "retry-after" in headers else {}
    return httpx.Response(429 if code in THROTTLED else status, headers=kept, json={"error": str(error)})


def failure(result: bytes) -> str:
    """Why the function failed, in Lambda's words."""
    try:
        return json.loads(result)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        return result[:200].decode(errors="replace")
