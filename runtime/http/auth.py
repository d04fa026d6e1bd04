"""Who may call. With ``iam`` the Function URL has decided before the function is asked; a key is checked here."""

import binascii
from collections.abc import Callable
from time import monotonic

from .errors import HttpError
from .messages import Request

MISS_SECONDS = 10
"""When a key is offered that does not match, the secret may have been rotated: it is read again, at most this often."""


class Authenticator:
    """Lets every request through."""

    def check(self, request: Request) -> None:
        """Raise HttpError (401) if ``request`` may not be answered."""


class ApiKeyAuthenticator(Authenticator):
    """Asks for a key as bearer token, or from a browser that opens a page as the password of basic authentication.

    ``read_key`` reads the key from where it is kept: once, again every ``refresh_seconds``, and when another one is offered,
    so that it can be rotated without deploying. ``report`` is told when it fails; the key known so far holds until it succeeds.
    """

    def __init__(
        self,
        read_key: Callable[[], str],
        refresh_seconds: float,
        report: Callable[[Exception], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._read_key = read_key
        self._refresh_seconds = refresh_seconds
        self._report = report
        self._clock = clock
        self._key: bytes | None = None
        self._read_at = float("-inf")

    def check(self, request: Request) -> None:
        """Raise HttpError if the key is missing or wrong (401), or cannot be compared with the right one (503)."""
        offered = _credential(request.headers.get("authorization", ""))
        if self._key is None or self._age() >= self._refresh_seconds:
            self.refresh()
        if offered and not self._matches(offered) and self._age() >= MISS_SECONDS:
            self.refresh()
        if self._key is None:
            raise HttpError(503, "the API key cannot be read", error_type="Unhealthy")
        if not self._matches(offered):
            raise _unauthorized(request, offered)

    def refresh(self) -> None:
        """Read the key."""
        self._read_at = self._clock()
        try:
            self._key = self._read_key().strip().encode()
        except Exception as error:  # whatever it is, requests with the known key are answered
            self._report(error)

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _matches(self, offered: bytes) -> bool:
        from hmac import compare_digest

        # In time that does not depend on how much of it is right. An empty secret lets nobody in.
        return bool(self._key) and compare_digest(offered, self._key)


def _credential(authorization: str) -> bytes:
    """The key in an ``Authorization`` header; empty if there is none."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode(errors="replace")
    if scheme.lower() == "basic":
        try:
            return binascii.a2b_base64(value.strip()).partition(b":")[2]
        except ValueError:
            return b""
    return b""


def _unauthorized(request: Request, offered: bytes) -> HttpError:
    message = "the API key is wrong" if offered else "an API key is needed: send `Authorization: Bearer KEY`"
    # A browser asks its user for a password only if it is told to, which is right for a page and wrong for a call of it.
    is_page = "text/html" in request.headers.get("accept", "")
    challenge = 'Basic realm="embeddings"' if is_page else 'Bearer realm="embeddings"'
    return HttpError(
        401, message, error_type="Unauthorized", code="invalid_api_key", headers={"www-authenticate": challenge}
    )
