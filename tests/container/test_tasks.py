"""Images with models of other tasks and families, called by Hugging Face's own client where it has a method for it."""

import json

import numpy as np
import pytest
from huggingface_hub import InferenceClient

from configuration.groups import ModelSettings
from containers import image as images
from containers.emulator import FunctionContainer
from containers.podman import run as podman
from containers.tools import wait_until
from model_export import artifact as artifacts
from tests.model_export.families import FAMILIES

from .test_function import http_event

PORT = 9391
QUERY = "when does the library open"
TEXTS = ["The library opens at nine.", "Zwei Hunde laufen am Strand entlang.", "how do I reset my password"]


@pytest.fixture(scope="module")
def start(minilm, tmp_path_factory):
    """A function that exports a family and makes its image: the checkpoint's folder and the image's name."""

    def make(name: str) -> tuple[str, str]:
        checkpoint = tmp_path_factory.mktemp("family") / name
        FAMILIES[name](checkpoint, minilm, tmp_path_factory.mktemp("scratch"))
        artifact = artifacts.build(ModelSettings(model=str(checkpoint)))
        return str(checkpoint), images.build(artifact, f"serverless-embeddings-{name}")

    return make


def answer(container: FunctionContainer, path: str, body: dict):
    response = container.invoke(http_event("POST", path, body)).json()
    assert response["statusCode"] == 200, response
    return json.loads(response["body"])


def test_a_reranker(start, memory_mb):
    from sentence_transformers import CrossEncoder

    checkpoint, image = start("reranker-bert")
    expected = CrossEncoder(checkpoint, device="cpu").rank(QUERY, TEXTS)
    with FunctionContainer(image, memory_mb) as container:
        direct = container.invoke({"query": QUERY, "texts": TEXTS}).json()
        results = answer(container, "/v2/rerank", {"query": QUERY, "documents": TEXTS})["results"]
    assert [(each["index"], each["score"]) for each in direct] == [(r["index"], r["relevance_score"]) for r in results]
    assert expected[0]["score"] - expected[-1]["score"] > 0.1, "otherwise the tolerance would prove nothing"
    scores = {each["index"]: each["score"] for each in direct}
    for each in expected:
        assert scores[each["corpus_id"]] == pytest.approx(float(each["score"]), abs=0.05)


def test_a_classifier_by_hugging_faces_client(start):
    from transformers import pipeline

    checkpoint, image = start("classifier-bert")
    expected = pipeline("text-classification", checkpoint, top_k=None, device="cpu")(TEXTS[0])
    expected = {each["label"]: each["score"] for each in (expected[0] if isinstance(expected[0], list) else expected)}
    name = "serverless-embeddings-classifier"
    podman(
        "run",
        "--detach",
        "--rm",
        "--replace",
        "--name",
        name,
        "--read-only",
        "--tmpfs",
        "/tmp",
        f"--publish={PORT}:8080",
        image,
    )
    try:
        client = InferenceClient(base_url=f"http://localhost:{PORT}", timeout=10)
        wait_until(lambda: _answers(client), "the container does not answer", 60)
        best = client.text_classification(TEXTS[0])  # of an answer in TEI's form, the client returns the first label
        assert best.score == pytest.approx(expected[best.label], abs=0.05)
    finally:
        podman("rm", "--force", name)


def _answers(client: InferenceClient) -> bool:
    try:
        return bool(client.text_classification("a"))
    except OSError:
        return False


def test_a_sparse_model(start, memory_mb):
    from sentence_transformers import SparseEncoder

    checkpoint, image = start("splade")
    expected = SparseEncoder(checkpoint, device="cpu").encode(TEXTS[0], convert_to_sparse_tensor=False).numpy()
    with FunctionContainer(image, memory_mb) as container:
        [weights] = answer(container, "/embed_sparse", {"inputs": TEXTS[0]})
    actual = np.zeros_like(expected)
    actual[[each["index"] for each in weights]] = [each["value"] for each in weights]
    assert np.dot(actual, expected) / np.linalg.norm(actual) / np.linalg.norm(expected) > 0.99
    strongest = set(np.argsort(-expected)[:50].tolist())
    assert len(strongest & set(np.argsort(-actual)[:50].tolist())) >= 40


def test_a_decoder(start, memory_mb):
    from sentence_transformers import SentenceTransformer

    checkpoint, image = start("decoder-qwen3")
    expected = SentenceTransformer(checkpoint, device="cpu").encode(TEXTS, prompt_name="query", batch_size=1)
    with FunctionContainer(image, memory_mb) as container:
        vectors = np.array(container.invoke({"inputs": TEXTS, "prompt_name": "query"}).json())
    assert (vectors * expected).sum(1).min() > 0.99
