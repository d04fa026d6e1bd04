"""Who may call. With ``iam`` the Function URL decides before the function is called; an API key is checked here."""

import binascii
from collections.abc import Callable
from time import monotonic

from .errors import HttpError
from .messages import Request

REFRESH_SECONDS = 300
"""How long a key is trusted before it is read again."""
MISS_SECONDS = 10
"""A key that does not match may be a rotated one, so the secret is read again, but at most this often."""


class Authenticator:
    """Lets every request through."""

    needs_key = False
    """Whether callers have to send an API key."""

    def check(self, request: Request) -> None:
        """Raise HttpError (401) if ``request`` may not be answered."""


class ApiKeyAuthenticator(Authenticator):
    """Requires a key as bearer token; a browser that opens a page may send it as the password of basic authentication.

    ``read_key`` reads the key: at first use, every :data:`REFRESH_SECONDS`, and when a request sends another key, so that the
    key can be rotated without a deployment. ``report`` gets the error if that fails; until it succeeds the last key holds.
    """

    needs_key = True

    def __init__(
        self,
        read_key: Callable[[], str],
        report: Callable[[Exception], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._read_key = read_key
        self._report = report
        self._clock = clock
        self._key: bytes | None = None
        self._read_at = float("-inf")

    def check(self, request: Request) -> None:
        """Raise HttpError if the key is missing or wrong (401), or the secret cannot be read (503)."""
        offered = _credential(request.headers.get("authorization", ""))
        if self._key is None or self._age() >= REFRESH_SECONDS:
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
        except Exception as error:  # after any error, the last key still holds
            self._report(error)

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _matches(self, offered: bytes) -> bool:
        from hmac import compare_digest

        # Takes the same time however much of the key is right. An empty secret lets nobody in.
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
    # "Basic" makes a browser ask its user for a password: right for a page, wrong for a request that a script sends.
    is_page = "text/html" in request.headers.get("accept", "")
    challenge = 'Basic realm="embeddings"' if is_page else 'Bearer realm="embeddings"'
    return HttpError(
        401, message, error_type="Unauthorized", code="invalid_api_key", headers={"www-authenticate": challenge}
    )
