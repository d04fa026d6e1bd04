"""Signature Version 4 for HTTP clients of the httpx family, and so for what is built on them, such as ``openai``."""

import re
from typing import Any

import botocore.session
from botocore.auth import SigV4Auth as Signer
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

FUNCTION_URL_HOST = re.compile(r"\.lambda-url\.([a-z0-9-]+)\.on\.aws$")
SIGNED_HEADERS = ("content-type", "host")


class SigV4Auth:
    """Signs requests to a Function URL with ``AWS_IAM`` authentication, with the caller's AWS credentials.

    For ``httpx``, ``httpx2`` and clients that take one of theirs, synchronous or not:

        client = httpx.Client(base_url=URL, auth=SigV4Auth())
        openai = OpenAI(base_url=f"{URL}/v1", api_key="unused", http_client=httpx2.Client(auth=SigV4Auth()))

    Args:
        region: By default that in the Function URL's host, or else that of the AWS configuration.
        service: The service that is signed for, ``lambda`` for a Function URL.
        credentials: By default those that the AWS CLI would find; they are refreshed when they expire.
        profile: Of the AWS configuration.

    Raises:
        ValueError: there are no credentials, or for a host that names none no region.
    """

    def __init__(
        self,
        region: str | None = None,
        *,
        service: str = "lambda",
        credentials: Credentials | None = None,
        profile: str | None = None,
    ) -> None:
        session = botocore.session.Session(profile=profile)
        self._credentials = credentials or session.get_credentials()
        if self._credentials is None:
            raise ValueError("no AWS credentials were found; `aws configure` or AWS_ACCESS_KEY_ID sets them")
        self._region = region
        self._default_region = session.get_config_variable("region")
        self._service = service

    def __call__(self, request: Any) -> Any:
        """Sign a request, as an ``auth`` callable of httpx is asked to."""
        headers = {name: request.headers[name] for name in SIGNED_HEADERS if name in request.headers}
        to_sign = AWSRequest(request.method, str(request.url), headers=headers, data=request.read())
        region = self._region_of(request.url.host)
        Signer(self._credentials.get_frozen_credentials(), self._service, region).add_auth(to_sign)
        # What the client itself put there, such as openai's bearer token, gives way.
        request.headers.update(dict(to_sign.headers))
        return request

    def _region_of(self, host: str) -> str:
        in_host = FUNCTION_URL_HOST.search(host)
        region = self._region or (in_host and in_host[1]) or self._default_region
        if not region:
            raise ValueError(f"{host} names no AWS region; pass `region` or set AWS_REGION")
        return region
