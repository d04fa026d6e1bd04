"""The container image: built from ``runtime`` and one artifact, or one that is in ECR already."""

from pathlib import Path

from aws_cdk import DockerBuildSecret, IgnoreMode
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from configuration.errors import ConfigurationError
from configuration.options import Image
from configuration.settings import PROJECT


def image_code(
    scope: Construct, artifact: Path | None, image: Image, architecture: str, context: Path = PROJECT
) -> lambda_.DockerImageCode:
    """The function's code.

    Args:
        scope: Where an existing repository is looked up.
        artifact: Folder of the artifact, inside ``context``; not needed for an existing image.
        image: Which image.
        architecture: ``x86_64`` or ``arm64``.
        context: Folder of the build, with ``runtime/Dockerfile`` in it.

    Raises:
        ConfigurationError: there is neither an artifact nor an existing image, or the artifact lies elsewhere.
    """
    if image.ecr_repository:
        repository = ecr.Repository.from_repository_name(scope, "Repository", image.ecr_repository)
        return lambda_.DockerImageCode.from_ecr(repository, tag_or_digest=image.ecr_image)
    if artifact is None:
        raise ConfigurationError("artifact: is needed to build an image; or name one by ecr_repository and ecr_image")
    folder, context = artifact.resolve(), context.resolve()
    if not folder.is_relative_to(context):
        raise ConfigurationError(f"artifact: {folder} lies outside of the image's build context {context}")
    model = folder.relative_to(context).as_posix()
    return lambda_.DockerImageCode.from_image_asset(
        str(context),
        file="runtime/Dockerfile",
        platform=_PLATFORMS[architecture],
        build_args={"MODEL": model} | ({"BASE_IMAGE": image.base_image} if image.base_image else {}),
        build_secrets={
            name: DockerBuildSecret.from_src(path)
            for name, path in (("pip_conf", image.pip_conf), ("ca_bundle", image.ca_bundle))
            if path
        },
        ignore_mode=IgnoreMode.DOCKER,
        exclude=_everything_but("runtime", model),
    )


_PLATFORMS = {"x86_64": ecr_assets.Platform.LINUX_AMD64, "arm64": ecr_assets.Platform.LINUX_ARM64}


def _everything_but(*folders: str) -> list[str]:
    """Patterns of a .dockerignore that leaves ``folders`` alone in the context, so that the asset's hash, and with it the
    function's version, changes with them and with nothing else."""
    return ["**", *(f"!{folder}" for folder in folders), "**/__pycache__"]
