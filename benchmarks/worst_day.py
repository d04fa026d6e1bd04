"""What callers without a pause cost in a day, at most: the table of docs/operations.md. It follows from the limits of Lambda and list
prices, nothing from a measurement."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from infra.watch.prices import COMPUTE, USD_PER_REQUEST
from runtime.http.sizes import LAMBDA_PAYLOAD_BYTES
from runtime.settings import VCPU_MB

SECONDS_A_DAY = 86_400
CALLS_A_SECOND = 10
"""Most requests a second that Lambda passes to one environment:
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html ("each instance … up to 10 requests per second")."""
TRANSFER_USD = ((10_240, 0.09), (40_960, 0.085), (102_400, 0.07), (math.inf, 0.05))
"""Data sent to the internet in a month: so many GB (2^30 bytes) at this price each, then the next step:
https://aws.amazon.com/ec2/pricing/on-demand/ ("Data Transfer"), us-east-1, as of 2025-08."""
LOGS_USD = 0.50
"""A GB of logs taken in: https://aws.amazon.com/cloudwatch/pricing/, us-east-1, as of 2025-08."""
LOG_BYTES = 2_000
"""Most bytes that a request adds to the logs: our line, and Lambda's three about the start, the end and the report."""
REFUSED_SECONDS, REFUSED_BYTES = 0.002, 1_000
"""Time and answer of a request that is refused for want of the key, both rounded up."""


@dataclass(frozen=True)
class Day:
    """Charges of one day in US dollars."""

    compute: float
    requests: float
    transfer: float
    logs: float

    @property
    def total(self) -> float:
        """The sum of all."""
        return self.compute + self.requests + self.transfer + self.logs


def worst_day(environments: int, refused: bool = False, memory_mb: int = VCPU_MB) -> Day:
    """Return an upper bound of a day's charges, from the limits of Lambda: nothing depends on a measurement.

    Args:
        environments: Requests at a time, which callers send without a pause.
        refused: Whether the function refuses all of them for want of the key. Otherwise each environment is busy all day and
            sends the longest answers that Lambda lets through, as often as it lets requests through.
        memory_mb: Memory of the function in MiB.
    """
    calls = environments * CALLS_A_SECOND * SECONDS_A_DAY
    seconds = calls * REFUSED_SECONDS if refused else environments * SECONDS_A_DAY
    sent = calls * (REFUSED_BYTES if refused else LAMBDA_PAYLOAD_BYTES) / 2**30
    return Day(
        compute=seconds * memory_mb / 1024 * COMPUTE["x86_64"].on_demand,
        requests=calls * USD_PER_REQUEST,
        transfer=_transfer_usd(sent),
        logs=calls * LOG_BYTES / 2**30 * LOGS_USD,
    )


def _transfer_usd(gigabytes: float) -> float:
    """Return the price of sending this much, if it is the month's first."""
    usd = 0.0
    for step, price in TRANSFER_USD:
        usd += min(gigabytes, step) * price
        gigabytes -= min(gigabytes, step)
    return usd


def worst_days() -> Iterator[str]:
    """Yield the table of docs/operations.md, line by line, in Markdown."""
    yield "| who calls without a pause | compute | requests | transfer | logs | a day, at most |"
    yield "|---|---:|---:|---:|---:|---:|"
    for who, day in {
        "`none`: anybody. `api_key`: who has the key. 10 at a time": worst_day(10),
        "`api_key`: who has no key. 10 at a time": worst_day(10, refused=True),
        "`iam`: a principal that you let in. 1,000 at a time, the usual quota of an account": worst_day(1_000),
    }.items():
        terms = (day.compute, day.requests, day.transfer, day.logs, day.total)
        yield f"| {who} | " + " | ".join(f"{usd:,.{0 if usd >= 100 else 2}f} $" for usd in terms) + " |"
