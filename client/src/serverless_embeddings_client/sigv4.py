"""Signature Version 4 for HTTP clients of the httpx family, and for clients that are built on them, such as ``openai``."""

import os
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import botocore.session
from botocore.auth import SigV4Auth as Signer
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

AWS_HOST = re.compile(
    r"\.(?P<service>lambda-url|execute-api)\.(?P<region>[a-z0-9-]+)\.(on\.aws|amazonaws\.com(\.cn)?)$"
)
"""The host of a Function URL or of an API of API Gateway."""
SERVICES = {"lambda-url": "lambda", "execute-api": "execute-api"}
"""The service to sign for, by the host."""
SIGNED_HEADERS = ("content-type", "host")


class Url(Protocol):
    """The parts of a request's URL that signing reads."""

    @property
    def host(self) -> str: ...


class Headers(Protocol):
    """The headers of a request, their names in any case."""

    def __contains__(self, name: Any, /) -> bool: ...
    def __getitem__(self, name: str, /) -> str: ...
    def update(self, headers: Mapping[str, str], /) -> None: ...


class Request(Protocol):
    """The parts of ``httpx.Request`` that signing reads and changes."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> Url: ...
    @property
    def headers(self) -> Headers: ...
    def read(self) -> bytes: ...


RequestT = TypeVar("RequestT", bound=Request)


def configured_region(session: botocore.session.Session) -> str | None:
    """The region of the environment or the AWS configuration. Unlike the AWS CLI, botocore does not read ``AWS_REGION``."""
    return os.environ.get("AWS_REGION") or session.get_config_variable("region")


class SigV4Auth:
    """Signs requests to a Function URL or an API Gateway with IAM authentication, with the caller's AWS credentials.

    For ``httpx``, ``httpx2`` and clients that take one of theirs, synchronous or not:

        client = httpx.Client(base_url=URL, auth=SigV4Auth())
        openai = OpenAI(base_url=f"{URL}v1", api_key="unused", http_client=httpx2.Client(auth=SigV4Auth()))

    Args:
        region: By default the region in the endpoint's host; for a domain of your own, that of the AWS configuration.
        service: The service to sign for: by default ``execute-api`` for a host of API Gateway, else ``lambda``.
        credentials: By default those that the AWS CLI would find. They are refreshed when they expire.
        profile: A profile of the AWS configuration.

    Raises:
        ValueError: no credentials were found. Signing raises it too, if no region is known for the host.
    """

    def __init__(
        self,
        region: str | None = None,
        *,
        service: str | None = None,
        credentials: Credentials | None = None,
        profile: str | None = None,
    ) -> None:
        session = botocore.session.Session(profile=profile)
        found = credentials or session.get_credentials()
        if found is None:
            raise ValueError("no AWS credentials were found; `aws configure` or AWS_ACCESS_KEY_ID sets them")
        self._credentials: Credentials = found
        self._region = region
        self._default_region = configured_region(session)
        self._service = service

    def __call__(self, request: RequestT) -> RequestT:
        """Sign a request: httpx calls this for each request of a client whose ``auth`` is this object.

        Raises:
            ValueError: no region is known for the request's host.
        """
        headers = {name: request.headers[name] for name in SIGNED_HEADERS if name in request.headers}
        to_sign = AWSRequest(request.method, str(request.url), headers=headers, data=request.read())
        service, region = self._scope(request.url.host)
        Signer(self._credentials.get_frozen_credentials(), service, region).add_auth(to_sign)
        # The signature replaces the client's own Authorization header, such as openai's bearer token.
        request.headers.update(dict(to_sign.headers))
        return request

    def _scope(self, host: str) -> tuple[str, str]:
        """The service and the region to sign for."""
        in_host = AWS_HOST.search(host)
        region = self._region or (in_host and in_host["region"]) or self._default_region
        if not region:
            raise ValueError(f"{host} names no AWS region; pass `region` or set AWS_REGION")
        return self._service or (SERVICES[in_host["service"]] if in_host else "lambda"), region
