"""Fidelity: the artifact against the original model, from text to vector.

The original is the fp32 checkpoint in sentence-transformers, with its own tokenizer, modules and truncation, so that a wrong
export, a wrong token or a module that was left out is found too.
"""

import numpy as np

from runtime.engine.engine import Engine
from runtime.engine.manifest import Fidelity, Golden

from .errors import FidelityError
from .graph.arithmetic import Precision
from .precision import PRECISIONS
from .texts import TEXTS

GOLDEN_TEXTS = ("First text", "query: how far is it to the sea?", "passage: Das Meer ist zwei Stunden entfernt.")


def measure_fidelity(expected: np.ndarray, engine: Engine, precision: Precision) -> Fidelity:
    """Cosines between the the vectors that the original gives, ``expected`` [texts, dimensions], and those of ``engine`` over :data:`~model_export.texts.TEXTS`.

    Raises:
        FidelityError: one is below the precision's threshold; the message has the cosines.
    """
    manifest = engine.manifest
    cosines = np.array(
        [vector @ engine.embed(_ids(engine, text)) for vector, text in zip(expected, TEXTS, strict=True)]
    )
    fidelity = Fidelity(
        texts=len(TEXTS),
        cosine_mean=round(float(cosines.mean()), 6),
        cosine_p1=round(float(np.percentile(cosines, 1)), 6),
        cosine_min=round(float(cosines.min()), 6),
        threshold=precision.threshold,
    )
    if not fidelity.cosine_min >= fidelity.threshold:
        raise FidelityError(
            f"{manifest.model.id} at precision {precision.name!r} is too far from the fp32 model: cosine "
            f"{fidelity.cosine_min} on {TEXTS[int(cosines.argmin())][:40]!r}, mean {fidelity.cosine_mean}; "
            f"at least {fidelity.threshold} is needed. Another precision may do: {', '.join(PRECISIONS)}."
        )
    return fidelity


def _ids(engine: Engine, text: str) -> list[int]:
    limit = engine.manifest.max_tokens - engine.num_special_tokens
    return engine.with_special_tokens(engine.tokenize(text)[:limit])


def golden_vectors(engine: Engine) -> list[Golden]:
    """Texts with their vectors by this artifact, which a deployment compares its own answers with."""
    return [
        Golden(text=text, vector=engine.embed(_ids(engine, text), normalize_vector=True).tolist())
        for text in GOLDEN_TEXTS
    ]
