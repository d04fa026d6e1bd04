"""The original: the checkpoint as sentence-transformers itself loads it, which an artifact is compared with from text to result."""

from collections.abc import Sequence

import numpy as np

from .checkpoint import Checkpoint


class OriginalEmbedder:
    """An embedding model, by ``SentenceTransformer``."""

    def __init__(self, checkpoint: Checkpoint, max_tokens: int) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(
            str(checkpoint.folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": torch.float32, "attn_implementation": "eager"},
        )
        self._model.max_seq_length = max_tokens

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of ``texts``, without a prompt: float32 [texts, dimensions]. One text at a time: a batch would be padded."""
        options = {"prompt": "", "batch_size": 1, "normalize_embeddings": True, "show_progress_bar": False}
        return self._model.encode(list(texts), **options)
