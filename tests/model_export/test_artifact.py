"""The artifact as a whole: complete or not there, made once, right for several families of models."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configuration import PROJECT
from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from model_export import resources
from model_export.errors import ArtifactMissingError, CheckpointError, ExportError, FidelityError, UnsupportedModelError
from model_export.precision import PRECISIONS
from runtime.engine.engine import Engine
from runtime.engine.manifest import ArtifactError, check_file, read_manifest
from tests.texts import LANGUAGES


def build_error(settings, root) -> ExportError:
    """The error of an export that must fail, having left nothing in ``root`` but hidden files."""
    with pytest.raises(ExportError) as error:
        artifacts.build(settings, root)
    assert [path.name for path in root.iterdir() if not path.name.startswith(".lock-")] == []
    return error.value


def copy(folder: Path, target: Path) -> Path:
    """A copy of a checkpoint that a test may damage."""
    return Path(shutil.copytree(folder, target))


def test_manifest_tells_what_was_made(artifact):
    manifest = read_manifest(artifact)
    assert (manifest.model.id, manifest.model.source) == ("intfloat/multilingual-e5-small", "embedded")
    assert (manifest.dimensions, manifest.max_tokens) == (384, 512)
    assert (manifest.pooling, manifest.normalize) == (["mean"], True)
    assert manifest.prompts == {"query": "query: ", "passage": "passage: "}
    assert manifest.fidelity.cosine_min >= manifest.fidelity.threshold
    assert manifest.versions["onnxruntime"]


def test_manifest_lists_every_file_with_its_hash(artifact):
    manifest = read_manifest(artifact)
    assert {*manifest.files, "manifest.json"} == {path.name for path in artifact.iterdir()}
    listed = subprocess.run(
        ["sha256sum", *manifest.files], cwd=artifact, capture_output=True, text=True, check=True
    ).stdout.split()
    assert dict(zip(listed[1::2], listed[::2], strict=True)) == {
        name: file.sha256 for name, file in manifest.files.items()
    }


def test_golden_vectors_are_those_of_the_original(artifact, reference):
    for golden in json.loads((artifact / "golden.json").read_text()):
        assert np.dot(golden["vector"], reference.encode(golden["text"])) >= 0.99


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1])], ids=["cut", "bit"]
)
def test_a_damaged_file_is_named(artifact, tmp_path, change):
    for path in artifact.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "tokenizer.kit").unlink()
    (tmp_path / "tokenizer.kit").write_bytes(change((artifact / "tokenizer.kit").read_bytes()))
    with pytest.raises(ArtifactError, match=r"tokenizer\.kit: .* the manifest"):
        check_file(tmp_path, "tokenizer.kit", read_manifest(tmp_path))
    with pytest.raises(ArtifactError, match=r"tokenizer\.kit"):
        Engine.load(tmp_path)


def test_a_second_run_does_nothing_and_loads_nothing(artifact):
    command = (
        "import sys; from model_export.__main__ import main; sys.argv[1:] = ['-c', 'model=embedded']; assert main() == 0; "
        "print([name for name in ('torch', 'transformers', 'optimum', 'onnxruntime') if name in sys.modules])"
    )
    before = {path: path.stat().st_mtime_ns for path in artifact.iterdir()}
    done = subprocess.run([sys.executable, "-c", command], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [str(artifact), "[]"]
    assert {path: path.stat().st_mtime_ns for path in artifact.iterdir()} == before


def test_only_the_command_moves_latest_unless_it_is_told_not_to(artifact, monkeypatch):
    from model_export.__main__ import main

    before = os.readlink(artifacts.LATEST)
    other = artifacts.ARTIFACTS / "another"
    monkeypatch.setattr(artifacts, "build", lambda settings: other)
    try:
        for arguments, expected in (["--keep-latest"], before), ([], other.name):
            monkeypatch.setattr(sys, "argv", ["model_export", "-c", "model=embedded", *arguments])
            assert main() == 0
            assert os.readlink(artifacts.LATEST) == expected
    finally:
        artifacts.point_latest_at(artifacts.ARTIFACTS / before)


def test_a_build_leaves_latest_alone(artifact):
    before = os.readlink(artifacts.LATEST)
    artifacts.build(ModelSettings(model="embedded"))
    assert os.readlink(artifacts.LATEST) == before


def test_memory_is_measured(artifact):
    memory = read_manifest(artifact).memory
    # The checkpoint's own tokenizer alone takes some 300 MiB, which the longest text does not need.
    assert 120 < memory.longest_text_mb < 300 < memory.worst_text_mb < 1500


def test_settings_make_different_artifacts():
    one = ModelSettings(model="embedded")
    other = ModelSettings(model="embedded", precision="exact")
    assert artifacts.key(one) != artifacts.key(other)
    with pytest.raises(ArtifactMissingError, match="python3 -m model_export -c model=embedded -c precision=exact"):
        artifacts.locate(other, Path("/nonexistent"))


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_looks_finished(small_bert, tmp_path):
    command = (
        "import sys; from pathlib import Path; from model_export import artifact; "
        "from configuration.groups import ModelSettings; "
        f"print(artifact.build(ModelSettings(model={str(small_bert)!r}), Path({str(tmp_path)!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", command], cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "exporting" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.iterdir())
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    folder = artifacts.build(ModelSettings(model=str(small_bert)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_folders_that_are_no_checkpoint_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    assert "is not a folder" in str(build_error(ModelSettings(model=str(tmp_path / "nowhere")), root))
    assert "is not a checkpoint" in str(build_error(ModelSettings(model=str(tmp_path / "empty")), root))


def test_an_architecture_without_an_export_is_refused(small_bert, tmp_path):
    folder = copy(small_bert, tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    (tmp_path / "root").mkdir()
    error = build_error(ModelSettings(model=str(folder)), tmp_path / "root")
    assert isinstance(error, UnsupportedModelError)
    assert "no ONNX export for the architecture 'mamba'" in str(error) and "bert" in str(error)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("model.safetensors", lambda path: path.unlink(), "has no weights"),
        (
            "model.safetensors",
            lambda path: path.write_bytes(path.read_bytes()[:-1000]),
            r"model.safetensors: is damaged",
        ),
        ("tokenizer.json", lambda path: path.write_text("{"), "tokenizer cannot be loaded"),
        ("config.json", lambda path: path.write_text("{"), "config.json: is not JSON"),
    ],
    ids=["no weights", "weights cut off", "damaged tokenizer", "damaged config"],
)
def test_missing_and_damaged_files_are_named(small_bert, tmp_path, name, damage, message):
    folder = copy(small_bert, tmp_path / "checkpoint")
    damage(folder / name)
    (tmp_path / "root").mkdir()
    error = build_error(ModelSettings(model=str(folder)), tmp_path / "root")
    assert isinstance(error, CheckpointError) and message in str(error)


def test_missing_weights_are_not_made_up(small_bert, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = copy(small_bert, tmp_path / "checkpoint")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "root").mkdir()
    error = build_error(ModelSettings(model=str(folder)), tmp_path / "root")
    assert "lacks weights" in str(error) and "encoder.layer.1.output.dense.weight" in str(error)


@pytest.mark.slow
def test_too_low_a_fidelity_fails_the_build_with_the_figures(small_bert, tmp_path, monkeypatch):
    monkeypatch.setitem(PRECISIONS, "fast", replace(PRECISIONS["fast"], threshold=1.1))
    error = build_error(ModelSettings(model=str(small_bert), precision="fast"), tmp_path)
    assert isinstance(error, FidelityError)
    assert "cosine 0.9" in str(error) and "at least 1.1" in str(error)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounts a file system, which only root may")
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", root], check=True)
    yield root
    subprocess.run(["umount", root], check=True)


def test_a_full_disk_is_told_and_nothing_is_left(small_bert, small_disk):
    assert "MB on the disk" in str(build_error(ModelSettings(model=str(small_bert)), small_disk))


@pytest.mark.slow
def test_a_disk_that_fills_up_on_the_way_is_told_and_nothing_is_left(small_bert, small_disk, monkeypatch):
    monkeypatch.setattr(resources, "DISK_FACTOR", 0)
    assert "is full" in str(build_error(ModelSettings(model=str(small_bert)), small_disk))


def vectors(folder: Path) -> np.ndarray:
    """Vectors of our texts by the artifact in ``folder``."""
    engine = Engine.load(folder, threads=1)
    room = engine.manifest.max_tokens - engine.num_special_tokens
    ids = [engine.with_special_tokens(engine.tokenize(text)[:room]) for text in LANGUAGES.values()]
    return np.array([engine.embed(one, engine.manifest.normalize) for one in ids])


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Row by row."""
    return (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["balanced", "exact"])
def test_minilm_matches_the_original(minilm, tmp_path, precision):
    from sentence_transformers import SentenceTransformer

    folder = artifacts.build(ModelSettings(model=str(minilm), precision=precision), tmp_path)
    original = SentenceTransformer(str(minilm), device="cpu").encode(list(LANGUAGES.values()))
    assert cosines(vectors(folder), original).min() >= {"balanced": 0.99, "exact": 0.9999}[precision]


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["cls", "lasttoken", ("mean", "max")], ids=str)
def test_other_poolings_match_the_original(save_sentence_model, tmp_path, pooling):
    checkpoint, original = save_sentence_model(pooling, normalize=pooling == "cls")
    folder = artifacts.build(ModelSettings(model=str(checkpoint), precision="exact"), tmp_path)
    theirs = original.encode(list(LANGUAGES.values()))
    np.testing.assert_allclose(vectors(folder), theirs, atol=1e-3 * np.abs(theirs).max())
