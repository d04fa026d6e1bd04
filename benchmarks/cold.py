"""Measures cold starts: from the start of a process, and of a container, to the first vector."""

import compileall
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy

from containers import emulator, flattened, image
from containers.emulator import FunctionContainer
from containers.tools import PROJECT, ToolError
from runtime.image import VARIABLES, slim_numpy

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
PACKAGES = PROJECT / "build" / "benchmarks" / "packages"
"""Numpy and the runtime as in the image."""
OURS = {
    "PYTHONPATH": str(PACKAGES),
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    **VARIABLES,
}
"""Variables with which a process starts as in the image. OpenBLAS, with which numpy's wheel comes, is not there; so it makes no threads."""
KINDS = {"ours": OURS, "plain": {}, "tuned": VARIABLES}
"""What is started, with its variables: ours as in the image, the plain build, and the plain build with the image's variables."""

MOST_FILES = 12
"""Of so many files, those with most chunks, what a cold start reads is reported."""


def can_drop_page_cache() -> bool:
    """True if this process may drop the kernel's page cache."""
    return os.access(DROP_CACHES, os.W_OK)


def drop_page_cache() -> None:
    """Drop the kernel's page cache, so that files are read from disk again."""
    os.sync()
    DROP_CACHES.write_text("1\n")


def processes(artifact: Path, plain: Path, rounds: int, say: Callable[[str], None]) -> dict:
    """Start ours and the plain build in turns, each in a fresh process on one CPU. Returns the figures of the fastest run by kind
    (:data:`KINDS`) and page cache ("warm" and, where this process may drop it, "dropped"): milliseconds and megabytes."""
    results: dict = {kind: {} for kind in KINDS}
    _copy_packages()
    for cache in ("warm", "dropped") if can_drop_page_cache() else ("warm",):
        runs: dict[str, list[dict]] = {kind: [] for kind in KINDS}
        for turn in range(rounds + (cache == "warm")):
            for kind in KINDS:
                if cache == "dropped":
                    drop_page_cache()
                build = ("ours", artifact) if kind == "ours" else ("plain", plain)
                run = _process(*build, KINDS[kind])
                if cache == "dropped" or turn:  # the first one warms the cache
                    runs[kind].append(run)
            say(f"  processes, page cache {cache}: turn {turn + 1}")
        for kind, each in runs.items():
            results[kind][cache] = _fastest(each)
    return results


def _copy_packages() -> None:
    """Put numpy, without what the image does without, and the runtime into :data:`PACKAGES`, all with bytecode."""
    shutil.rmtree(PACKAGES, ignore_errors=True)
    for folder in Path(numpy.__file__).parents[1].glob("numpy*"):
        if folder.suffix in ("", ".libs"):
            shutil.copytree(folder, PACKAGES / folder.name)
    slim_numpy.main(PACKAGES)
    shutil.copytree(PROJECT / "runtime", PACKAGES / "runtime")
    compileall.compile_dir(PACKAGES, quiet=1)


def _process(build: str, folder: Path, variables: dict[str, str]) -> dict:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "EMBEDDINGS_"))}
    # Neither with a function that runs before the command, for which the process would begin as a copy of this one, nor with `-m`, which
    # imports more: both take CPU time that is not a start's.
    script = [sys.executable, "-P", PROJECT / "benchmarks" / "cold_process.py"]
    command = ["taskset", "--cpu-list", "0", *script, build, folder]
    started = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = subprocess.run(
        [*command, str(started)],
        env=env | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _fastest(runs: list[dict]) -> dict:
    """Return the least of each figure, and the steps of the run whose steps took least in all."""
    best = min(runs, key=lambda run: sum(run["steps"].values()))
    return {"steps": best["steps"]} | {name: min(run[name] for run in runs) for name in best if name != "steps"}


def build_image(artifact: Path, say: Callable[[str], None]) -> str | None:
    """Build the image with an artifact. Returns its name, or None where no container can run."""
    try:
        emulator.install()
        return image.build(artifact, "serverless-embeddings-bench")
    except ToolError as error:
        say(f"  no container: {str(error).splitlines()[0]}")
        return None


def container(name: str, memory_mb: int, rounds: int, say: Callable[[str], None]) -> dict:
    """Start an image in turns, read-only and within the function's memory and CPU, through the runtime interface emulator. Returns
    milliseconds and megabytes by page cache."""
    result: dict = {"memory_limit_mb": memory_mb}
    for cache in ("warm", "dropped") if can_drop_page_cache() else ("warm",):
        runs = []
        for turn in range(rounds + (cache == "warm")):
            if cache == "dropped":
                drop_page_cache()
            run = _container_start(name, memory_mb)
            if cache == "dropped" or turn:
                runs.append(run)
            say(f"  container, page cache {cache}: turn {turn + 1}")
        result[cache] = {name: min(run[name] for run in runs) for name in runs[0]}
    if can_drop_page_cache():
        result |= _image_reads(name, memory_mb)
    return result


def _container_start(name: str, memory_mb: int) -> dict:
    with FunctionContainer(name, memory_mb) as function:
        # The emulator starts the function's process when the first event comes.
        started = time.perf_counter()
        function.invoke({"inputs": "query: how far is it to the sea?"})
        first = time.perf_counter()
        function.invoke({"inputs": "query: how far is it to the sea?"})
        second = time.perf_counter()
        function.invoke({"inputs": "word " * 500})
        lines = [json.loads(line) for line in function.logs().splitlines() if line.startswith("{")]
    line = next(line for line in lines if line.get("cold_start"))
    return {
        "first_answer_ms": (first - started) * 1000,
        "second_answer_ms": (second - first) * 1000,
        "init_ms": line["InitDuration"],
        "first_request_ms": line["Latency"],
        "peak_mb": max(line["MemoryUsed"] for line in lines if "MemoryUsed" in line),
    }


def _image_reads(name: str, memory_mb: int) -> dict:
    """Return what a cold start reads of the image until its first answer: megabytes, and the distinct chunks that Lambda would fetch."""
    with (
        flattened.flatten(name) as device,
        FunctionContainer(device.name, memory_mb, options=device.options) as function,
    ):
        drop_page_cache()
        function.invoke({"inputs": "query: how far is it to the sea?"})
        files = device.read()
    most = sorted(files, key=lambda name: -files[name].chunks)[:MOST_FILES]
    return {
        "image_mb": sum(image.sizes(name).values()) / 1e6,
        "image_read_mb": sum(read.size for read in files.values()) / 1e6,
        "image_chunks": sum(read.chunks for read in files.values()),
        "image_read_by_part": _in_megabytes(flattened.by_part(files)),
        "image_read_by_file": _in_megabytes({name: files[name] for name in most}),
    }


def _in_megabytes(reads: dict[str, flattened.Read]) -> dict[str, dict[str, float]]:
    return {name: {"read_mb": read.size / 1e6, "chunks": read.chunks} for name, read in reads.items()}
