"""The check of a new version, run like in its function: boto3 calls the real runtime, or gets the errors of Lambda's API."""

import importlib.util
import io
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.golden_check import HANDLER
from runtime.aws.startup import load
from runtime.engine.manifest import sha256
from runtime.server import Server
from runtime.settings import Settings

from .conftest import Template, resources

VERSION = "arn:aws:lambda:eu-central-1:123456789012:function:embeddings:{}"


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
def damaged(artifact: Path, tmp_path: Path) -> Path:
    """An artifact whose first golden vector is not that of its text."""
    folder = Path(shutil.copytree(artifact, tmp_path / "damaged", symlinks=True))
    golden, manifest = folder / "golden.json", folder / "manifest.json"
    entries = json.loads(golden.read_text())
    entries[0]["vector"].reverse()
    golden.write_text(json.dumps(entries))
    content = json.loads(manifest.read_text())
    content["files"][golden.name] = {"sha256": sha256(golden), "bytes": golden.stat().st_size}
    manifest.write_text(json.dumps(content))
    return folder


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 finds in a function's environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def deployed(
    request: pytest.FixtureRequest, artifact: Path, monkeypatch: pytest.MonkeyPatch, credentials: None
) -> Iterator[None]:
    """A deployed version: the runtime with an artifact, where boto3 looks for Lambda. A test may name the fixture with the
    artifact and the default prompt."""
    folder, default_prompt = getattr(request, "param", ("artifact", None))
    settings = Settings(
        model_dir=str(request.getfixturevalue(folder)), default_prompt=default_prompt, log_level="ERROR"
    )
    server = Server(("127.0.0.1", 0), load(settings, threads=1))
    threading.Thread(target=server.run).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
    yield
    server.stop()


@pytest.fixture
def lambda_api(
    check: ModuleType, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Stubber, list[float]]]:
    """The answers of Lambda's API, which a test adds, and the pauses between them in seconds."""
    client, pauses = boto3.client("lambda"), []
    monkeypatch.setattr(check.boto3, "client", lambda *_, **__: client)
    monkeypatch.setattr(check.time, "sleep", pauses.append)
    with Stubber(client) as stubber:
        yield stubber, pauses


def context(seconds: float = 900) -> SimpleNamespace:
    """Lambda's context of the check."""
    return SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000)


def event(kind: str, version: int, **more: Any) -> dict[str, Any]:
    """The event that CloudFormation sends (CloudFormation's user guide, "Custom resource request types")."""
    return {
        "RequestType": kind,
        "ServiceToken": "arn:aws:lambda:eu-central-1:123456789012:function:check",
        "ResponseURL": "https://cloudformation-custom-resource-response-eucentral1.s3.eu-central-1.amazonaws.com/…",
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/Embeddings/51af3dc0-da77-11e4-872e-1234567db123",
        "RequestId": "5b478341-ec69-47b1-9ab4-2e2f6ae2dbb6",
        "LogicalResourceId": f"GoldenCheckResult{version}",
        "ResourceType": "Custom::GoldenCheck",
        "ResourceProperties": {"ServiceToken": "…", "ServiceTimeout": "960", "Version": VERSION.format(version)},
    } | more


def answer(result: object, **more: str) -> dict[str, Any]:
    """Lambda's answer to Invoke."""
    return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(result).encode())} | more


@pytest.mark.parametrize(
    "deployed", [("artifact", None), ("artifact", "query"), ("artifact", "passage")], indirect=True
)
def test_right_vectors_pass(check: ModuleType, cloudformation: CfnResponse, deployed: None) -> None:
    check.handler(event("Create", 1), context())

    assert cloudformation.received == [("SUCCESS", None)]


