"""Checkpoints that cannot be served: each is refused in a sentence, before its weights are loaded and its tokenizer compared."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import tokenizers
import torch
from onnx import TensorProto, helper
from safetensors.torch import load_file, save_file

from configuration import PROJECT
from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from model_export.errors import ExportError, UnsupportedModelError
from model_export.originals import embedder
from model_export.tokenizer import export_tokenizer
from runtime.engine.manifest import read_manifest
from runtime.engine.tokenizer import Tokenizer

from .families import FAMILIES, without_special_tokens


@pytest.fixture(scope="module")
def dense(minilm, tmp_path_factory) -> Path:
    """A BERT with a linear layer behind its pooling."""
    folder = tmp_path_factory.mktemp("refusals") / "checkpoint"
    FAMILIES["dense"](folder, minilm, tmp_path_factory.mktemp("scratch"))
    return folder


@pytest.fixture
def folder(dense, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(dense, tmp_path / "checkpoint"))


@pytest.fixture
def refusal(monkeypatch, tmp_path):
    """A function that returns the error for a checkpoint, which comes before anything that takes time."""

    def fail(*_):
        raise AssertionError("the checkpoint went on")

    monkeypatch.setattr(embedder, "load", fail)
    monkeypatch.setattr("model_export.tokenizer.export_tokenizer", fail)

    def refuse(folder: Path) -> str:
        with pytest.raises(ExportError) as error:
            artifacts.build(ModelSettings(model=str(folder)), tmp_path / "artifacts")
        message = str(error.value)
        assert "\n" not in message and "Traceback" not in message
        assert message.startswith((str(folder), folder.name))
        return message

    return refuse


def change(path: Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def change_weights(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_that_are_missing(folder, refusal):
    change_weights(folder, lambda weights: weights.pop("encoder.layer.1.output.dense.weight"))
    assert refusal(folder).endswith("lacks weights that the model needs: encoder.layer.1.output.dense.weight")


def test_weights_of_another_kind_of_model(folder, refusal):
    def add(weights):
        weights["encoder.layer.0.attention.gate.weight"] = weights["encoder.layer.1.output.dense.weight"].clone()

    change_weights(folder, add)
    assert "has weights that BertModel does not compute with: encoder.layer.0.attention.gate.weight" in refusal(folder)


def test_weights_of_another_shape(folder, refusal):
    change(folder / "config.json", intermediate_size=96)
    assert refusal(folder).endswith(
        "its weight encoder.layer.0.intermediate.dense.bias has the shape [128]; its configuration makes it [96]"
    )


def test_a_layer_without_its_weight(folder, refusal):
    (folder / "2_Dense" / "model.safetensors").unlink()
    assert "2_Dense: has no weights" in refusal(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("custom_st.Transformer", "has the module custom_st.Transformer, Python code of its own, which is not run"),
        ("sentence_transformers.models.CLIPModel", "one of Transformer, StaticEmbedding, MLMTransformer has to be"),
        ("sentence_transformers.models.Router", "one of Transformer, StaticEmbedding, MLMTransformer has to be"),
        ("sentence_transformers.models.WordEmbeddings", "one of Transformer, StaticEmbedding, MLMTransformer"),
        ("sentence_transformers.models.BoW", "one of Transformer, StaticEmbedding, MLMTransformer has to be"),
    ],
    ids=["as jina-embeddings-v3", "CLIP", "Router", "words", "bag of words"],
)
def test_first_modules_that_are_not_served(folder, refusal, kind, message):
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    modules[0]["type"] = kind
    path.write_text(json.dumps(modules))
    assert message in refusal(folder)


@pytest.mark.parametrize("kind", ["CNN", "LSTM", "WeightedLayerPooling"])
def test_modules_that_are_not_served(folder, refusal, kind):
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    modules[2]["type"] = f"sentence_transformers.models.{kind}"
    path.write_text(json.dumps(modules))
    assert f"has the module sentence_transformers.models.{kind} there, which is not supported" in refusal(folder)


def test_lower_casing_before_the_tokenizer(folder, refusal):
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    assert "lower-cases texts before its tokenizer" in refusal(folder)


def test_pooling_without_the_prompt(folder, refusal):
    change(folder / "1_Pooling" / "config.json", include_prompt=False)
    assert "leaves the prompt out of pooling" in refusal(folder)


def test_an_architecture_that_optimum_does_not_export(folder, refusal):
    change(folder / "config.json", model_type="canine")
    assert "Optimum has no ONNX export for the architecture 'canine'" in refusal(folder)


@pytest.mark.parametrize(
    ("model_type", "kind", "message"),
    [
        ("bart", "Model", "'bart' takes decoder_input_ids, which is not supported for the task embed"),
        ("longformer", "Model", "'longformer' takes global_attention_mask, which is not supported for the task embed"),
        (
            "bart",
            "ForSequenceClassification",
            "'bart' takes decoder_input_ids, which is not supported for the task classify",
        ),
        (
            "t5",
            "ForSequenceClassification",
            "'t5' takes decoder_input_ids, which is not supported for the task classify",
        ),
    ],
    ids=["BART", "Longformer", "a classifier of BART's", "a classifier of T5's"],
)
def test_architectures_with_inputs_that_the_runtime_does_not_have(folder, refusal, model_type, kind, message):
    (folder / "modules.json").unlink()
    change(folder / "config.json", model_type=model_type, architectures=[kind])
    assert message in refusal(folder)


def test_a_checkpoint_is_refused_before_its_files_are_hashed(folder, refusal, monkeypatch):
    """Those of a large model take longer than ten seconds."""

    def fail(*_):
        raise AssertionError("the files were hashed")

    monkeypatch.setattr("model_export.checkpoint.folder._content_hash", fail)
    drop(folder)
    assert "lacks weights" in refusal(folder)
    change(folder / "config.json", model_type="canine")
    assert "no ONNX export" in refusal(folder)


def test_files_are_hashed_once_for_an_artifact(folder, monkeypatch, tmp_path):
    from model_export.checkpoint import folder as folders

    hashed, content_hash = [], folders._content_hash

    def count(folder):
        hashed.append(folder)
        return content_hash(folder)

    monkeypatch.setattr(folders, "_content_hash", count)
    settings = ModelSettings(model=str(folder))
    made = artifacts.build(settings, tmp_path / "artifacts")
    assert hashed == [folder]
    assert read_manifest(made).model.revision == f"sha256:{content_hash(folder)[:16]}"
    assert (
        artifacts.build(settings, tmp_path / "artifacts") == made == artifacts.locate(settings, tmp_path / "artifacts")
    )


def test_a_reranker_whose_tokenizer_puts_nothing_around_pairs(minilm, tmp_path):
    """As of the rerankers made of Qwen2 and Qwen3, which read pairs by a template in code."""
    folder = tmp_path / "checkpoint"
    FAMILIES["reranker-bert"](folder, minilm, tmp_path / "scratch")
    without_special_tokens(folder)
    with pytest.raises(UnsupportedModelError, match="is a reranker whose tokenizer puts nothing around and between"):
        artifacts.build(ModelSettings(model=str(folder)), tmp_path / "artifacts")


def test_words_without_an_embedding(folder, tmp_path):
    change(folder / "config.json", vocab_size=30_000)
    with pytest.raises(
        UnsupportedModelError, match="gives ids up to 30521, and its model has embeddings for 30000 only"
    ):
        export_tokenizer(folder, tmp_path)


def test_added_tokens_without_an_embedding_are_words(folder, tmp_path):
    """As EmbeddingGemma's tokenizer has one for images."""
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(folder)
    expected = plain("an <image> here", add_special_tokens=False)["input_ids"]
    more = AutoTokenizer.from_pretrained(folder)
    more.add_special_tokens({"additional_special_tokens": ["<image>"]})
    more.save_pretrained(folder)
    info = export_tokenizer(folder, tmp_path)
    tokenizer = Tokenizer(tmp_path, info)
    assert "<image>" not in info.special_tokens
    assert tokenizer.encode("an <image> here") == expected
    assert not tokenizer.is_vocabulary([len(plain)])


