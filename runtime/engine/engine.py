"""The engine: token ids in, vectors out. It knows nothing of HTTP, prompts or limits.

One text at a time goes through the graph, unpadded, so that a vector cannot depend on the texts it came with.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from .heads.pooling import normalize, pool
from .manifest import ArtifactError, Manifest, check_file, read_manifest
from .tokenizer import KITOKEN_FILE, TOKENIZERS_FILE, Tokenizer

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.bin"


class Engine:
    """A loaded artifact; :meth:`load` makes one from a folder with a manifest."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int | None = None) -> None:
        self.manifest = manifest
        self.tokenizer = Tokenizer(folder, manifest.tokenizer)
        self._session = _load_session(folder / GRAPH_FILE, threads)

    @classmethod
    def load(cls, folder: Path, threads: int | None = None) -> "Engine":
        """Load the artifact in ``folder``, to compute with ``threads`` threads (by default one a CPU).

        Raises:
            ArtifactError: a file is missing, damaged or of another format; the message names it.
        """
        manifest = read_manifest(folder)
        tokenizer_file = KITOKEN_FILE if manifest.tokenizer.kind == "kitoken" else TOKENIZERS_FILE
        check_file(folder, tokenizer_file, manifest)
        check_file(folder, GRAPH_FILE, manifest)
        # The weights are mapped, and most of their bytes never read: to hash them would read them all.
        check_file(folder, WEIGHTS_FILE, manifest, content=False)
        return cls(folder, manifest, threads)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens."""
        return self.tokenizer.encode(text)

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """``ids`` between the special tokens that the model expects around a text."""
        return self.tokenizer.with_special_tokens(ids)

    @property
    def num_special_tokens(self) -> int:
        """How many special tokens are put around a text."""
        return self.tokenizer.num_special_tokens

    @property
    def reference_tokenizer(self):
        """The checkpoint's own ``tokenizers.Tokenizer``, loaded at its first use."""
        return self.tokenizer.reference

    def token_vectors(self, ids: Sequence[int]) -> np.ndarray:
        """Vectors of the tokens ``ids`` (special tokens included, 1 to ``max_tokens``): float32 [tokens, hidden]."""
        input_ids = np.array([ids], dtype=np.int64)
        feed = {name: _INPUTS[name](input_ids) for name in self.manifest.graph.inputs}
        return self._session.run([self.manifest.graph.output], feed)[0][0]

    def embed(self, ids: Sequence[int], normalize_vector: bool = True) -> np.ndarray:
        """The vector of the text with tokens ``ids`` (special tokens included): float32 [dimensions]."""
        vector = pool(self.token_vectors(ids), self.manifest.pooling)
        return normalize(vector) if normalize_vector else vector


_INPUTS = {
    "input_ids": lambda input_ids: input_ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
}


def _load_session(graph: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # The graph was optimized when it was exported.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base of their own
        raise ArtifactError(f"{graph}: onnxruntime cannot load it ({error})") from error
