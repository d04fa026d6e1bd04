"""Fidelity: the artifact against the original model, from text to result.

The original is the fp32 checkpoint in sentence-transformers, with its own tokenizer, modules and truncation, so that a wrong
export, a wrong token or a module that was left out is found too.
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec
import numpy as np

from runtime.aws.golden import compute
from runtime.engine.engine import Engine
from runtime.engine.manifest import PAIR_TASKS, Fidelity, Golden, ScoreFidelity, SparseFidelity
from runtime.service.activations import ACTIVATIONS
from runtime.service.service import Service

from .errors import FidelityError
from .graph.arithmetic import Precision
from .precision import PRECISIONS
from .samples import Sample, inputs_for

GOLDEN_TEXTS = ("First text", "query: how far is it to the sea?", "passage: Das Meer ist zwei Stunden entfernt.")
GOLDEN_PAIRS = tuple((text, GOLDEN_TEXTS[0]) for text in GOLDEN_TEXTS)
GOLDEN_WORDS = 64
"""Words of a sparse model whose weights are recorded, those with the largest."""
TOP_WORDS = 64
"""Words of a sparse model that are compared as a set, those with the largest weights: an index of words finds a text by them."""

Results = Sequence[np.ndarray]


def measure_fidelity(
    expected: Results, samples: Sequence[Sample], engine: Engine, precision: Precision
) -> Fidelity | ScoreFidelity:
    """How near the results of ``engine`` for ``samples`` are to ``expected``, those of the original.

    Raises:
        FidelityError: they are farther away than the precision allows; the message has the figures.
    """
    task, service = engine.manifest.task, Service(engine)
    actual = [compute(service, sample.text, prompt_name=sample.prompt_name) for sample in samples]
    if task in PAIR_TASKS:
        return _compare_scores(expected, actual, samples, engine, precision)
    fidelity = _compare_vectors(expected, actual, samples, engine, precision)
    return _compare_words(fidelity, expected, actual, samples, engine, precision) if task == "sparse" else fidelity


def _compare_vectors(
    expected: Results, actual: Results, samples: Sequence[Sample], engine: Engine, precision: Precision
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
            f"cosine {fidelity.cosine_min} on {_name(samples[int(cosines.argmin())])}, mean {fidelity.cosine_mean}; "
            f"at least {fidelity.threshold} is needed",
        )
    return fidelity


def _compare_words(
    fidelity: Fidelity,
    expected: Results,
    actual: Results,
    samples: Sequence[Sample],
    engine: Engine,
    precision: Precision,
) -> SparseFidelity:
    shares = np.array([_shared_words(*pair) for pair in zip(expected, actual, strict=True)])
    least = round(float(shares.min()), 6)
    if not least >= precision.words_threshold:
        raise _too_far(
            engine,
            precision,
            f"on {_name(samples[int(shares.argmin())])} the {TOP_WORDS} words with the largest weights are the same for a part of "
            f"{least}; at least {precision.words_threshold} is needed",
        )
    return SparseFidelity(
        **msgspec.structs.asdict(fidelity), words_mean=round(float(shares.mean()), 6), words_min=least
    )


def _shared_words(expected: np.ndarray, actual: np.ndarray) -> float:
    """The part of the words with the largest weights in ``expected``, at most :data:`TOP_WORDS`, that are among those in ``actual``."""
    count = min(TOP_WORDS, np.count_nonzero(expected))
    before, after = (set(np.argsort(-weights, kind="stable")[:count].tolist()) for weights in (expected, actual))
    return len(before & after) / max(1, count)


def _cosine(expected: np.ndarray, actual: np.ndarray) -> float:
    """The cosine of two vectors; of the vectors of a text's tokens the mean. 0 if they have different shapes."""
    if expected.shape != actual.shape:
        return 0.0
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(actual, axis=-1)
    return float(np.mean((expected * actual).sum(-1) / np.maximum(lengths, 1e-12)))


