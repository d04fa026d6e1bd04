"""A process that measures one peer at each request:

    python -m benchmarks.worker PEER THREADS PATHS

``PATHS`` is :class:`benchmarks.peers.Paths` as JSON. After "ready", each line on standard input is ``[texts, repetitions]``
and each line on standard output ``[wall milliseconds, CPU milliseconds]``, of the fastest repetition.
"""

import json
import os
import sys
import time
from pathlib import Path


def main(peer: str, threads: str, paths: str) -> None:
    """Load the peer and measure it for each line of standard input, until it ends."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a peer's own output goes to standard error
    from .peers import PEERS, Paths

    values = json.loads(paths)
    artifacts = {precision: Path(path) for precision, path in values.pop("artifacts").items()}
    known = Paths(**{name: Path(path) for name, path in values.items()}, artifacts=artifacts)
    embed = PEERS[peer](known, int(threads))
    print("ready", file=out)
    for line in sys.stdin:
        texts, repetitions = json.loads(line)
        print(json.dumps(measure(embed, texts, repetitions)), file=out)


def measure(embed, texts: list[str], repetitions: int) -> tuple[float, float]:
    """Return the milliseconds of the fastest call: by the clock, and of CPU."""
    walls, cpus = [], []
    for _ in range(repetitions):
        wall, cpu = time.perf_counter(), time.process_time()
        embed(texts)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls) * 1000, min(cpus) * 1000


if __name__ == "__main__":
    main(*sys.argv[1:])
