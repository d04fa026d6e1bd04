"""Fidelity: the artifact against the original model, from text to result.

The original is the fp32 checkpoint in sentence-transformers, with its own tokenizer, modules and truncation, so that a wrong
export, a wrong token or a module that was left out is found too.
"""

from collections.abc import Sequence

import numpy as np

from runtime.aws.golden import compute
from runtime.engine.engine import Engine
from runtime.engine.manifest import PAIR_TASKS, Fidelity, Golden, ScoreFidelity
from runtime.service.activations import ACTIVATIONS
from runtime.service.service import Service

from .errors import FidelityError
from .graph.arithmetic import Precision
from .precision import PRECISIONS
from .texts import PAIRS, QUERIES, TEXTS

GOLDEN_TEXTS = ("First text", "query: how far is it to the sea?", "passage: Das Meer ist zwei Stunden entfernt.")
GOLDEN_WORDS = 64
"""Words of a sparse model whose weights are recorded, those with the largest."""


def texts_of(task: str) -> Sequence[str] | Sequence[tuple[str, str]]:
    """The texts, or pairs of texts, that a model with this task is verified on."""
    return PAIRS if task in PAIR_TASKS else TEXTS


def measure_fidelity(expected: Sequence[np.ndarray], engine: Engine, precision: Precision) -> Fidelity | ScoreFidelity:
    """How near the results of ``engine`` for :func:`texts_of` its task are to ``expected``, those of the original.

    Raises:
        FidelityError: one is farther away than the precision allows; the message has the figures.
    """
    task, service = engine.manifest.task, Service(engine)
    actual = [compute(service, text) for text in texts_of(task)]
    compare = _compare_scores if task in PAIR_TASKS else _compare_vectors
    return compare(expected, actual, engine, precision)


def _compare_vectors(
    expected: Sequence[np.ndarray], actual: Sequence[np.ndarray], engine: Engine, precision: Precision
) -> Fidelity:
    cosines = np.array([_cosine(*pair) for pair in zip(expected, actual, strict=True)])
    fidelity = Fidelity(
        texts=len(cosines),
        cosine_mean=round(float(cosines.mean()), 6),
        cosine_p1=round(float(np.percentile(cosines, 1)), 6),
        cosine_min=round(float(cosines.min()), 6),
        threshold=precision.threshold,
    )
    if not fidelity.cosine_min >= fidelity.threshold:
        raise _too_far(
            engine,
            precision,
            f"cosine {fidelity.cosine_min} on {TEXTS[int(cosines.argmin())][:40]!r}, mean {fidelity.cosine_mean}; "
            f"at least {fidelity.threshold} is needed",
        )
    return fidelity


def _cosine(expected: np.ndarray, actual: np.ndarray) -> float:
    """The cosine of two vectors; of the vectors of a text's tokens the mean. 0 if they have different shapes."""
    if expected.shape != actual.shape:
        return 0.0
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(actual, axis=-1)
    return float(np.mean((expected * actual).sum(-1) / np.maximum(lengths, 1e-12)))


def _compare_scores(
    expected: Sequence[np.ndarray], actual: Sequence[np.ndarray], engine: Engine, precision: Precision
) -> ScoreFidelity:
    activate = ACTIVATIONS[engine.manifest.activation]
    before, after = (np.stack([activate(logits) for logits in each]) for each in (expected, actual))
    differences = np.abs(after - before).max(1)
    fidelity = ScoreFidelity(
        pairs=len(before),
        largest_difference=round(float(differences.max()), 6),
        kendall_tau=round(_mean_tau(before, after), 6),
        threshold=precision.score_threshold,
    )
    if not fidelity.largest_difference <= fidelity.threshold:
        pair = PAIRS[int(differences.argmax())]
        raise _too_far(
            engine,
            precision,
            f"a score differs by {fidelity.largest_difference} for {pair[0][:40]!r} and {pair[1][:40]!r}; "
            f"at most {fidelity.threshold} is allowed",
        )
    return fidelity


def _too_far(engine: Engine, precision: Precision, how: str) -> FidelityError:
    return FidelityError(
        f"{engine.manifest.model.id} at precision {precision.name!r} is too far from the fp32 model: {how}. "
        f"Another precision may do: {', '.join(PRECISIONS)}."
    )


def _mean_tau(before: np.ndarray, after: np.ndarray) -> float:
    """Kendall's tau of the rankings of texts by the first score, over the queries of :data:`PAIRS`: 1 if all are the same."""
    taus = []
    for one, other in zip(np.split(before[:, 0], len(QUERIES)), np.split(after[:, 0], len(QUERIES)), strict=True):
        upper = np.triu_indices(len(one), 1)
        signs = [np.sign(np.subtract.outer(scores, scores)[upper]) for scores in (one, other)]
        taus.append(float(np.mean(signs[0] * signs[1])))
    return float(np.mean(taus))


def describe_fidelity(fidelity: Fidelity | ScoreFidelity) -> str:
    """A line of progress."""
    if isinstance(fidelity, ScoreFidelity):
        return (
            f"scores differ from fp32 by at most {fidelity.largest_difference} over {fidelity.pairs} pairs; "
            f"Kendall's tau of the rankings {fidelity.kendall_tau}"
        )
    return f"cosine to fp32: mean {fidelity.cosine_mean}, least {fidelity.cosine_min} of {fidelity.texts} texts"


def golden_results(engine: Engine) -> list[Golden]:
    """Texts with their results by this artifact, which a deployment compares its own answers with."""
    service = Service(engine)
    return [_golden(service, text) for text in GOLDEN_TEXTS]


def _golden(service: Service, text: str) -> Golden:
    task = service.manifest.task
    if task in PAIR_TASKS:
        other = GOLDEN_TEXTS[0]
        return Golden(text=text, other=other, vector=compute(service, (text, other)).tolist())
    result = compute(service, text)
    if task == "sparse":
        words = np.sort(np.argsort(-result, kind="stable")[:GOLDEN_WORDS])
        return Golden(text=text, words=words.tolist(), vector=result[words].tolist())
    return Golden(text=text, vector=result.ravel().tolist())
