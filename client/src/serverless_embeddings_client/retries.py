"""When a request is tried again: after 429, a 5xx or a lost connection, since the same request may succeed later."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

ATTEMPTS, FIRST_ATTEMPTS = 10, 3
"""A minute or so; and while an address has never answered, some two seconds."""
FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0
LONGEST_RETRY_AFTER = 300.0
"""Whoever is asked to wait longer is better told so."""


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status == 429 or status >= 500


def wait_seconds(attempt: int, attempts: int, retry_after: str | None = None) -> float | None:
    """How long to wait after ``attempt``, from 1, of ``attempts`` has failed; None if that was the last one, or the wait would be too long.

    The wait is random up to a bound that doubles, so that clients that failed together do not come back together
    ("full jitter", https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/), and at least what the
    header ``Retry-After`` says.
    """
    if attempt >= attempts:
        return None
    asked = _seconds(retry_after)
    if asked > LONGEST_RETRY_AFTER:
        return None
    return asked + random.uniform(0, min(MOST_SECONDS, FIRST_SECONDS * 2 ** (attempt - 1)))


def _seconds(retry_after: str | None) -> float:
    """``Retry-After`` in seconds from now: a number or a date (RFC 9110, 10.2.3); 0 if it is neither."""
    if not retry_after:
        return 0.0
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
