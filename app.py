"""The CDK app: one stack, configured by ``cdk.json``.

The artifact is made here and not by ``cdk.json``'s ``build`` command: the CDK CLI does not pass the context to that command, so
``-c model=…`` and ``-c stage=…`` would build the wrong model.
"""

import subprocess
import sys
from pathlib import Path

from aws_cdk import App

from configuration.context import read_configuration
from configuration.errors import ConfigurationError
from configuration.groups import Configuration
from infra.stack import EmbeddingsStack
from model_export.artifact import locate
from model_export.errors import ArtifactMissingError, ExportError
from runtime.engine.manifest import ArtifactError, check_file, read_manifest


def artifact_for(configuration: Configuration) -> Path | None:
    """Return the artifact that ``configuration`` names, made if it is absent; ``None`` if an existing image is deployed.

    A separate process makes it, from the same context, so that torch is not loaded into this one.

    Raises:
        ArtifactError: it is damaged.
    """
    if configuration.image.image:
        return None
    try:
        artifact = locate(configuration.model)
    except ArtifactMissingError:
        # build/model/latest stays: it is the model that was last asked for by name, on this machine.
        export = subprocess.run([sys.executable, "-m", "model_export", "--keep-latest"], stdout=sys.stderr)
        if export.returncode:
            sys.exit(export.returncode)
        artifact = locate(configuration.model)
    check_files(artifact)
    return artifact


def check_files(artifact: Path) -> None:
    """Compare every file of ``artifact`` with its manifest. The function compares only their sizes.

    Raises:
        ArtifactError: a file is missing or differs. The message names it, and the command that removes the artifact.
    """
    try:
        manifest = read_manifest(artifact)
        for name in manifest.files:
            check_file(artifact, name, manifest)
    except ArtifactError as error:
        raise ArtifactError(f"{error}: rm -r {artifact}") from error


def main() -> None:
    """Synthesize the stack into the folder that the CDK CLI chooses."""
    try:
        configuration = read_configuration()
        artifact = artifact_for(configuration)
        app = App()
        EmbeddingsStack(app, configuration, artifact)
    except (ConfigurationError, ExportError, ArtifactError) as error:
        sys.exit(f"error: {error}")
    app.synth()


if __name__ == "__main__":
    main()
