"""The embedded model's image, and an execution environment of it that most tests share."""

import json
from pathlib import Path

import pytest

from containers import image as images
from containers.emulator import FunctionContainer
from containers.tools import PROJECT
from tests.model_export.conftest import minilm

__all__ = ["minilm"]


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.container)


@pytest.fixture(scope="session")
def memory_mb() -> int:
    """Memory of the function as cdk.json configures it, in MiB."""
    return json.loads((PROJECT / "cdk.json").read_text())["context"]["memory_mb"]


@pytest.fixture(scope="session")
def image(artifact: Path) -> str:
    """Name of the image, built with the embedded artifact."""
    return images.build(artifact, "serverless-embeddings-test")


@pytest.fixture(scope="module")
def function(image: str, memory_mb: int):
    """A running environment: read-only, another user's, with the function's memory and CPU."""
    with FunctionContainer(image, memory_mb) as container:
        yield container