def published(folder: Path, nodes, output=("last_hidden_state", [1, "tokens", 64]), types=("INT64",), opset=18) -> Path:
    """``folder`` with an architecture that transformers does not have, and an ONNX file of ``nodes``."""
    change(folder / "config.json", model_type="own_bert")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    names = ("input_ids", "attention_mask")
    inputs = [
        helper.make_tensor_value_info(name, getattr(TensorProto, kind), [1, "tokens"])
        for name, kind in zip(names, types, strict=False)
    ]
    outputs = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])]
    graph = helper.make_graph(nodes, "published", inputs, outputs)
    (folder / "onnx").mkdir()
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), folder / "onnx" / "model.onnx")
    return folder


def cast(output: str = "last_hidden_state") -> list:
    return [helper.make_node("Cast", ["input_ids"], [output], to=TensorProto.FLOAT)]


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        (cast("pooled"), {"output": ("pooled", [1, 64])}, "gives pooled; one of last_hidden_state,"),
        (
            cast(),
            {"output": ("last_hidden_state", [1, 64])},
            "gives last_hidden_state [1, 64]; needed is [texts, tokens, 64]",
        ),
        (cast(), {"output": ("last_hidden_state", [1, "t", 32])}, "gives last_hidden_state [1, 't', 32]; needed is"),
        (cast(), {"types": ("INT32", "INT64")}, "takes input_ids of another type than int64"),
        (
            [helper.make_node("Own", ["input_ids"], ["last_hidden_state"], domain="own")],
            {},
            "has operators of own, which onnxruntime does not have",
        ),
        (
            [helper.make_node("Crop", ["input_ids"], ["last_hidden_state"])],
            {"opset": 11},
            "its ONNX operators are of opset 11, which onnx cannot convert to 18",
        ),
    ],
    ids=["pooled", "two dimensions", "another width", "int32", "own operators", "old operators"],
)
def test_published_onnx_files(folder, refusal, nodes, options, message):
    assert f"onnx/model.onnx: {message}" in refusal(published(folder, nodes, **options))


