"""``make cost``: computes the price of a million tokens from the measured times.

The model: a request costs its share of the price of a million requests, and the function's memory for as long as it runs, billed
by the millisecond; a cold one is billed for the init phase as well. CPU comes with memory: 1,769 MB is one vCPU
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). Below that a request takes as much longer as the
function has less of a CPU. Above, as many threads as there are vCPUs share it by Amdahl's law, with the serial share that follows
from the measurements with one and two threads; more than two were not measured.

The model does not know the speed of Lambda's vCPUs. ``--speed`` says how many times as long a request takes there as on the
machine of the measurements (1 by default; measure one call of a deployed function), ``--arm-speed`` the same for Graviton.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.watch.prices import COMPUTE, USD_PER_REQUEST
from runtime.http.sizes import LAMBDA_PAYLOAD_BYTES

from . import RESULTS

VCPU_MB = 1769
MEMORY_SIZES = (1024, 1536, 1769, 2048, 2654, 3008, 3538, 5307, 7076, 8845, 10240)
COLD_SHARE = 0.1

FREE_GB_SECONDS, FREE_REQUESTS = 400_000, 1_000_000
"""Free in each month, without an end: https://aws.amazon.com/lambda/pricing/ as of 2025-08."""
HOURS_A_MONTH = 730
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

OPENAI_USD = 0.02
"""text-embedding-3-small, a million tokens: https://platform.openai.com/docs/pricing as of 2025-08."""
SERVER = "t3.medium, always on"
SERVER_USD = 0.0416 * HOURS_A_MONTH + 8 * 0.08
"""A month of t3.medium (2 vCPUs, 4 GB, enough for TEI and a small model) with 8 GB of gp3 storage:
https://aws.amazon.com/ec2/pricing/on-demand/ and https://aws.amazon.com/ebs/pricing/, us-east-1, as of 2025-08."""


@dataclass(frozen=True)
class Times:
    """Measured times in seconds."""

    one_thread: float
    """A warm request, with one thread."""
    two_threads: float
    init: float
    """From the start of the process until it can answer, on one CPU."""
    tokens: int
    """Tokens of a request."""

    @property
    def serial_share(self) -> float:
        """The part of a request that more threads do not shorten (Amdahl's law), from the times with one and two: 0 to 1."""
        return min(1.0, max(0.0, 2 * self.two_threads / self.one_thread - 1))

    def warm(self, vcpus: float) -> float:
        """Return the seconds of a warm request with this many vCPUs."""
        return self._on(vcpus, self.one_thread, self.serial_share)

    def cold_init(self, vcpus: float) -> float:
        """Return the seconds of the init phase, which is serial, with this many vCPUs."""
        return self._on(vcpus, self.init, 1.0)

    @staticmethod
    def _on(vcpus: float, seconds: float, serial_share: float) -> float:
        if vcpus <= 1:
            return seconds / vcpus
        return seconds * (serial_share + (1 - serial_share) / vcpus)


@dataclass(frozen=True)
class Row:
    """Times and prices of one memory size on one architecture."""

    architecture: str
    memory_mb: int
    warm_ms: float
    init_ms: float
    usd_per_million_tokens: float
    free_million_tokens: float
    """Million tokens a month within the free tier."""


def row(times: Times, architecture: str, memory_mb: int, cold_share: float = COLD_SHARE, speed: float = 1.0) -> Row:
    """Price ``times`` at ``memory_mb``, with ``cold_share`` of all requests cold (0 to 1) and all times multiplied by ``speed``."""
    vcpus = memory_mb / VCPU_MB
    warm, init = times.warm(vcpus) * speed, times.cold_init(vcpus) * speed
    gb_seconds = memory_mb / 1024 * (_billed(warm) + cold_share * _billed(init))
    usd = gb_seconds * COMPUTE[architecture].on_demand + USD_PER_REQUEST
    free_requests = min(FREE_GB_SECONDS / gb_seconds, FREE_REQUESTS)
    return Row(
        architecture=architecture,
        memory_mb=memory_mb,
        warm_ms=warm * 1000,
        init_ms=init * 1000,
        usd_per_million_tokens=usd / times.tokens * 1e6,
        free_million_tokens=free_requests * times.tokens / 1e6,
    )


def _billed(seconds: float) -> float:
    """Round seconds up to milliseconds, as Lambda bills them."""
    return math.ceil(round(seconds * 1000, 6)) / 1000


