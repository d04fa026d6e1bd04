"""Runs a local job whose processes die at chosen points, each once:

    python -m tests.bulk.run_with_faults INPUT OUTPUT MODEL_DIR FLAGS POINT...

``FLAGS`` is a folder that remembers, by files, which points have been reached. A point is ``before:PREFIX`` or ``after:PREFIX``, around
the write of a key that begins with ``PREFIX``, or ``embedding:N``, at a process's N-th call of the service. ``poison:TEXT`` kills whoever embeds TEXT, each time. Workers are started with
this module too, so that the points are theirs as well.
"""

import os
import signal
import sys
from pathlib import Path

from bulk import local, plan, worker
from bulk.job import Job
from bulk.storage import Folder

SPLIT_SECONDS = 0.15


def die_once(flags: Path, point: str) -> None:
    """Kill this process, unless a process died here before."""
    try:
        (flags / point.replace("/", "+")).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def install(flags: Path, points: list[str]) -> None:
    """Put the points into the code."""
    local.SPLIT_SECONDS = SPLIT_SECONDS
    plan.PLAN_SAMPLE = {"rows": 16, "seconds": 3}
    for name in ("put", "put_if_absent"):
        _around_writes(name, flags, points)
    steps = [int(point.partition(":")[2]) for point in points if point.startswith("embedding:")]
    poisons = {point.partition(":")[2] for point in points if point.startswith("poison:")}
    embed, calls = worker.embed_texts, 0

    def embed_texts(texts, *arguments):
        nonlocal calls
        calls += 1
        if poisons.intersection(texts):
            os.kill(os.getpid(), signal.SIGKILL)
        if calls in steps:
            die_once(flags, f"embedding:{calls}")
        return embed(texts, *arguments)

    worker.embed_texts = embed_texts


def _around_writes(name: str, flags: Path, points: list[str]) -> None:
    write = getattr(Folder, name)

    def wrapped(self, key, body):
        for point in points:
            if point.startswith("before:") and key.startswith(point.removeprefix("before:")):
                die_once(flags, point)
        result = write(self, key, body)
        for point in points:
            if point.startswith("after:") and key.startswith(point.removeprefix("after:")):
                die_once(flags, point)
        return result

    setattr(Folder, name, wrapped)


install(Path(sys.argv[4]), sys.argv[5:])

if __name__ == "__main__":
    source, output, model_dir = sys.argv[1:4]
    result = local.run_local(Job(input=source, output=output, id="id"), Path(model_dir), workers=2)
    print(result.total.rows)
