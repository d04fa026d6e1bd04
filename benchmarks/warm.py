"""Warm speed: all peers side by side, each in its own process, in turns, so that what else the machine does hits all alike."""

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from .loads import BATCH
from .peers import Paths

PROJECT = Path(__file__).resolve().parents[1]
TOKENS_A_TURN = 1536
"""A turn repeats a load until it has embedded about this many tokens."""


class Worker:
    """A peer in a process of its own; a context manager."""

    def __init__(self, python: Path, peer: str, threads: int, paths: Paths) -> None:
        self.peer = peer
        values = json.dumps(asdict(paths), default=str)
        # Each peer is told its threads through its own API; these are for what it drags in.
        env = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        # A machine may pin OpenBLAS to the instructions of an old CPU; a measurement wants its own choice.
        env = {name: value for name, value in env.items() if not name.startswith("OPENBLAS_")}
        command = [str(python), "-m", "benchmarks.worker", peer, str(threads), values]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env=env,
        )

    def wait(self) -> str | None:
        """Wait until it is loaded; the reason if it cannot be."""
        if self._process.stdout.readline().strip() == "ready":
            return None
        message = self._process.stderr.read().strip().splitlines()
        return message[-1] if message else "it ended without a word"

    def measure(self, texts: list[str], repetitions: int) -> tuple[float, float]:
        """Milliseconds by the clock and of CPU, of the fastest repetition."""
        print(json.dumps([texts, repetitions]), file=self._process.stdin, flush=True)
        return tuple(json.loads(self._process.stdout.readline()))

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()


def measure(
    python: Path,
    peers: Iterable[str],
    threads: int,
    paths: Paths,
    loads: dict[str, list[str]],
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, dict[str, float] | str]:
    """Milliseconds by peer and load, the fastest of all turns; for a peer that cannot run, the reason.

    With one thread, the time is that of the CPU, which other processes do not lengthen as they do the clock's.
    """
    results: dict[str, dict[str, float] | str] = {}
    workers = []
    try:
        for peer in peers:
            worker = Worker(python, peer, threads, paths)
            if reason := worker.wait():
                say(f"  {peer}: cannot run here ({reason})")
                results[peer] = reason
                worker.__exit__()
            else:
                workers.append(worker)
                results[peer] = {}
        for turn in range(rounds):
            for load, texts in loads.items():
                repetitions = 1 if load == BATCH else TOKENS_A_TURN // int(load)
                for worker in workers:
                    wall, cpu = worker.measure(texts, repetitions + (turn == 0))
                    best = results[worker.peer]
                    best[load] = min(best.get(load, float("inf")), cpu if threads == 1 else wall)
            say(f"  {threads} thread{'s'[: threads > 1]}: turn {turn + 1} of {rounds}")
    finally:
        for worker in workers:
            worker.__exit__()
    return results
