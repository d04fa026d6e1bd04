"""Builds an image of the functions and prints the size of each part:

python -m containers.image build/model/latest        # the endpoint's
python -m containers.image build/model/latest bulk   # that of bulk jobs
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from . import base_image, podman
from .tools import PROJECT, ToolError

MIB = 1024 * 1024

PARTS = {
    "model: weights": ("opt/model/model.bin",),
    "model: graph, tokenizer, manifest": ("opt/model",),
    "onnxruntime": ("opt/python/onnxruntime",),
    "numpy": ("opt/python/numpy", "opt/python/numpy.libs"),
    "tokenizers": ("opt/python/tokenizers",),
    "kitoken": ("opt/python/kitoken",),
    "other packages": ("opt/python",),
    "pyarrow": ("opt/bulk/pyarrow",),
    "other packages of bulk jobs": ("opt/bulk",),
    "code": ("var/task",),
    "Python and its standard library": (
        "usr/local/lib/python3.13",
        "usr/local/lib/libpython3.13.so.1.0",
        "usr/local/lib/start",
        "usr/lib/python3.13",
        "usr/bin/python3.13",
    ),
    "Debian": ("",),
}
"""The paths of each part of the image. A file counts for the first part that has a path above it."""


def build(artifact: Path, tag: str, target: str = "") -> str:
    """Build the image with an artifact, a folder inside the project, and return the image's name. ``target`` is a stage of the
    Dockerfile, by default the last.

    Raises:
        ToolError: the build failed.
    """
    model = artifact.resolve().relative_to(PROJECT)
    name = f"localhost/{tag}"
    with tempfile.TemporaryDirectory() as folder:
        here = build_options(Path(folder))
        options = ["--quiet", "--layers", *here, "--file", base_image.DOCKERFILE, "--build-arg", f"MODEL={model}"]
        options += [f"--target={target}"] if target else []
        podman.run("build", *options, "--tag", name, PROJECT)
    return name


def build_options(folder: Path) -> list[str]:
    """Return the options with which a build works on this machine: the base that :func:`base_image.ensure` got, and this
    machine's certificates and package index, where PIP_CERT, SSL_CERT_FILE or PIP_INDEX_URL name them. The latter two do not
    get into the image.

    Args:
        folder: An empty folder that exists as long as the build runs.
    """
    options = [f"--build-arg=BASE_IMAGE={base_image.LOCAL}"]
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if bundle:
        options.append(f"--secret=id=ca_bundle,src={bundle}")
    index = os.environ.get("PIP_INDEX_URL")
    if index:
        settings = folder / "pip.conf"
        settings.write_text(f"[global]\nindex-url = {index}\n")
        options.append(f"--secret=id=pip_conf,src={settings}")
    return options


def sizes(image: str) -> dict[str, int]:
    """Return the bytes of each part (:data:`PARTS`) of an image's file system."""
    root = Path(podman.run("image", "mount", image).strip())
    try:
        return _sizes_by_part(root)
    finally:
        podman.run("image", "unmount", image)


def _sizes_by_part(root: Path) -> dict[str, int]:
    parts = dict.fromkeys(PARTS, 0)
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, root)
            parts[part_of(inside)] += os.lstat(path).st_size
    return parts


def part_of(path: str) -> str:
    """The part of :data:`PARTS` that a path in the image is in."""
    return next(part for part, places in PARTS.items() if any(_holds(place, path) for place in places))


def _holds(place: str, path: str) -> bool:
    return not place or path == place or path.startswith(f"{place}/")


def compressed_size(image: str) -> int:
    """Return the bytes that a registry stores for an image; Lambda fetches at most these."""
    with tempfile.TemporaryDirectory() as folder:
        podman.run("push", "--quiet", "--compress", image, f"dir:{folder}")
        manifest = json.loads((Path(folder) / "manifest.json").read_bytes())
    return manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])


def table(image: str) -> str:
    """Return the sizes as a Markdown table, largest first."""
    parts = sizes(image)
    rows = sorted(parts.items(), key=lambda part: -part[1])
    lines = ["| part | MiB |", "|---|---:|", *(f"| {part} | {size / MIB:.1f} |" for part, size in rows if size)]
    total = sum(parts.values())
    return "\n".join(
        [
            *lines,
            f"| **in all** | **{total / MIB:.1f}** |",
            f"| compressed, in ECR | {compressed_size(image) / MIB:.1f} |",
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m containers.image ARTIFACT_FOLDER [TARGET]")
    try:
        print(table(build(Path(sys.argv[1]), "-".join(["serverless-embeddings", *sys.argv[2:]]), *sys.argv[2:])))
    except ToolError as error:
        sys.exit(f"error: {error}")
