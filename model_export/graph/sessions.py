"""Running graphs while an artifact is made."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from runtime.engine.session import INPUTS

from .writer import save


def open_session(model: onnx.ModelProto, scratch: Path) -> onnxruntime.InferenceSession:
    """A session for ``model``, which may be larger than the 2 GB of a protobuf message.

    ``scratch``: a folder with room for its weights, which are gone from there on return.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        save(model, Path(folder))
        return open_graph(Path(folder, "model.onnx"))


def open_graph(source: Path | bytes) -> onnxruntime.InferenceSession:
    """A session for the graph in a file or in a serialized ``ModelProto``."""
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])


def run(
    session: onnxruntime.InferenceSession,
    ids: Sequence[int],
    outputs: Sequence[str] | None = None,
    types: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """All outputs of a graph, or those named, for one text with the tokens ``ids``, without padding. ``types``: 0 by default."""
    input_ids = np.array([ids], np.int64)
    token_types = np.zeros_like(input_ids) if types is None else np.array([types], np.int64)
    feed = {value.name: INPUTS[value.name](input_ids, token_types) for value in session.get_inputs()}
    return session.run(outputs, feed)
