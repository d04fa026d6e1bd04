"""Measures a bulk job beside the bare engine: ``python -m benchmarks.bulk`` writes its table into docs/performance.md and the README.

The texts are the glosses of WordNet 3.0 (``apt-get install wordnet-base``, or the path of a folder with its ``data.*`` files). Both
sides use all CPUs with one thread a process. They run in turns of some seconds, the other one stopped, so that other load on the
machine slows both alike; the time of a side is that of its turns, from the start of its first process to the end of its last.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from configuration.groups import EMBEDDED, ModelSettings
from containers.tools import PROJECT
from model_export import artifact as artifacts
from runtime.engine.engine import Engine
from runtime.service.options import EmbedOptions, EncodeOptions
from runtime.service.service import Service

from . import RESULTS
from .machine import machine

TEXTS = 100_000
QUERIES = 1000
TURN_SECONDS = 5.0
WORDNET = Path("/usr/share/wordnet")


def read_glosses(folder: Path) -> list[tuple[str, str, str]]:
    """Read the synsets of WordNet: id, first word, gloss; in a random order, always the same. The format is that of wndb(5).

    Raises:
        FileNotFoundError: the folder has no data files.
    """
    files = sorted(folder.glob("data.*"))
    if not files:
        raise FileNotFoundError(f"{folder}: no data.* files of WordNet; install Debian's wordnet-base or name a folder")
    synsets = []
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                fields, _, gloss = line.partition(" | ")
                offset, _, kind, _, word, *_ = fields.split()
                synsets.append((f"{kind}{offset}", word.partition("(")[0].replace("_", " "), gloss.strip()))
    random.Random(0).shuffle(synsets)
    return synsets


class Side:
    """One of the two sides; its processes are a group that can be stopped and continued."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "benchmarks.bulk_sides", *map(str, arguments)]
        self._process = subprocess.Popen(command, cwd=PROJECT, start_new_session=True)
        os.killpg(self._process.pid, signal.SIGSTOP)
        self.seconds = 0.0
        self.memory: list[tuple[float, float]] = []
        """Seconds of the side's turns, and MB of all its processes."""

    def run(self, seconds: float) -> bool:
        """Let the side work for a turn. Returns whether it has ended.

        Raises:
            CalledProcessError: it has failed.
        """
        start = time.monotonic()
        os.killpg(self._process.pid, signal.SIGCONT)
        while time.monotonic() - start < seconds:
            try:
                status = self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            self.seconds += time.monotonic() - start
            if status:
                raise subprocess.CalledProcessError(status, self._process.args)
            return True
        os.killpg(self._process.pid, signal.SIGSTOP)
        self.seconds += time.monotonic() - start
        self.memory.append((round(self.seconds, 1), round(_memory(self._process.pid), 1)))
        return False


