"""The pins: the base image, the wheels' hashes, the audit, the bill of materials, the workflow."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from containers import base_image, sbom
from containers.tools import PROJECT, ToolError

BIN = Path(sys.executable).parent
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)


def pinned(name: str) -> set[tuple[str, str]]:
    return {(found[1].lower().replace("_", "-"), found[2]) for found in PINNED.finditer((PROJECT / name).read_text())}


def test_the_base_is_pinned_by_digest_from_aws_mirror_of_the_official_images():
    assert base_image.pin()["image"].startswith("public.ecr.aws/docker/library/python:3.13-slim-trixie@sha256:")
    dockerfile = (PROJECT / "runtime" / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE_IMAGE}", "endpoint"}


def registry(index: dict) -> httpx.Client:
    """A client of a registry that asks for an anonymous token, as public.ecr.aws does."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token/":
            assert request.url.params["service"] == "public.ecr.aws"
            return httpx.Response(200, json={"token": "anonymous"})
        if request.headers.get("Authorization") != "Bearer anonymous":
            challenge = 'Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        assert request.url.path == "/v2/docker/library/python/manifests/3.13-slim-trixie"
        return httpx.Response(200, json=index)

    return httpx.Client(transport=httpx.MockTransport(answer))


def index(*architectures: str) -> dict:
    return {"manifests": [{"platform": {"architecture": name}} for name in architectures]}


def test_the_newest_digest_is_written_into_the_dockerfile(tmp_path, monkeypatch):
    copy = tmp_path / "Dockerfile"
    before = base_image.DOCKERFILE.read_text()
    copy.write_text(before)
    old = base_image.pin()["digest"]
    monkeypatch.setattr(base_image, "DOCKERFILE", copy)
    client = registry(index("amd64", "arm64"))
    base_image.pin_newest(client)
    expected = hashlib.sha256(httpx.Response(200, json=index("amd64", "arm64")).content).hexdigest()
    assert copy.read_text() == before.replace(old, f"sha256:{expected}")


def test_a_tag_without_an_image_for_arm64_is_not_pinned():
    with pytest.raises(ToolError, match="has no image for arm64"):
        base_image.newest_digest(
            registry(index("amd64")), "public.ecr.aws", "docker/library/python", "3.13-slim-trixie"
        )


@pytest.mark.parametrize("name", ["runtime/requirements", "runtime/image/compiler", "bulk/requirements"])
def test_the_lock_has_the_versions_of_the_requirements_with_hashes(name):
    assert pinned(f"{name}.lock") == pinned(f"{name}.txt")
    blocks = re.split(r"\n(?=\S)", (PROJECT / f"{name}.lock").read_text().strip())
    assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))


def test_constraints_pin_the_same_versions():
    assert pinned("runtime/requirements.txt") | pinned("bulk/requirements.txt") <= pinned("constraints.txt")


@pytest.fixture
def osv():
    """A stand-in for OSV's API that knows one advisory, PYSEC-2021-66 of jinja2."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = query["package"]["name"] == "jinja2" and query["version"] == "2.11.2"
            affected = {
                "package": {"name": "jinja2", "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.11.3"}]}],
            }
            answer = {"vulns": [{"id": "PYSEC-2021-66", "affected": [affected]}]} if known else {}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.fixture
def audit(tmp_path):
    """Runs `make audit` on a requirement, with an advisory service, and an npm that finds nothing."""
    (tmp_path / ".venv").mkdir()
    folders = ("runtime", "bulk", "tests")
    for name in (
        "requirements.txt",
        "constraints.txt",
        "client/pyproject.toml",
        "runtime/image/compiler.txt",
        *(f"{folder}/requirements.txt" for folder in folders),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("created", "installed", "installed-tests"):
        (tmp_path / ".venv" / name).touch()
    (tmp_path / ".venv/bin").mkdir()
    (tmp_path / ".venv/bin/pip-audit").symlink_to(BIN / "pip-audit")
    (tmp_path / ".venv/bin/npm").symlink_to("/bin/true")

    def audit(requirement: str, url: str) -> subprocess.CompletedProcess:
        (tmp_path / "constraints.txt").write_text(requirement)
        (tmp_path / ".venv/installed").touch()
        (tmp_path / ".venv/installed-tests").touch()
        command = ["make", "-f", PROJECT / "Makefile", "audit"]
        env = os.environ | {"PIP_AUDIT_OSV_URL": url}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    return audit


def test_the_audit_passes_versions_without_advisories(audit, osv):
    done = audit("jinja2==2.11.3\n", osv)
    assert done.returncode == 0, done.stderr


def test_the_audit_fails_for_a_version_with_an_advisory(audit, osv):
    done = audit("jinja2==2.11.2\n", osv)
    assert done.returncode != 0 and "PYSEC-2021-66" in done.stdout and "has not passed" in done.stderr


def test_the_audit_fails_when_the_advisories_cannot_be_asked(audit):
    done = audit("jinja2==2.11.3\n", "http://127.0.0.1:9/v1/query")
    assert done.returncode != 0 and "could not be asked" in done.stderr


def test_a_bill_of_materials_fits_the_official_schema(artifact):
    status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12+deb13u1\n\n"
    status += "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    components = [
        *sbom.interpreter(["PATH=/bin", "PYTHON_VERSION=3.13.15"]),
        *sbom.debian_packages(status, 'ID=debian\nVERSION_ID="13"\n'),
        sbom.model(json.loads((artifact / "manifest.json").read_text())),
    ]
    text = JsonV1Dot6(Bom(components=components)).output_as_string()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {component["name"]: component for component in json.loads(text)["components"]}
    assert found["libc6"]["purl"] == "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13"
    assert "gone" not in found


def test_the_packages_of_bulk_jobs_are_listed_as_well():
    dockerfile = base_image.DOCKERFILE.read_text()
    paths = [f"PYTHONPATH={path}" for path in re.findall(r"^ENV PYTHONPATH=(\S+)", dockerfile, re.MULTILINE)]
    found = [sbom.package_folders(["PATH=/bin", path]) for path in paths]
    assert found == [["/opt/python"], ["/opt/python", "/opt/bulk"]]


def test_the_workflow_fits_githubs_schema_and_pins_actions_by_commit():
    workflow = PROJECT / "examples" / "github_actions" / "deploy.yml"
    subprocess.run([BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow], check=True)
    uses = re.findall(r"uses: (\S+)", workflow.read_text())
    assert uses and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in uses)
