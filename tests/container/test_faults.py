"""An image that cannot work is not built, or says why when it starts, instead of answering wrong."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from containers import image as images
from containers.emulator import FunctionContainer
from containers.tools import PROJECT, ToolError


@pytest.fixture
def damaged(artifact: Path, tmp_path: Path) -> Path:
    """A copy of the artifact to damage."""
    return Path(shutil.copytree(artifact, tmp_path / "model"))


def first_answer(image: str, memory_mb: int, artifact: Path) -> tuple[dict, str]:
    """Invoke an image with this artifact once: the error that Lambda would report, and the log."""
    with FunctionContainer(image, memory_mb, options=[f"--volume={artifact}:/opt/model:ro"]) as container:
        return container.invoke({"inputs": "text"}).json(), container.logs()


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("name", ["model.onnx", "model.bin", "tokenizer.kit", "golden.json"])
def test_no_image_is_built_of_a_damaged_file(artifact, name):
    with tempfile.TemporaryDirectory(dir=PROJECT / "build" / "model") as folder:
        copy = Path(shutil.copytree(artifact, folder, dirs_exist_ok=True))
        flip_a_byte(copy / name)
        with pytest.raises(ToolError, match=rf"{name}: its SHA-256 differs from the manifest's"):
            images.build(copy, "serverless-embeddings-damaged")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.onnx", cut_off),
        ("tokenizer.kit", cut_off),
        ("model.bin", cut_off),
        ("model.bin", Path.unlink),
        ("manifest.json", cut_off),
        ("manifest.json", Path.unlink),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_damaged_file_fails_at_init_and_is_named(image, memory_mb, damaged, name, damage):
    damage(damaged / name)
    answer, log = first_answer(image, memory_mb, damaged)
    assert "errorType" in answer
    assert f"/opt/model/{name}" in json.dumps(answer) + log
