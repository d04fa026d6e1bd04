"""Reads the API keys from a secret in AWS Secrets Manager, with a request signed with Signature Version 4.

This is the only request that the runtime sends to AWS, and importing boto3 would take longer than loading the model.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import hashlib
import hmac
import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from threading import Thread
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec

from ..http.auth import SecretError

SERVICE = "secretsmanager"
TARGET = "secretsmanager.GetSecretValue"
MAX_ANSWER_BYTES = 2**18
"""A secret has at most 65,536 bytes (API reference of PutSecretValue), and JSON may escape each."""
MAX_MESSAGE_CHARACTERS = 500
REVOKED = ("ResourceNotFoundException", "AccessDeniedException", "InvalidRequestException", "DecryptionFailure")
"""Errors of GetSecretValue by which keys end: the secret is gone, forbidden, about to be deleted, or its KMS key cannot be used."""

Key = Annotated[str, msgspec.Meta(pattern=r"^[!-~]+\Z", max_length=512)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._@/-]{1,64}\Z")]
_Many = msgspec.Meta(min_length=1, max_length=100)
Keys = Annotated[list[Key], _Many] | Annotated[dict[Name, Key], _Many]
ALLOWED = (
    "Allowed are a key, a JSON list of keys, and a JSON object of names and keys. A key has 1 to 512 characters of ASCII "
    "without spaces, a name 1 to 64 letters, digits and ._@/-; there are 1 to 100 keys."
)


def read_keys(arn: str, environment: Mapping[str, str], seconds: float) -> dict[str | None, str]:
    """The keys in the secret ``arn`` by name, read within ``seconds`` with the credentials in Lambda's ``environment``.

    ``AWS_ENDPOINT_URL_SECRETS_MANAGER`` and ``AWS_ENDPOINT_URL`` choose another endpoint, as for the AWS SDKs.

    Raises:
        SecretError: Secrets Manager cannot be reached or refuses the request, or the secret's text is not allowed.
    """
    return parse_keys(read_secret(arn, environment, seconds))


def parse_keys(text: str) -> dict[str | None, str]:
    """The keys in a secret's text by name: that of a list's key is its place, from 1 on, and a single key has none.

    Raises:
        SecretError: the text is not allowed. It does not quote the text.
    """
    text = text.strip()
    try:
        if not text.startswith(("[", "{")):
            return {None: msgspec.convert(text, Key)}
        keys = msgspec.json.decode(text, type=Keys)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SecretError(f"the secret's text is not allowed ({error}). {ALLOWED}", revokes=True) from None
    return keys if isinstance(keys, dict) else {str(place): key for place, key in enumerate(keys, 1)}


class _Value(msgspec.Struct):
    text: str = msgspec.field(name="SecretString", default="")


class _Refusal(msgspec.Struct):
    type: str = msgspec.field(name="__type")
    message: str = ""
    capital_message: str = msgspec.field(name="Message", default="")


def read_secret(arn: str, environment: Mapping[str, str], seconds: float) -> str:
    """The current text (``SecretString``) of the secret ``arn``; empty if it has none.

    Raises:
        SecretError: Secrets Manager cannot be reached within ``seconds``, or refuses the request.
    """
    region = _region(arn, environment)
    url = urlsplit(
        environment.get("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        or environment.get("AWS_ENDPOINT_URL")
        or default_endpoint(region)
    )
    body = json.dumps({"SecretId": arn}).encode()
    headers = signed_headers(url.netloc, url.path or "/", body, region, environment, datetime.now(UTC))
    status, answer = _post(url, body, headers, seconds)
    try:
        if status == 200:
            return msgspec.json.decode(answer, type=_Value).text
        refusal = msgspec.json.decode(answer, type=_Refusal)
    except msgspec.MsgspecError:
        # Its content is left out: it is not known who wrote it.
        raise SecretError(f"{url.netloc} answered {status}, but not as Secrets Manager does") from None
    # Some services of AWS put a namespace before the type.
    kind = refusal.type.rpartition("#")[2]
    message = f"{kind}: {refusal.message or refusal.capital_message}"[:MAX_MESSAGE_CHARACTERS]
    raise SecretError(f"{url.netloc} answered {status} {message}", revokes=kind in REVOKED)


def _post(url: SplitResult, body: bytes, headers: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
    """Status and body of the answer.

    A socket's timeout counts for one operation: each address of a name, the handshake, each piece of an answer. So the
    request is sent in a thread of its own, and ``seconds`` are how long it is waited for.

    Raises:
        SecretError: there is no answer within ``seconds``, or it is longer than :data:`MAX_ANSWER_BYTES`.
    """
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.netloc, timeout=seconds)
    results: list[tuple[int, bytes] | Exception] = []

    def send() -> None:
        try:
            connection.request("POST", url.path or "/", body, headers)
            response = connection.getresponse()
            results.append((response.status, response.read(MAX_ANSWER_BYTES + 1)))
        except Exception as error:
            results.append(error)
        finally:
            connection.close()

    thread = Thread(target=send, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        # The thread ends with its connection, even if the answer comes byte by byte.
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)
        raise SecretError(f"{url.netloc} did not answer within {seconds:.1f} seconds")
    [result] = results
    if isinstance(result, Exception):
        # Other errors than those of the system may quote what was received.
        detail = f": {result}" if isinstance(result, OSError) else f" ({type(result).__name__})"
        raise SecretError(f"{url.netloc} cannot be reached{detail}") from result
    if len(result[1]) > MAX_ANSWER_BYTES:
        raise SecretError(f"{url.netloc} answered more than {MAX_ANSWER_BYTES} bytes")
    return result


def _region(arn: str, environment: Mapping[str, str]) -> str:
    parts = arn.split(":")
    region = parts[3] if len(parts) > 3 else environment.get("AWS_REGION")
    if not region:
        raise SecretError(f"{arn} names no region, and AWS_REGION is not set")
    return region


def default_endpoint(region: str) -> str:
    """https://docs.aws.amazon.com/general/latest/gr/asm.html, and for China
    https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-arns.html"""
    return f"https://{SERVICE}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def signed_headers(
    host: str, path: str, body: bytes, region: str, environment: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Headers of a signed POST to Secrets Manager.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    try:
        access_key, secret_key = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    except KeyError as error:
        raise SecretError(f"{error.args[0]} is not set") from None
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": host,
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-target": TARGET,
    }
    if token := environment.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    signed = ";".join(sorted(headers))
    canonical = "\n".join(
        ["POST", path, "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", signed, _sha256(body)]
    )
    scope = f"{headers['x-amz-date'][:8]}/{region}/{SERVICE}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, _sha256(canonical.encode())])
    key = f"AWS4{secret_key}".encode()
    for part in [*scope.split("/"), to_sign]:
        key = hmac.digest(key, part.encode(), "sha256")
    return headers | {
        "authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={key.hex()}"
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
