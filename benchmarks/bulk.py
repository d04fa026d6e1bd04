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


def run_in_turns(texts: list[str], ids: list[str], artifact: Path, workers: int, folder: Path) -> tuple[Side, Side]:
    """Embed ``texts`` by both sides: the job's into ``folder / "output"``, the engine's into ``folder / "vectors"``."""
    (folder / "texts.json").write_text(json.dumps(texts))
    lines = [json.dumps({"id": name, "text": text}) + "\n" for name, text in zip(ids, texts, strict=True)]
    (folder / "texts.jsonl").write_text("".join(lines))
    job = Side("job", artifact, workers, folder / "texts.jsonl", folder / "output")
    engine = Side("engine", artifact, workers, folder / "texts.json", folder / "vectors")
    working = [job, engine]
    while working:
        working = [side for side in working if not side.run(TURN_SECONDS)]
        print(f"· turns of {job.seconds:.0f} s and {engine.seconds:.0f} s", file=sys.stderr)
    return job, engine


def read_vectors(ids: list[str], workers: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of both sides in the order of ``ids``: float32 [texts, dimensions].

    Raises:
        AssertionError: rows of the job are lost or twice.
    """
    shares = [np.load(folder / "vectors" / f"{number}.npy") for number in range(workers)]
    engine = np.empty((len(ids), shares[0].shape[1]), np.float32)
    for number, share in enumerate(shares):
        engine[number::workers] = share
    table = pq.read_table(folder / "output" / "data")
    found = table["id"].to_pylist()
    assert sorted(found) == sorted(ids)
    places = {name: place for place, name in enumerate(ids)}
    job = np.empty_like(engine)
    job[[places[name] for name in found]] = table["vector"].combine_chunks().flatten().to_numpy().reshape(engine.shape)
    return job, engine


def measure(texts: list[str], words: list[str], ids: list[str], artifact: Path) -> dict:
    """Run both sides and compare them.

    Raises:
        AssertionError: rows of the job are lost or twice, or a vector differs from the engine's.
    """
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bulk-") as name:
        folder = Path(name)
        job, engine = run_in_turns(texts, ids, artifact, workers, folder)
        vectors, bare = read_vectors(ids, workers, folder)
        done = json.loads((folder / "output" / "_SUCCESS").read_text())
        size = sum(path.stat().st_size for path in (folder / "output" / "data").iterdir())
    assert np.array_equal(vectors, bare)
    queries = embed_queries(words[:QUERIES], artifact)
    return {
        "texts": len(texts),
        "tokens": done["total"]["tokens"],
        "parts": done["parts"],
        "output_mb": round(size / 2**20, 1),
        "workers": workers,
        "rows_per_second": round(len(texts) / job.seconds, 1),
        "engine_rows_per_second": round(len(texts) / engine.seconds, 1),
        "share": round(engine.seconds / job.seconds, 3),
        "memory_mb": [
            round(max((mb for seconds, mb in job.memory if int(4 * seconds / job.seconds) == quarter), default=0))
            for quarter in range(4)
        ],
        "queries": len(queries),
        "top_1": top_1(words, queries, vectors),
        "engine_top_1": top_1(words, queries, bare),
    }


def embed_queries(words: list[str], artifact: Path) -> np.ndarray:
    """The vectors of ``words`` as queries, by one call of the service for each: float32 [words, dimensions]."""
    service = Service(Engine.load(artifact, threads=1))
    encoded = [service.encode([word], EncodeOptions(prompt_name="query")) for word in words]
    return np.concatenate([service.embed(each, EmbedOptions())[0] for each in encoded])


def top_1(words: list[str], queries: np.ndarray, vectors: np.ndarray) -> float:
    """How often the gloss nearest to a word is a gloss of that word; ``queries`` are the first of ``words``."""
    nearest = (queries @ vectors.T).argmax(axis=1)
    return round(float(np.mean([words[place] == word for place, word in zip(nearest, words, strict=False)])), 4)


def markdown(results: dict) -> str:
    """Return the report."""
    engine, job = results["engine_rows_per_second"], results["rows_per_second"]
    cpu, tokens = results["machine"]["cpu"], results["tokens"] / results["texts"]
    lines = [
        f"Measured on {results['date']} with `python -m benchmarks.bulk`: {cpu}, {results['workers']} CPUs, one thread each. {results['texts']:,} glosses of",
        f"WordNet, {tokens:.1f} tokens each with the prompt, become {results['parts']} Parquet files. Both sides work in turns, and their vectors are equal bit for bit.",
        "",
        "| | bulk job on folders | the engine alone |",
        "|---|---:|---:|",
        f"| texts a second | {job:.0f} | {engine:.0f} |",
        f"| of the engine's | {results['share']:.2f} | required 0.9 |",
        f"| memory of all processes in each quarter of the time (MB) | {', '.join(map(str, results['memory_mb']))} | |",
        f"| output (MB) | {results['output_mb']:.0f} | |",
        f"| the nearest gloss to a word is its own, {results['queries']:,} words | {results['top_1']:.1%} | {results['engine_top_1']:.1%} |",
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
    results = {"date": time.strftime("%Y-%m-%d"), "machine": machine()} | measure(texts, words, ids, artifact)
    print(markdown(results))
    if options.limit is None:
        (RESULTS / "bulk.json").write_text(json.dumps(results, indent=1) + "\n")
        subprocess.run([sys.executable, "-m", "benchmarks.publish"], cwd=PROJECT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
