"""The image's base: the official Python image, or a stand-in made of Debian's packages where no registry is in reach."""

import subprocess
import sys
import tempfile
from pathlib import Path

from . import engine
from .tools import ToolError, run, say

OFFICIAL = "docker.io/library/python:3.13-slim-trixie"
LOCAL = "localhost/python:3.13-slim-trixie"
"""The name under which either is kept: podman finds it by the short name in the Dockerfile's ``BASE_IMAGE``."""

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
"""Not in a slim Debian image."""


def ensure() -> None:
    """Makes ``LOCAL`` exist: pulled if possible, otherwise put together from Debian's packages."""
    if engine.exists(LOCAL):
        return
    try:
        say(f"pulling {OFFICIAL}")
        engine.podman("pull", "--quiet", OFFICIAL, timeout=_PULL_SECONDS)
        engine.podman("tag", OFFICIAL, LOCAL)
    except ToolError as error:
        say(f"  cannot be pulled: {str(error).splitlines()[-1]}")
        say(f"making a stand-in from Debian's packages: {LOCAL}")
        make_stand_in()


def make_stand_in() -> None:
    """Debian 13 with its Python 3.13 and a pip in /usr/local, as the official image has: `python -m pip` works, and can be
    removed by `pip uninstall`."""
    with tempfile.TemporaryDirectory(prefix="base-image-") as folder:
        root = Path(folder)
        run(["debootstrap", "--variant=minbase", "--include=python3,ca-certificates", "trixie", root])
        (root / "usr/lib/python3.13/EXTERNALLY-MANAGED").unlink()
        (root / "usr/local/bin/python").symlink_to("../../bin/python3.13")
        packages = root / "usr/local/lib/python3.13/dist-packages"
        run([sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", packages, _PIP])
        _import(root)


def _import(root: Path) -> None:
    """Makes an image of a root file system."""
    pack = ["tar", "-C", str(root), *(f"--exclude=./{path}/*" for path in _LEFT_OUT), "-c", "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as tar:
        command = ["podman", "import", "--quiet", "--change", 'CMD ["python3"]', "-", LOCAL]
        run(command, env=engine.environment(), stdin=tar.stdout)
    if tar.returncode:
        raise ToolError(f"{' '.join(pack)}: exit status {tar.returncode}")
