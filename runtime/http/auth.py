"""Who may call. With ``iam`` the Function URL decides before the function is called; API keys are checked here."""

import binascii
from collections.abc import Callable, Mapping
from time import monotonic, perf_counter

from .errors import HttpError
from .messages import Request

REFRESH_SECONDS = 300
"""How long keys are trusted before they are read again."""
RETRY_SECONDS = 10
"""Shortest pause between two readings: after one that failed, and when a request sends an unknown key, which may be new."""
MAX_AGE_SECONDS = 3600
"""How long keys that were read hold while they cannot be read again, as in an outage of Secrets Manager."""
READ_SECONDS = 5
"""Longest time that a request waits for a reading."""


class SecretError(Exception):
    """The keys cannot be read. The message says why, and never contains a key."""

    def __init__(self, message: str, *, revokes: bool = False) -> None:
        super().__init__(message)
        self.revokes = revokes
        """Whether the keys that were read before must not be used any more."""


class Authenticator:
    """Lets every request through."""

    needs_key = False
    """Whether callers have to send an API key."""

    def check(self, request: Request, deadline: float = float("inf")) -> str | None:
        """The name of the caller's key, None if it has no name.

        ``deadline`` is the time by ``perf_counter``, in seconds, when the request has to be answered.

        Raises:
            HttpError: ``request`` may not be answered (401).
        """


class ApiKeyAuthenticator(Authenticator):
    """Requires a key as bearer token; a browser that opens a page may send it as the password of basic authentication.

    ``read_keys`` takes the seconds that it may last, and returns the keys by name. It is called at first use, every
    :data:`REFRESH_SECONDS`, and when a request sends an unknown key, so that keys can be changed without a deployment.
    ``report`` gets the error if that fails: the last keys then hold for :data:`MAX_AGE_SECONDS`, unless the error is a
    SecretError that revokes them.
    """

    needs_key = True

    def __init__(
        self,
        read_keys: Callable[[float], Mapping[str | None, str]],
        report: Callable[[Exception], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._read_keys = read_keys
        self._report = report
        self._clock = clock
        self._keys: dict[str | None, bytes] = {}
        self._failed = True
        """Whether the last reading failed."""
        self._tried_at = self._read_at = float("-inf")

    def check(self, request: Request, deadline: float = float("inf")) -> str | None:
        """The name of the caller's key, None if it has no name.

        Raises:
            HttpError: the key is missing or wrong (401), or no key is known, since the secret cannot be read (503).
        """
        offered = _credential(request.headers.get("authorization", ""))
        names = self._names(offered)
        pause = RETRY_SECONDS if self._failed or (offered and not names) else REFRESH_SECONDS
        if self._clock() - self._tried_at >= pause:
            self.refresh(deadline)
            names = self._names(offered)
        if not self._keys:
            retry = {"retry-after": str(RETRY_SECONDS)}
            raise HttpError(503, "the API key cannot be read", error_type="Unhealthy", headers=retry)
        if not names:
            raise _unauthorized(request, offered)
        return names[0]

    def refresh(self, deadline: float = float("inf")) -> None:
        """Read the keys. It takes half of the time until ``deadline`` at most, so that an answer can follow."""
        seconds = max(0.0, min(READ_SECONDS, (deadline - perf_counter()) / 2))
        try:
            self._keys = {name: key.encode() for name, key in self._read_keys(seconds).items()}
            self._read_at = self._clock()
            self._failed = False
        except Exception as error:
            self._failed = True
            revoked = isinstance(error, SecretError) and error.revokes
            if revoked or self._clock() - self._read_at >= MAX_AGE_SECONDS:
                self._keys = {}
            self._report(error)
        self._tried_at = self._clock()

    def _names(self, offered: bytes) -> list[str | None]:
        """The names of the keys that equal ``offered``."""
        from hmac import compare_digest

        # All keys are compared, and each in the same time however much of it is right.
        return [name for name, key in self._keys.items() if compare_digest(offered, key)]


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
