"""Heads: from the graph's output for one text to the result of the model's task.

A new task is a module here and a line in :data:`HEADS`.
"""

from pathlib import Path

from ..manifest import MANIFEST_FILE, ArtifactError, Manifest
from .embed import EmbedHead

HEADS = {"embed": EmbedHead}
"""The class of the head by task. Each is made from the manifest, and raises ValueError if it cannot do what that says."""


def make_head(folder: Path, manifest: Manifest) -> EmbedHead:
    """The head for the task of the artifact in ``folder``.

    Raises:
        ArtifactError: the runtime has no head for the task, or the head cannot do what the manifest says.
    """
    path = folder / MANIFEST_FILE
    if manifest.task not in HEADS:
        raise ArtifactError(
            f"{path}: this runtime cannot serve the task {manifest.task!r}; it serves {', '.join(HEADS)}"
        )
    try:
        return HEADS[manifest.task](manifest)
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}") from None
