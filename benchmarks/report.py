"""Turns the measurements into Markdown tables and a plot."""

from collections.abc import Iterator
from pathlib import Path

from .loads import BATCH, BATCH_LENGTHS, LENGTHS
from .peers import BALANCED, FP32, HANDLER, TORCH

LOADS = {str(length): f"{length} tokens" for length in LENGTHS} | {BATCH: f"batch of {len(BATCH_LENGTHS)}"}


def markdown(results: dict) -> str:
    """Return the whole report on speed, cold starts and memory."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: dict) -> Iterator[str]:
    machine = results["machine"]
    yield f"Measured on {results['date']} with `{results['command']}`: {machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, Python"
    yield f"{machine['python']}, onnxruntime {machine['onnxruntime']}; multilingual-e5-small, all peers side by side in turns, the fastest turn counts."
    yield f"With one thread it is CPU time. The batch has {len(BATCH_LENGTHS)} texts of {min(BATCH_LENGTHS)} to {max(BATCH_LENGTHS)} tokens, {sum(BATCH_LENGTHS)} in all."
    for threads, peers in results["warm"].items():
        yield ""
        yield from _warm_table(peers, int(threads))
    yield ""
    yield from _targets(results)
    yield ""
    yield from _cold_tables(results)


def _warm_table(peers: dict, threads: int) -> Iterator[str]:
    fp32 = peers[FP32]
    yield f"| {threads} thread{'s'[: threads > 1]}: ms (× onnxruntime fp32) | {' | '.join(LOADS.values())} |"
    yield "|---|" + "---:|" * len(LOADS)
    for peer, times in peers.items():
        if isinstance(times, str):
            continue
        cells = [f"{times[load]:.1f} ({times[load] / fp32[load]:.2f})" for load in LOADS]
        name = {HANDLER: "this project, through the handler"}.get(peer, peer)
        mark = "**" if peer == BALANCED else ""
        yield f"| {mark}{name}{mark} | {' | '.join(cells)} |"


def targets(results: dict) -> list[tuple[str, float, str, bool]]:
    """Return each target: its name, the measured figure, the required one, and whether it is met."""
    warm = results["warm"]["1"]
    ours, handler, fp32, torch = (warm[peer] for peer in (BALANCED, HANDLER, FP32, TORCH))
    cold = {kind: figures["warm"] for kind, figures in results["cold"]["processes"].items()}
    overhead = {load: handler[load] - ours[load] for load in ("16", "512")}
    rows = [
        ("512 tokens, of onnxruntime fp32's time", ours["512"] / fp32["512"], "≤", 0.48),
        ("16 tokens, of onnxruntime fp32's time", ours["16"] / fp32["16"], "≤", 0.42),
        ("mixed batch of 32, × sentence-transformers' tokens a second", torch[BATCH] / ours[BATCH], "≥", 3),
        ("handler's share at 512 tokens", overhead["512"] / handler["512"], "≤", 0.05),
        ("handler's milliseconds at 16 tokens", overhead["16"], "≤", 1),
        (
            "process start to first vector, of the plain build's",
            cold["ours"]["cpu_ms"] / cold["plain"]["cpu_ms"],
            "≤",
            0.25,
        ),
        ("peak memory at 512 tokens (MB)", cold["ours"]["peak_mb"], "≤", 230),
    ]
    if "dropped" in results["cold"]["processes"]["ours"]:
        read = {kind: figures["dropped"]["read_mb"] for kind, figures in results["cold"]["processes"].items()}
        rows.append(
            ("read from disk before the first vector, of the plain build's", read["ours"] / read["plain"], "≤", 0.45)
        )
    return [
        (name, value, f"{sign} {aim:g}", value <= aim if sign == "≤" else value >= aim)
        for name, value, sign, aim in rows
    ]


def _targets(results: dict) -> Iterator[str]:
    yield "| target | measured | required | met |"
    yield "|---|---:|---:|:---:|"
    for name, value, aim, met in targets(results):
        shown = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
        yield f"| {name} | {shown} | {aim} | {'yes' if met else '**no**'} |"


def _cold_tables(results: dict) -> Iterator[str]:
    cold = results["cold"]["processes"]
    yield "A cold start, from the start of a process on one CPU to its first vector (CPU milliseconds, page cache warm). The plain"
    yield "build is `tokenizers` and a session with default options on the dynamic int8 model in one file."
    yield ""
    yield "| step | this project | plain build |"
    yield "|---|---:|---:|"
    ours, plain = cold["ours"]["warm"], cold["plain"]["warm"]
    for step in dict.fromkeys([*ours["steps"], *plain["steps"]]):
        cells = [f"{each['steps'][step]:.1f}" if step in each["steps"] else "" for each in (ours, plain)]
        yield f"| {step} | {' | '.join(cells)} |"
    yield f"| **in all** | **{ours['cpu_ms']:.0f}** | **{plain['cpu_ms']:.0f}** |"
    yield f"| the second text | {ours['second_cpu_ms']:.1f} | {plain['second_cpu_ms']:.1f} |"
    yield f"| peak memory at 512 tokens (MB) | {ours['peak_mb']:.0f} | {plain['peak_mb']:.0f} |"
    if "dropped" in cold["ours"]:
        ours, plain = cold["ours"]["dropped"], cold["plain"]["dropped"]
        yield f"| by the clock, page cache dropped | {ours['wall_ms']:.0f} | {plain['wall_ms']:.0f} |"
        yield f"| read from disk, page cache dropped (MB) | {ours['read_mb']:.0f} | {plain['read_mb']:.0f} |"
    if (container := results["cold"]["container"]) is None:
        return
    yield ""
    yield f"The image through the runtime interface emulator, read-only, with one CPU's share and {container['memory_limit_mb']:,} MB (milliseconds by the clock):"
    yield ""
    kinds = [kind for kind in ("warm", "dropped") if kind in container]
    yield "| page cache | first answer | init phase in it | request in it | second answer | peak memory (MB) |"
    yield "|---|---:|---:|---:|---:|---:|"
    for kind in kinds:
        run = container[kind]
        names = ("first_answer_ms", "init_ms", "first_request_ms", "second_answer_ms", "peak_mb")
        yield f"| {kind} | {' | '.join(f'{run[name]:.0f}' for name in names)} |"
    if "image_chunks" in container:
        yield ""
        yield f"Of the image's {container['image_mb']:.0f} MB, {container['image_read_mb']:.0f} MB were read before the first answer, in {container['image_chunks']} distinct chunks of 512 KiB, the unit in"
        yield "which Lambda fetches an image."
    if "image_read_by_part" in container:
        yield ""
        yield "| part of the image | read (MB) | chunks |"
        yield "|---|---:|---:|"
        for part, figures in sorted(container["image_read_by_part"].items(), key=lambda item: -item[1]["chunks"]):
            yield f"| {part} | {figures['read_mb']:.1f} | {figures['chunks']} |"


def plot(results: dict, path: Path) -> None:
    """Draw latency against tokens with one thread, as SVG; needs matplotlib, which only the peers' environment has."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.8), layout="constrained")
    for peer, times in results["warm"]["1"].items():
        if isinstance(times, dict) and peer != HANDLER:
            bold = {"linewidth": 2.5} if peer == BALANCED else {"linewidth": 1, "alpha": 0.8}
            axes.plot(LENGTHS, [times[str(length)] for length in LENGTHS], "o-", markersize=3, label=peer, **bold)
    axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel="milliseconds, one thread")
    axes.set_xticks(LENGTHS, [str(length) for length in LENGTHS])
    axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
