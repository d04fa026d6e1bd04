"""Turns the measurements into Markdown tables and a plot."""

import operator
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import tei
from .loads import BATCH, BATCH_LENGTHS, LENGTHS, load_name
from .machine import name_of
from .peers import BALANCED, BF16, FP32, HANDLER, INT8, TORCH

LOADS = {load: load_name(load) for load in (*map(str, LENGTHS), BATCH)}

COMPARE = {"≤": operator.le, "<": operator.lt, "≥": operator.ge}


def markdown(results: dict) -> str:
    """Return the whole report on speed, cold starts and memory."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: dict) -> Iterator[str]:
    machine = results["machine"]
    yield f"Measured on {results['date']} with `{results['command']}`: {name_of(machine)}, {machine['cpus']} CPUs ({', '.join(machine['instructions'])}),"
    yield f"Linux {machine['kernel']}, Python {machine['python']}, onnxruntime {machine['onnxruntime']}; multilingual-e5-small, all peers side by side in turns, the fastest turn counts."
    yield f"With one thread it is CPU time. The batch has {len(BATCH_LENGTHS)} texts of {min(BATCH_LENGTHS)} to {max(BATCH_LENGTHS)} tokens, {sum(BATCH_LENGTHS)} in all."
    for threads, peers in results["warm"].items():
        yield ""
        yield from _warm_table(peers, int(threads))
    yield ""
    yield from _cpus_table(results["cpus"])
    if "tei" in results:
        yield ""
        yield from tei.lines(results["tei"], LOADS)
    yield ""
    yield from _targets(results)
    yield ""
    yield from _cold_tables(results)


def _warm_table(peers: dict, threads: int) -> Iterator[str]:
    fp32 = peers[FP32]
    yield _row(f"{threads} thread{'s'[: threads > 1]}: ms (× onnxruntime fp32)", LOADS.values())
    yield "|---|" + "---:|" * len(LOADS)
    for peer, times in peers.items():
        if isinstance(times, str):
            continue
        cells = [f"{times[load]:.1f} ({times[load] / fp32[load]:.2f})" for load in LOADS]
        name = {HANDLER: "this project, through the handler"}.get(peer, peer)
        mark = "**" if peer == BALANCED else ""
        yield _row(f"{mark}{name}{mark}", cells)


def _cpus_table(cpus: dict) -> Iterator[str]:
    one, *others = cpus
    yield "More than one CPU, through the handler, in turns, with the image's variables. A batch has as many texts computed at a time"
    yield "as there are CPUs, a text alone has all of them."
    yield ""
    yield _row("by the clock: ms", LOADS.values())
    yield "|---|" + "---:|" * len(LOADS)
    for count, times in cpus.items():
        yield _row(f"{count} CPU{'s'[: count != one]}", (f"{times[load]['wall_ms']:.1f}" for load in LOADS))
    for count in others:
        speed = [f"{speedup(cpus, count, load):.2f}" for load in LOADS]
        work = [f"{cpus[count][load]['cpu_ms'] / cpus[one][load]['cpu_ms']:.2f}" for load in LOADS]
        yield _row(f"{count} CPUs are so many times as fast", speed)
        yield _row("and take so many times the CPU time", work)


def speedup(cpus: dict, count: str, load: str) -> float:
    """How many times as fast a load is on so many CPUs as on one, by the clock; ``cpus``: of :func:`benchmarks.warm.on_cpus`."""
    return cpus["1"][load]["wall_ms"] / cpus[count][load]["wall_ms"]


def targets(results: dict) -> list[dict]:
    """Return each target that was measured: its ``name``, the ``value``, the ``aim``, and whether it is ``met``."""
    warm = results["warm"]["1"]
    ours, handler, fp32, torch = (warm[peer] for peer in (BALANCED, HANDLER, FP32, TORCH))
    cold = {kind: figures["warm"] for kind, figures in results["cold"]["processes"].items()}
    overhead = {load: handler[load] - ours[load] for load in ("16", "512")}
    start = cold["ours"]["cpu_ms"] / cold["plain"]["cpu_ms"]
    rows = [
        ("512 tokens, of onnxruntime fp32's time", ours["512"] / fp32["512"], "≤", 0.46),
        *(
            (f"512 tokens, of the time of {peer}", ours["512"] / warm[peer]["512"], "<", 1)
            for peer in (BF16, INT8)
            if isinstance(warm.get(peer), dict)
        ),
        ("16 tokens, of onnxruntime fp32's time", ours["16"] / fp32["16"], "≤", 0.42),
        ("mixed batch of 32, × sentence-transformers' tokens a second", torch[BATCH] / ours[BATCH], "≥", 3),
        ("mixed batch of 32, two CPUs × one CPU's speed", speedup(results["cpus"], "2", BATCH), "≥", 1.9),
        ("handler's share at 512 tokens", overhead["512"] / handler["512"], "≤", 0.05),
        ("handler's milliseconds at 16 tokens", overhead["16"], "≤", 1),
        ("process start to first vector, of the plain build's", start, "≤", 0.2),
        ("peak memory at 512 tokens (MB)", cold["ours"]["peak_mb"], "≤", 230),
    ]
    container = results["cold"]["container"] or {}
    if "image_chunks" in container:
        rows.append(("chunks of 512 KiB read before the first answer", container["image_chunks"], "≤", 220))
    return [
        {"name": name, "value": value, "aim": f"{sign} {aim:g}", "met": COMPARE[sign](value, aim)}
        for name, value, sign, aim in rows
    ]


def machine_summary(results: dict) -> dict:
    """Return what is kept of a machine's results, to stand beside those of other machines: ratios and :func:`targets`."""
    ratios = [
        {
            "name": f"{LOADS[load]}, of onnxruntime fp32's time{'' if threads == '1' else f', {threads} threads'}",
            "value": peers[BALANCED][load] / peers[FP32][load],
        }
        for threads, peers in results["warm"].items()
        for load in LOADS
    ]
    rows = {row["name"]: row for row in ratios + targets(results)}
    return {"date": results["date"], "machine": results["machine"], "rows": list(rows.values())}


