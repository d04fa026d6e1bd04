"""``make cost``: computes the price of a million tokens from measured times.

A request costs its share of the price of a million requests, and the function's memory for as long as it runs, billed by the
millisecond; a cold one is billed for the init phase as well. How long it takes by memory size: :mod:`benchmarks.basis`.

The model there does not know the speed of Lambda's vCPUs. ``--speed`` says how many times as long a request takes there as on the
machine of the measurements (1 by default; measure one call of a deployed function), ``--arm-speed`` the same for Graviton.
``--measured`` needs no model: it prices what ``embeddings measure`` found at a deployed function.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.watch.prices import COMPUTE, USD_PER_REQUEST
from runtime.settings import VCPU_MB

from . import RESULTS
from .basis import Basis, Request, Times, from_bench, read_measured
from .loads import BATCH

COLD_SHARE = 0.1

FREE_GB_SECONDS, FREE_REQUESTS = 400_000, 1_000_000
"""Free in each month, without an end: https://aws.amazon.com/lambda/pricing/ as of 2025-08."""
HOURS_A_MONTH = 730

OPENAI_USD = 0.02
"""text-embedding-3-small, a million tokens: https://platform.openai.com/docs/pricing as of 2025-08."""
SERVER = "t3.medium, always on"
SERVER_USD = 0.0416 * HOURS_A_MONTH + 8 * 0.08
"""A month of t3.medium (2 vCPUs, 4 GB, enough for TEI and a small model) with 8 GB of gp3 storage:
https://aws.amazon.com/ec2/pricing/on-demand/ and https://aws.amazon.com/ebs/pricing/, us-east-1, as of 2025-08."""


@dataclass(frozen=True)
class Row:
    """Times and prices of one request at one memory size on one architecture."""

    architecture: str
    memory_mb: int
    tokens: int
    cold_share: float
    warm_ms: float
    init_ms: float
    usd_per_million_tokens: float
    free_million_tokens: float
    """Million tokens a month within the free tier."""


def price(request: Request, architecture: str, cold_share: float = COLD_SHARE) -> Row:
    """Price a request, with ``cold_share`` of all requests cold (0 to 1)."""
    gb_seconds = request.memory_mb / 1024 * (_billed(request.warm) + cold_share * _billed(request.init))
    usd = gb_seconds * COMPUTE[architecture].on_demand + USD_PER_REQUEST
    free_requests = min(FREE_GB_SECONDS / gb_seconds, FREE_REQUESTS)
    return Row(
        architecture=architecture,
        memory_mb=request.memory_mb,
        tokens=request.tokens,
        cold_share=cold_share,
        warm_ms=request.warm * 1000,
        init_ms=request.init * 1000,
        usd_per_million_tokens=usd / request.tokens * 1e6,
        free_million_tokens=free_requests * request.tokens / 1e6,
    )


def _billed(seconds: float) -> float:
    """Round seconds up to milliseconds, as Lambda bills them."""
    return math.ceil(round(seconds * 1000, 6)) / 1000


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


def report(basis: Basis, cold_share: float) -> Iterator[str]:
    """Yield the report on cost, line by line, in Markdown. The longest text and the batch are priced in full."""
    (architecture, requests), *_ = _longest(basis).items()
    best = recommended(price(request, architecture, cold_share) for request in requests.values())
    yield f"{cold_share:.0%} of the requests are cold, list prices of us-east-1 (2025-08), the init phase and the request charge included."
    yield basis.source
    yield ""
    yield from _sizes(basis, cold_share, best)
    yield ""
    yield (
        f"**{best.memory_mb:,} MB** is the fastest of those that cost least for a text alone. {basis.explanation}"
    ).rstrip()
    yield ""
    yield from _shorter_requests(basis, best, cold_share)
    yield ""
    yield from _alternatives(best, cold_share)


def _longest(basis: Basis) -> dict[str, dict[int, Request]]:
    """The requests of the longest text alone, by architecture and memory size."""
    return basis.requests[str(max(_lengths(basis)))]


def _lengths(basis: Basis) -> list[int]:
    """The tokens of the texts that are alone in a request."""
    return [int(load) for load in basis.requests if load != BATCH]


def _sizes(basis: Basis, cold_share: float, best: Row) -> Iterator[str]:
    """The table by memory size: for each load and architecture what a million tokens cost, of a batch also without cold starts."""
    longest = _longest(basis)
    first = next(iter(longest))
    batch = basis.requests.get(BATCH, {}).get(first, {})
    headings = ["memory (MB)", "vCPUs", "init (ms)", f"{basis.names[str(max(_lengths(basis)))]} (ms)"]
    headings += [f"$ / M, {architecture}" for architecture in longest] + ["free M tokens a month"]
    headings += [f"{basis.names[BATCH]} (ms)", "$ / M, batch", "$ / M, batch, none cold"] if batch else []
    yield f"| {' | '.join(headings)} |"
    yield "|" + "---:|" * len(headings)
    for size in longest[first]:
        rows = [price(requests[size], architecture, cold_share) for architecture, requests in longest.items()]
        cells = [f"**{size:,}**" if size == best.memory_mb else f"{size:,}", f"{size / VCPU_MB:.2f}"]
        cells += [f"{rows[0].init_ms:.0f}", f"{rows[0].warm_ms:.0f}"]
        cells += [f"{one.usd_per_million_tokens:.4f}" for one in rows] + [f"{rows[0].free_million_tokens:.0f}"]
        if size in batch:
            some, none = (price(batch[size], first, share) for share in (cold_share, 0.0))
            cells += [f"{some.warm_ms:.0f}"] + [f"{one.usd_per_million_tokens:.4f}" for one in (some, none)]
        yield f"| {' | '.join(cells)} |"


