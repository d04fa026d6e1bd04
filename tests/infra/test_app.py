"""The app: how it makes the artifact, and what it refuses before it synthesizes anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import app
from app import check_files
from configuration.context import parse_configuration
from model_export.errors import ArtifactMissingError
from runtime.engine.manifest import ArtifactError


@pytest.mark.parametrize("name", ["model.bin", "model.onnx", "tokenizer.json", "tokenizer.kit", "golden.json"])
def test_a_damaged_artifact_is_not_deployed(name: str, artifact: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(artifact, tmp_path / "model"))
    check_files(damaged)
    with (damaged / name).open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))

    with pytest.raises(ArtifactError, match=rf"{name}: its SHA-256 differs .* rm -r {damaged}"):
        check_files(damaged)


def test_a_deployment_leaves_the_latest_artifact_of_this_machine_alone(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def locate(settings):
        if commands:
            return artifact
        raise ArtifactMissingError

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(app, "locate", locate)
    monkeypatch.setattr(app.subprocess, "run", run)

    assert app.artifact_for(parse_configuration({})) == artifact
    assert commands == [[sys.executable, "-m", "model_export", "--keep-latest"]]


def test_an_existing_image_needs_no_artifact() -> None:
    assert app.artifact_for(parse_configuration({"image": "embeddings:v1"})) is None
