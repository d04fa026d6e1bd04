"""The function's image as Lambda would run it: read-only, as an unknown user, in its memory and CPU, behind the runtime
interface emulator."""

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

from . import engine
from .tools import TOOLS, ToolError, run, say, wait_until

EMULATOR = TOOLS / "aws-lambda-rie"
EMULATOR_IN_IMAGE = "/usr/local/bin/aws-lambda-rie"
"""Where runtime/entrypoint.sh looks for it."""

_PACKAGE = "aws-sam-cli==1.170.0"
"""Its wheel carries the emulator's executables; nothing else of it is used."""

ONE_VCPU_MB = 1769
"""Memory in MiB at which a function gets one vCPU: "Configure Lambda function memory" in the AWS Lambda developer guide."""
LAMBDA_USER = "993:990"
"""Lambda runs a function as a user of its own (sbx_user1051), whatever the image's USER says."""


def ensure() -> None:
    """Fetches the emulator's executable for this machine's processor."""
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
    """Options of ``podman run`` for an execution environment with ``memory_mb`` MiB: CPU in proportion, no swap, a
    read-only file system but for /tmp, no privileges."""
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
    """What an invocation gave."""

    status: int
    body: bytes

    def json(self):
        """The function's answer, or the error that Lambda would report."""
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
        engine.podman("run", "--detach", "--name", self._name, mount, publish, *self._options, *variables, self._image)
        address = engine.podman("port", self._name, "8080/tcp").strip()
        self._url = f"http://{address}/2015-03-31/functions/function/invocations"
        wait_until(lambda: self._accepts() or not self.state()["Running"], f"{self._image} listens")
        return self

    def __exit__(self, *_) -> None:
        engine.podman("rm", "--force", "--time=0", self._name)

    def _accepts(self) -> bool:
        try:
            urllib.request.urlopen(self._url.split("/2015")[0], timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def invoke(self, event: object) -> Invocation:
        """Sends an event and waits for the answer. The first one initializes the environment, as on a cold start."""
        request = urllib.request.Request(self._url, data=json.dumps(event).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self._timeout + 10) as response:
                return Invocation(response.status, response.read())
        except urllib.error.HTTPError as error:
            return Invocation(error.code, error.read())

    def execute(self, *command: str) -> str:
        """Standard output of a command inside the environment."""
        return engine.podman("exec", self._name, *command)

    def logs(self) -> str:
        """Everything written so far, by the function and by the emulator."""
        merged = ["podman", "logs", self._name]
        try:
            return run(["sh", "-c", '"$@" 2>&1', "sh", *merged], env=engine.environment())
        except ToolError as error:
            return str(error)

    def state(self) -> dict:
        """What the engine knows of the container: ``Running``, ``ExitCode``, ``OOMKilled`` and more."""
        return json.loads(engine.podman("inspect", "--format", "{{json .State}}", self._name))