def _memory(group: int) -> float:
    """MB of all processes of a group; a page that several have counts once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (ProcessLookupError, FileNotFoundError):  # it has just ended
            continue
    return total / 1024


def compare(texts: list[str], ids: list[str], artifact: Path, workers: int, folder: Path) -> tuple[dict, np.ndarray]:
    """Run both sides. Returns the measurements, and the vectors in the order of ``texts``.

    Raises:
        AssertionError: rows are lost or twice, or a vector differs from the bare engine's.
    """
    (folder / "texts.json").write_text(json.dumps(texts))
    lines = [json.dumps({"id": name, "text": text}) + "\n" for name, text in zip(ids, texts, strict=True)]
    (folder / "texts.jsonl").write_text("".join(lines))
    job = Side("job", artifact, workers, folder / "texts.jsonl", folder / "output")
    engine = Side("engine", artifact, workers, folder / "texts.json", folder / "vectors")
    waiting = [job, engine]
    while waiting:
        waiting = [side for side in waiting if not side.run(TURN_SECONDS)]
        print(f"· turns of {job.seconds:.0f} s and {engine.seconds:.0f} s", file=sys.stderr)
    bare = np.empty((len(texts), np.load(folder / "vectors" / "0.npy").shape[1]), np.float32)
    for number in range(workers):
        bare[number::workers] = np.load(folder / "vectors" / f"{number}.npy")
    table = pq.read_table(folder / "output" / "data")
    assert sorted(table["id"].to_pylist()) == sorted(ids)
    places = {name: place for place, name in enumerate(ids)}
    order = [places[name] for name in table["id"].to_pylist()]
    vectors = np.empty_like(bare)
    vectors[order] = table["vector"].combine_chunks().flatten().to_numpy().reshape(bare.shape)
    assert np.array_equal(vectors, bare)
    done = json.loads((folder / "output" / "_SUCCESS").read_text())
    middle = [mb for _, mb in job.memory[len(job.memory) // 4 : len(job.memory) // 2]]
    return {
        "texts": len(texts),
        "tokens": done["total"]["tokens"],
        "parts": done["parts"],
        "workers": workers,
        "rows_per_second": round(len(texts) / job.seconds, 1),
        "engine_rows_per_second": round(len(texts) / engine.seconds, 1),
        "share": round(engine.seconds / job.seconds, 3),
        "memory_mb": {
            "second quarter": max(middle, default=0),
            "last quarter": max((mb for _, mb in job.memory[-len(middle) :]), default=0),
        },
        "output_mb": round(sum(path.stat().st_size for path in (folder / "output").rglob("*.parquet")) / 2**20, 1),
    }, vectors


def top_1(words: list[str], vectors: np.ndarray, artifact: Path) -> dict:
    """How often the gloss nearest to a word, as a query, is a gloss of that word: with the job's vectors, and with those that one
    call of the service for each text returns."""
    service = Service(Engine.load(artifact, threads=1))
    queries = np.concatenate(
        [
            service.embed(service.encode([word], EncodeOptions(prompt_name="query")), EmbedOptions())[0]
            for word in words[:QUERIES]
        ]
    )
    nearest = (queries @ vectors.T).argmax(axis=1)
    hits = [words[place] == word for place, word in zip(nearest, words, strict=False)]
    return {"queries": len(hits), "top_1": round(float(np.mean(hits)), 4)}


def markdown(results: dict) -> str:
    """Return the report."""
    engine, job = results["engine_rows_per_second"], results["rows_per_second"]
    memory, machine_ = results["memory_mb"], results["machine"]
    lines = [
        f"Measured on {results['date']} with `python -m benchmarks.bulk`: {machine_['cpu']}, {results['workers']} CPUs. {results['texts']:,} glosses of WordNet "
        f"({results['tokens'] / results['texts']:.1f} tokens each",
        "with the prompt) become Parquet; both sides run in turns, with one thread a CPU, and their vectors are equal bit for bit.",
        "",
        "| | bulk job on folders | the engine alone |",
        "|---|---:|---:|",
        f"| texts a second | {job:.0f} | {engine:.0f} |",
        f"| of the engine's | {results['share']:.2f} | required 0.9 |",
        f"| memory of all processes in the second quarter, MB | {memory['second quarter']:.0f} | |",
        f"| in the last quarter | {memory['last quarter']:.0f} | |",
        f"| Parquet, {results['parts']} parts, MB | {results['output_mb']:.0f} | |",
        f"| the gloss nearest to a word, of {results['queries']:,} words, is its own | {results['top_1']:.1%} | {results['top_1']:.1%} |",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the report; write it, too, unless ``--limit`` is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__.split("\n")[0])
    parser.add_argument("wordnet", type=Path, nargs="?", default=WORDNET, help=f"folder of data.* (default: {WORDNET})")
    parser.add_argument("--limit", type=int, help=f"texts (default: {TEXTS:,}); writes no file")
    options = parser.parse_args()
    synsets = read_glosses(options.wordnet)[: options.limit or TEXTS]
    ids, words, texts = (list(column) for column in zip(*synsets, strict=True))
    artifact = artifacts.build(ModelSettings(model=EMBEDDED))
    with tempfile.TemporaryDirectory(prefix="bulk-") as folder:
        measured, vectors = compare(texts, ids, artifact, len(os.sched_getaffinity(0)), Path(folder))
    results = {"date": time.strftime("%Y-%m-%d"), "machine": machine()} | measured | top_1(words, vectors, artifact)
    print(markdown(results))
    if options.limit is None:
        (RESULTS / "bulk.json").write_text(json.dumps(results, indent=1) + "\n")
        subprocess.run([sys.executable, "-m", "benchmarks.publish"], cwd=PROJECT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
