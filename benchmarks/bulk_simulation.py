"""Simulates bulk jobs on AWS, from the measured job and AWS's quotas: ``python -m benchmarks.bulk_simulation``.

Every split is simulated: Step Functions starts it, an environment embeds it. It takes the planned time, longer where the CPU is slower.
An environment's first split waits for a cold start. An environment that is free takes the next split.

The model knows no other load in the account, no retries, and no differences between texts.
"""

import argparse
import heapq
import json
import random
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from math import ceil
from pathlib import Path

from infra.watch.prices import COMPUTE, USD_PER_REQUEST
from runtime.settings import VCPU_MB

from . import RESULTS
from .peers import BALANCED

TOKENS = 128
TEXTS = (10**6, 10**8, 10**9)
AT_ONCE = (100, 1_000, 10_000)

SPLIT_SECONDS = 120
"""``bulk_split_seconds`` by default."""
SLOWEST = 1.7
"""How many times as long a text takes on the slowest CPUs that Lambda gave to equal functions as on the fastest."""
COLD_SECONDS = 5.0
"""Image and model of a new environment. Image fetches were not measured on Lambda."""
STARTS_A_SECOND = 100
"""Child executions of a Distributed Map that start in a second, Standard:
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html."""
ENVIRONMENTS_A_STEP, STEP_SECONDS = 1_000, 10
"""How fast a function grows: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html ("scaling rate")."""
PLAN_SECONDS = 10.0
"""A cold start, the sample, and the manifest."""
READ_SECONDS, READERS = 0.1, 32
"""The commit reads each part's counts: two requests, so many parts at a time (``bulk.commit.READERS``)."""
TRANSITION_USD, TRANSITIONS = 25e-6, 2
"""A state transition of a Standard workflow (https://aws.amazon.com/step-functions/pricing/), and those of a child."""
PUT_USD, PUTS = 5e-6, 3
"""A PUT or LIST request (https://aws.amazon.com/s3/pricing/), and those of a split."""
GET_USD, GETS = 4e-7, 4
"""A GET request, and those of a split and its commit."""


@dataclass(frozen=True)
class Outcome:
    """A simulated job."""

    texts: int
    at_once: int
    splits: int
    seconds: float
    usd: float
    binds: str
    """What the time is mostly spent on."""


def simulate(texts: int, at_once: int, text_seconds: float, split_seconds: float = SPLIT_SECONDS) -> Outcome:
    """Simulate a job.

    Args:
        texts: Texts to embed.
        at_once: Splits that are embedded at a time, at most.
        text_seconds: Seconds that a text takes on the fastest CPU.
        split_seconds: Work of a split on the CPU of the plan's sample, taken to be the fastest, so that splits last longer than
            planned.
    """
    chance = random.Random(0)
    work = texts * text_seconds
    splits = max(1, ceil(work / split_seconds))
    share = work / splits
    environments: list[tuple[float, float]] = []
    """When each is free, and how slow it is."""
    end = billed = 0.0
    for number in range(splits):
        start = number / STARTS_A_SECOND
        if len(environments) < at_once and not (environments and environments[0][0] <= start):
            start = max(start, len(environments) // ENVIRONMENTS_A_STEP * STEP_SECONDS)
            slowness = chance.uniform(1, SLOWEST)
            seconds = COLD_SECONDS + share * slowness
        else:
            free, slowness = heapq.heappop(environments)
            start = max(start, free)
            seconds = share * slowness
        heapq.heappush(environments, (start + seconds, slowness))
        end = max(end, start + seconds)
        billed += seconds
    commit = splits * READ_SECONDS / READERS
    steps = PLAN_SECONDS + commit
    gigabytes = VCPU_MB / 1024
    usd = (billed + steps) * gigabytes * COMPUTE["x86_64"].on_demand + splits * (
        USD_PER_REQUEST + TRANSITIONS * TRANSITION_USD + PUTS * PUT_USD + GETS * GET_USD
    )
    terms = {
        "one split": share * SLOWEST + COLD_SECONDS,
        "functions at once": billed / min(at_once, splits) if splits > at_once else 0,
        "starts of splits": splits / STARTS_A_SECOND,
        "the commit": commit,
    }
    return Outcome(texts, at_once, splits, end + steps, usd, max(terms, key=terms.get))


def measured() -> float:
    """The seconds of a text of ``TOKENS`` tokens in a job on one CPU: those of the engine (``make bench``), by the share of the
    engine's speed that a job has (``python -m benchmarks.bulk``)."""
    warm = json.loads((RESULTS / "bench.json").read_text())["warm"]["1"][BALANCED][str(TOKENS)]
    share = json.loads((RESULTS / "bulk.json").read_text())["share"]
    return warm / 1000 / min(share, 1)


def report(outcomes: Iterable[Outcome], text_seconds: float) -> str:
    """The table, in Markdown."""
    lines = [
        f"Simulated with `python -m benchmarks.bulk_simulation` from {1000 * text_seconds:.1f} ms a text of {TOKENS} tokens on one CPU, "
        f"measured, and up to {SLOWEST} times that, since Lambda's CPUs differ.",
        "",
        "| texts | at once | splits | time | US dollars | the time is that of |",
        "|---:|---:|---:|---:|---:|---|",
    ]
    for each in outcomes:
        lines.append(
            f"| {each.texts:,} | {each.at_once:,} | {each.splits:,} | {duration(each.seconds)} | {each.usd:,.2f} | {each.binds} |"
        )
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """``seconds`` in the unit that fits."""
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def plot(outcomes: list[Outcome], path: Path) -> None:
    """Draw time against concurrency, as SVG; needs matplotlib, which only the peers' environment has."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.8), layout="constrained")
    for texts in dict.fromkeys(each.texts for each in outcomes):
        chosen = [each for each in outcomes if each.texts == texts]
        axes.plot(
            [each.at_once for each in chosen], [each.seconds / 60 for each in chosen], "o-", label=f"{texts:,} texts"
        )
        for each in chosen:
            axes.annotate(
                f"{duration(each.seconds)}, ${each.usd:,.2f}\n{each.binds}",
                (each.at_once, each.seconds / 60),
                xytext=(4, 4) if texts > min(TEXTS) else (4, -20),
                textcoords="offset points",
                fontsize=7,
            )
    axes.set(
        xlabel="splits at once", ylabel="minutes", xscale="log", yscale="log", xlim=(80, 40_000), ylim=(1, 100_000)
    )
    axes.legend(loc="upper right", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    """Print the table. With the measured time, write it into ``benchmarks/results`` too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--text-ms", type=float, help="milliseconds a text on one CPU (default: the measured ones)")
    parser.add_argument("--plot", action="store_true", help="draw bulk_simulation.svg too (needs matplotlib)")
    options = parser.parse_args()
    text_seconds = measured() if options.text_ms is None else options.text_ms / 1000
    outcomes = [simulate(texts, at_once, text_seconds) for texts, at_once in product(TEXTS, AT_ONCE)]
    text = report(outcomes, text_seconds)
    print(text)
    if options.text_ms is not None:
        return 0
    (RESULTS / "bulk_simulation.md").write_text(text)
    (RESULTS / "bulk_simulation.json").write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    if options.plot:
        plot(outcomes, RESULTS / "bulk_simulation.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
