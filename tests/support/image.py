"""Builds the function's image, and says what it is made of:

python -m tests.support.image build/model/latest
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from . import engine
from .tools import PROJECT, ToolError

MIB = 1024 * 1024

PARTS = {
    "model: weights": ("opt/model/model.bin",),
    "model: graph, tokenizer, manifest": ("opt/model",),
    "onnxruntime": ("opt/python/onnxruntime",),
    "numpy, with OpenBLAS": ("opt/python/numpy", "opt/python/numpy.libs"),
    "tokenizers": ("opt/python/tokenizers",),
    "kitoken": ("opt/python/kitoken",),
    "other packages": ("opt/python",),
    "code": ("var/task",),
    "Python and its standard library": (
        "usr/local/lib/python3.13",
        "usr/local/lib/libpython3.13.so.1.0",
        "usr/lib/python3.13",
        "usr/bin/python3.13",
    ),
    "Debian": ("",),
}
"""Paths of each part of the image; a file belongs to the first part that holds it."""


def build(artifact: Path, tag: str) -> str:
    """Builds the image with the artifact in this folder of the project; returns its name."""
    model = artifact.resolve().relative_to(PROJECT)
    name = f"localhost/{tag}"
    dockerfile = PROJECT / "runtime" / "Dockerfile"
    with tempfile.TemporaryDirectory() as folder:
        secrets = build_secrets(Path(folder))
        options = ["--quiet", "--layers", *secrets, "--file", dockerfile, "--build-arg", f"MODEL={model}"]
        engine.podman("build", *options, "--tag", name, PROJECT)
    return name


def build_secrets(folder: Path) -> list[str]:
    """Options of a build that let its package installation use this machine's certificates and package index, where the
    usual variables name some. Nothing of them gets into the image.

    Args:
        folder: An empty folder that exists as long as the build runs.
    """
    options = []
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
    """Bytes of each part of an image's file system."""
    root = Path(engine.podman("image", "mount", image).strip())
    try:
        return _sizes_by_part(root)
    finally:
        engine.podman("image", "unmount", image)


def _sizes_by_part(root: Path) -> dict[str, int]:
    parts = dict.fromkeys(PARTS, 0)
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, root)
            parts[_part(inside)] += os.lstat(path).st_size
    return parts


def _part(path: str) -> str:
    return next(part for part, places in PARTS.items() if any(_holds(place, path) for place in places))


def _holds(place: str, path: str) -> bool:
    return not place or path == place or path.startswith(f"{place}/")


def compressed_size(image: str) -> int:
    """Bytes that a registry stores for an image, and that Lambda fetches of it at most."""
    with tempfile.TemporaryDirectory() as folder:
        engine.podman("push", "--quiet", "--compress", image, f"dir:{folder}")
        manifest = json.loads((Path(folder) / "manifest.json").read_bytes())
    return manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])


def table(image: str) -> str:
    """The sizes as a table in Markdown, largest first."""
    parts = sizes(image)
    rows = sorted(parts.items(), key=lambda part: -part[1])
    lines = ["| part | MiB |", "|---|---:|", *(f"| {part} | {size / MIB:.1f} |" for part, size in rows)]
    total = sum(parts.values())
    return "\n".join(
        [
            *lines,
            f"| **in all** | **{total / MIB:.1f}** |",
            f"| compressed, in ECR | {compressed_size(image) / MIB:.1f} |",
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.support.image ARTIFACT_FOLDER")
    try:
        print(table(build(Path(sys.argv[1]), "serverless-embeddings")))
    except ToolError as error:
        sys.exit(f"error: {error}")
