"""Heads: what the runtime does with the graph's output for each task.

A new task is a module here and a line in :data:`HEADS`.
"""

from pathlib import Path

from ..manifest import MANIFEST_FILE, ArtifactError, Manifest
from .embed import EmbedHead
from .output import OutputHead

HEADS = {
    "embed": EmbedHead,
    "multi_vector": lambda manifest: OutputHead(manifest, "token_vectors"),
    "sparse": lambda manifest: OutputHead(manifest, "weights"),
    "classify": lambda manifest: OutputHead(manifest, "logits"),
    "rerank": lambda manifest: OutputHead(manifest, "logits"),
}
"""Makes the head of a task from the manifest; raises ValueError if it cannot do what that says.

- ``embed``: a text becomes a vector;
- ``multi_vector``: a text becomes a vector for each of its tokens, as for ColBERT;
- ``sparse``: a text becomes a weight for each word of the vocabulary, as for SPLADE;
- ``classify``: a text or a pair of texts becomes a score for each label;
- ``rerank``: a query and a text become a score.
"""


def make_head(folder: Path, manifest: Manifest) -> EmbedHead | OutputHead:
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