def machines(summaries: list[dict]) -> Iterator[str]:
    """Yield a table with a column for each of :func:`machine_summary`, line by line, in Markdown. The aims are those of the first."""
    columns = [f"{name_of(each['machine'])}, {each['machine']['cpus']} CPUs, {each['date']}" for each in summaries]
    yield _row("this project, balanced", ("aim", *columns))
    yield "|---|---:|" + "---:|" * len(columns)
    by_name = [{row["name"]: row for row in each["rows"]} for each in summaries]
    for name in dict.fromkeys(name for rows in by_name for name in rows):
        aim, *_ = (rows[name].get("aim", "") for rows in by_name if name in rows)
        yield _row(name, (aim, *(_cell(rows[name]) if name in rows else "" for rows in by_name)))


def _cell(row: dict) -> str:
    shown = f"{row['value']:.0f}" if row["value"] >= 100 else f"{row['value']:.3g}"
    return shown if row.get("met", True) else f"**{shown}**"


def _targets(results: dict) -> Iterator[str]:
    yield "| target | measured | required | met |"
    yield "|---|---:|---:|:---:|"
    for row in targets(results):
        yield f"| {row['name']} | {_cell(row | {'met': True})} | {row['aim']} | {'yes' if row['met'] else '**no**'} |"


def _cold_tables(results: dict) -> Iterator[str]:
    cold = results["cold"]["processes"]
    yield "A cold start, from the start of a process on one CPU to its first vector (CPU milliseconds, page cache warm). The plain"
    yield "build is `tokenizers` and a session with default options on the dynamic int8 model in one file."
    yield ""
    yield "| step | this project | plain build | plain build with the image's variables |"
    yield "|---|---:|---:|---:|"
    warm = [kind["warm"] for kind in cold.values()]
    for step in dict.fromkeys(step for each in warm for step in each["steps"]):
        yield _row(step, (f"{each['steps'][step]:.1f}" if step in each["steps"] else "" for each in warm))
    yield _row("**in all**", (f"**{each['cpu_ms']:.0f}**" for each in warm))
    yield _row("the second text", (f"{each['second_cpu_ms']:.1f}" for each in warm))
    yield _row("peak memory at 512 tokens (MB)", (f"{each['peak_mb']:.0f}" for each in warm))
    if "dropped" in cold["ours"]:
        dropped = [kind["dropped"] for kind in cold.values()]
        yield _row("by the clock, page cache dropped", (f"{each['wall_ms']:.0f}" for each in dropped))
        yield _row("read from disk, page cache dropped (MB)", (f"{each['read_mb']:.0f}" for each in dropped))
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
        yield _row(kind, (f"{run[name]:.0f}" for name in names))
    if "image_chunks" in container:
        yield ""
        yield f"Of the image's {container['image_mb']:.0f} MB, {container['image_read_mb']:.0f} MB were read before the first answer, in {container['image_chunks']} distinct chunks of 512 KiB, the unit in"
        yield "which Lambda fetches an image."
        for place, reads in (
            ("part of the image", "image_read_by_part"),
            ("file, those with most chunks", "image_read_by_file"),
        ):
            yield ""
            yield f"| {place} | read (MB) | chunks |"
            yield "|---|---:|---:|"
            for name, figures in sorted(container[reads].items(), key=lambda item: -item[1]["chunks"]):
                yield _row(name, (f"{figures['read_mb']:.1f}", str(figures["chunks"])))


def _row(name: str, cells: Iterable[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


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
