"""Preflight against the emulated AWS, which the fixture has bootstrapped."""

import subprocess
import sys

from containers.tools import PROJECT


def look(aws, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "infra.preflight", *arguments]
    env = aws.environment | {"CDK_DOCKER": "podman"}
    return subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)


def test_a_bootstrapped_account(aws):
    done = look(aws, "-c", "auth=none")
    assert done.returncode == 0, done.stderr
    assert f"deploys to account {aws.account}" in done.stdout


def test_an_account_without_bootstrap(aws):
    done = look(aws, "-c", "qualifier=other")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.endswith(": make bootstrap\n")
