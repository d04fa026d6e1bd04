"""The app itself: what it refuses before it synthesizes anything."""

import shutil
from pathlib import Path

import pytest

from app import check_files
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
