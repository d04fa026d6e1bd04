"""A deployment that checks each new version before traffic moves to it, from a copy of the project whose model is damaged."""

import json
import shutil
from pathlib import Path

import pytest

from containers.tools import PROJECT, ToolError
from runtime.engine.manifest import sha256
from tests.e2e.conftest import Deployment, resources
from tests.support.cdk import CdkApp
from tests.texts import LANGUAGES

STACK = "E2eGolden"
CONTEXT = {"model": "embedded", "stack_name": STACK, "golden_check": "true"}


@pytest.fixture(scope="module")
def project(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the project that a deployment needs, with its artifact."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("configuration", "infra", "model_export", "runtime"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("app.py", "cdk.json", ".dockerignore"):
        shutil.copy(PROJECT / name, copy)
    shutil.copytree(artifact, copy / artifact.relative_to(PROJECT))
    return copy


def test_a_version_that_answers_otherwise_gets_no_traffic(aws, project: Path, artifact: Path):
    before = resources(aws)
    app = CdkApp(aws, CONTEXT, project)
    printed, outputs = app.deploy()
    stack = Deployment(aws, app, printed, outputs[STACK])
    assert stack.live_version() == "1"

    golden = project / artifact.relative_to(PROJECT) / "golden.json"
    right = json.loads(golden.read_text())
    write_golden(golden, [right[0] | {"vector": right[0]["vector"][::-1]}, *right[1:]])
    changed = CdkApp(aws, CONTEXT | {"memory_mb": "1024"}, project)
    with pytest.raises(ToolError, match="'First text' got another result than the artifact has"):
        changed.deploy()
    assert status(aws) == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.live_version() == "1"
    function = {"FunctionName": stack.outputs["FunctionName"]}
    assert aws.client("lambda").get_function_configuration(**function)["MemorySize"] == 1769
    assert stack.invoke({"golden_check": True})["golden_check"] == "passed"
    assert len(stack.invoke({"inputs": LANGUAGES["en"]})[0]) == 384

    write_golden(golden, right)
    changed.deploy()
    assert status(aws) == "UPDATE_COMPLETE"
    assert stack.live_version() != "1"
    assert len(stack.invoke({"inputs": LANGUAGES["en"]})[0]) == 384

    changed.destroy()
    app.close()
    changed.close()
    assert resources(aws) == before


def status(aws) -> str:
    """The stack's status."""
    (stack,) = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return stack["StackStatus"]


def write_golden(golden: Path, entries: list[dict]) -> None:
    """Replaces the golden vectors, with a manifest that knows of it: a damaged file would be refused before."""
    golden.write_text(json.dumps(entries))
    manifest = golden.with_name("manifest.json")
    content = json.loads(manifest.read_text())
    content["files"][golden.name] = {"sha256": sha256(golden), "bytes": golden.stat().st_size}
    manifest.write_text(json.dumps(content))
