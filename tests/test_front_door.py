"""The Makefile, also with what macOS has: GNU make 3.81, bash 3.2, and an awk and a sed that are not GNU's."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from containers.tools import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, flags=re.MULTILINE)
AWKS = [[path] for name in ("awk", "mawk", "original-awk") if (path := shutil.which(name))]
AWKS += [[path, "awk"] for path in [shutil.which("busybox")] if path]


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def make(tmp_path):
    """Runs make on a copy of the Makefile, with a .venv/bin in which a test puts commands, and no environment to install."""
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for name in ("created", "installed", "installed-tests"):
        (tmp_path / ".venv").mkdir(exist_ok=True)
        (tmp_path / ".venv" / name).touch()
    folders = ("runtime", "bulk", "tests")
    for name in (
        "requirements.txt",
        "constraints.txt",
        "client/pyproject.toml",
        *(f"{folder}/requirements.txt" for folder in folders),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("unchanged\n")
        os.utime(tmp_path / name, (0, 0))

    def make(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess:
        env = {"PATH": path, "LANG": "C.UTF-8"}
        return subprocess.run(["make", *arguments], cwd=tmp_path, env=env, capture_output=True, text=True)

    make.bin = tmp_path / ".venv" / "bin"
    return make


@pytest.mark.parametrize("awk", AWKS, ids=lambda awk: Path(awk[0]).name)
def test_help_lists_every_target_with_its_text(make, tmp_path, awk):
    tools = tmp_path / "tools"
    executable(tools / "awk", f'exec {" ".join(awk)} "$@"')
    executable(tools / "sed", "exit 1")  # its escapes differ between systems
    done = make("help", path=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    lines = dict(line.removeprefix("  make ").split(maxsplit=1) for line in done.stdout.splitlines())
    assert list(lines) == TARGETS
    assert all(text[0].isupper() for text in lines.values())


def test_recipes_rely_on_nothing_that_macos_lacks():
    assert not re.search(r"\bsed\b.*\\t", MAKEFILE)
    assert not re.search(r"\bsed -i|\breadlink -f|\bgrep -P|\bdate -[dI]|\bxargs -r|\bmapfile|declare -A", MAKEFILE)
    # 3.81 knows neither of these.
    assert not re.search(r"^\.(SHELLFLAGS|ONESHELL)\b", MAKEFILE, flags=re.MULTILINE)


def test_a_failing_command_before_a_pipe_fails_the_target(make, tmp_path):
    executable(make.bin / "pip", "exit 3")
    assert make("constraints").returncode != 0
    assert (tmp_path / "constraints.txt").read_text() == "unchanged\n"
    os.utime(tmp_path / "tests" / "requirements.txt")
    (tmp_path / ".venv" / "installed-tests").unlink()
    assert make(".venv/installed-tests").returncode != 0
    assert not (tmp_path / ".venv" / "installed-tests").exists()


@pytest.mark.parametrize("target", ["demo", "serve"])
def test_a_failing_export_stops_what_needs_its_artifact(make, target):
    executable(make.bin / "python", 'case "$2" in model_export) exit 3;; *) echo "started $2";; esac')
    done = make(target)
    assert done.returncode != 0 and "started" not in done.stdout


def test_the_demo_gets_the_artifact_of_the_export(make):
    executable(make.bin / "python", 'case "$2" in model_export) echo "folder of $4";; *) shift; echo "$*";; esac')
    assert make("demo").stdout == "examples.demo --model-dir folder of model=embedded\n"


def put_cdk(project: Path, script: str) -> None:
    """Put a script in the place of the CDK CLI, newer than the versions that it is installed from."""
    cdk = project / "infra" / "cli" / "node_modules" / ".bin" / "cdk"
    cdk.parent.mkdir(parents=True)
    executable(cdk, script)
    versions = project / "infra" / "cli" / "package-lock.json"
    versions.write_text("{}")
    os.utime(versions, (0, 0))


def test_a_failing_preflight_stops_the_deployment_and_gets_its_options(make, tmp_path):
    put_cdk(tmp_path, 'echo "cdk $*"')
    executable(make.bin / "python", 'shift; echo "$*"; exit 3')
    done = make("deploy", "CDK_ARGS=-c stage=prod")
    assert done.returncode != 0 and done.stdout == "infra.preflight -c stage=prod\n"


def test_the_bootstrap_leaves_the_app_alone(make, tmp_path):
    """With an app the CDK CLI synthesizes it first, which exports the model."""
    put_cdk(tmp_path, 'printf "<%s>" "$@"')
    executable(make.bin / "python", "echo aws://123456789012/eu-central-1")
    assert make("bootstrap").stdout == "<bootstrap><aws://123456789012/eu-central-1><--app><>"
