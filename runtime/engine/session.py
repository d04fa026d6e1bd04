"""The graph of an artifact in onnxruntime. No other module of the runtime uses onnxruntime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from .manifest import ArtifactError, GraphInfo

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.bin"

SPIN_MICROSECONDS = "100"
"""How long a thread that has done its part of an operator waits for the next without sleeping. Some operators are that short, and to
wake a thread takes about as long. onnxruntime's default waits for milliseconds, which takes the CPU from others."""

INPUTS = {
    "input_ids": lambda ids, types: ids,
    "attention_mask": lambda ids, types: np.ones_like(ids),
    "token_type_ids": lambda ids, types: types,
    "position_ids": lambda ids, types: np.arange(ids.shape[1], dtype=np.int64)[np.newaxis],
}
"""The inputs that a graph may have, by name: their values for one text without padding, from its ids and types [1, tokens]."""


class Session:
    """A loaded graph. A call uses all of its ``threads``, so that several callers at a time contend for them; but if it is one, each
    call uses its caller's.

    Raises:
        ArtifactError: onnxruntime cannot load it.
    """

    def __init__(self, folder: Path, info: GraphInfo, threads: int) -> None:
        self._inputs = info.inputs
        self._session = _load(folder / GRAPH_FILE, threads)

    def run(self, output: str, ids: Sequence[int], types: Sequence[int] | None = None) -> np.ndarray:
        """One output of the graph for one text, without the batch's dimension.

        Args:
            ids: its tokens, special tokens included.
            types: the tokens' types; by default all 0.
        """
        input_ids = np.array([ids], dtype=np.int64)
        token_types = np.zeros_like(input_ids) if types is None else np.array([types], dtype=np.int64)
        feed = {name: INPUTS[name](input_ids, token_types) for name in self._inputs}
        return self._session.run([output], feed)[0][0]


def _load(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
    # The graph was optimized when it was exported.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ArtifactError(f"{graph}: onnxruntime cannot load it ({error})") from error
