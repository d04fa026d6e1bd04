"""Checkpoints of strangers: nothing of them runs, nothing outside of them is read, and each fault is told in a sentence."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from configuration import PROJECT
from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from model_export import checkpoint as checkpoints
from model_export.__main__ import main
from model_export.describe import describe
from model_export.errors import CheckpointError, UnsupportedModelError
from model_export.originals import check_original, load_original
from model_export.tokenizer import export_tokenizer

DEEP = "[" * 100_000 + "]" * 100_000
MODULES = "sentence_transformers.models."


@pytest.fixture
def folder(small_bert, tmp_path) -> Path:
    """A checkpoint of sentence-transformers that a test may damage."""
    folder = Path(shutil.copytree(small_bert, tmp_path / "checkpoint"))
    (folder / "1_Pooling").mkdir()
    write(folder / "1_Pooling" / "config.json", {"embedding_dimension": 64, "pooling_mode": "mean"})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 64})
    modules = [
        {"idx": 0, "name": "0", "type": f"{MODULES}Transformer", "path": ""},
        {"idx": 1, "name": "1", "type": f"{MODULES}Pooling", "path": "1_Pooling"},
    ]
    write(folder / "modules.json", modules)
    return folder


def write(path: Path, content) -> None:
    path.write_text(json.dumps(content))


def change(path: Path, **fields) -> None:
    """Set fields of a JSON file, which may be absent."""
    write(path, (json.loads(path.read_text()) if path.exists() else {}) | fields)


def read(folder: Path):
    """The checkpoint in ``folder`` and its description, as the export begins."""
    checkpoint = checkpoints.fetch(ModelSettings(model=str(folder)))
    return describe(checkpoint, None, None)


def test_the_undamaged_checkpoint_is_read(folder):
    assert (read(folder).max_tokens, read(folder).pooling) == (64, ["mean"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", DEEP, "config.json: is nested too deeply"),
        ("config.json", "[]", "config.json: is malformed (Expected `object`, got `array`"),
        ("config.json", b'{"model_type": "b\xe9rt"}', "config.json: is not JSON in UTF-8"),
        ("config.json", " " * 2**25, "config.json: is too large: at most 16,777,216 bytes are read"),
        ("config.json", '{"a": %s}' % ("9" * 5000), "config.json: is not JSON in UTF-8"),
        ("config.json", '{"hidden_size": 64}', "missing required field `model_type`"),
        ("config.json", '{"model_type": "\\ud800", "hidden_size": 64}', "config.json: is not JSON in UTF-8"),
        ("config.json", '{"model_type": "bert"}', "config.json: has none of hidden_size, dim, d_model"),
        ("modules.json", DEEP, "modules.json: is nested too deeply"),
        (
            "config.json",
            '{"model_type": "bert", "id2label": {"a": "b"}}',
            "config.json: is malformed (Expected `str` matching regex",
        ),
        ("modules.json", '{"0": 1}', "modules.json: is malformed (Expected `array`, got `object`"),
        ("modules.json", "[1]", "modules.json: is malformed (Expected `object`, got `int` - at `$[0]`)"),
        ("modules.json", '[{"path": ""}]', "modules.json: is malformed (Object missing required field `type`"),
        ("modules.json", "[]", "modules.json: has the modules []; one of Transformer"),
        ("1_Pooling/config.json", '{"pooling_mode": [{}]}', "1_Pooling/config.json: is malformed"),
        ("1_Pooling/config.json", '{"pooling_mode": ["evil"]}', "pools by ['evil']; supported are ['cls'"),
        ("1_Pooling/config.json", '{"pooling_mode": []}', "pools by []; supported are ['cls'"),
        ("1_Pooling/config.json", "null", "1_Pooling/config.json: is malformed"),
        ("sentence_bert_config.json", '{"max_seq_length": "64"}', "sentence_bert_config.json: is malformed"),
        ("sentence_bert_config.json", '{"max_seq_length": -1}', "reads only -1 tokens of a text"),
        ("config_sentence_transformers.json", '{"prompts": {"query": 1}}', "got `int` - at `$.prompts[...]`"),
        ("config_sentence_transformers.json", '{"prompts": {"q": "\\udfff"}}', "is not JSON in UTF-8"),
        ("config_sentence_transformers.json", '{"default_prompt_name": "no"}', "default prompt 'no' is none of []"),
        ("model.safetensors.index.json", '{"weight_map": []}', "index.json: is malformed"),
    ],
)
def test_a_malformed_file_is_named(folder, name, content, message):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError) as error:
        read(folder)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("config.json", {"hidden_size": "64"}, "got `str` - at `$.hidden_size`"),
        ("config.json", {"hidden_size": 0}, "Expected `int` >= 1 - at `$.hidden_size`"),
        ("config.json", {"max_position_embeddings": [128]}, "got `array` - at `$.max_position_embeddings`"),
        ("config.json", {"max_position_embeddings": 7}, "reads only 7 tokens of a text; at least 8 are needed"),
        ("config.json", {"architectures": "BertModel"}, "got `str` - at `$.architectures`"),
        ("config.json", {"model_type": "roberta", "pad_token_id": None}, "has no pad_token_id, which roberta needs"),
        ("config.json", {"model_type": "roberta", "pad_token_id": 500}, "at least 8 are needed"),
        ("tokenizer_config.json", {"model_max_length": "many"}, "got `str` - at `$.model_max_length`"),
    ],
)
def test_a_field_that_cannot_be_is_named(folder, name, fields, message):
    (folder / "sentence_bert_config.json").unlink()
    change(folder / name, **fields)
    with pytest.raises(CheckpointError) as error:
        read(folder)
    assert name.split(".")[0] in str(error.value) or str(folder) in str(error.value)
    assert message in str(error.value)


def test_a_json_file_is_read_in_utf8_whatever_the_locale(folder):
    text = json.dumps({"prompts": {"query": "Frage — 質問: "}}, ensure_ascii=False)
    (folder / "config_sentence_transformers.json").write_text(text, "utf-8")
    command = (
        "import sys; from pathlib import Path; from model_export.checkpoint import Checkpoint; "
        "from model_export.describe import describe; "
        "print(ascii(describe(Checkpoint(Path(sys.argv[1]), 'a', 'folder', None), None, None).prompts['query']))"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", command, folder], cwd=PROJECT, capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == ascii("Frage — 質問: "), done.stderr


def test_the_length_of_a_checkpoint_that_states_none_can_be_set(folder):
    (folder / "sentence_bert_config.json").unlink()
    change(folder / "config.json", max_position_embeddings=None)
    change(folder / "tokenizer_config.json", model_max_length=1000000000000000019884624838656)
    checkpoint = checkpoints.fetch(ModelSettings(model=str(folder)))
    with pytest.raises(CheckpointError, match="says nothing of its maximum length; set max_tokens"):
        describe(checkpoint, None, None)
    assert describe(checkpoint, 256, None).max_tokens == 256


@pytest.mark.parametrize(
    "link",
    [
        lambda folder: (folder / "LICENSE-x").symlink_to("/etc/passwd"),
        lambda folder: (folder / "NOTICE").symlink_to("../secret"),
        lambda folder: (folder / "2_Dense").symlink_to("/etc"),
        lambda folder: (folder / "1_Pooling" / "more.json").symlink_to("../../secret"),
        lambda folder: (folder / "to-nothing").symlink_to("/nowhere"),
    ],
    ids=["absolute", "relative", "folder", "deeper", "broken"],
)
def test_a_link_out_of_the_checkpoint_is_refused(folder, link):
    (folder.parent / "secret").write_text("secret")
    link(folder)
    with pytest.raises(CheckpointError, match="is a link out of the checkpoint, to /"):
        read(folder)


def test_links_in_a_circle_and_pipes_are_refused(folder):
    (folder / "circle").symlink_to("circle")
    with pytest.raises(CheckpointError, match="circle: cannot be followed"):
        read(folder)
    (folder / "circle").unlink()
    os.mkfifo(folder / "LICENSE")
    with pytest.raises(CheckpointError, match="LICENSE: is neither a file nor a folder"):
        read(folder)


def test_links_inside_the_checkpoint_and_to_the_hubs_cache_are_followed(folder, tmp_path):
    (folder / "LICENSE").symlink_to("README.md")
    (folder / "README.md").write_text("free")
    expected = read(folder)
    blobs, snapshot = tmp_path / "models--org--small" / "blobs", tmp_path / "models--org--small" / "snapshots" / "abc"
    shutil.copytree(folder, snapshot)
    blobs.mkdir()
    shutil.move(snapshot / "config.json", blobs / "123")
    (snapshot / "config.json").symlink_to("../../blobs/123")
    assert read(snapshot) == expected
    (snapshot / "NOTICE").symlink_to("../../../checkpoint/README.md")
    with pytest.raises(CheckpointError, match="NOTICE: is a link out of the checkpoint"):
        read(snapshot)


@pytest.mark.parametrize("path", ["/etc", "../secret", "1_Pooling/../../secret", "a\0b", "\u202e"])
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", lambda path: [{"type": f"{MODULES}Pooling", "path": path}]),
        ("model.safetensors.index.json", lambda path: {"weight_map": {"embeddings": path}}),
        ("config.json", lambda path: {"model_type": "bert", "hidden_size": 64, "transformers_weights": path}),
        ("tokenizer_config.json", lambda path: {"tokenizer_file": path}),
        ("tokenizer_config.json", lambda path: {"source_spm": path}),
        ("tokenizer_config.json", lambda path: {"fast_tokenizer_files": ["tokenizer.json", path]}),
    ],
    ids=["modules", "index of weights", "weights", "tokenizer", "vocabulary", "tokenizers"],
)
def test_a_path_out_of_the_checkpoint_is_refused(folder, file, content, path):
    write(folder / file, content(path))
    with pytest.raises(CheckpointError) as error:
        read(folder)
    assert f"{folder / file}: names the file {path!r}; only paths inside the checkpoint are allowed" in str(error.value)


def test_a_path_that_transformers_does_not_open_is_no_fault(folder):
    change(folder / "tokenizer_config.json", special_tokens_map_file="/root/.cache/special_tokens_map.json")
    assert read(folder).max_tokens == 64


def test_only_files_of_notices_are_copied(folder, tmp_path):
    (folder / "LICENSES").mkdir()
    (folder / "LICENSE.txt").write_text("free")
    (tmp_path / "artifact").mkdir()
    artifacts._copy_notices(folder, tmp_path / "artifact")
    assert [path.name for path in (tmp_path / "artifact").iterdir()] == ["LICENSE.txt"]


def test_a_name_that_is_not_utf8_has_a_key(folder):
    before = artifacts.key(ModelSettings(model=str(folder)))
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).write_text("")
    assert artifacts.key(ModelSettings(model=str(folder))) != before


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"model": 1}',
        DEEP,
        b"\xff\xfe",
        json.dumps({"version": "1.0", "added_tokens": [], "model": {"type": "Unigram", "unk_id": 5, "vocab": []}}),
        json.dumps({"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}}}),
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "model": {
                    "type": "WordPiece",
                    "vocab": {"text": 0},
                    "unk_token": "[UNK]",
                    "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                },
            }
        ),
    ],
    ids=["array", "no model", "deep", "no UTF-8", "empty vocabulary", "no unknown token", "no such unknown token"],
)
def test_a_tokenizer_that_is_none_is_refused(folder, tmp_path, content):
    (folder / "tokenizer.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in ("vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(CheckpointError, match="its tokenizer cannot be loaded or used"):
        export_tokenizer(folder, tmp_path)


def test_a_tokenizer_that_panics_is_refused(folder, tmp_path):
    definition = json.loads((folder / "tokenizer.json").read_text())
    definition["post_processor"]["single"][0]["SpecialToken"]["id"] = "nowhere"
    write(folder / "tokenizer.json", definition)
    write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(CheckpointError, match="its tokenizer cannot be loaded or used"):
        export_tokenizer(folder, tmp_path)


def load(folder: Path) -> None:
    checkpoint = checkpoints.fetch(ModelSettings(model=str(folder)))
    description = describe(checkpoint, None, None)
    check_original(checkpoint, description)
    load_original(checkpoint, description)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_attention_heads": "4"},
        {"num_hidden_layers": "2"},
        {"hidden_size": 10**30},
        {"vocab_size": -1},
        {"hidden_act": "evil"},
    ],
    ids=str,
)
def test_sizes_that_make_no_model_are_refused(folder, fields):
    change(folder / "config.json", **fields)
    with pytest.raises(CheckpointError):
        load(folder)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").write_text(DEEP),
        lambda folder: (folder / "modules.json").write_text("[1]"),
        lambda folder: (folder / "LICENSE-x").symlink_to("/etc/passwd"),
        lambda folder: cut(folder / "model.safetensors"),
        lambda folder: (folder / "tokenizer.json").write_text("[]"),
    ],
    ids=["deep config", "modules", "link", "weights cut off", "no tokenizer"],
)
def test_the_command_ends_with_a_sentence(folder, damage, monkeypatch, capsys):
    damage(folder)
    monkeypatch.setattr(sys, "argv", ["model_export", "-c", f"model={folder}"])
    assert main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(f"error: {folder}")


@dataclass(frozen=True)
class Hostile:
    """A checkpoint whose own Python would leave a file when it is imported."""

    folder: Path
    traces: Path


@pytest.fixture
def hostile(folder, tmp_path) -> Hostile:
    traces = tmp_path / "it-ran"
    (folder / "evil.py").write_text(
        f"open({str(traces)!r}, 'w')\n"
        "from transformers import BertConfig as Config, BertModel as Model, BertTokenizerFast as Tokenizer\n"
    )
    classes = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoProcessor": "evil.Tokenizer"}
    change(folder / "config.json", auto_map=classes)
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]})
    for name in ("preprocessor_config.json", "processor_config.json"):
        write(folder / name, {"auto_map": classes, "processor_class": "Evil"})
    return Hostile(folder, traces)


def test_transformers_would_run_the_hostile_checkpoint(hostile, tmp_path):
    """If it does not, the tests below prove nothing."""
    command = "import sys; from transformers import AutoConfig; AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True)"
    # In another process: transformers registers the classes, and copies the file into its cache.
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", command, hostile.folder], env=environment, check=True)
    assert hostile.traces.exists()


@pytest.mark.slow
def test_python_of_a_checkpoint_never_runs(hostile):
    command = [sys.executable, "-m", "model_export", "--keep-latest", "-c", f"model={hostile.folder}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, input="y\n" * 20)
    assert done.returncode == 0, done.stderr
    try:
        told = "transformers' classes for 'bert' are used, not evil.Config, evil.Model, evil.Tokenizer"
        assert f"names Python code (auto_map), which is not run: {told}" in done.stderr
        assert "[y/N]" not in done.stdout + done.stderr
        assert not hostile.traces.exists()
    finally:
        shutil.rmtree(done.stdout.strip())


def test_an_architecture_that_only_its_python_knows_is_refused(hostile, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda *question: asked.append(question) or "y")
    change(hostile.folder / "config.json", model_type="evil")
    with pytest.raises(
        UnsupportedModelError,
        match=r"config.json: transformers does not have the architecture .evil., and a checkpoint.s own Python is not run",
    ):
        load(hostile.folder)
    assert not asked and not hostile.traces.exists()
