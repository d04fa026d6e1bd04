"""What an artifact is compared by: a part that is wrong, a ranking that is another, or a prompt that is read otherwise is refused."""

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from model_export import verify
from model_export.checkpoint import fetch
from model_export.describe import Description, describe
from model_export.errors import CheckpointError, FidelityError, UnsupportedModelError
from model_export.originals import Original, compute, load_original
from model_export.precision import PRECISIONS
from model_export.samples import Sample, choose_samples
from model_export.verify import measure_fidelity
from runtime.engine.engine import Engine
from runtime.engine.manifest import read_manifest
from runtime.engine.tokenizer import Tokenizer
from runtime.service.service import Service
from tests.runtime.conftest import make_handler
from tests.runtime.test_golden import GOLDEN_CHECK, changed

from .families import FAMILIES

BALANCED = PRECISIONS["balanced"]


def write(name: str, minilm: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("family") / name
    FAMILIES[name](folder, minilm, tmp_path_factory.mktemp("scratch"))
    return folder


@dataclasses.dataclass
class Made:
    """A family's artifact and its original."""

    engine: Engine
    original: Original
    samples: list[Sample]
    expected: list[np.ndarray]

    def measure(self, precision=BALANCED):
        return measure_fidelity(self.expected, self.samples, self.engine, precision)


def make(name: str, minilm: Path, tmp_path_factory) -> Made:
    settings = ModelSettings(model=str(write(name, minilm, tmp_path_factory)))
    engine = Engine.load(artifacts.build(settings, tmp_path_factory.mktemp("artifacts")), threads=1)
    checkpoint = fetch(settings)
    original = load_original(checkpoint, describe(checkpoint, None, None))
    samples = choose_samples(
        engine.manifest.task, engine.reference_tokenizer, {}, engine.manifest.tokenizer.pair is not None
    )
    return Made(engine, original, samples, compute(original, samples, {}, checkpoint))


@pytest.fixture(scope="module")
def reranker(minilm, tmp_path_factory) -> Made:
    return make("reranker-bert", minilm, tmp_path_factory)


class TestRerankers:
    def test_scores_differ_from_text_to_text(self, reranker):
        """Otherwise nothing below would show."""
        scores = 1 / (1 + np.exp(-np.array(reranker.expected)))
        assert scores.min() < 0.3 and scores.max() > 0.6
        assert scores.std() > 2 * BALANCED.score_threshold

    def test_what_is_right_passes(self, reranker):
        fidelity = reranker.measure()
        assert fidelity.largest_difference <= 0.05 and fidelity.kendall_tau >= BALANCED.tau_threshold

    def test_texts_in_the_wrong_order(self, reranker, monkeypatch):
        pair = Tokenizer.pair
        monkeypatch.setattr(Tokenizer, "pair", lambda self, first, second: pair(self, second, first))
        with pytest.raises(FidelityError, match="a score differs by"):
            reranker.measure(PRECISIONS["fast"])

    def test_token_types_that_are_all_0(self, reranker, monkeypatch):
        pair = Tokenizer.pair

        def without_types(self, first, second):
            ids, _ = pair(self, first, second)
            return ids, [0] * len(ids)

        monkeypatch.setattr(Tokenizer, "pair", without_types)
        with pytest.raises(FidelityError, match="a score differs by"):
            reranker.measure(PRECISIONS["fast"])

    def test_a_pooler_that_is_left_out(self, reranker, monkeypatch):
        monkeypatch.setattr(
            type(reranker.original._model.base_model.pooler), "forward", lambda self, tokens: tokens[:, 0]
        )
        without = [reranker.original.results([sample.text])[0] for sample in reranker.samples]
        with pytest.raises(FidelityError, match="a score differs by"):
            measure_fidelity(without, reranker.samples, reranker.engine, PRECISIONS["fast"])

    def test_another_ranking_by_small_differences(self, reranker, monkeypatch):
        """The scores are within 0.01, and in the reverse order."""
        logits = [np.array([0.001 * index % 0.04], np.float32) for index in range(len(reranker.samples))]
        answers = iter(-each for each in logits)
        monkeypatch.setattr(verify, "compute", lambda *_, **__: next(answers))
        with pytest.raises(
            FidelityError, match=r"ranks texts differently: Kendall's tau of the rankings is -1.0; at least 0.9099"
        ):
            measure_fidelity(logits, reranker.samples, reranker.engine, BALANCED)

    def test_the_golden_check_sees_more_than_the_sign(self, reranker, tmp_path):
        assert make_handler(reranker.engine)(GOLDEN_CHECK)["largest_distance"] == 0

        def raise_logits(golden):
            return [each | {"vector": [1.5 * each["vector"][0]]} for each in golden]

        engine = Engine.load(changed(reranker.engine.folder, tmp_path, raise_logits), threads=1)
        assert "another result" in make_handler(engine)(GOLDEN_CHECK)["error"]

    def test_a_default_prompt_is_refused(self, minilm, tmp_path_factory):
        from sentence_transformers import CrossEncoder

        folder = write("reranker-bert", minilm, tmp_path_factory)
        model = CrossEncoder(str(folder), device="cpu", prompts={"query": "q: "}, default_prompt_name="query")
        model.save_pretrained(str(folder / "saved"))
        settings = ModelSettings(model=str(folder / "saved"))
        checkpoint = fetch(settings)
        with pytest.raises(UnsupportedModelError, match="the prompt 'query' before pairs"):
            load_original(checkpoint, describe(checkpoint, None, None))

    def test_scores_that_a_sigmoid_makes_the_same(self, reranker, monkeypatch):
        logits = [np.array([40 + index % 4], np.float32) for index in range(len(reranker.samples))]
        answers = iter(logits)
        monkeypatch.setattr(verify, "compute", lambda *_, **__: next(answers))
        assert measure_fidelity(logits, reranker.samples, reranker.engine, BALANCED).kendall_tau == 1

    @pytest.mark.parametrize("step", [0, 1e-3])
    def test_logits_that_are_all_the_same(self, reranker, monkeypatch, step):
        """No ranking differs from no ranking only if it is one."""
        answers = iter([np.array([step * index], np.float32) for index in range(len(reranker.samples))])
        monkeypatch.setattr(verify, "compute", lambda *_, **__: next(answers))
        same = [np.zeros(1, np.float32)] * len(reranker.samples)
        if step:
            with pytest.raises(FidelityError, match=r"tau of the rankings is 0.0; at least"):
                measure_fidelity(same, reranker.samples, reranker.engine, PRECISIONS["fast"])
        else:
            assert measure_fidelity(same, reranker.samples, reranker.engine, BALANCED).kendall_tau == 1


class TestClassifiers:
    @pytest.fixture(scope="class")
    def classifier(self, minilm, tmp_path_factory) -> Made:
        return make("classifier-bert", minilm, tmp_path_factory)

    def test_texts_alone_and_pairs_are_compared(self, classifier):
        kinds = {type(sample.text) for sample in classifier.samples}
        assert kinds == {str, tuple}
        assert classifier.measure().texts == len(classifier.samples)
        golden = json.loads((classifier.engine.folder / "golden.json").read_text())
        assert {entry["other"] is None for entry in golden} == {True, False}
        assert make_handler(classifier.engine)(GOLDEN_CHECK)["golden_check"] == "passed"

    def test_texts_alone_that_are_read_otherwise(self, classifier, monkeypatch):
        monkeypatch.setattr(Tokenizer, "with_special_tokens", lambda self, ids: list(ids))
        with pytest.raises(FidelityError, match="a score differs by"):
            classifier.measure()

    def test_constant_scores_have_a_manifest(self, minilm, tmp_path_factory):
        """They rank nothing, and JSON has no number for what is not one."""
        import torch
        from safetensors.torch import load_file, save_file

        folder = write("classifier-bert", minilm, tmp_path_factory)
        weights = load_file(folder / "model.safetensors")
        weights["classifier.weight"] = torch.zeros_like(weights["classifier.weight"])
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        made = artifacts.build(ModelSettings(model=str(folder)), tmp_path_factory.mktemp("artifacts"))
        assert read_manifest(made).fidelity.kendall_tau is None


def test_other_words_of_a_sparse_model(reranker, monkeypatch):
    """A cosine hardly sees that half of the words with the largest weights are others."""
    before, after = np.zeros(30_000, np.float32), np.zeros(30_000, np.float32)
    before[:40], after[:40] = 2, 2
    before[40:64], after[100:124] = 0.1, 0.1
    manifest = msgspec.structs.replace(reranker.engine.manifest, task="sparse")
    engine = type("Stub", (), {"manifest": manifest})()
    monkeypatch.setattr(verify, "Service", lambda engine: None)
    monkeypatch.setattr(verify, "compute", lambda *_, **__: after)
    with pytest.raises(FidelityError, match=r"the 64 words with the largest weights are the same for a part of 0.625"):
        measure_fidelity([before], [Sample("a")], engine, BALANCED)
    assert measure_fidelity([after], [Sample("a")], engine, BALANCED).words_min == 1


class TestPrompts:
    @pytest.fixture(scope="class")
    def decoder(self, minilm, tmp_path_factory) -> Path:
        return write("decoder-qwen3", minilm, tmp_path_factory)

    def test_a_prompt_that_is_read_otherwise(self, decoder, tmp_path, monkeypatch):
        prompt = Service.prompt
        monkeypatch.setattr(Service, "prompt", lambda self, name: prompt(self, name).removeprefix("Instruct: "))
        settings = ModelSettings(model=str(decoder), precision="exact")
        with pytest.raises(FidelityError, match="with the prompt 'query'"):
            artifacts.build(settings, tmp_path)

    def test_prompts_that_sentence_transformers_does_not_read(self, decoder):
        checkpoint = fetch(ModelSettings(model=str(decoder)))
        description: Description = describe(checkpoint, None, None)
        other = dataclasses.replace(description, own_prompts={"query": "another"})
        with pytest.raises(CheckpointError, match=r"its prompts and their default are .*another.* in sentence-trans"):
            load_original(checkpoint, other)
