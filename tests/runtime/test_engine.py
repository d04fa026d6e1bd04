"""Artifacts that the engine refuses to load."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from containers.tools import PROJECT
from runtime.engine import engine
from runtime.engine.engine import Engine
from runtime.engine.manifest import ArtifactError, read_manifest


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


@pytest.fixture(params=[1, 2])
def cpus(request, monkeypatch) -> int:
    """Tokenizer and session are loaded one after the other with one CPU, at the same time with more."""
    monkeypatch.setattr(engine, "count_cpus", lambda: request.param)
    return request.param


@pytest.mark.parametrize("missing", ["tokenizer.kit", "model.onnx"])
def test_what_cannot_be_loaded_is_named(cpus, changed, missing):
    folder = changed()
    (folder / missing).unlink()
    with pytest.raises((ArtifactError, FileNotFoundError, ValueError), match=re.escape(missing)):
        Engine(folder, read_manifest(folder))


SERVES_FROM_THREADS = """
import sys
from pathlib import Path
from threading import Thread
from containers.tools import PROJECT
from runtime.engine import engine

engine.count_cpus = lambda: 2
loaded = engine.Engine.load(Path(sys.argv[1]))
for _ in range(3):
    thread = Thread(target=lambda: loaded.embed(loaded.with_special_tokens(loaded.tokenize("text"))))
    thread.start()
    thread.join()
"""


def test_threads_that_come_and_go_may_use_it(artifact):
    """In a process that did not import kitoken before."""
    command = [sys.executable, "-c", SERVES_FROM_THREADS, str(artifact)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_steps_are_announced_in_order(cpus, artifact):
    steps = []
    Engine.load(artifact, threads=1, on_step=steps.append)
    assert steps == ["manifest", "tokenizer", "session"]
