"""`embeddings measure` on the emulated AWS: figures from the emulator's reports, and a function that is as it was, whatever happens."""

import json
import signal
import subprocess
import sys
import threading
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
        words = [
            sys.executable,
            "-m",
            "serverless_embeddings_client.cli",
            "measure",
            "--function",
            function,
            *arguments,
        ]
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


@pytest.fixture
def callers(stack: Deployment) -> Iterator[list[object]]:
    """Requests to the alias while a test runs, one after the other; their answers."""
    answers, end = [], threading.Event()

    def call() -> None:
        while not end.wait(0.3):
            answers.append(stack.invoke({"inputs": ["a text"]}))

    thread = threading.Thread(target=call)
    thread.start()
    yield answers
    end.set()
    thread.join()


@pytest.fixture
def environment(stack: Deployment, run) -> str:
    """The alias's execution environment."""
    stack.aws.end_environments()
    stack.invoke({"inputs": ["a text"]})
    (environment,) = stack.aws.environments()
    return environment


def test_a_function_is_measured_while_its_callers_notice_nothing(stack, run, environment, callers, unchanged, tmp_path):
    report, said = run(*SMALL, "--memory", "1024,1769", "-o", "sizes.json")
    assert environment in stack.aws.environments()
    assert len(callers) > 10 and all(len(answer[0]) == 384 for answer in callers)

    assert "cost      at most $0.0" in said and "takes     up to 2 of the 6 executions" in said
    measured = json.loads((tmp_path / "sizes.json").read_text())
    assert measured["emulated"] and "Left out: 8 requests at a time" in measured["notes"][0]
    assert [size["memory_mb"] for size in measured["sizes"]] == [1024, 1769]
    for size in measured["sizes"]:
        cold = size["cold"]
        assert cold["count"] == 2
        assert 0 < cold["runtime_init_ms"]["p50"] < cold["first_request_ms"]["p99"] < cold["end_to_end_ms"]["p99"]
        assert [(load["load"], load["tokens"], load["count"]) for load in size["warm"]] == [
            ("16", 16, 3),
            ("128", 128, 3),
            ("512", 512, 3),
            ("batch", 4224, 3),
        ]
        for load in size["warm"]:
            assert load["runtime_ms"]["p50"] <= load["duration_ms"]["p99"] <= load["billed_ms"]["p99"]
            assert load["usd_per_million_tokens"] > 0
        assert [level["concurrency"] for level in size["throughput"]] == [1, 2]
        assert all(level["texts_per_second"] > 0 and level["refused"] == 0 for level in size["throughput"])
        # The runtime interface emulator reports the memory that there is, not what is used.
        assert size["peak_memory_mb"] == size["memory_mb"] > size["runtime_peak_memory_mb"] > 100

    assert "Of an emulator, not of AWS" in report and report == (tmp_path / "sizes.md").read_text()
    assert ElementTree.parse(tmp_path / "sizes.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_stops_it_leaves_the_function_as_it_was(start, unchanged, end, tmp_path):
    if end != signal.SIGINT and signal.getsignal(end) == signal.SIG_IGN:
        pytest.skip("it is ignored here, as by nohup")
    process = start(*SMALL)
    wait_for(process, "load 128")
    process.send_signal(end)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "error: stopped; the function is as it was" in errors
    assert not list(tmp_path.iterdir())


def test_the_next_run_puts_back_what_a_killed_one_has_left(stack, start, run, unchanged, tmp_path):
    before = state(stack)
    process = start(*SMALL, "-o", "killed.json")
    wait_for(process, "load 16")
    process.kill()
    process.communicate()
    assert len(state(stack)["versions"]) == len(before["versions"]) + 1
    # Killed while $LATEST is another one's, which is only for a moment.
    was = before["latest"]
    stack.aws.client("lambda").update_function_configuration(
        FunctionName=stack.outputs["FunctionName"],
        MemorySize=1024,
        Description=f"{MARK} at 1024 MB; was {was['MemorySize']} MB: {was['Description']}",
    )
    _, said = run("--cold", "1", "--requests", "1", "--concurrency", "1", "--yes")
    assert "another run was stopped" in said
    assert [size["memory_mb"] for size in json.loads((tmp_path / "measured.json").read_text())["sizes"]] == [1769]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memory", "100", "--yes"], "--memory: 100 MB. Allowed: "),
        (["--memory", "20000", "--yes"], "to 10240"),
        ([], "add --yes"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_changed(run, unchanged, arguments, message):
    assert message in run(*arguments, status=2)[1].splitlines()[-1]


def test_a_function_whose_alias_serves_something_else_is_refused(stack, run, unchanged):
    functions, name = stack.aws.client("lambda"), stack.outputs["FunctionName"]
    functions.update_function_configuration(FunctionName=name, Timeout=20)
    try:
        assert "is not what the alias live serves (Timeout differ)" in run("--yes", status=2)[1]
    finally:
        was = functions.get_function_configuration(FunctionName=name, Qualifier="live")["Timeout"]
        functions.update_function_configuration(FunctionName=name, Timeout=was)
    assert "no-such-function" in run("--yes", status=1, function="no-such-function")[1]


def wait_for(process: subprocess.Popen, words: str) -> None:
    """Wait until the command says these words."""
    while words not in (line := process.stderr.readline()):
        assert line, "it has ended"
