"""The content of the image."""

import json
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from benchmarks.cold import drop_page_cache
from containers import flattened, podman, sbom
from containers import image as images
from containers.emulator import FunctionContainer
from containers.tools import PROJECT, ToolError, run
from runtime.image import VARIABLES

MAX_MIB = 400
"""Uncompressed. Lambda takes 10 GB; what counts is that nobody adds a hundred megabytes unawares."""
MAX_CHUNKS = 215
"""Of 512 KiB, that Lambda fetches before the first answer. The places of files on the device differ by a few of them."""


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
    for path in (
        "etc/pip.conf",
        "run/secrets/ca_bundle",
        "root/.cache/pip",
        "var/task/runtime/Dockerfile",
        "var/task/runtime/image",
    ):
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


EVERY_MODULE = """
import importlib, pkgutil, sys
left_out = {"antigravity", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "this", "tkinter", "turtle", "turtledemo"}
names = {name for name in sys.stdlib_module_names if name not in left_out}
for name in sorted(names):
    found = importlib.util.find_spec(name)
    if found and found.submodule_search_locations:
        names |= {each.name for each in pkgutil.walk_packages(found.submodule_search_locations, f"{name}.")}
print(*sorted(names))
"""


def test_the_modules_of_a_start_hide_no_other_of_the_standard_library(function):
    """Python finds the same modules with the folder as without it, when the environment's PYTHONPATH is ignored."""
    found, plain = (function.execute("python", *option, "-c", EVERY_MODULE).split() for option in ([], ["-E"]))
    assert "json.tool" in found and "importlib.metadata" in found and "encodings.idna" in found
    assert found == plain
    for name in ("json", "logging", "encodings.utf_8"):
        place = function.execute("python", "-c", f"import sys, {name}; print(sys.modules['{name}'].__file__)")
        assert place.startswith("/usr/local/lib/start/")


PROCESSES_WITH_HUGE_PAGES = """
from pathlib import Path
for process in Path("/proc").glob("[0-9]*"):
    if b"-m\\0awslambdaric" in (process / "cmdline").read_bytes() and " hg" in (process / "smaps").read_text():
        print((process / "cmdline").read_bytes())
"""


def test_memory_comes_in_huge_pages(function):
    """malloc asks for them, which marks the memory as "hg"; where the kernel has none for the asking, it does not ask."""
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[madvise]" not in setting.read_text():
        pytest.skip("the kernel has no huge pages for the asking")
    assert function.invoke({"inputs": "text"}).status == 200
    assert "awslambdaric" in function.execute("python", "-c", PROCESSES_WITH_HUGE_PAGES)


def test_processes_that_are_measured_in_its_place_have_its_variables(image):
    variables = json.loads(podman.run("inspect", image))[0]["Config"]["Env"]
    assert VARIABLES.items() <= dict(variable.split("=", 1) for variable in variables).items()


def test_text_is_utf_8(function):
    code = "import sys; open('/tmp/text', 'w').write('zażółć'); print(open('/tmp/text').read(), sys.stdout.encoding)"
    assert function.execute("python", "-c", code).split() == ["zażółć", "utf-8"]


PRODUCTS = """
import json, numpy as np
def rand(*shape): return np.modf(np.arange(1, 1 + np.prod(shape)) * 0.6180339887)[0].reshape(shape)
results = []
for kind in (np.float32, np.float64, np.complex128):
    a, b = rand(7, 5).astype(kind), rand(5, 9).astype(kind)
    a, b, v = a - 0.5, b - 0.5j if kind is np.complex128 else b - 0.5, rand(5).astype(kind)
    products = [a @ b, a @ v, v @ b, v @ v, np.vdot(v, b[:, 0]), v[::-1] @ b[:, 1], b.T @ a.T, a @ a.T, a.T @ a, a[::2] @ b]
    products += [np.asfortranarray(a) @ b, np.dot(a, 3), np.inner(a, a), np.linalg.norm(v), np.tensordot(a, b, 1)]
    results += [[number.real, number.imag] for each in products for number in np.ravel(each).astype(complex)]
print(json.dumps(results))
"""


def test_numpy_computes_without_openblas_what_it_computes_with_it(function):
    actual = json.loads(function.execute("python", "-c", PRODUCTS))
    expected = json.loads(run([sys.executable, "-c", PRODUCTS]))
    assert len(actual) > 500
    assert np.allclose(actual, expected, rtol=1e-6, atol=1e-6)


def test_what_is_left_out_of_numpy_ends_with_its_name(function):
    with pytest.raises(
        ToolError, match=r"numpy called LAPACK's \w+, which this image leaves out: see runtime/image/blas.c"
    ):
        function.execute("python", "-c", "import numpy; numpy.linalg.svd(numpy.eye(2))")


def test_the_chunks_of_a_cold_start(image, memory_mb):
    with (
        flattened.flatten(image) as device,
        FunctionContainer(device.name, memory_mb, options=device.options) as container,
    ):
        drop_page_cache()
        assert container.invoke({"inputs": "text"}).status == 200
        read = flattened.by_part(device.read())
    assert read["model: weights"].size < 30e6  # most of the word table is not read
    assert 100 < sum(part.chunks for part in read.values()) <= MAX_CHUNKS


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
