"""Nobody changes the vectors of an artifact without raising the number that is part of its key."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from configuration import PROJECT
from configuration.groups import EMBEDDED, ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import Engine
from runtime.engine.heads import pooling
from tests.model_export import recipe

NORMS = 2e-4
"""Largest relative change of a constant's norm. Measured: at most 1e-5 with other kernels of BLAS (OPENBLAS_CORETYPE Sandybridge,
Prescott) or relative noise of 1e-6 to 1e-5 on the calibration's activations; at least 3e-3 with one calibration text less, and 2e-2
with SMOOTHING 0.51 for 0.5."""

VECTORS = 0.05
"""Largest relative change of a vector. Measured: at most 0.0195 with the noise above, which turns roundings to int8 around; at most
0.028 with SMOOTHING 0.6, which the norms show."""

ANEW = (
    "the export or the engine gives other results than recipe.json says. If that is intended, raise RECIPE in "
    "model_export/artifact.py (an upgrade of a tool needs no other number: its version is in the key too) and write the file anew: "
    "python -m tests.model_export.recipe"
)


@pytest.fixture(scope="module")
def recorded() -> dict:
    return json.loads(recipe.FILE.read_text())


def distance(ours, theirs) -> float:
    """The largest relative distance of a vector to its counterpart."""
    ours, theirs = np.array(ours), np.array(theirs)
    return float((np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


def test_the_number_is_that_of_the_record(recorded):
    assert recorded["recipe"] == artifacts.RECIPE, "write recipe.json anew: python -m tests.model_export.recipe"


def test_the_graph_is_the_recorded_one(artifact, recorded):
    assert recipe.hash_operators(artifact) == recorded["operators"], ANEW
    norms = recipe.norms(artifact)
    assert norms.keys() == recorded["norms"].keys(), ANEW
    assert norms == pytest.approx(recorded["norms"], rel=NORMS), ANEW


@pytest.mark.parametrize("stage", ["pooled", "normalized"])
def test_the_vectors_are_the_recorded_ones(artifact, recorded, stage):
    vectors = recipe.vectors(Engine.load(artifact, threads=1))
    assert distance(vectors[stage], recorded[stage]) <= VECTORS, ANEW


def test_another_pooling_would_be_noticed(artifact, recorded, monkeypatch):
    monkeypatch.setitem(pooling.MODES, "mean", lambda vectors: 2 * vectors.mean(axis=0))
    vectors = recipe.vectors(Engine.load(artifact, threads=1))
    assert distance(vectors["pooled"], recorded["pooled"]) > VECTORS


def test_a_comment_changes_no_key(tmp_path):
    for folder in ("configuration", "model_export", "runtime"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (tmp_path / "model_export").rglob("*.py"):
        path.write_text(path.read_text() + "\n# A comment.\n")
    command = (
        "from model_export.artifact import key; from configuration.groups import ModelSettings; "
        f"print(key(ModelSettings(model={EMBEDDED!r})))"
    )
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == artifacts.key(ModelSettings(model=EMBEDDED))