def test_a_published_onnx_file_that_is_damaged(folder, refusal):
    published(folder, cast())
    (folder / "onnx" / "model.onnx").write_bytes(b"\xff" * 100)
    assert "onnx/model.onnx: is damaged" in refusal(folder)


def test_layers_behind_a_published_onnx_file(folder, refusal):
    modules = (folder / "modules.json").read_text()
    published(folder, cast())
    (folder / "modules.json").write_text(modules)
    assert "has layers behind the pooling" in refusal(folder)


def test_a_layer_norm_behind_a_published_onnx_file(minilm, tmp_path, refusal):
    FAMILIES["layer-norm"](tmp_path / "checkpoint", minilm, tmp_path / "scratch")
    modules = (tmp_path / "checkpoint" / "modules.json").read_text()
    folder = published(tmp_path / "checkpoint", cast())
    (folder / "modules.json").write_text(modules)
    assert "has layers behind the pooling" in refusal(folder)


@pytest.mark.parametrize("name", ["bert", "static"])
def test_a_tokenizer_that_keeps_the_end_of_a_text(minilm, tmp_path, name):
    folder = tmp_path / "checkpoint"
    FAMILIES[name](folder, minilm, tmp_path / "scratch")
    if name == "static":
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(64, direction="left")
        tokenizer.save(str(folder / "tokenizer.json"))
    else:
        change(folder / "tokenizer_config.json", truncation_side="left")
    with pytest.raises(UnsupportedModelError, match="its tokenizer cuts long texts off at the left"):
        export_tokenizer(folder, tmp_path)


@pytest.mark.parametrize(
    ("name", "layer", "change", "message"),
    [
        (
            "dense",
            "2_Dense",
            {"linear.weight": (16, 64)},
            "2_Dense: its weight linear.weight has the shape [16, 64]; its configuration makes it [32, 64]",
        ),
        ("dense", "2_Dense", {"linear.bias": None}, "2_Dense: lacks weights that its configuration has: linear.bias"),
        ("dense", "2_Dense", {"more": (3,)}, "2_Dense: has weights that its configuration does not have: more"),
        (
            "layer-norm",
            "2_LayerNorm",
            {"norm.weight": (63,)},
            "2_LayerNorm: its weight norm.weight has the shape [63]; its configuration makes it [64]",
        ),
        (
            "colbert",
            "",
            {"linear.weight": (32, 60)},
            "its weight linear.weight has the shape [32, 60]; needed is [dimensions, 64]",
        ),
        (
            "colbert-of-pylate",
            "1_Dense",
            {"linear.weight": (32, 60)},
            "1_Dense: its weight linear.weight has the shape [32, 60]; its configuration makes it [32, 64]",
        ),
    ],
    ids=["Dense", "Dense without a bias", "Dense with more", "LayerNorm", "ColBERT", "pylate"],
)
def test_layers_with_other_weights(minilm, tmp_path, refusal, name, layer, change, message):
    folder = tmp_path / "checkpoint"
    FAMILIES[name](folder, minilm, tmp_path / "scratch")
    path = folder / layer / "model.safetensors"
    weights = load_file(path)
    for weight, shape in change.items():
        weights.pop(weight, None)
        if shape:
            weights[weight] = torch.zeros(shape)
    save_file(weights, path, metadata={"format": "pt"})
    assert message in refusal(folder)


def test_a_layer_norm_without_its_weights(minilm, tmp_path, refusal):
    folder = tmp_path / "checkpoint"
    FAMILIES["layer-norm"](folder, minilm, tmp_path / "scratch")
    (folder / "2_LayerNorm" / "model.safetensors").unlink()
    assert f"{folder / '2_LayerNorm'}: has no weights" in refusal(folder)


def test_layers_that_do_not_fit_each_other(folder, refusal):
    change(folder / "1_Pooling" / "config.json", pooling_mode=["cls", "mean"])
    assert "2_Dense/config.json: takes 64 numbers; what comes before it gives 128" in refusal(folder)


def drop(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("embeddings.word_embeddings.weight"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, "lacks weights that the model needs: embeddings.word_embeddings.weight"),
        (lambda folder: change(folder / "config.json", model_type="own_bert"), "does not have the architecture"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), "its tokenizer cannot be loaded or used"),
    ],
    ids=["weights", "architecture", "tokenizer"],
)
def test_the_process_ends_with_a_sentence(folder, damage, message):
    damage(folder)
    command = [sys.executable, "-m", "model_export", "--keep-latest", "-c", f"model={folder}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {folder}") and message in last
