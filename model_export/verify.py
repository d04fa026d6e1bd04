"""Fidelity: the shipped graph against the original model, text by text.

The original is the fp32 model that transformers loaded, not its ONNX export, so that a wrong export is found too.
"""

from typing import TYPE_CHECKING

import numpy as np

from runtime.engine.engine import Engine
from runtime.engine.heads.pooling import normalize, pool
from runtime.engine.manifest import Fidelity, Golden

from .errors import FidelityError
from .graph.arithmetic import Precision
from .precision import PRECISIONS
from .texts import TEXTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GOLDEN_TEXTS = ("First text", "query: how far is it to the sea?", "passage: Das Meer ist zwei Stunden entfernt.")


def measure_fidelity(model: "PreTrainedModel", engine: Engine, precision: Precision) -> Fidelity:
    """Cosines between the vectors of ``model`` and of ``engine`` over :data:`~model_export.texts.TEXTS`.

    Raises:
        FidelityError: one is below the precision's threshold; the message has the cosines.
    """
    manifest = engine.manifest
    cosines = np.array([_cosine(model, engine, text) for text in TEXTS])
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


def _cosine(model: "PreTrainedModel", engine: Engine, text: str) -> float:
    import torch

    ids = _ids(engine, text)
    with torch.no_grad():
        tokens = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    original = normalize(pool(tokens.last_hidden_state[0].numpy(), engine.manifest.pooling))
    return float(original @ engine.embed(ids, normalize_vector=True))


def _ids(engine: Engine, text: str) -> list[int]:
    limit = engine.manifest.max_tokens - engine.num_special_tokens
    return engine.with_special_tokens(engine.tokenize(text)[:limit])


def golden_vectors(engine: Engine) -> list[Golden]:
    """Texts with their vectors by this artifact, which a deployment compares its own answers with."""
    return [
        Golden(text=text, vector=engine.embed(_ids(engine, text), normalize_vector=True).tolist())
        for text in GOLDEN_TEXTS
    ]
