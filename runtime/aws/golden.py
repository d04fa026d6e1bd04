"""The golden check: compares the vectors of this version with those that its artifact records.

A deployment asks for it by a direct invocation before it moves traffic to a new version (``infra.golden_check``).
"""

from typing import Any

import msgspec
import numpy as np

from ..engine.manifest import GOLDEN_FILE, PAIR_TASKS, ArtifactError, Golden, check_file
from ..service.errors import RequestError
from ..service.options import EmbedOptions, EncodeOptions
from ..service.service import Service

LARGEST_DISTANCE = 0.1
"""The same artifact on another CPU comes nearer. In ``balanced`` all of x86 give the same bits (docs/fidelity.md); other last bits, as
on ARM, turn some roundings to int8 around: by noise of that size vectors moved by 0.03 at most in ``balanced``, by 0.08 in ``fast``.
Those of another model are at 1 or more."""
OPTIONS = EncodeOptions(prompt_name="", long_texts="truncate")
"""As the golden vectors were made. The texts have their prompts in them: the empty name leaves out the default prompt."""


def check(service: Service, deadline: float = float("inf")) -> dict[str, Any]:
    """Compute the result of each golden text, and compare it with the recorded one.

    ``deadline`` is the time by ``perf_counter``, in seconds, when the answer has to be there.

    Returns:
        ``{"golden_check": "passed", …}``, or TEI's ``error`` and ``error_type``.
    """
    engine = service.engine
    try:
        check_file(engine.folder, GOLDEN_FILE, engine.manifest)
    except ArtifactError as error:
        return _failed(str(error))
    golden = msgspec.json.decode((engine.folder / GOLDEN_FILE).read_bytes(), type=list[Golden])
    largest = 0.0
    for entry in golden:
        try:
            vector = compute(service, entry.text if entry.other is None else (entry.text, entry.other), deadline)
        except RequestError as error:
            return _failed(f"{entry.text!r} got no vector: {error}")
        vector = vector.ravel() if entry.words is None else vector[entry.words]
        if len(vector) != len(entry.vector):
            return _failed(f"{entry.text!r} got {len(vector)} numbers, the artifact has {len(entry.vector)}")
        distance = _distance(vector, np.array(entry.vector), service.manifest.task)
        if not distance <= LARGEST_DISTANCE:  # not a number fails, too
            return _failed(
                f"{entry.text!r} got another result than the artifact has: their distance is {distance:.4f}, at most "
                f"{LARGEST_DISTANCE} is allowed"
            )
        largest = max(largest, distance)
    return {
        "golden_check": "passed",
        "artifact": engine.manifest.key,
        "texts": len(golden),
        "largest_distance": round(largest, 6),
    }


def _distance(actual: np.ndarray, expected: np.ndarray, task: str) -> float:
    """How far ``actual`` is from ``expected``: of logits the largest difference, relative to the largest of them if that exceeds 1;
    of vectors and weights the length of their difference, relative to that of ``expected``."""
    difference = np.abs(actual - expected)
    if task in PAIR_TASKS:
        return float(difference.max() / max(1, np.abs(expected).max()))
    return float(np.linalg.norm(difference) / max(np.linalg.norm(expected), 1e-12))


def compute(
    service: Service, text: str | tuple[str, str], deadline: float = float("inf"), prompt_name: str = ""
) -> np.ndarray:
    """What the model's task makes of a text with a prompt, or of a pair of texts: a unit vector [dimensions], the vectors of all tokens
    [tokens, hidden], the weights of all words [vocabulary] or logits [labels]; float32.

    Raises:
        RequestError: the text is not allowed, or there is no time left.
    """
    task = service.manifest.task
    if task in PAIR_TASKS:
        encoded = service.encode_pairs([text], OPTIONS, deadline)
        return service.scores(encoded, True, deadline)[0][0]
    encoded = service.encode([text], msgspec.structs.replace(OPTIONS, prompt_name=prompt_name), deadline)
    if task == "embed":
        return service.embed(encoded, EmbedOptions(), deadline)[0][0]
    [ids] = encoded.windows[0]
    return service.engine.sparse(ids) if task == "sparse" else service.engine.token_vectors(ids)


def _failed(reason: str) -> dict[str, Any]:
    return {"error": f"golden check: {reason}", "error_type": "GoldenCheck"}
