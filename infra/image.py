"""The container images: built from the code and one artifact, or an existing one in ECR."""

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import DockerBuildSecret, IgnoreMode
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from configuration.errors import ConfigurationError
from configuration.groups import Image


def image_code(
    scope: Construct,
    artifact: Path | None,
    image: Image,
    architecture: str,
    context: Path,
    command: Sequence[str] | None = None,
    bulk: bool = False,
) -> lambda_.DockerImageCode:
    """Return the image as a function's code.

    Args:
        scope: Construct to import an existing repository into.
        artifact: Folder of the artifact, inside of ``context``. Not needed for an existing image.
        image: Options of the image.
        architecture: ``x86_64`` or ``arm64``.
        context: Folder that the image is built from, with ``runtime/Dockerfile`` in it.
        command: Command to run in place of the image's.
        bulk: Build the image of bulk jobs, which needs the folder ``bulk`` in ``context``.

    Raises:
        ConfigurationError: there is neither an artifact nor an existing image, or the artifact is not inside of ``context``; or
            an existing image is to run bulk jobs.
    """
    if image.image and bulk:
        raise ConfigurationError(
            f"bulk_outputs: bulk jobs run in an image that is built, and image names an existing one ({image.image}). "
            "Allowed: null, or image = null"
        )
    if image.image:
        repository = ecr.Repository.from_repository_name(scope, "Repository", image.repository)
        return lambda_.DockerImageCode.from_ecr(repository, tag_or_digest=image.digest_or_tag, cmd=command)
    if artifact is None:
        raise ConfigurationError("artifact: is needed to build an image; or set image to one that exists in ECR")
    folder, context = artifact.resolve(), context.resolve()
    if not folder.is_relative_to(context):
        raise ConfigurationError(f"artifact: {folder} is outside of the image's build context {context}")
    model = folder.relative_to(context).as_posix()
    return lambda_.DockerImageCode.from_image_asset(
        str(context),
        file="runtime/Dockerfile",
        target="bulk" if bulk else None,
        cmd=command,
        platform=_PLATFORMS[architecture],
        build_args={"MODEL": model} | ({"BASE_IMAGE": image.base_image} if image.base_image else {}),
        build_secrets={
            name: DockerBuildSecret.from_src(path)
            for name, path in (("pip_conf", image.pip_conf), ("ca_bundle", image.ca_bundle))
            if path
        },
        ignore_mode=IgnoreMode.DOCKER,
        exclude=_everything_but("runtime", *(["bulk"] if bulk else []), model),
    )


_PLATFORMS = {"x86_64": ecr_assets.Platform.LINUX_AMD64, "arm64": ecr_assets.Platform.LINUX_ARM64}


def _everything_but(*folders: str) -> list[str]:
    """Return patterns of a .dockerignore that keeps only ``folders`` in the context.

    The asset's hash, and so the function's version, then changes with them only.
    """
    return ["**", *(f"!{folder}" for folder in folders), "**/__pycache__"]
