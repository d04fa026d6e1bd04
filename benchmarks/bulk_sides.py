"""The two sides of :mod:`benchmarks.bulk`, each a process group:

    python -m benchmarks.bulk_sides engine ARTIFACT WORKERS TEXTS VECTORS   the engine with nothing around it
    python -m benchmarks.bulk_sides job ARTIFACT WORKERS JSONL OUTPUT       a bulk job

``TEXTS`` is a JSON list; ``VECTORS`` becomes a folder with a file a process, whose rows are every WORKERS-th text.
"""

import json
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bulk.job import Job
from bulk.local import run_local
from runtime.engine.engine import Engine

PROMPT = "passage"


def embed_share(artifact: Path, texts: Path, workers: int, number: int, vectors: Path) -> None:
    """Tokenize and embed one text after the other, as ``Engine``'s callers do: truncated, with the prompt."""
    engine = Engine.load(artifact, threads=1)
    prompt, room = engine.manifest.prompts[PROMPT], engine.manifest.max_tokens - engine.num_special_tokens
    share = json.loads(texts.read_text())[number::workers]
    result = [engine.embed(engine.with_special_tokens(engine.tokenize(prompt + text)[:room])) for text in share]
    np.save(vectors / f"{number}.npy", np.stack(result))


def main(side: str, artifact: str, workers: str, source: str, target: str) -> None:
    """Run one side."""
    if side == "job":
        run_local(Job(input=source, output=target, id="id", prompt_name=PROMPT), Path(artifact), int(workers))
        return
    Path(target).mkdir()
    arguments = [(Path(artifact), Path(source), int(workers), number, Path(target)) for number in range(int(workers))]
    processes = [get_context("spawn").Process(target=embed_share, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(max(process.exitcode for process in processes))


if __name__ == "__main__":
    main(*sys.argv[1:])
