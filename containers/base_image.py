"""The image's base: the official Python image, or a stand-in made of Debian's packages where no registry can be reached."""

import subprocess
import sys
import tempfile
from pathlib import Path

from . import podman
from .tools import ToolError, run, say

OFFICIAL = "docker.io/library/python:3.13-slim-trixie"
LOCAL = "localhost/python:3.13-slim-trixie"
"""The name under which either is kept: podman resolves the short name in the Dockerfile's ``BASE_IMAGE`` to it."""

_PULL_SECONDS = 60
_PIP = "pip==26.2"
_LEFT_OUT = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
)
"""Folders that a slim Debian image leaves empty."""


def ensure() -> None:
    """Pull ``LOCAL`` unless it exists, or make it from Debian's packages if it cannot be pulled.

    Raises:
        ToolError: neither worked.
    """
    if podman.exists(LOCAL):
        return
    try:
        say(f"pulling {OFFICIAL}")
        podman.run("pull", "--quiet", OFFICIAL, timeout=_PULL_SECONDS)
        podman.run("tag", OFFICIAL, LOCAL)
    except ToolError as error:
        say(f"  cannot be pulled: {str(error).splitlines()[-1]}")
        say(f"making a stand-in from Debian's packages: {LOCAL}")
        make_stand_in()


def make_stand_in() -> None:
    """Make Debian 13 with its Python 3.13, and a pip in /usr/local as in the official image: `python -m pip` works, and
    `pip uninstall` can remove it."""
    with tempfile.TemporaryDirectory(prefix="base-image-") as folder:
        root = Path(folder)
        run(["debootstrap", "--variant=minbase", "--include=python3,ca-certificates", "trixie", root])
        (root / "usr/lib/python3.13/EXTERNALLY-MANAGED").unlink()
        (root / "usr/local/bin/python").symlink_to("../../bin/python3.13")
        packages = root / "usr/local/lib/python3.13/dist-packages"
        run([sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", packages, _PIP])
        _import(root)


def _import(root: Path) -> None:
    """Make the image ``LOCAL`` of a root file system."""
    pack = ["tar", "-C", str(root), *(f"--exclude=./{path}/*" for path in _LEFT_OUT), "-c", "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as tar:
        command = ["podman", "import", "--quiet", "--change", 'CMD ["python3"]', "-", LOCAL]
        run(command, env=podman.environment(), stdin=tar.stdout)
    if tar.returncode:
        raise ToolError(f"{' '.join(pack)}: exit status {tar.returncode}")