def _shorter_requests(basis: Basis, best: Row, cold_share: float) -> Iterator[str]:
    yield f"Shorter texts cost more a token, since each request has its fee and its share of cold starts (at {best.memory_mb:,} MB, {best.architecture}):"
    yield ""
    yield "| a request | warm (ms) | $ / M tokens | free M tokens a month |"
    yield "|---:|---:|---:|---:|"
    for load, requests in basis.requests.items():
        if request := requests[best.architecture].get(best.memory_mb):
            priced = price(request, best.architecture, cold_share)
            yield f"| {basis.names[load]} | {priced.warm_ms:.1f} | {priced.usd_per_million_tokens:.4f} | {priced.free_million_tokens:.0f} |"


def _alternatives(ours: Row, cold_share: float) -> Iterator[str]:
    proof = price(PROOF_OF_CONCEPT.at(PROOF_OF_CONCEPT_MB), "x86_64", cold_share)
    yield "| for comparison | $ / M tokens | cheaper than this service above |"
    yield "|---|---:|---:|"
    yield f"| this service, {ours.memory_mb:,} MB {ours.architecture} | {ours.usd_per_million_tokens:.4f} | |"
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


def plot(basis: Basis, cold_share: float, path: Path) -> None:
    """Draw dollars a million tokens against memory, as SVG; needs matplotlib, which only the peers' environment has."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    longest, batch = str(max(_lengths(basis))), basis.requests[BATCH]
    lines = {
        f"{basis.names[longest]}, {each}": (requests, each, cold_share) for each, requests in _longest(basis).items()
    }
    lines[f"{basis.names[BATCH]}, x86_64"] = (batch["x86_64"], "x86_64", cold_share)
    lines[f"{basis.names[BATCH]}, x86_64, none cold"] = (batch["x86_64"], "x86_64", 0.0)
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for label, (requests, architecture, share) in lines.items():
        prices = [price(each, architecture, share).usd_per_million_tokens for each in requests.values()]
        axes.plot(list(requests), prices, "o-", label=label)
    axes.axhline(OPENAI_USD, color="gray", linestyle="--", label="OpenAI text-embedding-3-small")
    axes.set(xlabel="memory (MB)", ylabel="US dollars a million tokens", ylim=(0, None), xlim=(0, None))
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    """Print the report. With the default shares and speeds, write it and its figures into ``benchmarks/results`` too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--cold", type=float, default=COLD_SHARE, help="share of requests that are cold, 0 to 1 (%(default)s)"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="seconds on Lambda's x86_64 for one measured (1)")
    parser.add_argument("--arm-speed", type=float, default=1.0, help="the same on arm64 (1)")
    parser.add_argument(
        "--measured", type=Path, metavar="FILE", help="price what `embeddings measure` wrote; writes no file"
    )
    parser.add_argument("--plot", action="store_true", help="draw cost.svg too (needs matplotlib)")
    options = parser.parse_args()
    speeds = {"x86_64": options.speed, "arm64": options.arm_speed}
    if not 0 <= options.cold <= 1 or min(speeds.values()) <= 0:
        parser.error("--cold is a share from 0 to 1, --speed and --arm-speed are above 0")
    if options.measured and set(speeds.values()) != {1.0}:
        parser.error("--speed and --arm-speed are for this machine's figures: those of --measured are Lambda's")
    written = not options.measured and (options.cold, *speeds.values()) == (COLD_SHARE, 1.0, 1.0)
    if options.plot and not written:
        parser.error("--plot draws the committed figures: it goes with no other option")
    try:
        if options.measured:
            basis = read_measured(options.measured, options.cold)
        else:
            basis = from_bench(json.loads((RESULTS / "bench.json").read_text()), speeds)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = "\n".join(report(basis, options.cold)) + "\n"
    print(text)
    if not written:
        return 0
    table = [
        asdict(price(request, architecture, share))
        for load in (str(max(_lengths(basis))), BATCH)
        for architecture, requests in basis.requests[load].items()
        for request in requests.values()
        for share in ((options.cold, 0.0) if load == BATCH else (options.cold,))
    ]
    (RESULTS / "cost.md").write_text(text)
    (RESULTS / "cost.json").write_text(json.dumps(table, indent=1) + "\n")
    if options.plot:
        plot(basis, options.cold, RESULTS / "cost.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
