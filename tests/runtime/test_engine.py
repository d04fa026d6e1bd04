"""Artifacts that the engine refuses to load."""

import json
from pathlib import Path

import pytest

from runtime.engine.engine import Engine
from runtime.engine.manifest import ArtifactError


@pytest.fixture
def changed(artifact: Path, tmp_path: Path):
    """The folder of the artifact, with other values in its manifest."""

    def make(**values) -> Path:
        folder = tmp_path / "artifact"
        folder.mkdir()
        for path in artifact.iterdir():
            (folder / path.name).symlink_to(path)
        (folder / "manifest.json").unlink()
        manifest = json.loads((artifact / "manifest.json").read_text()) | values
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "answer"}, "this runtime cannot serve the task 'answer'; it serves embed"),
        ({"task": "rerank"}, "its graph has no output 'logits'; it has token_vectors"),
        ({"pooling": ["mean", "middle"]}, "unknown pooling mode: 'middle'; this runtime has cls, max, mean"),
        ({"pooling": []}, "unknown pooling mode: none"),
    ],
)
def test_a_manifest_that_it_cannot_serve(changed, values, message):
    folder = changed(**values)
    with pytest.raises(ArtifactError) as raised:
        Engine.load(folder)
    assert str(raised.value).startswith(f"{folder / 'manifest.json'}: {message}")


def test_steps_are_announced_in_order(artifact):
    steps = []
    Engine.load(artifact, threads=1, on_step=steps.append)
    assert steps == ["manifest", "tokenizer", "session"]
