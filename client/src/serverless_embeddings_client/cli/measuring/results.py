"""What the answers add up to: percentiles, dollars, and the report in Markdown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .loads import BATCH
from .runs import Answer, Throughput

USD_PER_GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
USD_PER_REQUEST = 0.20 / 1_000_000
FREE_GB_SECONDS, FREE_REQUESTS = 400_000, 1_000_000
"""List prices of us-east-1, first tier, and what is free in each month: https://aws.amazon.com/lambda/pricing/ as of 2025-08."""
COLD_SHARE = 0.1
"""Share of cold requests in the summary."""
PERCENTILES = (50, 95, 99)


def percentiles(values: Iterable[float | None]) -> dict[str, float] | None:
    """p50, p95 and p99, each a value that was measured (the nearest rank); None if nothing was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    found = np.percentile(known, PERCENTILES, method="inverted_cdf")
    return {f"p{rank}": round(float(value), 3) for rank, value in zip(PERCENTILES, found, strict=True)}


def _gb_seconds(billed_ms: float, memory_mb: int) -> float:
    return billed_ms / 1000 * memory_mb / 1024


def request_usd(billed_ms: float, memory_mb: int, architecture: str) -> float:
    """Dollars for a request, by list price."""
    return _gb_seconds(billed_ms, memory_mb) * USD_PER_GB_SECOND[architecture] + USD_PER_REQUEST


def cold_result(answers: Sequence[Answer]) -> dict[str, Any]:
    """The figures of first requests; those that came to a warm environment are left out."""
    cold = [each for each in answers if each.is_cold]
    return {
        "count": len(cold),
        "init_ms": percentiles(each.report and each.report.init_ms for each in cold),
        "first_request_ms": percentiles(each.report and each.report.duration_ms for each in cold),
        "billed_ms": percentiles(each.report and each.report.billed_ms for each in cold),
        "end_to_end_ms": percentiles(each.end_to_end_ms for each in cold),
        "runtime_init_ms": percentiles(each.line.get("InitDuration") for each in cold),
    }


def warm_result(load: str, texts: int, answers: Sequence[Answer], memory_mb: int, architecture: str) -> dict[str, Any]:
    """The figures of requests of one load."""
    warm = [each for each in answers if not each.is_cold]
    billed = [each.report.billed_ms for each in warm if each.report]
    tokens = warm[0].tokens if warm else None
    usd = None
    if billed and tokens:
        usd = float(f"{request_usd(float(np.mean(billed)), memory_mb, architecture) / tokens * 1e6:.4g}")
    return {
        "load": load,
        "tokens": tokens,
        "texts": texts,
        "count": len(warm),
        "duration_ms": percentiles(each.report and each.report.duration_ms for each in warm),
        "billed_ms": percentiles(billed),
        "end_to_end_ms": percentiles(each.end_to_end_ms for each in warm),
        "runtime_ms": percentiles(each.line.get("Latency") for each in warm),
        "usd_per_million_tokens": usd,
    }


def throughput_result(found: Throughput) -> dict[str, Any]:
    """The figures of one level of concurrency."""
    return {
        "concurrency": found.concurrency,
        "requests": found.requests,
        "refused": found.refused,
        "seconds": round(found.seconds, 3),
        "texts_per_second": round(found.texts_per_second, 2),
        "tokens_per_second": round(found.tokens_per_second, 1),
    }


def peaks(answers: Iterable[Answer]) -> dict[str, float | None]:
    """The environments' peak memory in MB: as Lambda reports it, and as the function's process measures itself."""
    answers = list(answers)
    return {
        "peak_memory_mb": max((each.report.peak_mb for each in answers if each.report), default=None),
        "runtime_peak_memory_mb": max((each.line["MemoryUsed"] for each in answers if each.line), default=None),
    }


def report(measured: Mapping[str, Any]) -> Iterator[str]:
    """The report, line by line, in Markdown."""
    if measured["emulated"]:
        yield "**Of an emulator, not of AWS**: it runs the function's image on one machine, and its reports are its own."
        yield ""
    yield (
        f"`{measured['function']}`, {measured['region']}, {measured['architecture']}, {measured['model']}, "
        f"measured on {measured['date'][:10]} with `embeddings measure`. Milliseconds; list prices of us-east-1 (2025-08)."
    )
    for note in measured["notes"]:
        yield ""
        yield note
    sizes = measured["sizes"]
    longest = [load["load"] for load in sizes[0]["warm"] if load["load"] != BATCH][-1]
    yield from _summary(sizes, longest, measured["architecture"])
    yield from _table(
        "Cold starts",
        "count | init p50 | p95 | first request p50 | p95 | end to end p50 | p95 | init by the function, p50",
    )
    for size in sizes:
        cold = size["cold"]
        cells = [cell for name in ("init_ms", "first_request_ms", "end_to_end_ms") for cell in _ranks(cold[name], 2)]
        yield _row(_mb(size), str(cold["count"]), *cells, *_ranks(cold["runtime_init_ms"], 1))
    yield from _table(
        "Warm requests",
        "load | tokens | texts | count | duration p50 | p95 | p99 | billed p50 | end to end p50 | $ / M tokens",
    )
    for size in sizes:
        for load in size["warm"]:
            counts = (_number(load[name], 0) for name in ("tokens", "texts", "count"))
            times = (*_ranks(load["duration_ms"], 3), *_ranks(load["billed_ms"], 1), *_ranks(load["end_to_end_ms"], 1))
            yield _row(_mb(size), load["load"], *counts, *times, _number(load["usd_per_million_tokens"], 4))
    yield from _table(
        "Throughput, with batches", "requests at a time | requests | refused | seconds | texts/s | tokens/s"
    )
    for size in sizes:
        for level in size["throughput"]:
            counts = (_number(level[name], 0) for name in ("concurrency", "requests", "refused"))
            rates = (_number(level["texts_per_second"]), _number(level["tokens_per_second"], 0))
            yield _row(_mb(size), *counts, _number(level["seconds"]), *rates)
    yield from _table("Peak memory in MB", "by Lambda | by the function")
    for size in sizes:
        yield _row(_mb(size), _number(size["peak_memory_mb"], 0), _number(size["runtime_peak_memory_mb"], 0))


def _summary(sizes: Sequence[Mapping[str, Any]], load: str, architecture: str) -> Iterator[str]:
    """A row for each size: what somebody asks first."""
    columns = f"cold start, end to end | warm, end to end | $ / M tokens, {COLD_SHARE:.0%} cold | free M tokens a month"
    yield from _table(f"A text of {load} tokens", columns)
    for size in sizes:
        warm = next(each for each in size["warm"] if each["load"] == load)
        cold = size["cold"]
        usd = free = None
        # The first load's requests, of which some were cold, tell what a cold start adds.
        if (once := cold["billed_ms"]) and (first := size["warm"][0]["billed_ms"]) and warm["billed_ms"]:
            billed = warm["billed_ms"]["p50"] + COLD_SHARE * (once["p50"] - first["p50"])
            usd = request_usd(billed, size["memory_mb"], architecture) / warm["tokens"] * 1e6
            requests = min(FREE_GB_SECONDS / _gb_seconds(billed, size["memory_mb"]), FREE_REQUESTS)
            free = requests * warm["tokens"] / 1e6
        times = (*_ranks(cold["end_to_end_ms"], 1), *_ranks(warm["end_to_end_ms"], 1))
        yield _row(_mb(size), *times, _number(usd, 4), _number(free, 0))


def _table(title: str, columns: str) -> Iterator[str]:
    """The beginning of a table with a row for each size."""
    yield from ("", f"{title}:", "")
    yield _row("memory", columns)
    yield "|" + "---:|" * (columns.count("|") + 2)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _mb(size: Mapping[str, Any]) -> str:
    return f"{size['memory_mb']:,} MB"


def _ranks(found: Mapping[str, float] | None, count: int) -> tuple[str, ...]:
    """The first percentiles as cells."""
    return tuple(_number(found and found[f"p{rank}"]) for rank in PERCENTILES[:count])


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
