"""Graphs that are kept, of an architecture that is not rewritten, against the export as onnxruntime runs it."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from model_export.export import export_body
from model_export.graph.build import build_graph
from model_export.graph.sessions import open_graph, run
from model_export.precision import find_precision
from tests.model_export.conftest import SMALL

CHANCE = np.random.default_rng(0)
TEXTS = [CHANCE.integers(5, 1000, size).tolist() for size in (1, 2, 7, 30, 100)]
CALIBRATION = [CHANCE.integers(5, 1000, size).tolist() for size in (3, 20, 60, 80)]


@pytest.fixture(scope="module", params=[14, 18], ids="opset {}".format)
def mpnet(request, tmp_path_factory) -> tuple[Path, dict]:
    """A small model with relative positions: its export and its configuration."""
    import torch
    from optimum.exporters.onnx import onnx_export_from_model
    from transformers import MPNetConfig, MPNetModel

    torch.manual_seed(0)
    model = MPNetModel(MPNetConfig(vocab_size=1000, max_position_embeddings=130, **SMALL)).eval()
    folder = tmp_path_factory.mktemp("mpnet")
    onnx_export_from_model(
        model, folder, opset=request.param, task="feature-extraction", library_name="transformers", do_validation=False
    )
    return folder / "model.onnx", model.config.to_dict()


def build(mpnet: tuple[Path, dict], precision: str, out: Path) -> tuple[onnx.ModelProto, list[np.ndarray]]:
    """The graph of a precision, and its outputs for :data:`TEXTS`."""
    export, config = mpnet
    build_graph(export, out, find_precision(precision), config, CALIBRATION)
    session = open_graph(out / "model.onnx")
    return onnx.load(out / "model.onnx"), [run(session, ids)[0][0] for ids in TEXTS]


@pytest.fixture(scope="module")
def expected(mpnet) -> list[np.ndarray]:
    session = open_graph(mpnet[0])
    return [run(session, ids)[0][0] for ids in TEXTS]


def test_exact_computes_the_same(mpnet, expected, tmp_path):
    _, vectors = build(mpnet, "exact", tmp_path)
    for ours, theirs in zip(vectors, expected, strict=True):
        assert np.abs(ours - theirs).max() < 1e-5


def test_balanced_is_near_and_depends_on_no_cpu(mpnet, expected, tmp_path):
    model, vectors = build(mpnet, "balanced", tmp_path)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("MatMulIntegerToFloat") == 12, "six linear layers in each of two layers"
    assert "Softmax" not in operators, "its sums depend on the CPU's vector width"
    for ours, theirs in zip(vectors, expected, strict=True):
        cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        assert cosines.min() > 0.999


def test_layers_that_share_weights_are_as_near(tmp_path):
    """ALBERT's, with channels that are large: those cannot be evened out for each layer apart."""
    import torch
    from transformers import AlbertConfig, AlbertModel

    torch.manual_seed(0)
    size = {**SMALL, "num_hidden_layers": 4, "embedding_size": 64}
    model = AlbertModel(AlbertConfig(vocab_size=1000, max_position_embeddings=130, **size)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "albert_layers" in name:
                parameter *= 5
            elif name.lower().endswith(("layernorm.weight", "layer_norm.weight")):
                parameter[:3] *= 20
    export = export_body(model, tmp_path)
    session = open_graph(export)
    expected = [run(session, ids)[0][0] for ids in TEXTS]
    (tmp_path / "out").mkdir()
    _, vectors = build((export, model.config.to_dict()), "balanced", tmp_path / "out")
    for ours, theirs in zip(vectors, expected, strict=True):
        cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        assert cosines.min() > 0.99
