"""The command that the CDK CLI runs as ``docker``: podman, with the emulated account's registry in place of ECR.

The registry's address is ``AWS_ENDPOINT_URL``. On AWS an image is pushed to <account>.dkr.ecr.<region>.amazonaws.com; the
emulated registry is the emulator's own port, without TLS.
"""

import os
import sys
import tempfile
from pathlib import Path

from containers import image, podman


def translate(arguments: list[str], registry: str, build_options: list[str]) -> list[str]:
    """Translate a docker command of the CDK into the podman command.

    Args:
        arguments: The docker command, without ``docker``.
        registry: Host and port of the emulated registry.
        build_options: Options that are put before those of a build.
    """
    match arguments:
        case ["login", *_]:
            return ["login", "--tls-verify=false", "--username=AWS", "--password-stdin", registry]
        case ["push", *options, name]:
            repository = name.split("/", 1)[1]
            return ["push", "--tls-verify=false", *options, name, f"docker://{registry}/{repository}"]
        case ["build", *options]:
            return ["build", *build_options, *options]
    return arguments


def main() -> int:
    """Run the command and return its exit status."""
    registry = os.environ["AWS_ENDPOINT_URL"].split("://", 1)[1]
    with tempfile.TemporaryDirectory() as folder:
        command = translate(sys.argv[1:], registry, image.build_options(Path(folder)))
        return os.spawnvpe(os.P_WAIT, "podman", ["podman", *command], podman.environment())


if __name__ == "__main__":
    sys.exit(main())
