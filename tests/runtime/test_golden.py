"""Events of the deployment and the schedule, which are not callers' requests."""

import json
import re
import shutil
from pathlib import Path

import pytest

from runtime.engine.engine import Engine
from runtime.engine.manifest import sha256
from tests.runtime.conftest import make_handler

GOLDEN_CHECK, KEEP_ACTIVE = {"golden_check": True}, {"keep_active": True}


def changed(artifact: Path, folder: Path, change) -> Path:
    """A copy of ``artifact`` whose golden entries went through ``change``, with a manifest that agrees."""
    copy = Path(shutil.copytree(artifact, folder / "changed"))
    golden, manifest = copy / "golden.json", copy / "manifest.json"
    golden.write_text(json.dumps(change(json.loads(golden.read_text()))))
    content = json.loads(manifest.read_text())
    content["files"]["golden.json"] = {"sha256": sha256(golden), "bytes": golden.stat().st_size}
    manifest.write_text(json.dumps(content))
    return copy


@pytest.mark.parametrize("default_prompt", [None, "query"])
def test_the_artifact_passes_its_own_check(engine, artifact, default_prompt):
    result = make_handler(engine, default_prompt=default_prompt)(GOLDEN_CHECK)

    assert result["golden_check"] == "passed"
    assert result["artifact"] == artifact.resolve().name
    assert result["texts"] == len(json.loads((artifact / "golden.json").read_text()))
    assert 0 <= result["largest_distance"] < 0.03


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda golden: [golden[0] | {"vector": golden[0]["vector"][::-1]}, *golden[1:]], "another result than"),
        (
            lambda golden: [golden[0] | {"vector": [1.2 * x for x in golden[0]["vector"]]}, *golden[1:]],
            "is 0.16.*0.1 is",
        ),
        (lambda golden: [golden[0] | {"vector": [1.0]}, *golden[1:]], "got 384 numbers, the artifact has 1"),
        (lambda golden: [golden[0] | {"text": ""}], "got no vector: .*cannot be empty"),
    ],
)
def test_a_difference_is_an_error(artifact, tmp_path, change, reason):
    engine = Engine.load(changed(artifact, tmp_path, change), threads=1)

    result = make_handler(engine)(GOLDEN_CHECK)

    assert result["error_type"] == "GoldenCheck"
    assert re.search(reason, result["error"])


def test_a_damaged_record_is_an_error(artifact, tmp_path):
    copy = Path(shutil.copytree(artifact, tmp_path / "copy"))
    (copy / "golden.json").write_text("[]")

    assert "golden.json: has 2 bytes" in make_handler(Engine.load(copy, threads=1))(GOLDEN_CHECK)["error"]


def test_neither_event_is_logged_or_counted(engine):
    lines = []
    handler = make_handler(engine, lines=lines, function_name="embeddings")

    handler(GOLDEN_CHECK)
    assert handler(KEEP_ACTIVE) == {"active": True}

    assert lines == []
    assert "te_embed_count" not in handler.application.metrics.render()


@pytest.mark.parametrize(
    "event", [{"golden_check": False}, {"keep_active": "yes"}, {"keep_active": True, "inputs": "a"}]
)
def test_anything_else_is_a_request(engine, event):
    result = make_handler(engine)(event)

    assert isinstance(result, list) if "inputs" in event else result["error_type"] == "Validation"
