"""Podman, run as root: the memory and CPU limits of a function need control groups."""

import functools
import os
import shutil

from . import tools
from .tools import TOOLS, ToolError, say

PACKAGES = (
    "podman", "buildah", "runc", "slirp4netns", "containernetworking-plugins", "iptables", "debootstrap", "ca-certificates",
)  # fmt: skip
"""The Debian packages that :func:`install` installs; debootstrap makes the base image where none can be pulled."""

_SETTINGS = TOOLS / "containers.conf"
_SETTINGS_TEXT = """\
# For machines on which podman's defaults fail: inside some virtual machines a container may not raise the limit of open
# files to what podman asks for.
[engine]
runtime = "runc"

[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""


def run(*arguments: object, timeout: float = 600) -> str:
    """Run ``podman`` with these arguments and return its standard output.

    Raises:
        ToolError: it failed, or took longer than ``timeout`` seconds.
    """
    return tools.run(["podman", *map(str, arguments)], env=environment(), timeout=timeout)


def environment() -> dict[str, str]:
    """The environment variables of every podman command: this process's, and our settings file where :func:`configure`
    wrote one."""
    return dict(os.environ) | ({"CONTAINERS_CONF": str(_SETTINGS)} if _SETTINGS.exists() else {})


def install() -> None:
    """Install podman and what it needs from Debian's packages, unless the commands are there.

    Raises:
        ToolError: the commands are missing and this user may not install packages.
    """
    if all(shutil.which(command, path=_search_path()) for command in ("podman", "runc", "debootstrap", "iptables")):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ToolError(f"containers need root and Debian's packages: apt-get install {' '.join(PACKAGES)}")
    say(f"installing {', '.join(PACKAGES)}")
    env = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    tools.run(["apt-get", "update"], env=env)
    tools.run(["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES], env=env)


def configure(image: str) -> None:
    """Run a container of ``image`` with the system's settings; if that fails, write our own settings and try again.

    Raises:
        ToolError: the container runs with neither.
    """
    try:
        _probe(image)
    except ToolError:
        if _SETTINGS.exists():
            raise
        say(f"podman's settings do not work on this machine; using {_SETTINGS}")
        TOOLS.mkdir(parents=True, exist_ok=True)
        _SETTINGS.write_text(_SETTINGS_TEXT)
        _probe(image)


def _probe(image: str) -> None:
    run("run", "--rm", "--memory=64m", "--cpus=1", "--publish=127.0.0.1::8080", image, "true", timeout=60)


@functools.cache
def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def exists(image: str) -> bool:
    """True if podman has an image of this name."""
    return bool(run("images", "--quiet", "--filter", f"reference={image}").strip())


def host_address() -> str:
    """Return the address under which containers on the default network reach this machine."""
    return run("network", "inspect", "podman", "--format", "{{(index .Subnets 0).Gateway}}").strip()
