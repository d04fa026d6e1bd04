"""What would stop a deployment is found before anything is built.

A small HTTP server stands in for STS, SSM, Lambda and CloudFormation, with the answers of their API references, since the
emulated AWS has fixed quotas; tests/e2e/test_preflight.py asks the emulated AWS.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra import preflight

IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    "<Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>me</UserId><Account>123456789012</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)
STACK = (
    '<ListStackResourcesResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><ListStackResourcesResult>'
    "<StackResourceSummaries><member><PhysicalResourceId>function</PhysicalResourceId><ResourceType>AWS::Lambda::Function"
    "</ResourceType></member></StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>"
)
NO_STACK = "<ErrorResponse><Error><Code>ValidationError</Code><Message>no such stack</Message></Error></ErrorResponse>"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """An account that a test changes: bootstrapped, with 1000 concurrent executions, and no deployment."""
    account = SimpleNamespace(bootstrap="33", concurrency=1000, unreserved=1000, deployed=None)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> tuple[int, str]:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            if "GetCallerIdentity" in body:
                return 200, IDENTITY
            if "ListStackResources" in body:
                return (200, STACK) if account.deployed else (400, NO_STACK)
            if self.path.endswith("/account-settings"):
                limit = {
                    "ConcurrentExecutions": account.concurrency,
                    "UnreservedConcurrentExecutions": account.unreserved,
                }
                return 200, json.dumps({"AccountLimit": limit})
            if self.path.endswith("/function/concurrency"):
                return 200, json.dumps({"ReservedConcurrentExecutions": account.deployed})
            if account.bootstrap and json.loads(body)["Name"] == "/cdk-bootstrap/hnb659fds/version":
                return 200, json.dumps({"Parameter": {"Value": account.bootstrap}})
            return 400, json.dumps({"__type": "ParameterNotFound"})

        def do_POST(self) -> None:
            status, text = self.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST

        def log_message(self, *_) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "CDK_CONTEXT_JSON"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DOCKER": str(engine(tmp_path, {"Architecture": "x86_64"})),
    }.items():
        monkeypatch.setenv(name, value)
    yield account
    server.shutdown()
    server.server_close()


def engine(folder: Path, info: dict, platforms: str = "", status: int = 0) -> Path:
    """A container engine that answers ``info`` and ``buildx inspect``."""
    path = folder / "docker"
    path.write_text(
        f"#!/bin/sh\n[ $1 = buildx ] && echo 'Platforms: {platforms}' || echo '{json.dumps(info)}'\nexit {status}\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def look(aws: SimpleNamespace, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Runs preflight; returns its exit status, the lines of what passed, and the errors."""

    def look(*arguments: str) -> tuple[int, list[str], list[str]]:
        status = preflight.main(list(arguments))
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err.splitlines()

    return look


def test_all_is_well(look) -> None:
    status, lines, errors = look("-c", "auth=none", "--require-approval", "never", "SomeStack")
    assert (status, errors) == (0, [])
    assert any("arn:aws:iam::123456789012:user/me deploys to account 123456789012" in line for line in lines)
    assert any("version 33" in line for line in lines) and any("10 of 900" in line for line in lines)


def test_a_new_account_deploys_with_the_defaults(aws, look) -> None:
    aws.concurrency = aws.unreserved = 10
    assert look()[0] == 0


def test_too_few_concurrent_executions(aws, look) -> None:
    aws.concurrency = aws.unreserved = 10
    status, _, (error,) = look("-c", "auth=api_key")
    assert status == 1 and "reserved_concurrency: 10 is more than" in error and "0 of its 10" in error
    assert "-c reserved_concurrency=unreserved" in error and "request-service-quota-increase" in error
    assert "-c provisioned_concurrency=0" in look("-c", "provisioned_concurrency=2")[2][0]


def test_an_update_may_reserve_again_what_it_has(aws, look) -> None:
    aws.unreserved = 100
    assert look("-c", "reserved_concurrency=900")[0] == 1
    aws.deployed = 900
    assert look("-c", "reserved_concurrency=900")[0] == 0


