"""Each family of models, from a checkpoint to the answers of its routes, against sentence-transformers' own class for it."""

import json
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest

from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import Engine
from tests.runtime.conftest import make_handler, serving

from .families import FAMILIES, LABELS, MARKERS

TEXTS = [
    "The library opens at nine.",
    "Zwei Hunde laufen am Strand entlang.",
    "how do I reset my password",
    "x",
    "Members may borrow up to eight books for four weeks; a book that nobody has asked for can be renewed twice. " * 6,
]
QUERY = "when does the library open"
QUICK = ("reranker-bert", "classifier-bert", "classifier-llama", "dense", "static", "decoder-qwen3")
"""The others are slow: an export takes some seconds."""


def names(*starts: str) -> list:
    """The families whose names start so, as parameters."""
    chosen = [name for name in FAMILIES if name.startswith(starts)]
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in chosen]


@pytest.fixture(scope="module")
def served(minilm, tmp_path_factory):
    """A function that exports a family, ``exact`` unless told, and serves it: the checkpoint's folder, the engine and a client."""
    clients = {}
    root = tmp_path_factory.mktemp("families")

    def serve(name: str, precision: str = "exact"):
        if (name, precision) not in clients:
            checkpoint = root / name
            if not checkpoint.exists():
                FAMILIES[name](checkpoint, minilm, tmp_path_factory.mktemp("scratch"))
            folder = artifacts.build(ModelSettings(model=str(checkpoint), precision=precision), root / "artifacts")
            engine = Engine.load(folder, threads=1)
            server = serving(make_handler(engine))
            client = httpx.Client(base_url=server.__enter__(), timeout=60)
            clients[name, precision] = (checkpoint, engine, client, server)
        return clients[name, precision][:3]

    yield serve
    for _, _, client, server in clients.values():
        client.close()
        server.__exit__(None, None, None)


