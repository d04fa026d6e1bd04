"""An emulated AWS account for the time of the tests: ministack, with podman to run the functions' images."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.credentials import Credentials

from containers import emulator, podman
from containers.tools import PROJECT, TOOLS, ToolError, run, say, tail, wait_until

from .processes import free_port, is_running, start, stop

_VENV = TOOLS / "ministack"
_REQUIREMENTS = Path(__file__).with_name("ministack-requirements.txt")
_LAUNCHER = Path(__file__).with_name("ministack_launcher.py")
_INSTANCE = "serverless-embeddings"
"""Label of the containers that the emulated account starts; the process id of the tests follows it."""


def ensure() -> None:
    """Install ministack into its own virtual environment, since its packages conflict with the project's.

    Raises:
        ToolError: it could not be installed.
    """
    installed = _VENV / _REQUIREMENTS.name
    if installed.exists() and installed.read_text() == _REQUIREMENTS.read_text():
        return
    say(f"installing the emulated AWS ({_VENV})")
    run([sys.executable, "-m", "venv", "--clear", _VENV])
    run([_VENV / "bin" / "pip", "install", "--quiet", "--no-deps", "--requirement", _REQUIREMENTS])
    shutil.copy(_REQUIREMENTS, installed)


class EmulatedAws:
    """The account; a context manager. IAM policies and signatures are enforced as on AWS.

    The emulator listens on all addresses of the machine, since functions in containers call it.
    """

    region = "us-east-1"

    def __init__(self) -> None:
        # Unique to this process, so that tests that run at the same time name their images differently.
        self.account = f"{os.getpid():012d}"
        self.owner = Credentials(self.account, "any")
        """Credentials of the account's owner; ministack takes the account's number as the access key."""
        self._instance = f"{_INSTANCE}-{os.getpid()}"

    def __enter__(self) -> "EmulatedAws":
        _remove_leftovers()
        with ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="emulated-aws-")))
            undo.callback(_untag_images, self.account)
            undo.callback(_remove_containers, self._instance)
            undo.callback(stop, self._start_engine_api(folder))
            undo.callback(stop, self._start_ministack(folder))
            wait_until(self._is_ready, "the emulated AWS")
            self._undo = undo.pop_all()
        self.cdk_docker = folder / "cdk-docker"
        self.cdk_docker.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.support.cdk_docker "$@"\n')
        self.cdk_docker.chmod(0o755)
        return self

    def __exit__(self, *_) -> None:
        self._undo.close()

    def _start_engine_api(self, folder: Path) -> subprocess.Popen:
        socket = folder / "podman.sock"
        self._engine_api = f"unix://{socket}"
        command = ["podman", "system", "service", "--time=0", self._engine_api]
        return start(command, log=folder / "podman.log", env=podman.environment())

    def _start_ministack(self, folder: Path) -> subprocess.Popen:
        port = free_port()
        self.endpoint = f"http://localhost:{port}"
        self._log = folder / "ministack.log"
        self._faults = folder / "faults.json"
        options = [
            f"--volume={emulator.EMULATOR}:{emulator.EMULATOR_IN_IMAGE}:ro",
            # Functions call this account at this address; podman's API does not know Docker's name for it, host-gateway.
            f"--add-host=host.docker.internal:{podman.host_address()}",
            "--read-only",
            "--tmpfs=/tmp:rw,size=512m,mode=1777",
        ]
        settings = {
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOSTNAME": self._instance,
            "MINISTACK_REGION": self.region,
            "MINISTACK_ACCOUNT_ID": self.account,
            "AUTH": "true",
            "DOCKER_HOST": self._engine_api,
            "LAMBDA_DOCKER_FLAGS": " ".join(options),
            "LAMBDA_USER": emulator.LAMBDA_USER,
            "MINISTACK_DOCKER_TIMEOUT": "60",
            "TMPDIR": str(folder),
            "S3_DATA_DIR": str(folder / "s3"),
            "SFN_WAIT_SCALE": "0.05",
            "FAULTS": str(self._faults),
        }
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | settings
        self._process = start([_VENV / "bin" / "python", _LAUNCHER], log=self._log, env=env)
        return self._process

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise ToolError(f"ministack ended with status {self._process.returncode}\n{self.recent_log()}")
        try:
            return urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=5).status == 200
        except OSError:
            return False

    def recent_log(self) -> str:
        """Return the end of the emulator's log, to put into an error message."""
        return f"emulated AWS, last lines of its log:\n{tail(self._log.read_text(errors='replace'), 40)}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which the AWS SDKs and the CDK CLI use this account, and no other, as its owner."""
        return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": self.owner.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "CDK_DEFAULT_ACCOUNT": self.account,
            "CDK_DEFAULT_REGION": self.region,
            "PYTHONPATH": str(PROJECT),
        }

    def client(self, service: str, credentials: Credentials | None = None):
        """Return a boto3 client of this account that does not retry, with the owner's credentials or others."""
        credentials = credentials or self.owner
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(read_timeout=120, retries={"total_max_attempts": 1}),
        )

    def end_environments(self) -> None:
        """End all execution environments, as AWS may at any time: every function's next invocation starts cold."""
        _remove_containers(self._instance)

    def environments(self) -> set[str]:
        """The ids of all execution environments."""
        return set(_containers(self._instance))

    def die_at(self, *moments: tuple[str, str]) -> None:
        """Let all execution environments die at these moments, each once: ``("before" or "after", "bucket/key")`` for a write to an
        object whose bucket and key contain this. Before is without the write."""
        faults = [{"when": when, "key": key} for when, key in moments]
        self._faults.write_text(json.dumps(faults))

    def has_died(self) -> bool:
        """Whether all the moments of :meth:`die_at` have passed."""
        return json.loads(self._faults.read_text()) == []

    def address(self, url: str) -> str:
        """Return the address that reaches a Function URL or API Gateway: its host does not resolve here, so the emulator takes
        what is in it, an id and the service, in the path."""
        host, _, path = url.removeprefix("https://").partition("/")
        name, service, *_ = host.split(".")
        return f"{self.endpoint}/_aws/{service}/{name}/{path}"


def _remove_leftovers() -> None:
    """Remove the containers of tests that were killed."""
    listing = podman.run("ps", "--all", "--format", '{{index .Labels "ministack.instance"}}')
    for instance in set(listing.split()):
        name = instance.split(":")[0]
        if name.startswith(f"{_INSTANCE}-") and not is_running(int(name.rsplit("-", 1)[1])):
            _remove_containers(name)


def _remove_containers(instance: str) -> None:
    if ids := _containers(instance):
        podman.run("rm", "--force", "--time=0", *ids)


def _containers(instance: str) -> list[str]:
    """The ids of the containers that an emulated account has started."""
    template = '{{.ID}} {{index .Labels "ministack.instance"}}'
    lines = [line.split() for line in podman.run("ps", "--all", "--format", template).splitlines()]
    return [words[0] for words in lines if len(words) == 2 and words[1].startswith(f"{instance}:")]


def _untag_images(account: str) -> None:
    """Remove the names of the images that the CDK made for this account. Their layers stay for the next build."""
    lines = podman.run("images", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}").splitlines()
    images = [line.split() for line in lines]
    ours = {image for image, name in images if name.startswith(f"{account}.dkr.ecr.")}
    names = [name for image, name in images if image in ours and (account in name or "/cdkasset-" in name)]
    if names:
        podman.run("rmi", "--no-prune", *names)
