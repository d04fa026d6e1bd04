"""Originals: the checkpoint as sentence-transformers itself loads it, for each task.

An original is loaded once. It gives the results that the artifact is compared with, from text to result, and it exports itself. A new
task is a module here and a line in :data:`ORIGINALS`.
"""

from ..checkpoint import Checkpoint
from ..describe import Description
from .embedder import Embedder
from .original import Original, compute
from .published import PublishedEmbedder
from .scorer import Scorer
from .sparse import SparseEmbedder
from .static import StaticEmbedder
from .token_embedder import TokenEmbedder

__all__ = ["ORIGINALS", "Original", "compute", "load_original"]

ORIGINALS: dict[str, type[Original]] = {
    "embed": Embedder,
    "multi_vector": TokenEmbedder,
    "sparse": SparseEmbedder,
    "classify": Scorer,
    "rerank": Scorer,
}
"""By task."""


def load_original(checkpoint: Checkpoint, description: Description) -> Original:
    """The original of ``checkpoint``, in fp32.

    Raises:
        CheckpointError: a file is missing or damaged, or its weights are not those of its class.
        UnsupportedModelError: transformers does not know the architecture, or Optimum has no export for it.
    """
    if description.published:
        return PublishedEmbedder(checkpoint, description)
    kind = StaticEmbedder if description.static else ORIGINALS[description.task]
    return kind(checkpoint, description)
