"""The golden check: compares the answers of this version with the vectors that its artifact records.

A deployment asks for it by a direct invocation before it moves traffic to a new version (``infra.golden_check``).
"""

from typing import Any

import msgspec
import numpy as np

from ..engine.manifest import GOLDEN_FILE, ArtifactError, Golden, check_file
from ..http.application import Application

LEAST_COSINE = 0.99
"""CPUs of different kinds agree to 0.9995 or better; another model, or a damaged one, does not come near."""


def check(application: Application, request_id: str = "", deadline: float = float("inf")) -> dict[str, Any]:
    """Answer each golden text as a direct invocation, and compare its vector with the recorded one.

    Returns:
        ``{"golden_check": "passed", …}``, or TEI's ``error`` and ``error_type``.
    """
    engine = application.service.engine
    try:
        check_file(engine.folder, GOLDEN_FILE, engine.manifest)
    except ArtifactError as error:
        return _failed(str(error))
    golden = msgspec.json.decode((engine.folder / GOLDEN_FILE).read_bytes(), type=list[Golden])
    least = 1.0
    for entry in golden:
        # The golden texts have their prompts in them: the empty name leaves out the deployment's default prompt.
        fields = {"inputs": entry.text, "prompt_name": "", "truncate": True}
        response = application.embed(fields, request_id, deadline)
        if response.status != 200:
            return _failed(f"{entry.text!r} got no vector: {response.body.decode()}")
        (vector,) = msgspec.json.decode(response.body, type=list[list[float]])
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


def _failed(reason: str) -> dict[str, Any]:
    return {"error": f"golden check: {reason}", "error_type": "GoldenCheck"}
