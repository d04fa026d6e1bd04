"""The content of the image."""

import json
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from containers import image as images
from containers import podman, sbom
from containers.tools import PROJECT, ToolError, run

MAX_MIB = 400
"""Uncompressed. Lambda takes 10 GB; what counts is that nobody adds a hundred megabytes unawares."""


@pytest.fixture(scope="module")
def root(image):
    """The image's file system, mounted."""
    yield Path(podman.run("image", "mount", image).strip())
    podman.run("image", "unmount", image)


@pytest.mark.parametrize(
    "package", ["pip", "setuptools", "torch", "transformers", "optimum", "onnx", "huggingface_hub"]
)
def test_no_package_that_builds_or_trains(function, package):
    with pytest.raises(ToolError, match="ModuleNotFoundError"):
        function.execute("python", "-c", f"import {package}")


@pytest.mark.parametrize("command", ["pip", "gcc", "cc", "make", "ld", "git", "curl"])
def test_no_command_that_builds(function, command):
    with pytest.raises(ToolError):
        function.execute("sh", "-c", f"command -v {command}")


def test_nothing_of_the_machine_that_built_it(image, root):
    for path in ("etc/pip.conf", "run/secrets/ca_bundle", "root/.cache/pip", "var/task/runtime/Dockerfile"):
        assert not (root / path).exists()
    configuration = json.loads(podman.run("inspect", image))[0]["Config"]
    assert not [value for value in configuration["Env"] if value.startswith(("PIP_", "SSL_"))]


def test_it_does_not_run_as_root(image, function):
    assert int(json.loads(podman.run("inspect", image))[0]["User"].split(":")[0]) >= 1000
    assert function.execute("id", "-u").strip() != "0"


def test_nothing_but_tmp_can_be_written(function):
    for place in ("/var/task", "/opt/model", "/opt/python", "/home", "/dev/shm"):
        with pytest.raises(ToolError, match=r"Read-only|denied"):
            function.execute("sh", "-c", f"echo x > {place}/x")
    function.execute("sh", "-c", "echo x > /tmp/x")


def test_a_start_compiles_no_source(image):
    """Each module that the handler imports, the standard library's included, comes from bytecode of the image."""
    command = ["podman", "run", "--rm", "--read-only", "--entrypoint=python", image]
    start = [*command, "-v", "-c", "import awslambdaric.bootstrap, runtime.aws.handler"]
    traced = subprocess.run(start, env=podman.environment(), capture_output=True, text=True, timeout=120)
    assert traced.returncode == 0, traced.stderr[-2000:]
    loaded = [line for line in traced.stderr.splitlines() if line.startswith("# code object from ")]
    assert any("runtime/aws/__pycache__/handler" in line for line in loaded)
    assert [line for line in loaded if not line.rstrip("'").endswith(".pyc")] == []


def test_its_size(image):
    sizes = images.sizes(image)
    assert sizes["model: weights"] > 100 * images.MIB
    assert sum(sizes.values()) < MAX_MIB * images.MIB


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_package_has_a_wheel_for_both_architectures(machine, tmp_path):
    platforms = [f"--platform=manylinux_2_{glibc}_{machine}" for glibc in (17, 27, 28)]
    options = ["--dry-run", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.13", *platforms]
    requirements = PROJECT / "runtime" / "requirements.lock"
    run([sys.executable, "-m", "pip", "install", *options, f"--target={tmp_path}", "--requirement", requirements])


def test_each_wheel_is_one_of_the_lock_and_in_the_bill_of_materials(image, root):
    document = sbom.describe(["podman"], image)
    text = JsonV1Dot6(document).output_as_string()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    lock = (PROJECT / "runtime" / "requirements.lock").read_text()
    listed = {component.name.lower(): component for component in document.components if component.hashes}
    installed = {found.metadata["Name"].lower() for found in distributions(path=[str(root / "opt/python")])}
    assert set(listed) == installed
    assert all(f"sha256:{next(iter(component.hashes)).content}" in lock for component in listed.values())
    debian = {
        line.split()[0] for line in podman.run("run", "--rm", "--entrypoint=dpkg-query", image, "-W").splitlines()
    }
    refs = {
        str(component.bom_ref).split(":")[1] for component in document.components if "deb:" in str(component.bom_ref)
    }
    assert refs == {name.partition(":")[0] for name in debian}
