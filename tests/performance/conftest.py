"""Checkpoints to quantize, beside the embedded one."""

from pathlib import Path

import pytest

from tests.model_export.conftest import minilm

__all__ = ["minilm", "minilm_cls"]


@pytest.fixture(scope="session")
def minilm_cls(minilm: Path, tmp_path_factory) -> Path:
    """all-MiniLM-L6-v2's weights pooled as BGE does it: the vector of the first token."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(minilm))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    folder = tmp_path_factory.mktemp("models") / "minilm-cls"
    SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu").save(str(folder))
    return folder
