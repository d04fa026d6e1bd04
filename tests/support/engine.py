"""The container engine: podman, as root, since the memory and CPU limits of a function need control groups."""

import functools
import os
import shutil

from .tools import TOOLS, ToolError, run, say

PACKAGES = (
    "podman", "buildah", "runc", "slirp4netns", "containernetworking-plugins", "iptables", "debootstrap", "ca-certificates",
)  # fmt: skip
"""What ``install`` asks Debian for; debootstrap makes the base image where none can be pulled."""

_SETTINGS = TOOLS / "containers.conf"
_SETTINGS_TEXT = """\
# For machines on which podman's defaults fail: inside some virtual machines a container may not raise the limit of open
# files to what podman asks for.
[engine]
runtime = "runc"

[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""


def environment() -> dict[str, str]:
    """The environment in which every podman command runs: the system's settings, or ours where those did not do."""
    return dict(os.environ) | ({"CONTAINERS_CONF": str(_SETTINGS)} if _SETTINGS.exists() else {})


def podman(*arguments: object, timeout: float = 600) -> str:
    """Standard output of a podman command.

    Raises:
        ToolError: it failed.
    """
    return run(["podman", *map(str, arguments)], env=environment(), timeout=timeout)


def install() -> None:
    """Installs podman and what it runs on from Debian's packages, unless the commands are there.

    Raises:
        ToolError: they are not, and this user may not install them.
    """
    if all(shutil.which(command, path=_search_path()) for command in ("podman", "runc", "debootstrap", "iptables")):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ToolError(f"containers need root and Debian's packages: apt-get install {' '.join(PACKAGES)}")
    say(f"installing {', '.join(PACKAGES)}")
    env = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], env=env)
    run(["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES], env=env)


def configure(image: str) -> None:
    """Finds settings with which a container of ``image`` runs: the system's if they do, else ours in ``build/tools``.

    Raises:
        ToolError: neither does.
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
    podman("run", "--rm", "--memory=64m", "--cpus=1", "--publish=127.0.0.1::8080", image, "true", timeout=60)


@functools.cache
def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def exists(image: str) -> bool:
    """Whether the engine has this image."""
    return bool(podman("images", "--quiet", "--filter", f"reference={image}").strip())


def host_address() -> str:
    """The address under which containers on the default network reach this machine."""
    return podman("network", "inspect", "podman", "--format", "{{(index .Subnets 0).Gateway}}").strip()