def test_jobs_reserve_more_than_a_new_account_has(aws, look) -> None:
    places = ["-c", "bulk_inputs=corpus", "-c", "bulk_outputs=vectors"]
    assert any("110 of 900" in line for line in look("-c", "auth=none", *places)[1])
    aws.concurrency = aws.unreserved = 10
    status, _, (error,) = look(*places)
    assert status == 1 and "bulk_concurrency: 100 is more than" in error and "-c bulk_reserve=false" in error
    assert look(*places, "-c", "bulk_reserve=false")[0] == 0


@pytest.mark.parametrize("region", ["eu-south-2", "cn-north-1", "us-gov-west-1"])
def test_a_region_without_urls(look, monkeypatch, region) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    status, _, (error,) = look()
    assert status == 1 and f"{region} has no Lambda Function URLs: export AWS_REGION" in error
    assert look("-c", "endpoint=none")[0] == 0


def test_no_region(look, monkeypatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert "no region is set: export AWS_REGION" in look()[2][0]


def test_the_bootstrap_has_the_version_that_the_cli_needs(assembly: Path) -> None:
    manifest = json.loads((assembly / "manifest.json").read_text())["artifacts"].values()
    needed = (
        artifact["properties"].get("requiresBootstrapStackVersion", 0)
        for artifact in manifest
        if "properties" in artifact
    )
    assert max(needed) == preflight.BOOTSTRAP_VERSION


@pytest.mark.parametrize("version", [None, "5"])
def test_no_bootstrap_or_an_old_one(aws, look, version) -> None:
    aws.bootstrap = version
    status, _, (error,) = look()
    assert status == 1 and error.endswith(": make bootstrap")


def test_no_credentials(look, monkeypatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    status, _, (error,) = look()
    assert status == 1 and "no AWS credentials" in error and "aws sso login" in error
    assert "profile (other) could not be found" in look("--profile", "other")[2][0]


def test_no_engine(look, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CDK_DOCKER", str(tmp_path / "none"))
    status, _, (error,) = look()
    assert status == 1 and "there is no container engine" in error and "CDK_DOCKER=podman" in error
    assert look("-c", "image=embeddings:v1")[0] == 0


def test_an_engine_that_does_not_run(look, tmp_path) -> None:
    engine(tmp_path, {"Architecture": ""}, status=1)
    assert "does not run: start it" in look()[2][0]


@pytest.mark.parametrize(
    ("info", "native", "wanted", "platform"),
    [
        ({"Architecture": "x86_64"}, "x86_64", "arm64", "arm64"),
        ({"Architecture": "aarch64"}, "arm64", "x86_64", "amd64"),
        ({"host": {"arch": "arm64"}}, "arm64", "x86_64", "amd64"),
    ],
)
def test_an_image_of_another_architecture_needs_emulation(
    look, monkeypatch, tmp_path, info, native, wanted, platform
) -> None:
    monkeypatch.setattr(preflight.platform, "system", lambda: "Darwin")  # not the emulators of this machine's kernel
    engine(tmp_path, info)
    status, _, (error,) = look("-c", f"architecture={wanted}")
    assert status == 1 and f"cannot build for linux/{platform} on {native}" in error
    assert f"--install {platform}` once" in error
    assert look("-c", f"architecture={native}")[0] == 0
    engine(tmp_path, info, platforms=f"linux/amd64, linux/{platform}")
    assert look("-c", f"architecture={wanted}")[0] == 0


def test_all_findings_are_listed(aws, look, monkeypatch, tmp_path) -> None:
    aws.bootstrap, aws.concurrency, aws.unreserved = None, 10, 10
    monkeypatch.setenv("CDK_DOCKER", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_REGION", "il-central-1")
    status, _, errors = look("-c", "auth=none")
    assert status == 1 and len(errors) == 4


def test_the_quota_of_memory_cannot_be_asked_for(look) -> None:
    status, lines, _ = look("-c", "memory_mb=4096")
    assert status == 0 and any(line.startswith("· not checked:") and "3008" in line for line in lines)


def test_the_arguments_of_bootstrap(look) -> None:
    assert look("--bootstrap") == (0, ["aws://123456789012/eu-central-1"], [])
    (line,) = look("--bootstrap", "-c", "qualifier=search")[1]
    assert line.endswith(" --qualifier search --toolkit-stack-name CDKToolkit-search")