def rows(times: Times, cold_share: float, speeds: dict[str, float]) -> list[Row]:
    """Price all memory sizes on both architectures."""
    return [
        row(times, architecture, size, cold_share, speed)
        for architecture, speed in speeds.items()
        for size in MEMORY_SIZES
    ]


def recommended(candidates: Iterable[Row], tolerance: float = 0.02) -> Row:
    """Return the fastest row of those that cost at most ``tolerance`` (a share) more than the cheapest."""
    candidates = list(candidates)
    cheapest = min(candidate.usd_per_million_tokens for candidate in candidates)
    affordable = [one for one in candidates if one.usd_per_million_tokens <= cheapest * (1 + tolerance)]
    return min(affordable, key=lambda one: one.warm_ms)


def break_even(ours: Row, monthly_usd: float, free_tier: bool = True) -> float:
    """Return the million tokens a month above which a service at ``monthly_usd`` is cheaper, with our free tier or without."""
    return ours.free_million_tokens * free_tier + monthly_usd / ours.usd_per_million_tokens


PROOF_OF_CONCEPT = Times(one_thread=0.3 * 1638 / VCPU_MB, two_threads=0.3, init=3.7 * 1638 / VCPU_MB, tokens=600)
"""A proof of concept of TEI in Lambda that claims 300 ms warm and 4 s cold for 600 tokens, and $0.03 a million at 10% cold. These
figures imply about 1.6 GB, so its times are taken as those of that share of a vCPU."""
PROOF_OF_CONCEPT_MB = 1638


def read_times(path: Path, tokens: int) -> Times:
    """Read the times of requests with this many tokens from ``bench.json``."""
    bench = json.loads(path.read_text())
    one, two = (bench["handler"][threads][str(tokens)] / 1000 for threads in ("1", "2"))
    return Times(one_thread=one, two_threads=two, init=bench["cold"]["init_ms"] / 1000, tokens=tokens)


def report(times: dict[int, Times], cold_share: float, speeds: dict[str, float]) -> Iterator[str]:
    """Yield the report on cost, line by line, in Markdown. ``times`` are by tokens of a request; the longest is priced in full."""
    longest = times[max(times)]
    table = rows(longest, cold_share, speeds)
    best = recommended(one for one in table if one.architecture == "x86_64")
    yield f"Requests of one text with {longest.tokens} tokens, {cold_share:.0%} of them cold, list prices of us-east-1 (2025-08), the init"
    yield "phase and the request charge included. `arm64` is priced with the times measured on x86-64; it was not timed."
    yield "A memory size in which the model does not fit is refused before deployment (`infra/memory.py`)."
    yield ""
    yield "| memory (MB) | vCPUs | warm (ms) | init (ms) | $ / M tokens, x86_64 | $ / M tokens, arm64 | free M tokens a month |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    arm = {one.memory_mb: one for one in table if one.architecture == "arm64"}
    for one in table:
        if one.architecture == "x86_64":
            bold = "**" if one.memory_mb == best.memory_mb else ""
            yield (
                f"| {bold}{one.memory_mb:,}{bold} | {one.memory_mb / VCPU_MB:.2f} | {one.warm_ms:.0f} | {one.init_ms:.0f} "
                f"| {one.usd_per_million_tokens:.4f} | {arm[one.memory_mb].usd_per_million_tokens:.4f} "
                f"| {one.free_million_tokens:.0f} |"
            )
    yield ""
    yield (
        f"**{best.memory_mb:,} MB** is the default: up to one vCPU a token costs the same whatever the memory, since a request "
        "takes as much longer as it has less CPU; of those sizes it is the fastest. More memory is faster, but costs more, since "
        "two threads do not halve the time."
    )
    yield ""
    yield from _shorter_requests(times, best.memory_mb, cold_share, speeds["x86_64"])
    yield ""
    yield from _alternatives(best, cold_share)


def _shorter_requests(times: dict[int, Times], memory_mb: int, cold_share: float, speed: float) -> Iterator[str]:
    yield f"Shorter texts cost more a token, since each request has its fee and its share of cold starts (at {memory_mb:,} MB, x86_64):"
    yield ""
    yield "| tokens a request | warm (ms) | $ / M tokens | free M tokens a month |"
    yield "|---:|---:|---:|---:|"
    for tokens, one in sorted(times.items()):
        priced = row(one, "x86_64", memory_mb, cold_share, speed)
        yield f"| {tokens} | {priced.warm_ms:.1f} | {priced.usd_per_million_tokens:.4f} | {priced.free_million_tokens:.0f} |"


