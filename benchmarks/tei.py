"""This project's server beside a running Text Embeddings Inference (TEI): the same texts over HTTP, in turns."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from containers.tools import PROJECT

from .loads import BATCH_LENGTHS
from .warm import repetitions_of

SAME_MODEL = 0.95
"""Least cosine between the two vectors of a text. Quantized or rebuilt weights of one model stay above it; the vectors of two
models are unrelated, about 0."""


class TeiError(Exception):
    """The TEI at this URL cannot be compared; the message says why."""


def measure(url: str, artifact: Path, loads: dict[str, list[str]], rounds: int, say: Callable[[str], None]) -> dict:
    """Measure both with all ``loads``. Returns the milliseconds of the fastest request by side ("ours", "tei") and load, the least
    cosine between their vectors, and what TEI says of itself.

    Raises:
        TeiError: nothing answers at ``url``, or it refuses a request, or serves another model.
    """
    with _serving(artifact) as ours, httpx.Client(timeout=120) as client:
        addresses = {"ours": ours, "tei": url.rstrip("/")}
        info = _ask(client, "GET", f"{addresses['tei']}/info")
        cosine = min(_cosine(*(_embed(client, each, texts) for each in addresses.values())) for texts in loads.values())
        if cosine < SAME_MODEL:
            raise TeiError(
                f"{url} serves another model ({info.get('model_id')}): the cosine of a text's two vectors is {cosine:.2f}, "
                f"and of one model at least {SAME_MODEL}. TEI has to serve the checkpoint in build/checkpoint, or the model it was made from"
            )
        results: dict = {side: dict.fromkeys(loads, float("inf")) for side in addresses}
        for turn in range(rounds):
            for load, texts in loads.items():
                for side, address in addresses.items():
                    for _ in range(repetitions_of(load)):
                        started = time.perf_counter()
                        _embed(client, address, texts)
                        milliseconds = (time.perf_counter() - started) * 1000
                        results[side][load] = min(results[side][load], milliseconds)
            say(f"  TEI: turn {turn + 1} of {rounds}")
    return results | {
        "cosine": cosine,
        "info": {name: info.get(name) for name in ("model_id", "model_dtype", "version")},
    }


def _embed(client: httpx.Client, address: str, texts: list[str]) -> np.ndarray:
    """Vectors of ``texts``: float32 [texts, dimensions]."""
    return np.array(_ask(client, "POST", f"{address}/embed", json={"inputs": texts}), np.float32)


def _ask(client: httpx.Client, method: str, url: str, **arguments):
    try:
        answer = client.request(method, url, **arguments)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TeiError(f"{url} does not answer: {error}") from None
    if answer.status_code == 413:
        raise TeiError(
            f"{url} refuses a request as too large (413: {answer.text.strip()}). The largest has {len(BATCH_LENGTHS)} texts and "
            f"{sum(BATCH_LENGTHS)} tokens; see TEI's --max-client-batch-size, --max-batch-tokens and --payload-limit"
        )
    if answer.status_code != 200:
        raise TeiError(f"{url} answers {answer.status_code}: {answer.text.strip()[:200]}")
    try:
        return answer.json()
    except ValueError:
        raise TeiError(f"{url} does not answer with JSON, as TEI would") from None


def _cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The least cosine of any text's two vectors; 0 if they have different dimensions."""
    if ours.shape != theirs.shape:
        return 0.0
    return float(np.min((ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)))


@contextmanager
def _serving(artifact: Path) -> Iterator[str]:
    """The URL of this project's server, in a process of all CPUs."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("EMBEDDINGS_")}
    command = [sys.executable, "-m", "runtime.server", "--port", "0", "--model-dir", str(artifact)]
    log = {"EMBEDDINGS_LOG_LEVEL": "ERROR"}
    with subprocess.Popen(command, cwd=PROJECT, env=env | log, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if line.startswith("serving "):
                    yield line.split()[-1]
                    return
            raise RuntimeError("this project's server does not start")
        finally:
            process.terminate()


def lines(results: dict, names: dict[str, str]) -> Iterator[str]:
    """Yield the table, line by line, in Markdown. ``names``: of the loads."""
    info, ours, tei = results["info"], results["ours"], results["tei"]
    yield f"Beside Text Embeddings Inference {info['version']} with {info['model_id']} ({info['model_dtype']}), both over HTTP, in turns, the fastest"
    yield f"request counts. The least cosine between the two vectors of a text is {results['cosine']:.4f}."
    yield ""
    yield f"| over HTTP: ms (× this project) | {' | '.join(names.values())} |"
    yield "|---|" + "---:|" * len(names)
    yield f"| **this project** | {' | '.join(f'{ours[load]:.1f} (1.00)' for load in names)} |"
    yield f"| TEI | {' | '.join(f'{tei[load]:.1f} ({tei[load] / ours[load]:.2f})' for load in names)} |"
