"""The image's base: the official Python image that the Dockerfile pins by digest, or a stand-in made of Debian's packages
where no registry can be reached.

    python -m containers.base_image

pins the newest image of the same tag.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import parse_http_list, parse_keqv_list

import httpx

from . import podman
from .tools import PROJECT, ToolError, run, say

DOCKERFILE = PROJECT / "runtime" / "Dockerfile"
PIN = re.compile(
    r"^ARG BASE_IMAGE=(?P<image>(?P<registry>[^/\s]+)/(?P<repository>[^:@\s]+):(?P<tag>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64}))$",
    re.MULTILINE,
)
"""The Dockerfile's line with the base image."""


def pin() -> re.Match[str]:
    """Return the match of :data:`PIN` in the Dockerfile.

    Raises:
        ToolError: the Dockerfile pins no digest.
    """
    match = PIN.search(DOCKERFILE.read_text(encoding="utf-8"))
    if not match:
        raise ToolError(f"{DOCKERFILE}: has no line 'ARG BASE_IMAGE=registry/repository:tag@sha256:…'")
    return match


LOCAL = f"localhost/python:{pin()['tag']}-{pin()['digest'][7:19]}"
"""The name under which the base of this pin, or its stand-in, is kept on this machine."""

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
        official = pin()["image"]
        say(f"pulling {official}")
        podman.run("pull", "--quiet", official, timeout=_PULL_SECONDS)
        podman.run("tag", official, LOCAL)
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


def newest_digest(client: httpx.Client, registry: str, repository: str, tag: str) -> str:
    """Return the digest of a tag: of its index, which lists an image for each architecture.

    The requests are those of https://github.com/opencontainers/distribution-spec, and of
    https://distribution.github.io/distribution/spec/auth/token/ for a registry that asks for an anonymous token.

    Raises:
        ToolError: the registry cannot be reached or refuses, or the tag has no image for x86_64 or arm64.
    """
    url = f"https://{registry}/v2/{repository}/manifests/{tag}"
    accept = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
    headers = {"Accept": accept}
    try:
        answer = client.get(url, headers=headers)
        if answer.status_code == 401:
            challenge = answer.headers["WWW-Authenticate"].removeprefix("Bearer ")
            asked = parse_keqv_list(parse_http_list(challenge))
            token = client.get(asked.pop("realm"), params=asked).raise_for_status().json()["token"]
            answer = client.get(url, headers=headers | {"Authorization": f"Bearer {token}"})
        index = answer.raise_for_status().json()
    except httpx.HTTPError as error:
        raise ToolError(f"{url}: cannot be read ({error})") from error
    found = {entry["platform"]["architecture"] for entry in index.get("manifests", ())}
    if missing := {"amd64", "arm64"} - found:
        raise ToolError(f"{url}: has no image for {', '.join(sorted(missing))}")
    return f"sha256:{hashlib.sha256(answer.content).hexdigest()}"


def pin_newest(client: httpx.Client) -> None:
    """Write the digest that the pinned tag has now into the Dockerfile.

    Raises:
        ToolError: it cannot be found out.
    """
    old = pin()
    digest = newest_digest(client, old["registry"], old["repository"], old["tag"])
    if digest == old["digest"]:
        return say(f"{old['image']} is the newest")
    text = DOCKERFILE.read_text(encoding="utf-8").replace(old["digest"], digest)
    DOCKERFILE.write_text(text, encoding="utf-8")
    say(f"pinned {old['tag']} at {digest}, before {old['digest']}: test, commit {DOCKERFILE.name}, deploy")


if __name__ == "__main__":
    try:
        with httpx.Client(timeout=30) as registry_client:
            pin_newest(registry_client)
    except ToolError as error:
        sys.exit(f"error: {error}")