def _alternatives(ours: Row, cold_share: float) -> Iterator[str]:
    proof = row(PROOF_OF_CONCEPT, "x86_64", PROOF_OF_CONCEPT_MB, cold_share)
    yield "| for comparison | $ / M tokens | cheaper than this service above |"
    yield "|---|---:|---:|"
    yield f"| this service, {ours.memory_mb:,} MB x86_64 | {ours.usd_per_million_tokens:.4f} | |"
    yield (
        f"| a proof of concept of TEI in Lambda (claims 300 ms warm, 4 s cold for 600 tokens: {PROOF_OF_CONCEPT_MB:,} MB) "
        f"| {proof.usd_per_million_tokens:.4f} | {_never_or(proof.usd_per_million_tokens, ours)} |"
    )
    yield f"| OpenAI text-embedding-3-small | {OPENAI_USD:.4f} | {_never_or(OPENAI_USD, ours)} |"
    volume = break_even(ours, SERVER_USD)
    paid = break_even(ours, SERVER_USD, free_tier=False)
    yield (
        f"| TEI on a {SERVER} | ${SERVER_USD:.2f} a month "
        f"| {volume:,.0f} M tokens a month; {paid:,.0f} M where the free tier is used up |"
    )
    yield ""
    yield (
        f"At {volume:,.0f} M tokens a month the server would have to keep up with {volume * 1e6 / HOURS_A_MONTH / 3600:,.0f} tokens a second on "
        "average, day and night. Its price has no reserve for peaks, and no second server for when it fails."
    )


def _never_or(usd_per_million: float, ours: Row) -> str:
    """Return the monthly volume above which a price without a free tier is lower than ours with it, in words."""
    if usd_per_million >= ours.usd_per_million_tokens:
        return "never"
    # The free tokens are paid for by the dearer price of those above them.
    volume = ours.free_million_tokens * ours.usd_per_million_tokens / (ours.usd_per_million_tokens - usd_per_million)
    return f"{volume:,.0f} M tokens a month"


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


def plot(table: list[Row], path: Path) -> None:
    """Draw dollars a million tokens against memory, as SVG; needs matplotlib, which only the peers' environment has."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for architecture in COMPUTE:
        chosen = [one for one in table if one.architecture == architecture]
        axes.plot(
            [one.memory_mb for one in chosen], [one.usd_per_million_tokens for one in chosen], "o-", label=architecture
        )
    axes.axhline(OPENAI_USD, color="gray", linestyle="--", label="OpenAI text-embedding-3-small")
    axes.set(xlabel="memory (MB)", ylabel="US dollars a million tokens", ylim=(0, None), xlim=(0, None))
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    """Print the report. With the default shares and speeds, write it and its figures into ``benchmarks/results`` too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--cold", type=float, default=COLD_SHARE, help="share of requests that are cold, 0 to 1 (%(default)s)"
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="seconds on Lambda's x86_64 for one measured (%(default)s)"
    )
    parser.add_argument("--arm-speed", type=float, default=1.0, help="the same on arm64 (%(default)s)")
    parser.add_argument("--plot", action="store_true", help="draw cost.svg too (needs matplotlib)")
    options = parser.parse_args()
    assumed = (options.cold, options.speed, options.arm_speed)
    if not 0 <= options.cold <= 1 or options.speed <= 0 or options.arm_speed <= 0:
        parser.error("--cold is a share from 0 to 1, --speed and --arm-speed are above 0")
    bench = RESULTS / "bench.json"
    if not bench.exists():
        print(f"error: {bench} is missing; `make bench` writes it", file=sys.stderr)
        return 1
    times = {tokens: read_times(bench, tokens) for tokens in (16, 128, 512)}
    speeds = {"x86_64": options.speed, "arm64": options.arm_speed}
    text = "\n".join(report(times, options.cold, speeds)) + "\n"
    print(text)
    if assumed != (COLD_SHARE, 1.0, 1.0):
        return 0
    table = rows(times[512], options.cold, speeds)
    (RESULTS / "cost.md").write_text(text)
    (RESULTS / "cost.json").write_text(json.dumps([asdict(one) for one in table], indent=1) + "\n")
    if options.plot:
        plot(table, RESULTS / "cost.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
