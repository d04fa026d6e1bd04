"""The CDK app: what ``cdk.json`` configures, as one stack.

The artifact is made here rather than by ``cdk.json``'s ``build`` command: the CDK CLI does not hand the context to that one,
so ``-c model=…`` and ``-c stage=…`` would build the wrong model.
"""

import subprocess
import sys
from pathlib import Path

from aws_cdk import App

from configuration.configuration import Configuration, read_configuration
from configuration.errors import ConfigurationError
from configuration.settings import ModelSettings
from infra.stack import EmbeddingsStack
from model_export.artifact import locate
from model_export.errors import ArtifactMissingError, ExportError
from runtime.engine.manifest import ArtifactError, check_file, read_manifest


def artifact_for(configuration: Configuration) -> Path | None:
    """The artifact that ``configuration`` asks for, made if it is absent; ``None`` where an existing image is deployed.

    It is made in a process of its own, which reads the same context: torch has no place in this one.

    Raises:
        ArtifactError: it is damaged.
    """
    if configuration.ecr_repository:
        return None
    model = configuration.group(ModelSettings)
    try:
        artifact = locate(model)
    except ArtifactMissingError:
        export = subprocess.run([sys.executable, "-m", "model_export"], stdout=sys.stderr)
        if export.returncode:
            sys.exit(export.returncode)
        artifact = locate(model)
    check_files(artifact)
    return artifact


def check_files(artifact: Path) -> None:
    """Compare every file of ``artifact`` with its manifest, the weights too, which the function does not read in full.

    Raises:
        ArtifactError: one is missing or differs; the message names it, and what to do.
    """
    try:
        manifest = read_manifest(artifact)
        for name in manifest.files:
            check_file(artifact, name, manifest)
    except ArtifactError as error:
        raise ArtifactError(f"{error}: rm -r {artifact}") from error


def main() -> None:
    """Synthesize the stack into the folder that the CDK CLI asks for."""
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
