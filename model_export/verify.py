"""Fidelity: the shipped graph against the original model, text by text.

The original is the fp32 model that transformers loaded, not its ONNX export, so that a wrong export is found as well.
"""

from typing import TYPE_CHECKING

import numpy as np

from runtime.embedder import Embedder
from runtime.manifest import Fidelity, Golden
from runtime.pooling import normalize, pool

from .errors import FidelityError
from .texts import TEXTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

THRESHOLDS = {"fast": 0.97, "balanced": 0.99, "exact": 0.9995}
"""The least cosine of any text with which an artifact of that precision may ship."""

GOLDEN_TEXTS = ("First text", "query: how far is it to the sea?", "passage: Das Meer ist zwei Stunden entfernt.")


def measure_fidelity(model: "PreTrainedModel", embedder: Embedder) -> Fidelity:
    """Cosines between the vectors of ``model`` and of ``embedder`` over :data:`~model_export.texts.TEXTS`.

    Raises:
        FidelityError: one is below the precision's threshold; the message gives the figures.
    """
    manifest = embedder.manifest
    cosines = np.array([_cosine(model, embedder, text) for text in TEXTS])
    fidelity = Fidelity(
        texts=len(TEXTS),
        cosine_mean=round(float(cosines.mean()), 6),
        cosine_p1=round(float(np.percentile(cosines, 1)), 6),
        cosine_min=round(float(cosines.min()), 6),
        threshold=THRESHOLDS[manifest.precision],
    )
    if not fidelity.cosine_min >= fidelity.threshold:
        raise FidelityError(
            f"{manifest.model.id} at precision {manifest.precision!r} is too far from the fp32 model: cosine "
            f"{fidelity.cosine_min} on {TEXTS[int(cosines.argmin())][:40]!r}, mean {fidelity.cosine_mean}; "
            f"at least {fidelity.threshold} is needed. Another precision may do: {', '.join(THRESHOLDS)}."
        )
    return fidelity


def _cosine(model: "PreTrainedModel", embedder: Embedder, text: str) -> float:
    import torch

    ids = _ids(embedder, text)
    with torch.no_grad():
        tokens = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    original = normalize(pool(tokens.last_hidden_state[0].numpy(), embedder.manifest.pooling))
    return float(original @ embedder.embed(ids, normalize_vector=True))


def _ids(embedder: Embedder, text: str) -> list[int]:
    limit = embedder.manifest.max_tokens - embedder.num_special_tokens
    return embedder.with_special_tokens(embedder.tokenize(text)[:limit])


def golden_vectors(embedder: Embedder) -> list[Golden]:
    """Texts with the vectors that this artifact gives for them, for a deployment to check itself against."""
    return [
        Golden(text=text, vector=embedder.embed(_ids(embedder, text), normalize_vector=True).tolist())
        for text in GOLDEN_TEXTS
    ]
