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

LEAST_COSINE = 0.99
"""CPUs of different kinds agree to 0.9995 or better; another model, or a damaged one, does not come near."""
OPTIONS = EncodeOptions(prompt_name="", long_texts="truncate")
"""As the golden vectors were made. The texts have their prompts in them: the empty name leaves out the default prompt."""


def check(service: Service, deadline: float = float("inf")) -> dict[str, Any]:
    """Embed each golden text, and compare its vector with the recorded one.

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
    least = 1.0
    for entry in golden:
        try:
            vector = compute(service, entry.text if entry.other is None else (entry.text, entry.other), deadline)
        except RequestError as error:
            return _failed(f"{entry.text!r} got no vector: {error}")
        vector = vector.ravel() if entry.words is None else vector[entry.words]
        if len(vector) != len(entry.vector):
            return _failed(f"{entry.text!r} got {len(vector)} numbers, the artifact has {len(entry.vector)}")
        cosine = float(np.dot(vector, entry.vector) / (np.linalg.norm(vector) * np.linalg.norm(entry.vector)))
        if not cosine >= LEAST_COSINE:  # not a number fails, too
            return _failed(f"{entry.text!r} got another vector than the artifact has: their cosine is {cosine:.4f}")
        least = min(least, cosine)
    return {
        "golden_check": "passed",
        "artifact": engine.manifest.key,
        "texts": len(golden),
        "least_cosine": round(least, 6),
    }


def compute(service: Service, text: str | tuple[str, str], deadline: float = float("inf")) -> np.ndarray:
    """What the model's task makes of a text, or of a pair of texts: a unit vector [dimensions], the vectors of all tokens
    [tokens, hidden], the weights of all words [vocabulary] or logits [labels]; float32.

    Raises:
        RequestError: the text is not allowed, or there is no time left.
    """
    task = service.manifest.task
    if task in PAIR_TASKS:
        encoded = service.encode_pairs([text], OPTIONS, deadline)
        return service.scores(encoded, True, deadline)[0][0]
    encoded = service.encode([text], OPTIONS, deadline)
    if task == "embed":
        return service.embed(encoded, EmbedOptions(), deadline)[0][0]
    [ids] = encoded.windows[0]
    return service.engine.sparse(ids) if task == "sparse" else service.engine.token_vectors(ids)


def _failed(reason: str) -> dict[str, Any]:
    return {"error": f"golden check: {reason}", "error_type": "GoldenCheck"}
