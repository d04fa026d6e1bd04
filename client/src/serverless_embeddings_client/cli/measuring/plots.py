"""The figures as a picture, where matplotlib is installed (the extra ``plots``)."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any


def plot(measured: Mapping[str, Any], path: Path) -> None:
    """Draw latency by load, throughput by concurrency, and dollars by memory, as SVG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    sizes = measured["sizes"]
    figure, (latency, throughput, dollars) = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    figure.suptitle(f"{measured['model']}, {measured['architecture']}{', emulated' if measured['emulated'] else ''}")
    for size in sizes:
        label = f"{size['memory_mb']:,} MB"
        names = [load["load"] for load in size["warm"]]
        (line,) = latency.plot(names, [_rank(load, "p50") for load in size["warm"]], "o-", label=label)
        p99 = [_rank(load, "p99") for load in size["warm"]]
        latency.plot(names, p99, "o:", color=line.get_color())
        levels = size["throughput"]
        rates = [level["texts_per_second"] for level in levels]
        throughput.plot([level["concurrency"] for level in levels], rates, "o-", label=label)
    latency.set(xlabel="load", ylabel="end to end (ms): p50, dotted p99", yscale="log")
    throughput.set(
        xlabel="requests at a time", ylabel="texts/s", ylim=(0, None), xticks=[level["concurrency"] for level in levels]
    )
    memory = [size["memory_mb"] for size in sizes]
    for index, load in enumerate(sizes[0]["warm"]):
        usd = [size["warm"][index]["usd_per_million_tokens"] for size in sizes]
        dollars.plot(memory, usd, "o-", label=load["load"])
    dollars.set(xlabel="memory (MB)", ylabel="US dollars a million tokens, warm", ylim=(0, None))
    for axes in (latency, throughput, dollars):
        axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _rank(load: Mapping[str, Any], rank: str) -> float:
    """A percentile of the time end to end; NaN, which is not drawn, if no answer was warm."""
    return load["end_to_end_ms"][rank] if load["end_to_end_ms"] else nan
