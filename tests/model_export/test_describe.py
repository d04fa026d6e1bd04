"""Reading a checkpoint's description, from folders that sentence-transformers and transformers wrote."""

import json
import shutil

import pytest
from tokenizers import Tokenizer

from model_export.checkpoint import Checkpoint
from model_export.describe import describe
from model_export.errors import CheckpointError, UnsupportedModelError

from .families import FAMILIES

MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


def read(folder, max_tokens=None, prompts=None, model_id="some/model"):
    return describe(Checkpoint(folder, model_id, "folder", None), max_tokens, prompts)


@pytest.mark.parametrize("modes", [*MODES, ("cls", "mean")], ids=str)
def test_pooling_and_dimensions(save_sentence_model, modes):
    folder, model = save_sentence_model(modes)
    description = read(folder)
    assert description.pooling == ([modes] if isinstance(modes, str) else list(modes))
    assert description.dimensions == model.get_embedding_dimension()


@pytest.mark.parametrize("normalize", [True, False])
def test_normalization(save_sentence_model, normalize):
    folder, _ = save_sentence_model("mean", normalize=normalize)
    assert read(folder).normalize is normalize


@pytest.mark.parametrize(
    ("stated", "expected"), [(64, 64), (None, 128), (500, 128)], ids=["stated", "positions", "more than positions"]
)
def test_maximum_length(save_sentence_model, stated, expected):
    folder, _ = save_sentence_model("mean", max_seq_length=stated)
    assert read(folder).max_tokens == expected


def test_length_may_be_lowered_but_not_raised(save_sentence_model):
    folder, _ = save_sentence_model("mean")
    assert read(folder, max_tokens=32).max_tokens == 32
    with pytest.raises(CheckpointError, match="max_tokens: 65 is not allowed: the model reads at most 64"):
        read(folder, max_tokens=65)


def test_length_of_a_static_model_may_be_lowered_but_not_raised(minilm, tmp_path):
    FAMILIES["static"](tmp_path, minilm, tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert (read(tmp_path).max_tokens, read(tmp_path, max_tokens=32).max_tokens) == (128, 32)
    with pytest.raises(CheckpointError, match="max_tokens: 5000 is not allowed: the model reads at most 128"):
        read(tmp_path, max_tokens=5000)


def test_prompts_of_the_checkpoint(save_sentence_model):
    folder, _ = save_sentence_model("mean", prompts={"query": "find: ", "document": ""}, default_prompt_name="query")
    description = read(folder, model_id="intfloat/multilingual-e5-small")
    assert description.prompts == {"query": "find: ", "document": ""}
    assert description.default_prompt == "query"


def test_prompts_of_the_card_where_the_checkpoint_names_none(minilm):
    assert read(minilm, model_id="intfloat/multilingual-e5-base").prompts == {
        "query": "query: ",
        "passage": "passage: ",
    }
    assert read(minilm, model_id="BAAI/bge-small-en-v1.5").prompts["query"].startswith("Represent this sentence")
    assert read(minilm, model_id="sentence-transformers/all-MiniLM-L6-v2").prompts == {}


def test_minilm_as_its_authors_packed_it(minilm):
    description = read(minilm)
    assert (description.pooling, description.normalize, description.dimensions) == (["mean"], True, 384)
    assert (description.max_tokens, description.architecture) == (256, "BertModel")


def test_plain_transformers_checkpoint_is_taken_as_sentence_transformers_takes_it(small_bert, capsys):
    from sentence_transformers import SentenceTransformer

    description = read(small_bert)
    assert [type(module).__name__ for module in SentenceTransformer(str(small_bert), device="cpu")] == [
        "Transformer",
        "Pooling",
    ]
    assert (description.pooling, description.normalize) == (["mean"], False)
    assert "says nothing of pooling" in capsys.readouterr().err


def test_positions_of_roberta_start_behind_its_padding_token(small_bert, tmp_path):
    shutil.copytree(small_bert, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read(tmp_path).max_tokens == 512


def test_modules_that_are_not_served_are_refused(save_sentence_model, tmp_path):
    folder, _ = save_sentence_model("mean")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_CNN", "type": "sentence_transformers.models.CNN"})
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(
        UnsupportedModelError,
        match=r"module sentence_transformers.models.CNN there, which is not supported; supported are Dense",
    ):
        read(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json", "modules.json"])
def test_damaged_files_are_named(save_sentence_model, tmp_path, name):
    folder, _ = save_sentence_model("mean")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).write_text('{"pooling')
    with pytest.raises(CheckpointError, match=name):
        read(tmp_path)


def test_a_decoder_whose_own_python_turns_it_into_an_encoder_is_refused(small_bert, tmp_path):
    shutil.copytree(small_bert, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"is_causal": False, "auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="wants attention in both directions by Python code of its own"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("config", "published"),
    [
        ({"model_type": "bert"}, False),
        ({"model_type": "own_bert"}, True),
        ({"model_type": "xlm-roberta-xl"}, True),
        ({"model_type": "bert", "auto_map": {"AutoModel": "modeling_own.Own"}}, True),
        ({"model_type": "qwen2", "auto_map": {"AutoModel": "modeling_own.Own"}, "is_causal": False}, True),
    ],
    ids=["known", "unknown", "not exported by Optimum", "as jina-embeddings-v2", "as gte-Qwen2"],
)
def test_models_of_which_the_published_onnx_file_is_taken(small_bert, tmp_path, config, published):
    shutil.copytree(small_bert, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps({**json.loads((tmp_path / "config.json").read_text()), **config}))
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")
    assert read(tmp_path).published is published
