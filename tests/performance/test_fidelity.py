"""How far the shipped int8 is from the fp32 original, on texts that no parameter was chosen by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic

from configuration.groups import EMBEDDED, ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import Engine
from runtime.engine.manifest import read_manifest
from tests.performance.texts import ENGLISH, HELD_OUT
from tests.support.embed import embed_texts

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Threshold:
    """The least cosines to sentence-transformers in fp32: of all texts, and of all but one in a hundred.

    They lie between what ``balanced`` gives and what the best plain dynamic quantization gives, nearer to the former.
    """

    least: float
    p1: float

    def is_met(self, cosines: np.ndarray) -> bool:
        return bool(cosines.min() >= self.least and np.percentile(cosines, 1) >= self.p1)


# Measured: balanced 0.9996, 0.9996; plain, per channel 0.9942, 0.9949; plain, per tensor 0.979, 0.980.
E5 = Threshold(least=0.9985, p1=0.999)
# Measured: balanced 0.990, 0.991; plain, per channel 0.965, 0.968; plain, per tensor 0.81, 0.81.
MINILM = Threshold(least=0.985, p1=0.987)
# Measured: balanced 0.9987, 0.9987; plain, per channel 0.9926, 0.9928; plain, per tensor 0.954, 0.954.
MINILM_CLS = Threshold(least=0.9975, p1=0.998)


@dataclass(frozen=True)
class Case:
    """A model, the vectors of its fp32 original for the held-out texts, and how near int8 must come."""

    model: str
    original: np.ndarray
    threshold: Threshold

    def cosines(self, engine: Engine) -> np.ndarray:
        return (embed_texts(engine, HELD_OUT) * self.original).sum(1)

    def build(self, precision: str) -> Path:
        return artifacts.build(ModelSettings(model=self.model, precision=precision))


@pytest.fixture(scope="module", params=["e5", "minilm", "minilm_cls"])
def case(request, checkpoint, minilm, minilm_cls) -> Case:
    from sentence_transformers import SentenceTransformer

    folder, model, threshold = {
        "e5": (checkpoint, EMBEDDED, E5),
        "minilm": (minilm, str(minilm), MINILM),
        "minilm_cls": (minilm_cls, str(minilm_cls), MINILM_CLS),
    }[request.param]
    original = SentenceTransformer(str(folder), device="cpu").encode(HELD_OUT, batch_size=8, normalize_embeddings=True)
    return Case(model, original, threshold)


def test_balanced_is_near_the_original(case):
    cosines = case.cosines(Engine.load(case.build("balanced"), threads=1))
    worst = HELD_OUT[int(cosines.argmin())]
    assert case.threshold.is_met(cosines), f"{cosines.min():.5f} on {worst!r}, p1 {np.percentile(cosines, 1):.5f}"


def test_an_english_model_is_near_the_original_in_english(minilm):
    """all-MiniLM-L6-v2, whose weights were never quantized before. Measured: 0.99884."""
    from sentence_transformers import SentenceTransformer

    assert len(ENGLISH) == 200
    original = SentenceTransformer(str(minilm), device="cpu").encode(ENGLISH, batch_size=8, normalize_embeddings=True)
    engine = Engine.load(artifacts.build(ModelSettings(model=str(minilm))), threads=1)
    assert np.percentile((embed_texts(engine, ENGLISH) * original).sum(1), 1) >= 0.998


@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
def test_plain_dynamic_quantization_would_be_noticed(case, per_channel, tmp_path):
    """onnxruntime's own tool, on the same model and with one text at a time: the thresholds tell it from ours."""
    exact = case.build("exact")
    quantize_dynamic(
        onnx.load(exact / "model.onnx"),
        tmp_path / "model.onnx",
        op_types_to_quantize=["MatMul", "Gather"],
        per_channel=per_channel,
        extra_options={"MatMulConstBOnly": True},
    )
    for tokenizer in exact.glob("tokenizer.*"):
        (tmp_path / tokenizer.name).symlink_to(tokenizer)
    cosines = case.cosines(Engine(tmp_path, read_manifest(exact), threads=1))
    assert not case.threshold.is_met(cosines), f"least {cosines.min():.5f}, p1 {np.percentile(cosines, 1):.5f}"
