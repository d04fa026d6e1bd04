"""`embeddings measure` on the emulated AWS: figures from the emulator's reports, and a function that is as it was, whatever happens."""

import json
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containers.tools import PROJECT
from serverless_embeddings_client.cli.measuring.versions import MARK
from tests.e2e.conftest import Deployment

STACK = "E2eMeasure"
CONTEXT = {"reserved_concurrency": "6"}
SMALL = ("--cold", "2", "--requests", "3", "--concurrency", "1,2,8", "--yes")


@pytest.fixture
def start(stack: Deployment, tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Starts the command for the stack's function, in a folder of its own."""

    def start(*arguments: str, function: str = stack.outputs["FunctionName"]) -> subprocess.Popen:
        words = [sys.executable, "-m", "serverless_embeddings_client.cli", "measure", "--function", function, *arguments]
        env = stack.aws.environment | {"PYTHONPATH": f"{PROJECT}/client/src"}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, cwd=tmp_path, env=env, **pipes)

    return start


@pytest.fixture
def run(start) -> Callable[..., tuple[str, str]]:
    """Runs the command, which ends with ``status``; returns what it writes to stdout and stderr."""

    def run(*arguments: str, status: int = 0, **options) -> tuple[str, str]:
        process = start(*arguments, **options)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == status, output + errors
        return output, errors

    return run


def state(stack: Deployment) -> dict:
    """All of the function that a measurement could change."""
    functions, name = stack.aws.client("lambda"), stack.outputs["FunctionName"]
    latest = functions.get_function_configuration(FunctionName=name)
    versions = functions.list_versions_by_function(FunctionName=name)["Versions"]
    return {
        "latest": {key: latest[key] for key in ("MemorySize", "Description", "Environment", "Timeout", "CodeSha256")},
        "versions": [each["Version"] for each in versions],
        "live": stack.live_version(),
    }


@pytest.fixture
def unchanged(stack: Deployment) -> Iterator[None]:
    """The function is after a test as it was before."""
    before = state(stack)
    yield
    assert state(stack) == before


class Traffic(threading.Thread):
    """A caller of the alias."""

    def __init__(self, stack: Deployment) -> None:
        super().__init__()
        self._stack, self._end = stack, threading.Event()
        self.answers: list[object] = []
        self.before = self._environments()

    def run(self) -> None:
        while not self._end.is_set():
            self.answers.append(self._stack.invoke({"inputs": ["a text"]}))
            time.sleep(0.3)

    def end(self) -> None:
        self._end.set()
        self.join()

    def cold_starts(self) -> int:
        """How many environments of the alias's version have started since."""
        return self._environments() - self.before

    def _environments(self) -> int:
        logs = self._stack.aws.client("logs")
        version = f"[{self._stack.live_version()}]"
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=self._stack.outputs["LogGroup"], filterPattern="cold_start"
        )
        events = [each for page in pages for each in page["events"] if version in each["logStreamName"]]
        return sum('"cold_start":true' in each["message"] for each in events)


def test_a_function_is_measured_at_two_sizes(stack, run, unchanged, tmp_path):
    output, said = run(*SMALL, "--memory", "1024,1769", "-o", "sizes.json")
    print(output, said)
    measured = json.loads((tmp_path / "sizes.json").read_text())
    print(json.dumps(measured, indent=1))
    raise SystemExit
