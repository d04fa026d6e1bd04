"""Originals: the checkpoint as sentence-transformers itself loads it, for each task.

An original is loaded once. It gives the results that the artifact is compared with, from text to result, and it exports itself. A new
task is a module here, a line in :data:`ORIGINALS`, and its class of transformers in :data:`.check.CLASSES`.
"""

from ..checkpoint import Checkpoint
from ..describe import Description
from .check import check_original
from .embedder import Embedder
from .original import Original, compute
from .published import PublishedEmbedder
from .scorer import Scorer
from .sparse import SparseEmbedder
from .static import StaticEmbedder
from .token_embedder import TokenEmbedder

__all__ = ["ORIGINALS", "Original", "check_original", "compute", "load_original"]

ORIGINALS: dict[str, type[Original]] = {
    "embed": Embedder,
    "multi_vector": TokenEmbedder,
    "sparse": SparseEmbedder,
    "classify": Scorer,
    "rerank": Scorer,
}
"""By task."""


def load_original(checkpoint: Checkpoint, description: Description) -> Original:
    """The original of ``checkpoint``, which passed :func:`check_original`, in fp32.

    Raises:
        CheckpointError: its weights cannot be loaded.
    """
    if description.published:
        return PublishedEmbedder(checkpoint, description)
    kind = StaticEmbedder if description.static else ORIGINALS[description.task]
    return kind(checkpoint, description)
