"""The routes of rerankers, classifiers and sparse models, against the facts of TEI's source."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import Engine
from tests.runtime.conftest import make_handler, serving
from tests.runtime.tei import validate

from .families import FAMILIES

QUERY = "when does the ferry leave"
TEXTS = ["A cat sleeps.", "The ferry leaves at seven.", "Die Fähre fährt um sieben."]
LONG = "word " * 600


@pytest.fixture(scope="module")
def engines(minilm, tmp_path_factory):
    """A function that gives the engine of a family."""
    made: dict[str, Engine] = {}

    def engine(name: str) -> Engine:
        if name not in made:
            folder: Path = tmp_path_factory.mktemp("family") / name
            FAMILIES[name](folder, minilm, tmp_path_factory.mktemp("scratch"))
            made[name] = Engine.load(artifacts.build(ModelSettings(model=str(folder)), folder.parent), threads=1)
        return made[name]

    return engine


@pytest.fixture(scope="module")
def client(engines):
    """A function that gives a client of a server of a family."""
    started = {}

    def start(name: str) -> httpx.Client:
        if name not in started:
            server = serving(make_handler(engines(name)))
            started[name] = (httpx.Client(base_url=server.__enter__(), timeout=60), server)
        return started[name][0]

    yield start
    for http, server in started.values():
        http.close()
        server.__exit__(None, None, None)


@pytest.fixture
def reranker(client) -> httpx.Client:
    return client("reranker-bert")


@pytest.fixture
def classifier(client) -> httpx.Client:
    return client("classifier-bert")


def post(http: httpx.Client, path: str, **body):
    """The answer, which TEI could have given."""
    validate(response := http.post(path, json=body))
    assert response.status_code == 200, response.text
    return response.json()


class TestRerank:
    def test_texts_are_in_the_answer_only_if_they_are_asked_for(self, reranker):
        ranks = post(reranker, "/rerank", query=QUERY, texts=TEXTS)
        assert all(rank.keys() == {"index", "score"} for rank in ranks)
        assert sorted(rank["index"] for rank in ranks) == [0, 1, 2]
        for rank in post(reranker, "/rerank", query=QUERY, texts=TEXTS, return_text=True):
            assert rank["text"] == TEXTS[rank["index"]]

    def test_scores_have_no_more_digits_than_float32_needs(self, reranker):
        for rank in post(reranker, "/rerank", query=QUERY, texts=TEXTS):
            assert repr(rank["score"]) == str(np.float32(rank["score"]))

    @pytest.mark.parametrize("path", ["/", "/invocations"])
    def test_the_paths_of_the_models_task(self, reranker, path):
        expected = post(reranker, "/rerank", query=QUERY, texts=TEXTS)
        assert reranker.post(path, json={"query": QUERY, "texts": TEXTS}).json() == expected
        assert "post" in reranker.get("/openapi.json").json()["paths"][path]

    def test_a_direct_invocation(self, engines, reranker):
        answer = make_handler(engines("reranker-bert"))({"query": QUERY, "texts": TEXTS})
        assert answer == post(reranker, "/rerank", query=QUERY, texts=TEXTS)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"query": "", "texts": ["a", ""]}, "`inputs` cannot be empty"),
            ({"query": "a", "texts": []}, "`texts` cannot be empty"),
        ],
    )
    def test_nothing_to_compare(self, reranker, body, message):
        validate(response := reranker.post("/rerank", json=body))
        assert (response.status_code, response.json()["error_type"]) == (400, "Empty")
        assert message in response.json()["error"]

    def test_one_text_of_a_pair_may_be_empty(self, reranker):
        """As in TEI, where a pair is empty if both are."""
        answer = post(reranker, "/rerank", query=QUERY, texts=[TEXTS[0], "", " "])
        scores = {rank["index"]: rank["score"] for rank in answer}
        assert scores.keys() == {0, 1, 2} and scores[1] == scores[2]  # WordPiece drops white space
        assert [rank["index"] for rank in post(reranker, "/rerank", query="", texts=[TEXTS[0]])] == [0]

    def test_long_texts_are_cut_off_and_counted_or_refused(self, reranker):
        body = {"query": QUERY, "texts": [LONG, TEXTS[0]]}
        response = reranker.post("/rerank", json=body)
        assert response.headers["x-truncated-texts"] == "1"
        assert int(response.headers["x-compute-tokens"]) < 2 * 128
        validate(response := reranker.post("/rerank", json={**body, "truncate": False}))
        assert response.status_code == 422
        assert "`inputs` must have less than 128 tokens. Given: 608" in response.json()["error"]

    def test_the_side_that_is_cut_off(self, reranker):
        ends = {"query": QUERY, "texts": [f"{LONG} {TEXTS[1]}"], "raw_scores": True}
        right = post(reranker, "/rerank", **ends)[0]["score"]
        left = post(reranker, "/rerank", **ends, truncation_direction="Left")[0]["score"]
        assert right == post(reranker, "/rerank", query=QUERY, texts=[LONG], raw_scores=True)[0]["score"] != left


class TestCohere:
    @pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
    @pytest.mark.parametrize(
        ("body", "status", "param", "message"),
        [
            ({"query": "a", "documents": []}, 400, "documents", "`documents` cannot be empty"),
            ({"query": "", "documents": ["b", ""]}, 400, "documents", "`documents` cannot be empty"),
            ({"query": "a", "documents": ["b"], "top_n": 0}, 400, "top_n", "Expected `int` >= 1"),
            ({"query": "a", "documents": [LONG], "truncate": False}, 400, "documents", "`documents` must have less"),
            ({"query": "a", "documents": ["b"], "model": "rerank-v3.5"}, 404, "model", "served are `reranker-bert`"),
        ],
    )
    def test_errors_name_the_field_in_openais_form(self, reranker, path, body, status, param, message):
        response = reranker.post(path, json=body)
        assert response.status_code == status
        error = response.json()["error"]
        assert error["param"] == param
        assert message in error["message"]

    def test_documents_as_objects(self, reranker):
        body = {"query": QUERY, "return_documents": True, "model": "reranker-bert"}
        answer = reranker.post("/v1/rerank", json={**body, "documents": TEXTS}).json()
        assert reranker.post("/v1/rerank", json={**body, "documents": [{"text": t} for t in TEXTS]}).json() == answer
        for result in answer["results"]:
            assert result["document"] == {"text": TEXTS[result["index"]]}
        ranks = post(reranker, "/rerank", query=QUERY, texts=TEXTS)
        assert [(each["index"], each["score"]) for each in ranks] == [
            (each["index"], each["relevance_score"]) for each in answer["results"]
        ]


class TestPredict:
    @pytest.mark.parametrize("inputs", ["a text", ["a text"], ["a", "pair"], [["a text"]], [["a", "pair"], ["a text"]]])
    def test_forms_of_inputs(self, classifier, inputs):
        answer = post(classifier, "/predict", inputs=inputs)
        batch = isinstance(inputs, list) and isinstance(inputs[0], list)
        for predictions in answer if batch else [answer]:
            assert {each["label"] for each in predictions} == {"sport", "politics", "weather"}
            assert sum(each["score"] for each in predictions) == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("inputs", [["a", "b", "c"], [["a", "b", "c"]], [[]], ["a", ["b"]], {"text": "a"}])
    def test_other_forms_are_refused(self, classifier, inputs):
        validate(response := classifier.post("/predict", json={"inputs": inputs}))
        assert response.status_code == 422

    def test_a_reranker_answers_with_its_only_label(self, reranker):
        """As TEI, whose handler has labels for both."""
        [prediction] = post(reranker, "/predict", inputs=[QUERY, TEXTS[0]])
        [rank] = post(reranker, "/rerank", query=QUERY, texts=[TEXTS[0]])
        assert prediction == {"label": "LABEL_0", "score": rank["score"]}

    def test_a_classifier_does_not_rerank(self, classifier):
        validate(response := classifier.post("/rerank", json={"query": "a", "texts": ["b"]}))
        assert (response.status_code, response.json()["error_type"]) == (424, "Backend")


@pytest.mark.slow
def test_sparse_weights(client):
    validate(client("splade").post("/embed_sparse", json={"inputs": TEXTS}))


def test_inputs_are_counted_as_predictions(engines):
    with serving(make_handler(engines("reranker-bert"))) as url, httpx.Client(base_url=url) as http:
        post(http, "/rerank", query=QUERY, texts=TEXTS)
        validate(response := http.get("/metrics"))
    families = text_string_to_metric_families(response.text)
    samples = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert samples["te_predict_count_total",] == samples["te_predict_success_total",] == 3
    assert samples["te_predict_inference_duration_count",] == 3
    assert samples["te_request_success_total", "batch"] == 1
    assert not any(name.startswith("te_embed") for name, *_ in samples)


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("reranker-bert", {"/rerank", "/v1/rerank", "/v2/rerank", "/predict"}),
        ("classifier-bert", {"/predict"}),
    ],
)
def test_the_description_has_what_the_model_answers(client, name, paths):
    described = client(name).get("/openapi.json").json()["paths"]
    others = {"/embed", "/embed_all", "/embed_sparse", "/similarity", "/v1/embeddings", "/rerank", "/v1/rerank"}
    assert paths <= described.keys()
    assert not (others - paths) & described.keys()
    assert not any("424" in method["responses"] for methods in described.values() for method in methods.values())


def test_a_text_without_tokens(client):
    """A static model puts no special tokens around a text, and its tokenizer drops white space."""
    http = client("static")
    for path, inputs in (("/embed", ["a", " "]), ("/similarity", {"source_sentence": "a", "sentences": [" "]})):
        validate(response := http.post(path, json={"inputs": inputs}))
        assert (response.status_code, response.json()["error_type"]) == (400, "Empty")
        assert "`inputs` has a text without tokens" in response.json()["error"]
