"""Running graphs while an artifact is made."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from runtime.engine.session import INPUTS

from .model import Model, save_model


def open_session(model: Model, scratch: Path) -> onnxruntime.InferenceSession:
    """A session for ``model``.

    ``scratch``: a folder with room for its weights, whose names are gone from there on return. The session maps them.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        return open_graph(save_model(model, Path(folder)))


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


def run_texts(
    session: onnxruntime.InferenceSession, texts: Sequence[Sequence[int]], outputs: Sequence[str]
) -> Iterator[list[np.ndarray]]:
    """One of ``outputs`` after the other: its values for each of ``texts``, which are let go when they have been yielded."""
    runs = [run(session, ids, outputs)[::-1] for ids in texts]
    for _ in outputs:
        yield [values.pop() for values in runs]
