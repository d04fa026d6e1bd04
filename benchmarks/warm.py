"""Measures warm speed: all peers in turns, each in its own process, so that other load on the machine slows all alike."""

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from containers.tools import PROJECT
from runtime.image import VARIABLES

from .loads import BATCH
from .peers import HANDLER, Paths

TOKENS_A_TURN = 1536
"""A turn repeats a load until it has embedded about this many tokens."""
CPUS = (1, 2)
"""With how many CPUs, and as many threads, the handler is measured."""


class Worker:
    """A peer in its own process; a context manager."""

    def __init__(
        self, python: Path, peer: str, threads: int, paths: Paths, variables: dict[str, str] | None = None
    ) -> None:
        """``variables``: more variables of its environment."""
        self.peer = peer
        values = json.dumps(asdict(paths), default=str)
        # Each peer sets its threads through its own API; these variables set those of its dependencies.
        env = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        # A machine may pin OpenBLAS to the instructions of an old CPU; here OpenBLAS shall choose.
        env = {name: value for name, value in env.items() if not name.startswith("OPENBLAS_")} | (variables or {})
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
        """Wait until the peer is loaded. Returns None, or the reason why it cannot be loaded."""
        if self._process.stdout.readline().strip() == "ready":
            return None
        message = self._process.stderr.read().strip().splitlines()
        return message[-1] if message else "its process ended without a message"

    def measure(self, texts: list[str], repetitions: int) -> tuple[float, float]:
        """Return the milliseconds of the fastest repetition: by the clock, and of CPU."""
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
    """Measure all peers. Returns milliseconds by peer and load, the fastest of all turns; for a peer that cannot run, the reason.

    With one thread it is CPU time, which other processes lengthen less than the time by the clock.
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
                repetitions = repetitions_of(load)
                for worker in workers:
                    wall, cpu = worker.measure(texts, repetitions + (turn == 0))
                    best = results[worker.peer]
                    best[load] = min(best.get(load, float("inf")), cpu if threads == 1 else wall)
            say(f"  {threads} thread{'s'[: threads > 1]}: turn {turn + 1} of {rounds}")
    finally:
        for worker in workers:
            worker.__exit__()
    return results


def on_cpus(
    python: Path, paths: Paths, loads: dict[str, list[str]], rounds: int, say: Callable[[str], None]
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure the handler with each number of :data:`CPUS`, in turns, with the image's variables. Returns by that number and the load the
    least milliseconds by the clock (``wall_ms``) and of CPU (``cpu_ms``)."""
    results: dict[str, dict[str, dict[str, float]]] = {str(cpus): {} for cpus in CPUS}
    workers = {str(cpus): Worker(python, HANDLER, cpus, paths, VARIABLES) for cpus in CPUS}
    try:
        for worker in workers.values():
            if reason := worker.wait():
                raise RuntimeError(f"the handler cannot be measured: {reason}")
        for turn in range(rounds):
            for load, texts in loads.items():
                for cpus, worker in workers.items():
                    times = dict(zip(("wall_ms", "cpu_ms"), worker.measure(texts, repetitions_of(load)), strict=True))
                    best = results[cpus].setdefault(load, times)
                    results[cpus][load] = {name: min(best[name], times[name]) for name in times}
            say(f"  one CPU and two, in turns: turn {turn + 1} of {rounds}")
    finally:
        for worker in workers.values():
            worker.__exit__()
    return results


def repetitions_of(load: str) -> int:
    """How often a turn embeds a load."""
    return 1 if load == BATCH else TOKENS_A_TURN // int(load)