def post(client: httpx.Client, path: str, **body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("name", names("reranker"))
@pytest.mark.parametrize(("precision", "tolerance"), [("exact", 2e-4), ("balanced", 0.05)])
def test_rerankers(served, name, precision, tolerance):
    from sentence_transformers import CrossEncoder

    checkpoint, _, client = served(name, precision)
    original = CrossEncoder(str(checkpoint), device="cpu", trust_remote_code=False)
    expected = [float(original.predict([(QUERY, text)], activation_fn=None)[0]) for text in TEXTS]
    ranks = post(client, "/rerank", query=QUERY, texts=TEXTS, return_text=True)
    assert [rank["score"] for rank in ranks] == sorted((rank["score"] for rank in ranks), reverse=True)
    assert all(rank["text"] == TEXTS[rank["index"]] for rank in ranks)
    scores = {rank["index"]: rank["score"] for rank in ranks}
    np.testing.assert_allclose([scores[index] for index in range(len(TEXTS))], expected, atol=tolerance)
    raw = post(client, "/rerank", query=QUERY, texts=TEXTS, raw_scores=True)
    np.testing.assert_allclose(
        [1 / (1 + np.exp(-rank["score"])) for rank in raw], [r["score"] for r in ranks], atol=1e-6
    )
    answer = post(client, "/v1/rerank", query=QUERY, documents=TEXTS, top_n=2, return_documents=True)
    assert [(each["index"], each["relevance_score"]) for each in answer["results"]] == [
        (r["index"], r["score"]) for r in ranks[:2]
    ]
    assert answer["results"][0]["document"] == {"text": TEXTS[ranks[0]["index"]]}
    assert client.get("/info").json()["model_type"] == {
        "reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    }


@pytest.mark.parametrize("activation", ["Sigmoid", "Identity"])
@pytest.mark.parametrize("key", ["sentence_transformers", "sbert_ce_default_activation_function"])
def test_a_rerankers_own_activation(served, tmp_path, key, activation):
    """Sentence-transformers applies the activation that the checkpoint names; here as in TEI a score is a sigmoid, and ``raw_scores``
    are what a checkpoint with the identity gives there."""
    from sentence_transformers import CrossEncoder

    checkpoint, _, client = served("reranker-bert")
    copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    named = f"torch.nn.modules.{'linear' if activation == 'Identity' else 'activation'}.{activation}"
    config[key] = {"activation_fn": named} if key == "sentence_transformers" else named
    (copy / "config.json").write_text(json.dumps(config))
    expected = CrossEncoder(str(copy), device="cpu").predict([(QUERY, text) for text in TEXTS], batch_size=1)
    ranks = post(client, "/rerank", query=QUERY, texts=TEXTS, raw_scores=activation == "Identity")
    scores = {rank["index"]: rank["score"] for rank in ranks}
    np.testing.assert_allclose([scores[index] for index in range(len(TEXTS))], expected, atol=1e-4)


@pytest.mark.parametrize("name", names("classifier"))
def test_classifiers(served, name):
    from transformers import pipeline

    checkpoint, engine, client = served(name)
    original = pipeline("text-classification", str(checkpoint), top_k=None, device="cpu")
    reads_pairs = engine.manifest.tokenizer.pair is not None
    pairs = ((TEXTS[1], TEXTS[0]), (TEXTS[4], TEXTS[4])) if reads_pairs else ((TEXTS[1], None), (TEXTS[4], None))
    for text, pair in ((TEXTS[0], None), *pairs):
        given = {"text": text, "text_pair": pair} if pair else text
        expected = original(given, truncation=True, max_length=engine.manifest.max_tokens)
        expected = {
            each["label"]: each["score"] for each in (expected[0] if isinstance(expected[0], list) else expected)
        }
        answer = post(client, "/predict", inputs=[text, pair] if pair else text)
        assert [each["score"] for each in answer] == sorted((each["score"] for each in answer), reverse=True)
        assert {each["label"] for each in answer} == set(expected)
        for each in answer:
            assert each["score"] == pytest.approx(expected[each["label"]], abs=1e-4)
    batch = post(client, "/predict", inputs=[[TEXTS[0]], [TEXTS[1], TEXTS[0]] if reads_pairs else [TEXTS[1]]])
    assert batch[0] == post(client, "/predict", inputs=TEXTS[0]) and len(batch) == 2
    if not reads_pairs:
        assert "knows no pairs" in client.post("/predict", json={"inputs": [[TEXTS[0], TEXTS[1]]]}).json()["error"]
    if len(engine.manifest.labels) == 3:
        assert client.get("/info").json()["model_type"]["classifier"]["id2label"] == {
            str(k): v for k, v in LABELS.items()
        }


def test_a_sparse_model(served):
    from sentence_transformers import SparseEncoder

    checkpoint, _, client = served("splade")
    assert client.get("/info").json()["max_client_batch_size"] == 127
    original = SparseEncoder(str(checkpoint), device="cpu")
    for text in TEXTS:
        expected = original.encode(text, convert_to_sparse_tensor=False).numpy()
        answer = post(client, "/embed_sparse", inputs=text)[0]
        assert [each["index"] for each in answer] == sorted(each["index"] for each in answer)
        actual = np.zeros_like(expected)
        for each in answer:
            actual[each["index"]] = each["value"]
        np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"), [("colbert", "model.safetensors"), ("colbert-of-pylate", "1_Dense/model.safetensors")]
)
def test_a_colbert(served, name, layer):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer

    checkpoint, _, client = served(name)
    info = client.get("/info").json()
    assert info["dimensions"] == 32
    assert info["max_client_batch_size"] == 78
    assert info["prompts"] == (MARKERS if "pylate" in name else {})
    model, tokenizer = AutoModel.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    linear = load_file(checkpoint / layer)["linear.weight"]
    for text in TEXTS:
        with torch.no_grad():
            vectors = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=128)).last_hidden_state[
                0
            ]
        expected = torch.nn.functional.normalize(vectors @ linear.T, dim=-1)
        np.testing.assert_allclose(post(client, "/embed_all", inputs=text)[0], expected, atol=1e-4)
    for prompt, marker in info["prompts"].items():
        # pylate puts the marker's id behind the first one.
        ids = tokenizer(TEXTS[0])["input_ids"]
        ids = torch.tensor([[ids[0], tokenizer.convert_tokens_to_ids(marker), *ids[1:]]])
        with torch.no_grad():
            expected = torch.nn.functional.normalize(model(ids).last_hidden_state[0] @ linear.T, dim=-1)
        actual = post(client, "/embed_all", inputs=TEXTS[0], prompt_name=prompt)[0]
        np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert client.post("/embed", json={"inputs": "a"}).status_code == 424


@pytest.mark.parametrize(
    "name",
    names("dense", "two-dense", "layer-norm", "old-layout", "static", "matryoshka", "decoder", "gemma3", "t5")
    + names("encoder"),
)
@pytest.mark.parametrize(("precision", "least"), [("exact", 0.99999), ("balanced", 0.995)])
def test_embedders(served, name, precision, least):
    from sentence_transformers import SentenceTransformer

    checkpoint, engine, client = served(name, precision)
    original = SentenceTransformer(str(checkpoint), device="cpu", trust_remote_code=False)
    expected = np.stack([original.encode(text, normalize_embeddings=True) for text in TEXTS])
    vectors = np.array(post(client, "/embed", inputs=TEXTS))
    assert vectors.shape == expected.shape
    assert (vectors * expected).sum(1).min() >= least
    if precision == "exact" and not engine.manifest.normalize:
        plain = np.array(post(client, "/embed", inputs=TEXTS, normalize=False))
        np.testing.assert_allclose(plain, [original.encode(text) for text in TEXTS], atol=2e-4)


@pytest.mark.parametrize("name", names("stored"))
def test_ways_to_store_a_model(served, name):
    test_embedders(served, name, "exact", 0.99999)


@pytest.mark.parametrize("name", names("decoder-qwen3"))
def test_instructions_are_prompts(served, name):
    from sentence_transformers import SentenceTransformer

    checkpoint, _, client = served(name)
    expected = SentenceTransformer(str(checkpoint), device="cpu").encode(QUERY, prompt_name="query")
    assert np.dot(post(client, "/embed", inputs=QUERY, prompt_name="query")[0], expected) >= 0.99999