@pytest.mark.parametrize("deployed", [("damaged", None)], indirect=True)
def test_another_vector_fails(check: ModuleType, cloudformation: CfnResponse, deployed: None) -> None:
    check.handler(event("Create", 1), context())

    ((status, reason),) = cloudformation.received
    assert status == "FAILED"
    assert f"{VERSION.format(1)} did not pass" in reason
    assert "'First text' got another result than the artifact has: their distance is" in reason


@pytest.mark.parametrize(
    ("result", "more"),
    [
        ({"errorMessage": "Runtime exited with error: exit status 1"}, {"FunctionError": "Unhandled"}),
        # An image that knows nothing of the check takes the event for a request.
        ({"error": "Object missing required field `inputs`", "error_type": "Validation"}, {}),
        ([[0.1]], {}),
        (None, {}),
    ],
)
def test_any_other_answer_fails(check, cloudformation, lambda_api, result, more) -> None:
    stubber, _ = lambda_api
    stubber.add_response("invoke", answer(result, **more))

    check.handler(event("Create", 1), context())

    ((status, reason),) = cloudformation.received
    assert status == "FAILED" and json.dumps(result) in reason


def test_the_version_is_asked_again_until_it_is_active(check, cloudformation, lambda_api) -> None:
    stubber, pauses = lambda_api
    for code, http_status in (
        ("ResourceConflictException", 409),
        ("CodeArtifactUserPendingException", 409),
        ("ResourceNotReadyException", 502),
        ("TooManyRequestsException", 429),
    ):
        stubber.add_client_error("invoke", code, http_status_code=http_status)
    stubber.add_response("invoke", answer({"golden_check": "passed"}))

    check.handler(event("Create", 2), context())

    assert cloudformation.received == [("SUCCESS", None)]
    assert len(pauses) == 4


@pytest.mark.parametrize(
    ("code", "seconds"), [("TooManyRequestsException", 100), ("CodeArtifactUserFailedException", 900)]
)
def test_an_error_that_does_not_pass_fails_in_time(check, cloudformation, lambda_api, code, seconds) -> None:
    stubber, pauses = lambda_api
    stubber.add_client_error("invoke", code)

    check.handler(event("Create", 2), context(seconds))

    ((status, reason),) = cloudformation.received
    assert status == "FAILED" and code in reason
    assert pauses == []


@pytest.mark.parametrize(
    "request_",
    [
        # Forth: the old version's check is deleted once the new one's is created. Back: the new one's is deleted.
        event("Delete", 1, PhysicalResourceId="golden-check"),
        event("Delete", 2, PhysicalResourceId="golden-check"),
        # The check was never created, since something else failed before: CloudFormation's own id in place of ours.
        event("Delete", 2, PhysicalResourceId="Embeddings-GoldenCheckResult2-1A2B3C4D5E6F"),
        # Another function checks, with the same version, forth and back.
        event("Update", 1, PhysicalResourceId="golden-check", OldResourceProperties={"Version": VERSION.format(1)}),
    ],
)
def test_whatever_a_rollback_sends_succeeds_at_once(check, cloudformation, lambda_api, request_) -> None:
    """Lambda's API would answer with an error, since the test adds no answer."""
    check.handler(request_, context())

    assert cloudformation.received == [("SUCCESS", None)]


def test_each_version_has_its_own_check(templates: dict[str, Template]) -> None:
    """So CloudFormation creates and deletes checks, and never updates one to another version, forth or back."""
    hashes = []
    for case in ("golden-check", "provisioned"):
        (version,) = resources(templates[case], "AWS::Lambda::Version")
        (result,) = resources(templates[case], "Custom::GoldenCheck")
        assert result[-32:] == version[-32:]
        hashes.append(result)
    # Provisioned concurrency belongs to the alias: the same version.
    assert hashes[0] == hashes[1]
    (other,) = resources(templates["everything"], "Custom::GoldenCheck")
    assert other != hashes[0]


def test_the_code_fits_inline() -> None:
    """CloudFormation's limit of ``ZipFile``, in characters."""
    assert len(HANDLER.read_text()) <= 4096
