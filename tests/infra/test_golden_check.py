"""The check of a new version, run like in its function: boto3 calls the real runtime with the embedded model."""

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from infra.golden_check import HANDLER, golden_answers
from runtime.aws.startup import load
from runtime.server import Server
from runtime.settings import Settings

VERSION = "function"
"""The name under which the local server answers Lambda's Invoke."""


class CfnResponse(ModuleType):
    """``cfnresponse`` as inline functions have it; it records what CloudFormation would receive."""

    SUCCESS, FAILED = "SUCCESS", "FAILED"

    def __init__(self) -> None:
        super().__init__("cfnresponse")
        self.received: list[tuple[str, str | None]] = []

    def send(self, event, context, status, data, physical_id, reason=None) -> None:
        """Record the status and the reason."""
        self.received.append((status, reason))


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> CfnResponse:
    """A recorder in place of CloudFormation."""
    module = CfnResponse()
    monkeypatch.setitem(sys.modules, "cfnresponse", module)
    return module


@pytest.fixture
def check(cloudformation: CfnResponse) -> ModuleType:
    """The function's code, imported as Lambda does it."""
    spec = importlib.util.spec_from_file_location("index", HANDLER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def deployed(request: pytest.FixtureRequest, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A deployed version: the runtime with the embedded model, and the default prompt that a test names, where boto3 looks for
    Lambda."""
    settings = Settings(model_dir=str(artifact), default_prompt=getattr(request, "param", None), log_level="ERROR")
    server = Server(("127.0.0.1", 0), load(settings, threads=1))
    threading.Thread(target=server.run).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    yield
    server.stop()


def from_cloudformation(golden: dict[str, list[float]], kind: str = "Update") -> dict:
    """The event that CloudFormation sends."""
    return {"RequestType": kind, "ResourceProperties": {"Version": VERSION, "Golden": json.dumps(golden)}}


@pytest.mark.parametrize("deployed", [None, "query", "passage"], indirect=True)
def test_right_vectors_pass(check: ModuleType, cloudformation: CfnResponse, deployed: None, artifact: Path) -> None:
    check.handler(from_cloudformation(golden_answers(artifact)), None)

    assert cloudformation.received == [("SUCCESS", None)]


def test_another_vector_fails(check: ModuleType, cloudformation: CfnResponse, deployed: None, artifact: Path) -> None:
    golden = golden_answers(artifact)
    text = next(iter(golden))
    golden[text] = golden[text][::-1]

    check.handler(from_cloudformation(golden), None)

    ((status, reason),) = cloudformation.received
    assert status == "FAILED"
    assert reason == f"function returned another vector than the artifact has for {text!r}"


def test_another_length_fails(check: ModuleType, cloudformation: CfnResponse, deployed: None) -> None:
    check.handler(from_cloudformation({"First text": [1.0, 0.0]}), None)

    assert cloudformation.received[0][0] == "FAILED"


def test_version_that_answers_with_an_error_fails(
    check: ModuleType, cloudformation: CfnResponse, deployed: None
) -> None:
    check.handler(from_cloudformation({"word " * 1000: [1.0]}), None)

    ((status, reason),) = cloudformation.received
    assert status == "FAILED"
    assert "returned no vector" in reason


def test_deletion_needs_no_check(check: ModuleType, cloudformation: CfnResponse) -> None:
    check.handler(from_cloudformation({}, "Delete"), None)

    assert cloudformation.received == [("SUCCESS", None)]
