"""The graph of an artifact in onnxruntime. No other module of the runtime uses onnxruntime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from .manifest import ArtifactError, GraphInfo

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.bin"

_INPUTS = {
    "input_ids": lambda input_ids: input_ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
}


class Session:
    """A loaded graph.

    Raises:
        ArtifactError: onnxruntime cannot load it.
    """

    def __init__(self, folder: Path, info: GraphInfo, threads: int | None = None) -> None:
        self._inputs = info.inputs
        self._output = info.output
        self._session = _load(folder / GRAPH_FILE, threads)

    def run(self, ids: Sequence[int]) -> np.ndarray:
        """The graph's output for one text with tokens ``ids`` (special tokens included), without the batch's dimension."""
        input_ids = np.array([ids], dtype=np.int64)
        feed = {name: _INPUTS[name](input_ids) for name in self._inputs}
        return self._session.run([self._output], feed)[0][0]


def _load(graph: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # The graph was optimized when it was exported.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ArtifactError(f"{graph}: onnxruntime cannot load it ({error})") from error
