"""Attention as ``balanced`` writes it, against its definition (Vaswani et al. 2017, equation 1)."""

import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from model_export.graph.encoder_writer import OPSETS
from model_export.graph.in_place import quantize_in_place
from model_export.graph.model import Model, save_model
from model_export.graph.writer import Writer
from model_export.precision.balanced import SHORT, TokenArithmetic

HEADS, SIZE = 3, 32
WIDTH = HEADS * SIZE
PARTS = ("query", "key", "value")


@pytest.fixture(scope="module")
def attention() -> Model:
    """A graph of one attention; its inputs are ``input_ids``, whose number decides, and :data:`PARTS`."""
    writer = Writer()
    output = TokenArithmetic(writer).attend(*PARTS, HEADS, WIDTH)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "tokens", WIDTH]) for name in PARTS]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, "tokens", WIDTH])]
    graph = helper.make_graph(writer.nodes, "attention", [ids, *inputs], outputs)
    return Model(helper.make_model(graph, opset_imports=OPSETS, ir_version=11), writer.constants)


def attend(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    query, key, value = (part.reshape(-1, HEADS, SIZE).swapaxes(0, 1) for part in (query, key, value))
    scores = query @ key.swapaxes(1, 2) / np.sqrt(SIZE)
    weights = np.exp(scores - scores.max(2, keepdims=True))
    context = weights / weights.sum(2, keepdims=True) @ value
    return context.swapaxes(0, 1).reshape(1, -1, WIDTH)


@pytest.mark.parametrize("tokens", [1, 2, SHORT, SHORT + 1, SHORT + 2], ids="{} tokens".format)
def test_short_and_long_texts_follow_the_definition(attention, tmp_path, tokens):
    check(attention, tmp_path, random_parts(tokens))


@pytest.mark.parametrize("magnitude", [2, 4, 8])
def test_large_scores_do_not_overflow(attention, tmp_path, magnitude):
    check(attention, tmp_path, magnitude * random_parts(SHORT + 1), magnitude)


def test_small_scores_do_not_vanish(attention, tmp_path):
    parts = random_parts(SHORT + 1)
    parts[0], parts[1] = 6, -6
    check(attention, tmp_path, parts)


def test_quantizing_in_place_keeps_what_inner_graphs_read(attention, tmp_path):
    quantize_in_place(attention, [], tmp_path)
    check(attention, tmp_path, random_parts(SHORT + 1))


@pytest.mark.parametrize("magnitude", [1, 8])
def test_a_long_text_has_the_scores_of_one_head_at_a_time(attention, tmp_path, magnitude):
    """Also one whose scores are so large that they are computed twice: memory is measured with a text that may have none such."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    _, session = run(attention, tmp_path, magnitude * random_parts(SHORT + 1), options)
    operators = [event["args"] for event in json.loads(Path(session.end_profiling()).read_text()) if "args" in event]
    assert [each.get("op_name") for each in operators].count("Scan") == (1 if magnitude == 1 else 2)
    outputs = [output for each in operators for output in each.get("output_type_shape", [])]
    assert max(math.prod(shape) for output in outputs for shape in output.values()) == (SHORT + 1) ** 2


def random_parts(tokens: int) -> np.ndarray:
    return np.random.default_rng(tokens).normal(size=(3, 1, tokens, WIDTH)).astype(np.float32)


def run(
    attention: Model, folder, parts: np.ndarray, options: onnxruntime.SessionOptions | None = None
) -> tuple[np.ndarray, onnxruntime.InferenceSession]:
    """The result, and the session that gave it."""
    session = onnxruntime.InferenceSession(save_model(attention, folder), options, providers=["CPUExecutionProvider"])
    ids = np.zeros((1, parts.shape[2]), np.int64)
    [context] = session.run(None, dict(zip(PARTS, parts, strict=True)) | {"input_ids": ids})
    return context, session


def check(attention: Model, folder, parts: np.ndarray, magnitude: float = 1) -> None:
    context, _ = run(attention, folder, parts)
    assert np.allclose(context, attend(*parts.astype(float)), atol=1e-5 * magnitude**2)
