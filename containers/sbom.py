"""Lists what is in an image, as a CycloneDX 1.6 document on standard output:

    python -m containers.sbom docker IMAGE

It reads the image's files and runs nothing in it, so an image for another architecture can be listed as well.
"""

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from .tools import ToolError, tail

_PLACES = ("/opt/model/manifest.json", "/var/lib/dpkg/status", "/usr/lib/os-release")


def describe(engine: list[str], image: str) -> Bom:
    """Return the bill of materials of an image: its Python packages, its interpreter, its Debian packages and its model.

    Args:
        engine: The command of the container engine, such as ``["docker"]``.
        image: Name of an image that the engine has or can pull.

    Raises:
        ToolError: the engine failed.
    """
    inspected = json.loads(_run([*engine, "inspect", image]) if _has(engine, image) else _pulled(engine, image))[0]
    environment = inspected["Config"]["Env"]
    folders = package_folders(environment)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        container = _run([*engine, "create", image]).split()[-1]
        try:
            for place in (*folders, *_PLACES):
                _run([*engine, "cp", f"{container}:{place}", root / Path(place).name])
        finally:
            _run([*engine, "rm", container])
        components = [
            *(package for place in folders for package in python_packages(root / Path(place).name)),
            *interpreter(environment),
            *debian_packages((root / "status").read_text(), (root / "os-release").read_text()),
            model(json.loads((root / "manifest.json").read_text())),
        ]
    bom = Bom(components=components)
    bom.metadata.component = Component(
        name=image, version=inspected["Id"], type=ComponentType.CONTAINER, bom_ref="image"
    )
    bom.register_dependency(bom.metadata.component, components)
    return bom


def _has(engine: list[str], image: str) -> bool:
    return subprocess.run([*engine, "image", "inspect", image], capture_output=True).returncode == 0


def _pulled(engine: list[str], image: str) -> str:
    _run([*engine, "pull", image])
    return _run([*engine, "inspect", image])


def package_folders(environment: list[str]) -> list[str]:
    """The folders with packages, from PYTHONPATH: one in the endpoint's image, two in that of bulk jobs."""
    (path,) = (
        value for name, _, value in (variable.partition("=") for variable in environment) if name == "PYTHONPATH"
    )
    return [place for place in path.split(":") if place.startswith("/opt/")]


def python_packages(folder: Path) -> Iterator[Component]:
    """The packages that pip installed into ``folder``, each with the SHA-256 of its wheel, from ``SHA256SUMS``."""
    sums = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    hashes = {tuple(wheel.split("-")[:2]): digest for digest, wheel in sums}
    for package in importlib.metadata.distributions(path=[str(folder)]):
        name, version = package.metadata["Name"], package.version
        # The name of a wheel's file: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
        digest = hashes[Path(str(package._path)).name.removesuffix(".dist-info").partition("-")[0], version]
        text = package.metadata["License-Expression"] or package.metadata["License"] or _classified(package.metadata)
        yield Component(
            name=name,
            version=version,
            purl=PackageURL("pypi", name=name.lower(), version=version),
            bom_ref=f"pypi:{name}",
            licenses=[LicenseFactory().make_from_string(text.splitlines()[0])] if text else [],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        )


def _classified(metadata: importlib.metadata.PackageMetadata) -> str | None:
    classifiers = metadata.get_all("Classifier") or []
    return next((text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")), None)


def interpreter(environment: list[str]) -> Iterator[Component]:
    """The CPython of the official image, which is not one of Debian's packages: its version is in PYTHON_VERSION."""
    for name, _, version in (variable.partition("=") for variable in environment):
        if name == "PYTHON_VERSION":
            yield Component(
                name="python",
                version=version,
                type=ComponentType.PLATFORM,
                purl=PackageURL("generic", name="python", version=version),
                cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
                bom_ref="python",
            )


def debian_packages(status: str, os_release: str) -> Iterator[Component]:
    """The packages that are installed according to dpkg's status file."""
    release = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    distribution = f"debian-{release['VERSION_ID'].strip(chr(34))}"
    for paragraph in filter(None, status.split("\n\n")):
        package = HeaderParser().parsestr(paragraph)
        if package["Status"] != "install ok installed":
            continue
        name, version = package["Package"], package["Version"]
        qualifiers = {"arch": package["Architecture"], "distro": distribution}
        yield Component(
            name=name,
            version=version,
            purl=PackageURL("deb", "debian", name, version, qualifiers),
            bom_ref=f"deb:{name}:{package['Architecture']}",
        )


def model(manifest: dict) -> Component:
    """The model of an artifact's manifest, with its files and their SHA-256."""
    source = manifest["model"]
    namespace, _, name = source["id"].rpartition("/")
    hub = PackageURL("huggingface", namespace, name, source["revision"]) if source["source"] == "hub" else None
    files = [
        Component(
            name=name,
            type=ComponentType.FILE,
            bom_ref=f"model:{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=info["sha256"])],
        )
        for name, info in manifest["files"].items()
    ]
    return Component(
        name=source["id"],
        version=source["revision"],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        purl=hub,
        bom_ref="model",
        components=files,
    )


def _run(command: list[str | Path]) -> str:
    try:
        done = subprocess.run([str(word) for word in command], text=True, capture_output=True)
    except FileNotFoundError as error:
        raise ToolError(
            f"{command[0]} is not installed; ENGINE or CDK_DOCKER names another container engine"
        ) from error
    if done.returncode:
        raise ToolError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{tail(done.stderr)}")
    return done.stdout


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m containers.sbom ENGINE IMAGE")
    try:
        print(JsonV1Dot6(describe([sys.argv[1]], sys.argv[2])).output_as_string(indent=2))
    except ToolError as error:
        sys.exit(f"error: {error}")