@pytest.mark.parametrize(
    ("name", "model_type", "precision", "least"),
    [
        ("published-onnx", "own_bert", "exact", 0.99999),
        ("published-onnx", "own_bert", "balanced", 0.995),
        ("published-onnx-of-a-known-type", "bert", "exact", 0.99999),
    ],
)
def test_a_published_onnx_file(served, minilm, tmp_path, name, model_type, precision, least):
    from sentence_transformers import SentenceTransformer

    FAMILIES["bert"](tmp_path / "bert", minilm, tmp_path / "scratch")
    expected = SentenceTransformer(str(tmp_path / "bert"), device="cpu").encode(TEXTS, batch_size=1)
    _, engine, client = served(name, precision)
    assert (engine.manifest.model.weights, engine.manifest.model.model_type) == ("onnx", model_type)
    assert client.get("/info").json()["weights"] == "onnx"
    assert (np.array(post(client, "/embed", inputs=TEXTS)) * expected).sum(1).min() >= least


def test_an_architecture_of_its_own_python_without_an_onnx_file_is_refused(minilm, tmp_path):
    from model_export.errors import UnsupportedModelError

    FAMILIES["bert"](tmp_path / "checkpoint", minilm, tmp_path / "scratch")
    path = tmp_path / "checkpoint" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "own_bert"}))
    with pytest.raises(UnsupportedModelError, match=r"transformers does not have the architecture 'own_bert'"):
        artifacts.build(ModelSettings(model=str(tmp_path / "checkpoint")), tmp_path / "artifacts")


def test_a_published_onnx_file_that_wants_other_inputs_is_refused(minilm, tmp_path):
    import onnx

    from model_export.errors import UnsupportedModelError

    FAMILIES["published-onnx"](tmp_path / "checkpoint", minilm, tmp_path / "scratch")
    file = tmp_path / "checkpoint" / "onnx" / "model.onnx"
    model = onnx.load(file)
    model.graph.input.append(onnx.helper.make_tensor_value_info("task_id", onnx.TensorProto.INT64, []))
    onnx.save(model, file)
    with pytest.raises(UnsupportedModelError, match=r"model.onnx: takes .*task_id.*; allowed are"):
        artifacts.build(ModelSettings(model=str(tmp_path / "checkpoint")), tmp_path / "artifacts")


def test_a_published_onnx_file_that_is_not_in_fp32_is_refused(minilm, tmp_path):
    import onnx
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from model_export.errors import UnsupportedModelError

    FAMILIES["published-onnx"](tmp_path / "checkpoint", minilm, tmp_path / "scratch")
    file = tmp_path / "checkpoint" / "onnx" / "model.onnx"
    original = shutil.copyfile(file, tmp_path / "fp32.onnx")

    def refused() -> str:
        with pytest.raises(UnsupportedModelError) as error:
            artifacts.build(ModelSettings(model=str(tmp_path / "checkpoint")), tmp_path / "artifacts")
        return str(error.value)

    quantize_dynamic(original, file)
    assert "model.onnx: has weights of the type uint8; only fp32" in refused()
    onnx.save(convert_float_to_float16(onnx.load(original), keep_io_types=True), file)
    assert refused().endswith("model.onnx: has weights of the type float16; only fp32 is supported")
    onnx.save(convert_float_to_float16(onnx.load(original)), file)
    assert refused().endswith("model.onnx: gives last_hidden_state of another type than float32")


def test_a_model_with_shorter_vectors_and_another_similarity(served):
    _, engine, client = served("matryoshka")
    assert (engine.manifest.dimensions, engine.manifest.similarity) == (16, "dot")
    assert len(post(client, "/embed", inputs="a", dimensions=8)[0]) == 8
    refused = client.post("/embed", json={"inputs": "a", "dimensions": 12})
    assert refused.status_code == 422
    assert "one of those that the model was trained for: 8, 16. Given: 12" in refused.json()["error"]


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForTokenClassification", "BertForQuestionAnswering"])
def test_a_head_that_gives_no_result_for_a_text_is_refused(minilm, tmp_path, kind):
    from model_export.errors import UnsupportedModelError

    from .families import SIZE, save

    save(tmp_path / "checkpoint", minilm, kind, "BertConfig", **SIZE)
    with pytest.raises(UnsupportedModelError, match=f"is a {kind}"):
        artifacts.build(ModelSettings(model=str(tmp_path / "checkpoint")), tmp_path / "artifacts")


def test_weights_that_the_class_does_not_have_are_refused(minilm, tmp_path):
    from model_export.errors import CheckpointError

    FAMILIES["reranker-bert"](tmp_path / "checkpoint", minilm, tmp_path / "scratch")
    path: Path = tmp_path / "checkpoint" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["BertModel"]}))
    with pytest.raises(CheckpointError, match=r"has weights that BertModel does not compute with: classifier"):
        artifacts.build(ModelSettings(model=str(tmp_path / "checkpoint")), tmp_path / "artifacts")
