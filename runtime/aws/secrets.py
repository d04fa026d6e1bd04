"""Reads one secret from AWS Secrets Manager, signed with Signature Version 4.

This is the only request that the runtime sends to AWS, and importing boto3 would take longer than loading the model.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import hashlib
import hmac
import http.client
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

SERVICE = "secretsmanager"
TARGET = "secretsmanager.GetSecretValue"
TIMEOUT_SECONDS = 5


class SecretError(Exception):
    """The secret cannot be read; the message says why and never contains the secret."""


def read_secret(arn: str, environment: Mapping[str, str]) -> str:
    """The current value (``SecretString``) of the secret ``arn``, with the credentials in Lambda's ``environment``.

    ``AWS_ENDPOINT_URL_SECRETS_MANAGER`` and ``AWS_ENDPOINT_URL`` choose another endpoint, as for the AWS SDKs.

    Raises:
        SecretError: Secrets Manager cannot be reached or refuses the request, or the secret has no text.
    """
    region = _region(arn, environment)
    url = urlsplit(
        environment.get("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        or environment.get("AWS_ENDPOINT_URL")
        or f"https://{SERVICE}.{region}.amazonaws.com"
    )
    body = json.dumps({"SecretId": arn}).encode()
    headers = signed_headers(url.netloc, url.path or "/", body, region, environment, datetime.now(UTC))
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", url.path or "/", body, headers)
        response = connection.getresponse()
        answer = response.read()
    except OSError as error:
        raise SecretError(f"{url.netloc} cannot be reached: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise SecretError(f"{url.netloc} answered {response.status}: {answer[:300].decode(errors='replace')}")
    secret = json.loads(answer).get("SecretString")
    if not secret:
        raise SecretError(f"{arn} has no text")
    return secret


def _region(arn: str, environment: Mapping[str, str]) -> str:
    parts = arn.split(":")
    region = parts[3] if len(parts) > 3 else environment.get("AWS_REGION")
    if not region:
        raise SecretError(f"{arn} names no region, and AWS_REGION is not set")
    return region


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
