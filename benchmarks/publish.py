"""Writes the committed results into docs/performance.md, docs/bulk.md and the README, and the worst days into docs/operations.md,
each between its markers:

python -m benchmarks.publish
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from containers.tools import PROJECT
from runtime.settings import VCPU_MB

from . import MACHINES, RESULTS, bulk, report
from .cost import COLD_SHARE, OPENAI_USD
from .machine import name_of
from .peers import BALANCED, BF16, FP32, INT8, TORCH
from .worst_day import worst_days

PERFORMANCE = PROJECT / "docs" / "performance.md"
BULK = PROJECT / "docs" / "bulk.md"
OPERATIONS = PROJECT / "docs" / "operations.md"
README = PROJECT / "README.md"
RIVALS = (BF16, INT8, FP32, TORCH)
"""The peers that the README names for a text of 512 tokens."""


def sections() -> dict[Path, dict[str, str]]:
    """Return the text of each marked section, by document and name."""
    results, cost, fidelity, job = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("bench", "cost", "sts", "bulk")
    )
    return {
        PERFORMANCE: {
            "speed": _with_plot("speed", "bench.md", "latency.svg"),
            "machines": "\n".join(report.machines(_machines())) + "\n",
            "cost": _with_plot("cost", "cost.md", "cost.svg"),
            "bulk": bulk.markdown(job),
        },
        BULK: {"simulation": _with_plot("time and cost", "bulk_simulation.md", "bulk_simulation.svg")},
        OPERATIONS: {"worst days": "\n".join(worst_days()) + "\n"},
        README: {"figures": figures(results, cost, fidelity, job)},
    }


def _machines() -> list[dict]:
    """What is kept of each machine's results, the latest first."""
    summaries = [json.loads(path.read_text()) for path in sorted(MACHINES.glob("*.json"))]
    return sorted(summaries, key=lambda each: each["date"], reverse=True)


def _with_plot(name: str, text: str, plot: str) -> str:
    return f"{(RESULTS / text).read_text()}\n![{name}](../benchmarks/results/{plot})\n"


def figures(results: dict, cost: list[dict], fidelity: dict, job: dict) -> str:
    """Return the README's table: the main figures of ``bench.json``, ``cost.json``, ``sts.json`` and ``bulk.json``."""
    return "\n".join(_figure_rows(results, cost, fidelity, job)) + "\n"


def _figure_rows(results: dict, cost: list[dict], fidelity: dict, job: dict) -> Iterator[str]:
    warm, cold = results["warm"]["1"], results["cold"]["processes"]
    ours, plain = cold["ours"]["warm"], cold["plain"]["warm"]
    container = results["cold"]["container"]
    rivals = "; ".join(f"{peer} {warm[peer]['512']:.0f} ms" for peer in RIVALS if isinstance(warm[peer], dict))
    at = {"architecture": "x86_64", "memory_mb": VCPU_MB, "tokens": 512}
    price = next(row for row in cost if at.items() <= row.items())
    (near,) = (row for row in fidelity["precisions"] if row["precision"] == "balanced")
    yield f"| {results['date']}, {name_of(results['machine'])}, one CPU | this project | for comparison |"
    yield "|---|---:|---|"
    yield f"| process start to first vector, CPU time | {ours['cpu_ms']:.0f} ms | onnxruntime int8 as a plain build has it {plain['cpu_ms']:.0f} ms |"
    if container and "dropped" in container:
        yield f"| cold start of the image, nothing cached | {container['dropped']['first_answer_ms']:.0f} ms | page cache warm {container['warm']['first_answer_ms']:.0f} ms |"
    yield f"| a text of 512 tokens, warm | {warm[BALANCED]['512']:.0f} ms | {rivals} |"
    yield f"| peak memory at 512 tokens | {ours['peak_mb']:.0f} MB | onnxruntime int8 as a plain build has it {plain['peak_mb']:.0f} MB |"
    yield f"| a million tokens in requests of 512, {COLD_SHARE:.0%} cold | ${price['usd_per_million_tokens']:.4f} | OpenAI text-embedding-3-small ${OPENAI_USD:.4f} |"
    yield f"| {job['texts']:,} texts become Parquet, {job['workers']} CPUs | {job['rows_per_second']:.0f} texts/s | the engine alone {job['engine_rows_per_second']:.0f} texts/s |"
    yield f"| mean cosine with the fp32 model, {len(fidelity['languages'])} languages | {near['cosine_mean']:.5f} | least of all texts {near['cosine_min']:.5f} |"
    if container and "image_mb" in container:
        yield f"| image | {container['image_mb']:.0f} MB | read before the first answer: {container['image_chunks']} of the chunks of 512 KiB in which Lambda fetches it |"


def replace(document: str, name: str, text: str) -> str:
    """Return ``document`` with ``text`` between its markers ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises:
        ValueError: the document does not have these markers exactly once.
    """
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    replaced, count = re.subn(pattern, lambda found: f"{found[1]}{text}{found[2]}", document, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the markers of {name!r} are there {count} times in place of once")
    return replaced


def main() -> None:
    """Write all documents."""
    for path, texts in sections().items():
        document = path.read_text(encoding="utf-8")
        for name, text in texts.items():
            document = replace(document, name, text)
        path.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