def _compare_scores(
    expected: Results, actual: Results, samples: Sequence[Sample], engine: Engine, precision: Precision
) -> ScoreFidelity:
    activate = ACTIVATIONS[engine.manifest.activation]
    before, after = (np.stack([activate(logits) for logits in each]) for each in (expected, actual))
    differences = np.abs(after - before).max(1)
    fidelity = ScoreFidelity(
        texts=len(before),
        largest_difference=round(float(differences.max()), 6),
        kendall_tau=None,
        threshold=precision.score_threshold,
    )
    if not fidelity.largest_difference <= fidelity.threshold:
        raise _too_far(
            engine,
            precision,
            f"a score differs by {fidelity.largest_difference} for {_name(samples[int(differences.argmax())])}; "
            f"at most {fidelity.threshold} is allowed",
        )
    if engine.manifest.task != "rerank":
        return fidelity
    # By logits: a sigmoid makes those of a sure model the same.
    tau = round(_mean_tau(np.concatenate(expected), np.concatenate(actual), samples), 6)
    if not tau >= precision.tau_threshold:
        raise _too_far(
            engine,
            precision,
            f"it ranks texts differently: Kendall's tau of the rankings is {tau}; "
            f"at least {precision.tau_threshold:.4f} is needed",
        )
    return msgspec.structs.replace(fidelity, kendall_tau=tau)


def _name(sample: Sample) -> str:
    """The beginnings of the texts of ``sample``."""
    texts = [sample.text] if isinstance(sample.text, str) else sample.text
    prompt = f" with the prompt {sample.prompt_name!r}" if sample.prompt_name else ""
    return " and ".join(repr(text[:40]) for text in texts) + prompt


def _too_far(engine: Engine, precision: Precision, how: str) -> FidelityError:
    return FidelityError(
        f"{engine.manifest.model.id} at precision {precision.name!r} is too far from the fp32 model: {how}. "
        f"Another precision may do: {', '.join(PRECISIONS)}."
    )


def _mean_tau(before: np.ndarray, after: np.ndarray, samples: Sequence[Sample]) -> float:
    """Kendall's tau-b of the rankings of texts by their logits, the mean over the queries: 1 if all are the same.

    It is not defined where all logits are equal. Then it counts as 1 if they are equal before and after, else as 0."""
    from scipy.stats import kendalltau

    taus = []
    for _, group in groupby(range(len(samples)), key=lambda index: samples[index].text[0]):
        pairs = list(group)
        tau = kendalltau(before[pairs], after[pairs]).statistic
        taus.append(np.ptp(before[pairs]) == np.ptp(after[pairs]) if np.isnan(tau) else tau)
    return float(np.mean(taus))


def describe_fidelity(fidelity: Fidelity | ScoreFidelity) -> str:
    """A line of progress."""
    if isinstance(fidelity, ScoreFidelity):
        line = f"scores differ from fp32 by at most {fidelity.largest_difference} over {fidelity.texts} texts or pairs"
        if fidelity.kendall_tau is not None:
            line += f"; Kendall's tau of the rankings {fidelity.kendall_tau}"
        return line
    line = f"cosine to fp32: mean {fidelity.cosine_mean}, least {fidelity.cosine_min} of {fidelity.texts} texts"
    if isinstance(fidelity, SparseFidelity):
        line += f"; of the {TOP_WORDS} largest weights {fidelity.words_min} or more belong to the same words"
    return line


def golden_results(engine: Engine) -> list[Golden]:
    """Texts and pairs of texts with their results by this artifact, which a deployment compares its own answers with."""
    service, manifest = Service(engine), engine.manifest
    inputs = inputs_for(manifest.task, manifest.tokenizer.pair is not None, GOLDEN_TEXTS, GOLDEN_PAIRS)
    return [_golden(service, each) for each in inputs]


def _golden(service: Service, given: str | tuple[str, str]) -> Golden:
    result = compute(service, given)
    text, other = (given, None) if isinstance(given, str) else given
    if service.manifest.task == "sparse":
        words = np.sort(np.argsort(-result, kind="stable")[:GOLDEN_WORDS])
        return Golden(text=text, words=words.tolist(), vector=result[words].tolist())
    return Golden(text=text, other=other, vector=result.ravel().tolist())
