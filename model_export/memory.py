"""Measures the memory that it takes to serve an artifact: that of the Lambda handler, in processes without torch and with the image's
variables.

    python -m model_export.memory FOLDER MEASUREMENT

makes a measurement of :data:`MEASUREMENTS` for the artifact in ``FOLDER``, in this process, and prints its peak memory in MiB.
"""

import itertools
import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from configuration import PROJECT
from runtime.aws.startup import load
from runtime.engine.manifest import Manifest, Memory, read_manifest
from runtime.image import VARIABLES
from runtime.service.limits import Limits
from runtime.settings import Settings

from .errors import ExportError

THREADS = 2
"""Threads to compute with, and texts at a time: those of a function with up to 3,538 MB."""
GREEDY = ("😀", "a ", "水", "\U0010fffd ")
"""Texts that take much memory when they are repeated: many tokens for a character, a word for each token, or both."""


def measure_memory(folder: Path) -> Memory:
    """Measure the artifact in ``folder``, which is complete but for ``memory`` in its manifest.

    Raises:
        ExportError: a measurement fails; the message has its output.
    """
    longest, two, worst = (_measure(folder, name) for name in MEASUREMENTS)
    return Memory(longest_text_mb=longest, another_text_mb=max(1, two - longest), worst_text_mb=worst)


def _measure(folder: Path, name: str) -> int:
    command = [sys.executable, "-m", "model_export.memory", str(folder), name]
    done = subprocess.run(command, cwd=PROJECT, env=os.environ | VARIABLES, capture_output=True, text=True)
    if done.returncode:
        raise ExportError(f"the memory of {folder.name} cannot be measured:\n{done.stderr.strip()}")
    return int(done.stdout)


def _longest_texts(*counts: int) -> Callable[[Manifest], Iterator[dict]]:
    """A request for each of ``counts``, of so many texts, each as long as the model reads."""

    def events(manifest: Manifest) -> Iterator[dict]:
        for count in counts:
            texts = ["a " * manifest.max_tokens] * count
            if manifest.task == "rerank":
                yield {"query": "a", "texts": texts, "truncate": True}
            else:
                yield {"inputs": [[text] for text in texts] if manifest.task == "classify" else texts, "truncate": True}

    return events


def _worst_texts(manifest: Manifest) -> Iterator[dict]:
    """As long as the limits allow, and then the longest, since the memory of those is not given back. A special token in a text
    sends it to the checkpoint's tokenizer, which takes more memory than kitoken; what one leaves behind is there when the other runs."""
    special = next(iter(manifest.tokenizer.special_tokens), "")
    limits = Limits()
    for greedy, start in itertools.product(GREEDY, ("", special)):
        room = limits.characters(manifest.max_tokens, manifest.task == "embed") - len(start)
        text = start + greedy * (room // len(greedy))
        if manifest.task == "embed":
            yield {"inputs": text, "long_texts": "window"}
        elif manifest.task == "rerank":
            yield {"query": text, "texts": [text], "truncate": True}
        else:
            yield {"inputs": text, "truncate": True}
    room = limits.characters(manifest.max_tokens, False)
    yield _request("/tokenize", {"inputs": GREEDY[0] * room})
    yield from _longest_texts(1)(manifest)


def _request(path: str, body: dict) -> dict:
    """A Function URL's event."""
    return {
        "requestContext": {"http": {"method": "POST"}},
        "rawPath": path,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }


MEASUREMENTS: dict[str, Callable[[Manifest], Iterator[dict]]] = {
    "longest": _longest_texts(1),
    "two": _longest_texts(1, THREADS),
    "worst": _worst_texts,
}
"""By name, the events that a measurement sends to the handler."""


def _peak_mb() -> int:
    """Peak memory of this process in MiB, rounded up."""
    if sys.platform == "darwin":
        return math.ceil(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)
    # Not ru_maxrss: on Linux a process that another one started begins with the peak of that one (getrusage(2)).
    status = Path("/proc/self/status").read_text()
    return math.ceil(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


if __name__ == "__main__":
    handler = load(Settings(model_dir=sys.argv[1], log_level="ERROR"), threads=THREADS)
    # On Lambda the log goes to standard output, which is for the result here.
    result, sys.stdout = sys.stdout, sys.stderr
    for event in MEASUREMENTS[sys.argv[2]](read_manifest(Path(sys.argv[1]))):
        answer = handler(event)
    if "error" in answer:  # a worst text may have too many tokens; the longest text, which comes last, may not
        sys.exit(answer["error"])
    print(_peak_mb(), file=result)
