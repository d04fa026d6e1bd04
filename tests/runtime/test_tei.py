"""TEI's routes over HTTP: paths, fields, statuses and bodies, checked against the facts of TEI's source."""

import copy
import json
import tomllib

import httpx
import jsonschema
import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from containers.tools import PROJECT
from runtime.engine.heads import HEADS
from runtime.http.messages import Request, Response
from runtime.http.routes import BY_TASK, ROUTES, answerable
from runtime.service.options import Usage
from tests.runtime.conftest import make_handler, serving
from tests.runtime.tei import DIFFERENCES, EXPECTED, VALIDATION, validate
from tests.texts import LANGUAGES, ODD

LONG = "word " * 600


def post(http, path, **body):
    return http.post(path, json=body)


def cosine(a, b) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


class TestEmbed:
    @pytest.mark.parametrize("path", ["/embed", "/", "/invocations"])
    def test_gives_a_unit_vector_for_each_text(self, http, path):
        response = post(http, path, inputs=["First text", "Second text"])
        assert response.status_code == 200
        vectors = np.array(response.json())
        assert vectors.shape == (2, 384)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)

    def test_takes_one_text_as_a_list_of_one(self, http):
        one, many = post(http, "/embed", inputs="First text"), post(http, "/embed", inputs=["First text"])
        validate(one)
        assert one.json() == many.json()

    def test_a_vector_does_not_depend_on_the_texts_beside_it(self, http):
        alone = post(http, "/embed", inputs="First text").json()[0]
        assert post(http, "/embed", inputs=["Something else", "First text", LONG[:900]]).json()[1] == alone

    def test_token_ids_are_taken_as_they_are(self, http):
        tokens = post(http, "/tokenize", inputs="First text").json()[0]
        ids = [token["id"] for token in tokens]
        expected = post(http, "/embed", inputs="First text").json()
        assert post(http, "/embed", inputs=ids).json() == expected
        assert post(http, "/embed", inputs=[ids, ids]).json() == expected * 2
        assert post(http, "/embed", inputs=["First text", ids]).json() == expected * 2

    def test_normalize_false_gives_the_same_direction(self, http):
        raw = np.array(post(http, "/embed", inputs="First text", normalize=False).json()[0])
        unit = post(http, "/embed", inputs="First text").json()[0]
        assert np.linalg.norm(raw) != pytest.approx(1, abs=0.01)
        assert raw / np.linalg.norm(raw) == pytest.approx(unit, abs=1e-6)

    def test_a_prompt_is_put_before_the_text(self, http):
        prompted = post(http, "/embed", inputs="first text", prompt_name="query")
        validate(prompted)
        assert prompted.json() == post(http, "/embed", inputs="query: first text").json()

    def test_a_prompt_before_token_ids(self, http):
        ids = [token["id"] for token in post(http, "/tokenize", inputs="first text").json()[0]]
        prompted = post(http, "/embed", inputs=ids, prompt_name="query")
        assert prompted.json() == post(http, "/embed", inputs="query: first text").json()

    def test_dimensions_are_the_first_and_unit_length_again(self, http):
        full = np.array(post(http, "/embed", inputs="First text").json()[0])
        short = post(http, "/embed", inputs="First text", dimensions=64)
        validate(short)
        assert short.json()[0] == pytest.approx(full[:64] / np.linalg.norm(full[:64]), abs=1e-6)
        assert post(http, "/embed", inputs="First text", dimensions=384).json()[0] == full.tolist()

    @pytest.mark.parametrize(("path", "field"), [("/embed", "inputs"), ("/v1/embeddings", "input")])
    @pytest.mark.parametrize(("trained", "dimensions", "header"), [([], 64, "64"), ([], 384, None), ([64], 64, None)])
    def test_a_header_warns_of_dimensions_that_the_model_does_not_name(
        self, engine, path, field, trained, dimensions, header
    ):
        changed = copy.copy(engine)
        changed.manifest = msgspec.structs.replace(engine.manifest, matryoshka_dimensions=trained)
        with serving(make_handler(changed)) as url:
            response = httpx.post(f"{url}{path}", json={field: "a", "dimensions": dimensions})
        assert response.status_code == 200
        assert response.headers.get("x-untrained-dimensions") == header

    def test_dimensions_without_normalize_are_only_cut_off(self, http):
        full = post(http, "/embed", inputs="First text", normalize=False).json()[0]
        assert post(http, "/embed", inputs="First text", normalize=False, dimensions=5).json()[0] == full[:5]

    @pytest.mark.parametrize("dimensions", [0, -1, 385, 10**30])
    def test_dimensions_out_of_range_are_an_error(self, http, dimensions):
        response = post(http, "/embed", inputs="First text", dimensions=dimensions)
        assert response.status_code == VALIDATION
        validate(response)

    def test_without_truncate_a_long_text_is_an_error_with_its_length(self, http):
        response = post(http, "/embed", inputs=LONG, truncate=False)
        validate(response)
        assert response.status_code == VALIDATION
        assert response.json() == {
            "error": "Input validation error: `inputs` must have less than 512 tokens. Given: 602",
            "error_type": "Validation",
        }

    @pytest.mark.parametrize(("direction", "rest"), [("Right", "first " * 510), ("Left", "last " * 510)])
    def test_truncate_cuts_off_a_side(self, http, direction, rest):
        text = "first " * 510 + "last " * 510
        response = post(http, "/embed", inputs=text, truncate=True, truncation_direction=direction)
        validate(response)
        assert response.json() == post(http, "/embed", inputs=rest.strip()).json()

    def test_truncate_says_what_auto_truncate_says_otherwise(self, http, serve):
        assert http.get("/info").json()["auto_truncate"] is True
        for truncate in (True, None):
            assert (
                post(http, "/embed", inputs=LONG, truncate=truncate).json() == post(http, "/embed", inputs=LONG).json()
            )
        assert post(http, "/embed", inputs=LONG, truncate=False).status_code == VALIDATION
        http = serve(long_texts="error")
        assert http.get("/info").json()["auto_truncate"] is False
        assert post(http, "/embed", inputs=LONG).status_code == VALIDATION
        assert post(http, "/embed", inputs=LONG, truncate=True).status_code == 200

    def test_headers_count_the_texts_that_were_cut_off_or_windowed(self, http):
        def counts(path: str = "/embed", **body) -> tuple[str | None, str | None]:
            response = post(http, path, **body)
            assert response.status_code == 200
            return response.headers.get("x-truncated-texts"), response.headers.get("x-windowed-texts")

        assert counts(inputs=["a", LONG, [5] * 600]) == ("2", None)
        assert counts(inputs=["a", LONG, [5] * 600], long_texts="window") == (None, "2")
        assert counts(inputs="a") == (None, None)
        # Few tokens, but more characters than are read.
        assert counts(inputs="a" + " " * 200_000 + "b") == ("1", None)
        assert counts("/v1/embeddings", input=LONG) == ("1", None)
        assert counts("/embed_all", inputs=LONG) == ("1", None)
        assert counts("/similarity", inputs={"source_sentence": LONG, "sentences": ["a", LONG]}) == ("2", None)

    @pytest.mark.parametrize("inputs", [[], "", [""], ["a", ""], [[]], ["a", []]])
    def test_nothing_is_an_empty_error(self, http, inputs):
        response = post(http, "/embed", inputs=inputs)
        validate(response)
        assert response.status_code == 400
        assert response.json()["error_type"] == "Empty"

    def test_an_unknown_prompt_is_an_error_that_lists_those_there_are(self, http):
        response = post(http, "/embed", inputs="a", prompt_name="nope")
        validate(response)
        assert response.status_code == VALIDATION
        assert "`query`, `passage`" in response.json()["error"]

    def test_a_token_that_does_not_exist(self, http):
        response = post(http, "/embed", inputs=[0, 4_000_000_000, 2])
        validate(response)
        assert response.status_code == 422
        assert response.json()["error_type"] == "Tokenizer"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"inputs": None},
            {"inputs": 1},
            {"inputs": {"text": "a"}},
            {"inputs": [["a"]]},
            {"inputs": ["a", 1]},
            {"inputs": [1, [2]]},
            {"inputs": [-1]},
            {"inputs": [1.5]},
            {"inputs": [2**32]},
            {"inputs": "a", "normalize": "yes"},
            {"inputs": "a", "normalize": None},
            {"inputs": "a", "truncate": 1},
            {"inputs": "a", "truncation_direction": "up"},
            {"inputs": "a", "dimensions": "3"},
            {"inputs": "a", "precision": "float16"},
            {"inputs": "a", "long_texts": "split"},
            [],
            "text",
            None,
        ],
        ids=json.dumps,
    )
    def test_a_wrong_type_is_unprocessable(self, http, body):
        response = http.post("/embed", content=json.dumps(body), headers={"content-type": "application/json"})
        assert response.status_code == 422
        assert response.json()["error"]
        validate(response)

    @pytest.mark.parametrize(
        ("path", "body", "allowed"),
        [
            ("/embed", {"inputs": "a", "truncation_direction": "up"}, "`Left`, `Right`, `left`, `right`"),
            ("/embed", {"inputs": "a", "long_texts": "no - at `$.x`"}, "`error`, `truncate`, `window`"),
            (
                "/similarity",
                {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {"long_texts": "split"}},
                "`error`, `truncate`, `window`",
            ),
            ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, "`float`, `base64`"),
        ],
    )
    def test_a_wrong_word_is_told_which_are_allowed(self, http, path, body, allowed):
        assert f"allowed are {allowed}" in http.post(path, json=body).text

    def test_fields_that_are_not_known_are_ignored_as_by_tei(self, http):
        assert post(http, "/embed", inputs="a", whatever=1).status_code == 200

    def test_tells_the_work_in_headers(self, http):
        headers = post(http, "/embed", inputs=["First text", "é"]).headers
        assert headers["x-compute-characters"] == "11"
        assert headers["x-compute-tokens"] == "7"

    def test_times_in_headers_are_milliseconds_rounded_down(self, handler, monkeypatch):
        usage = Usage(
            texts=2,
            tokens=6,
            characters=2,
            truncated=0,
            windowed=0,
            tokenization_seconds=0.0019,
            inference_seconds=0.0527,
        )
        response = Response(usage=usage)
        monkeypatch.setattr(handler.application, "answer", lambda *_: ("/embed", response))
        headers = handler.answer(Request(method="POST", path="/embed", headers={})).headers
        times = [headers[f"x-{name}-time"] for name in ("tokenization", "queue", "inference")]
        assert times == ["1", "0", "52"]


HEADERS = {
    "content-type": "application/json",
    "x-compute-type": "cpu",
    **dict.fromkeys(["x-compute-time", "x-compute-characters", "x-compute-tokens", "x-total-time"], "1"),
    **dict.fromkeys(["x-tokenization-time", "x-queue-time", "x-inference-time"], "1"),
}


class TestValidate:
    """Answers that TEI would not give are refused."""

    @staticmethod
    def response(path="/embed", status=200, content="[[0.5]]", method="POST", **headers):
        request = httpx.Request(method, f"http://localhost{path}")
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Response(status, content=content, headers=HEADERS | headers, request=request)

    def test_an_answer_as_teis_passes(self):
        validate(self.response())
        validate(self.response(status=400, content='{"error": "", "error_type": "Empty"}'))

    @pytest.mark.parametrize(
        "answer",
        [
            {"content": "[0.5]"},
            {"content": '[["a"]]'},
            {"x_compute_type": "gpu"},
            {"x_queue_time": "0.5"},
            {"content_type": "text/plain"},
            {"path": "/nope"},
            {"path": "/info", "method": "POST"},
            {"status": 500, "content": '{"error": "", "error_type": "Validation"}'},
            {"status": 400, "content": '{"error": "", "error_type": "Validation"}'},
            {"status": 400, "content": '{"error": ""}'},
            {"status": 503, "content": '{"error": "", "error_type": "Unhealthy"}'},
            {
                "status": 415,
                "content": '{"error": "Failed to parse the request body as JSON", "error_type": "Validation"}',
            },
            {"path": "/v1/embeddings", "status": 400, "content": '{"error": "", "error_type": "Validation"}'},
        ],
        ids=json.dumps,
    )
    def test_another_is_refused(self, answer):
        with pytest.raises((AssertionError, jsonschema.ValidationError)):
            validate(self.response(**answer))

    @pytest.mark.parametrize(
        "metrics",
        [
            '# TYPE te_request_count gauge\nte_request_count{method="single"} 1\n',
            '# TYPE te_request_count counter\nte_request_count{method="one"} 1\n',
            "# TYPE te_request_count counter\nte_request_count 1\n",
            '# TYPE te_request_duration histogram\nte_request_duration_bucket{le="1"} 1\n'
            'te_request_duration_bucket{le="+Inf"} 1\nte_request_duration_count 1\nte_request_duration_sum 1\n',
        ],
    )
    def test_other_metrics_are_refused(self, metrics):
        with pytest.raises(AssertionError):
            validate(self.response("/metrics", content=metrics, method="GET", content_type="text/plain"))


class TestVectors:
    """Against the original model, over HTTP."""

    @pytest.mark.parametrize("prompt", [None, "query"])
    def test_are_those_of_the_original(self, http, reference, prompt):
        texts = [*LANGUAGES.values(), *(text for text in ODD.values() if text)]
        response = post(http, "/embed", inputs=texts, prompt_name=prompt, truncate=True)
        validate(response)
        expected = reference.encode(texts, prompt=f"{prompt}: " if prompt else None, normalize_embeddings=True)
        cosines = (np.array(response.json()) * expected).sum(axis=1)
        assert dict(zip(texts, cosines.tolist(), strict=True)) == {text: pytest.approx(1, abs=0.01) for text in texts}


class TestPrecision:
    """Against sentence-transformers' own ``quantize_embeddings``."""

    @pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
    @pytest.mark.parametrize("dimensions", [384, 100])
    def test_is_that_of_sentence_transformers(self, http, precision, dimensions):
        from sentence_transformers.util.quantization import quantize_embeddings

        inputs = ["First text", "query: Wie wird das Wetter?", "水", "x" * 300]
        vectors = np.array(post(http, "/embed", inputs=inputs, dimensions=dimensions).json(), dtype=np.float32)
        high = np.full(dimensions, 5 / np.sqrt(dimensions), dtype=np.float32)
        expected = quantize_embeddings(vectors, precision, ranges=np.vstack([-high, high]))
        given = post(http, "/embed", inputs=inputs, dimensions=dimensions, precision=precision)
        validate(given)
        # A number on the edge of two steps may fall to either side.
        assert np.abs(np.array(given.json()) - expected).max() <= (1 if precision.endswith("int8") else 0)
        assert np.mean(np.array(given.json()) == expected) > 0.999

    def test_int8_keeps_cosines(self, http):
        inputs = [
            "query: cats",
            "passage: A kitten sleeps.",
            "passage: The bank is closed.",
            "passage: Die Katze schläft.",
        ]
        exact = np.array(post(http, "/embed", inputs=inputs).json())
        quantized = np.array(post(http, "/embed", inputs=inputs, precision="int8").json())
        for vector, small in zip(exact[1:], quantized[1:], strict=True):
            assert cosine(quantized[0], small) == pytest.approx(cosine(exact[0], vector), abs=0.005)

    def test_int8_needs_unit_vectors(self, http):
        response = post(http, "/embed", inputs="a", precision="int8", normalize=False)
        assert response.status_code == VALIDATION
        assert "normalize" in response.json()["error"]


class TestEmbedAll:
    def test_gives_a_vector_for_each_token(self, http, reference):
        response = post(http, "/embed_all", inputs=["First text", "Ein zweiter"])
        validate(response)
        for text, vectors in zip(["First text", "Ein zweiter"], response.json(), strict=True):
            expected = reference.encode(text, output_value="token_embeddings").numpy()
            assert np.shape(vectors) == expected.shape
            for vector, exact in zip(vectors, expected, strict=True):
                assert cosine(vector, exact) > 0.98

    def test_its_mean_is_the_vector_of_the_text(self, http):
        tokens = np.array(post(http, "/embed_all", inputs="First text").json()[0])
        vector = post(http, "/embed", inputs="First text", normalize=False).json()[0]
        assert tokens.mean(axis=0) == pytest.approx(vector, abs=1e-5)

    def test_takes_prompts_and_truncates(self, http):
        prompted = post(http, "/embed_all", inputs="text", prompt_name="query").json()
        assert prompted == post(http, "/embed_all", inputs="query: text").json()
        assert len(post(http, "/embed_all", inputs=LONG, truncate=True).json()[0]) == 512
        validate(response := post(http, "/embed_all", inputs=LONG, truncate=False))
        assert response.status_code == VALIDATION

    def test_what_would_not_fit_is_refused_before_it_is_computed(self, http):
        response = post(http, "/embed_all", inputs=["word " * 500] * 5)
        validate(response)
        assert response.status_code == VALIDATION
        assert "the first 4 fit" in response.json()["error"]
        assert float(response.elapsed.total_seconds()) < 1


class TestSimilarity:
    SENTENCES = ("A kitten sleeps.", "The bank is closed.", "Die Katze schläft.")

    def test_gives_cosines(self, http, reference):
        inputs = {"source_sentence": "A cat is sleeping.", "sentences": [*self.SENTENCES]}
        response = post(http, "/similarity", inputs=inputs)
        validate(response)
        source, *others = reference.encode(["A cat is sleeping.", *self.SENTENCES])
        assert response.json() == pytest.approx([cosine(source, other) for other in others], abs=0.02)

    def test_takes_parameters(self, http):
        inputs = {"source_sentence": "cat", "sentences": [LONG]}
        refused = post(http, "/similarity", inputs=inputs, parameters={"truncate": False})
        assert refused.status_code == VALIDATION
        parameters = {"truncate": True, "truncation_direction": "Left", "prompt_name": "query"}
        response = post(http, "/similarity", inputs=inputs, parameters=parameters)
        validate(response)
        assert response.status_code == 200
        assert post(http, "/similarity", inputs=inputs, parameters=None).status_code == 200

    def test_as_many_sentences_as_a_batch_has_texts(self, http):
        sentences = [str(number) for number in range(2048)]
        cosines = post(http, "/similarity", inputs={"source_sentence": "2047", "sentences": sentences}).json()
        assert len(cosines) == 2048 and cosines[2047] == pytest.approx(1, abs=1e-5)

    def test_no_sentences(self, http):
        response = post(http, "/similarity", inputs={"source_sentence": "cat", "sentences": []})
        validate(response)
        assert response.status_code == 400
        assert response.json() == {
            "error": "`inputs.sentences` cannot be empty",
            "error_type": "Empty",
        }


class TestTokens:
    def test_tokenize_gives_ids_and_places_in_bytes(self, http, checkpoint):
        from transformers import AutoTokenizer

        text = "Grüße, 世界 🎉"
        response = post(http, "/tokenize", inputs=text)
        validate(response)
        (tokens,) = response.json()
        assert [token["id"] for token in tokens] == AutoTokenizer.from_pretrained(checkpoint)(text)["input_ids"]
        assert tokens[0] == {"id": 0, "text": "<s>", "special": True, "start": None, "stop": None}
        for token in tokens[1:-1]:
            assert text.encode()[token["start"] : token["stop"]].decode() == token["text"]

    def test_tokenize_gives_the_places_that_tei_gives(self, http):
        """TEI's own test of XLM-RoBERTa's tokenizer has these (``core/src/tokenization.rs``)."""
        (tokens,) = post(http, "/tokenize", inputs="这是一个文本向量化的测试句子").json()
        places = [(token["start"], token["stop"]) for token in tokens[1:-1]]
        assert places == [(0, 3), (0, 12), (12, 18), (18, 21), (21, 24), (24, 30), (30, 36), (36, 39), (39, 42)]

    def test_tokenize_without_special_tokens_and_with_a_prompt(self, http):
        bare = post(http, "/tokenize", inputs=["text"], add_special_tokens=False, prompt_name="query").json()[0]
        assert not any(token["special"] for token in bare)
        assert "".join(token["text"] for token in bare) == "query:text"

    def test_decode_takes_it_back(self, http):
        text = "Grüße, 世界 🎉"
        ids = [token["id"] for token in post(http, "/tokenize", inputs=text).json()[0]]
        response = post(http, "/decode", ids=ids)
        validate(response)
        assert response.json() == [text]
        assert post(http, "/decode", ids=[ids, ids]).json() == [text, text]
        assert post(http, "/decode", ids=ids, skip_special_tokens=False).json() == [f"<s> {text}</s>"]

    def test_decode_leaves_out_ids_that_do_not_exist(self, http):
        """As ``tokenizers``, which TEI calls."""
        ids = [token["id"] for token in post(http, "/tokenize", inputs="two words").json()[0]]
        response = post(http, "/decode", ids=[ids[0], 4_000_000_000, *ids[1:], 250_037])
        validate(response)
        assert response.json() == ["two words"]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/tokenize", {"inputs": []}),
            ("/tokenize", {"inputs": ""}),
            ("/decode", {"ids": []}),
            ("/decode", {"ids": [[1], []]}),
        ],
    )
    def test_nothing_is_an_empty_error(self, http, path, body):
        response = http.post(path, json=body)
        validate(response)
        assert (response.status_code, response.json()["error_type"]) == (400, "Empty")

    def test_what_is_too_much(self, http):
        assert post(http, "/tokenize", inputs="a " * 70_000).status_code == VALIDATION
        response = post(http, "/tokenize", inputs=["a b c d " * 10_000] * 20)
        assert response.status_code == VALIDATION
        validate(response)


class TestModelHeads:
    @pytest.mark.parametrize(
        ("path", "body", "message"),
        [
            ("/rerank", {"query": "a", "texts": ["b"]}, "model is not a re-ranker model"),
            ("/predict", {"inputs": "a"}, "Model is not a classifier model"),
            ("/predict", {"inputs": [["a", "b"], ["c"]]}, "Model is not a classifier model"),
            ("/embed_sparse", {"inputs": "a"}, "Model is not an embedding model with SPLADE pooling"),
        ],
    )
    def test_what_the_model_has_no_head_for(self, http, path, body, message):
        response = http.post(path, json=body)
        validate(response)
        assert response.status_code == 424
        assert response.json() == {"error": f"Backend error: {message}", "error_type": "Backend"}

    def test_rerank_of_nothing(self, http):
        validate(response := http.post("/rerank", json={"query": "a", "texts": []}))
        assert response.status_code == 400
        assert response.json() == {"error": "`texts` cannot be empty", "error_type": "Empty"}

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/embed", {"inputs": "a"}),
            ("/embed_all", {"inputs": "a"}),
            ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}),
        ],
    )
    def test_a_model_for_another_task_does_not_embed(self, reranker, path, body):
        response = reranker.post(path, json=body)
        validate(response)
        assert response.status_code == 424
        assert response.json() == {"error": "Backend error: Model is not an embedding model", "error_type": "Backend"}

    def test_a_model_for_another_task_on_openais_route(self, reranker):
        response = reranker.post("/v1/embeddings", json={"input": "a"})
        assert response.status_code == 424
        assert response.json()["error"]["message"] == "Model is not an embedding model"

    def test_a_model_for_another_task_in_a_direct_invocation(self, reranking):
        assert "missing required field `query`" in make_handler(reranking)({"inputs": "a"})["error"]

    def test_a_model_for_another_task_tokenizes(self, reranker, http):
        assert post(reranker, "/tokenize", inputs="a").json() == post(http, "/tokenize", inputs="a").json()

    def test_each_task_with_a_head_has_a_route_and_one_for_direct_invocations(self):
        assert set(BY_TASK) == set(HEADS)
        assert all(task in BY_TASK[task].tasks for task in HEADS)


@pytest.fixture(scope="module")
def reranking(engine):
    """An engine whose manifest says that the model reranks."""
    changed = copy.copy(engine)
    changed.manifest = msgspec.structs.replace(engine.manifest, task="rerank")
    return changed


@pytest.fixture(scope="module")
def reranker(reranking):
    """A client of a server whose model reranks."""
    with serving(make_handler(reranking)) as url, httpx.Client(base_url=url) as client:
        yield client


class TestService:
    @pytest.mark.parametrize("path", ["/health", "/", "/ping"])
    def test_health(self, http, path):
        response = http.get(path)
        validate(response)
        assert (response.status_code, response.content) == (200, b"")

    def test_info(self, http):
        response = http.get("/info")
        validate(response)
        info = response.json()
        assert info["model_id"] == info["served_model_name"] == "intfloat/multilingual-e5-small"
        assert (info["model_type"], info["task"]) == ({"embedding": {"pooling": "mean"}}, "embed")
        assert (info["max_input_length"], info["dimensions"], info["max_client_batch_size"]) == (512, 384, 951)
        assert info["prompts"] == {"query": "query: ", "passage": "passage: "}
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        assert info["version"] == http.get("/openapi.json").json()["info"]["version"] == project["version"]

    def test_routes_without_a_key_are_those_of_tei(self):
        """Where ``tei.yaml`` has ``open``, less those of our known differences."""
        routes = ROUTES + answerable("embed")
        ours = {f"{route.method} {path}": route.open for route in routes for path in (route.path, *route.also)}
        for operation, route in EXPECTED["routes"].items():
            for alias in [operation.split()[1], *route.get("aliases", [])] if route else []:
                assert ours[f"{operation.split()[0]} {alias}"] == route.get("open", False), operation

    @pytest.mark.parametrize("kind", ["routes", "headers", "metrics"])
    def test_differences_are_documented(self, kind):
        documented = (PROJECT / "docs/api.md").read_text().partition("\n## Differences from TEI and OpenAI\n")[2]
        for name in DIFFERENCES[kind]:
            assert f"`{name.split()[-1]}`" in documented


class TestMetrics:
    """What is counted when, as in TEI's ``server.rs`` and ``infer.rs``."""

    @staticmethod
    def samples(http) -> dict[tuple, float]:
        """The values by name and labels, without zeros."""
        validate(response := http.get("/metrics"))
        families = text_string_to_metric_families(response.text)
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples if s.value}

    def test_answered_requests(self, serve):
        http = serve()
        post(http, "/embed", inputs=["a", "b"])
        post(http, "/v1/embeddings", input=["a"])
        post(http, "/embed_all", inputs="a")
        post(http, "/embed", inputs=[0, 10, 2])
        inputs = {"source_sentence": "a", "sentences": ["b"]}
        post(http, "/similarity", inputs=inputs)
        post(http, "/tokenize", inputs="a")
        post(http, "/decode", ids=[0, 10, 2])
        samples = self.samples(http)
        for name in ("te_request_count_total", "te_request_success_total"):
            assert (samples[name, "batch"], samples[name, "single"]) == (3, 2)
        assert samples["te_embed_count_total",] == samples["te_embed_success_total",] == 7
        assert samples["te_request_input_length_count",] == 7
        assert samples["te_request_input_length_sum",] == 7 * 3
        assert ("te_request_input_length_bucket", "512") in samples
        assert ("te_request_input_length_bucket", "1024") not in samples
        for step in ("", "tokenization_", "queue_", "inference_"):
            assert samples[f"te_request_{step}duration_count",] == 5
            assert samples[f"te_embed_{step}duration_count",] == 7
        assert samples["te_request_duration_sum",] >= samples["te_request_inference_duration_sum",]
        assert samples["te_embed_inference_duration_sum",] > samples["te_request_inference_duration_sum",]
        assert not any("failure" in name for name, *_ in samples)

    @pytest.mark.parametrize(
        ("path", "body", "label", "method", "inputs"),
        [
            ("/embed", {"inputs": ""}, "tokenization", "single", 1),
            ("/embed", {"inputs": ["a", ""]}, "tokenization", "batch", 2),
            ("/embed", {"inputs": "a", "prompt_name": "nope"}, "tokenization", "single", 1),
            ("/embed", {"inputs": [0, 4_000_000_000, 2]}, "tokenization", "single", 1),
            ("/embed", {"inputs": "a", "dimensions": 0}, "validation", "single", 0),
            ("/v1/embeddings", {"input": ["a"] * 4}, "batch_size", "batch", 0),
            ("/embed_sparse", {"inputs": "a"}, "model_type", "single", 0),
            ("/rerank", {"query": "a", "texts": ["b"]}, "model_type", "batch", 0),
            ("/predict", {"inputs": ["a", "b"]}, "model_type", "single", 0),
            ("/predict", {"inputs": [["a", "b"]]}, "model_type", "batch", 0),
            ("/decode", {"ids": [[1], []]}, "tokenization", None, 0),
            ("/tokenize", {"inputs": ["a"] * 4}, "batch_size", None, 0),
            ("/tokenize", {"inputs": []}, "validation", None, 0),
            # What TEI's handlers never see.
            ("/embed", {"inputs": 1}, None, None, 0),
            ("/embed", {"inputs": ["a", 1]}, None, "batch", 0),
            ("/nope", {"inputs": "a"}, None, None, 0),
        ],
    )
    def test_failures(self, serve, path, body, label, method, inputs):
        http = serve(max_texts=3)
        assert http.post(path, json=body).status_code >= 400
        samples = self.samples(http)
        expected = {("te_request_failure_total", label): 1} if label else {}
        expected |= {("te_request_count_total", method): 1} if method else {}
        expected |= {("te_embed_count_total",): inputs} if inputs else {}
        assert samples == expected

    def test_a_fault_of_ours_is_a_failed_inference(self, serve, engine, monkeypatch):
        http = serve()
        monkeypatch.setattr(type(engine), "embed", lambda *_: 1 / 0)
        assert post(http, "/embed", inputs="a").status_code == 500
        assert self.samples(http)["te_request_failure_total", "inference"] == 1


class TestLimits:
    def test_texts(self, serve):
        http = serve(max_texts=3)
        assert post(http, "/embed", inputs=["a"] * 3).status_code == 200
        for path, body in [
            ("/embed", {"inputs": ["a"] * 4}),
            ("/embed_all", {"inputs": ["a"] * 4}),
            ("/tokenize", {"inputs": ["a"] * 4}),
            ("/decode", {"ids": [[1]] * 4}),
            ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 4}}),
        ]:
            response = http.post(path, json=body)
            validate(response)
            assert response.status_code == VALIDATION
            assert response.json()["error"] == "batch size 4 > maximum allowed batch size 3"

    def test_tokens(self, serve):
        http = serve(max_tokens=10)
        assert post(http, "/embed", inputs=["a", "a", "a"]).status_code == 200
        response = post(http, "/embed", inputs=["a", "a", "a", "a"])
        assert response.status_code == VALIDATION
        assert "the 10 tokens that a request may have" in response.json()["error"]

    def test_a_batch_whose_answer_would_not_fit_is_told_how_many_do(self, http):
        plain = {"accept-encoding": "identity"}
        response = http.post("/embed", json={"inputs": ["a"] * 1500}, headers=plain)
        validate(response)
        assert response.status_code == VALIDATION
        fit = int(response.json()["error"].split(" fit,")[0].split()[-1])
        assert fit == http.get("/info").json()["max_client_batch_size"]
        assert "with `Accept-Encoding: gzip`" in response.json()["error"]
        assert response.elapsed.total_seconds() < 0.5
        answer = http.post("/embed", json={"inputs": ["a"] * fit}, headers=plain)
        assert len(answer.content) < 6 * 2**20
        short = {"inputs": ["a"] * (fit + 1), "dimensions": 128}
        assert len(http.post("/embed", json=short, headers=plain).json()) == fit + 1


class TestHugeTexts:
    """Texts that would take gigabytes to tokenize are refused first; the limits are TEI's where TEI has them."""

    @pytest.mark.parametrize("text", ["<s>" + "ab " * 1_900_000, "a" * 5_900_000, " " * 5_900_000])
    def test_are_refused_or_cut_off_before_they_are_tokenized(self, http, text):
        for path, options in [
            ("/embed", {"truncate": False}),
            ("/embed", {"long_texts": "window"}),
            ("/embed_all", {"truncate": False}),
            ("/tokenize", {}),
        ]:
            response = post(http, path, inputs=text, **options)
            validate(response)
            assert response.status_code == VALIDATION
            assert "characters" in response.json()["error"]
        assert post(http, "/embed", inputs=text, truncate=True).status_code == 200
        assert post(http, "/embed", inputs=text, truncate=True, truncation_direction="Left").status_code == 200

    def test_many_windows_are_refused_before_they_are_made(self, http):
        response = post(http, "/embed", inputs="word " * 60_000, long_texts="window", window_overlap=509)
        assert response.status_code == VALIDATION
        assert "tokens that a request may have" in response.json()["error"]

    def test_many_ids(self, http):
        assert post(http, "/embed", inputs=[5] * 1_000_000, truncate=False).status_code == VALIDATION
        assert post(http, "/decode", ids=[5] * 1_000_000).status_code == VALIDATION


class TestWindows:
    def test_a_long_text_is_the_mean_of_its_windows(self, http, engine):
        words = [f"word{number}" for number in range(500)]
        text = " ".join(words)
        response = post(http, "/embed", inputs=text, long_texts="window", window_overlap=100)
        ids = engine.tokenize(text)
        size, windows, start = 510, [], 0
        while True:
            windows.append([0, *ids[start : start + size], 2])
            if start + size >= len(ids):
                break
            start += size - 100
        assert len(windows) > 2
        vectors = np.array([engine.embed(window, False) for window in windows], dtype=np.float64)
        mean = (vectors * np.array([[len(window)] for window in windows])).sum(axis=0)
        assert response.json()[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)

    def test_every_window_has_the_prompt(self, http, reference):
        """Windows of whole sentences, so that the original model can be given their text."""
        sentence = "the ship " * 20  # 40 tokens
        text = (sentence * 30).strip()
        response = post(http, "/embed", inputs=text, long_texts="window", window_overlap=0, prompt_name="passage")
        expected = reference.encode("passage: " + (sentence * 12).strip())
        assert cosine(response.json()[0], expected) > 0.99

    def test_a_short_text_is_not_windowed(self, http):
        given = post(http, "/embed", inputs="short", long_texts="window").json()
        assert given == post(http, "/embed", inputs="short").json()

    def test_is_a_setting_too(self, serve):
        http = serve(long_texts="window")
        assert http.get("/info").json()["long_texts"] == "window"
        assert post(http, "/embed", inputs=LONG).status_code == 200
        assert post(http, "/embed", inputs=LONG, truncate=False).status_code == VALIDATION
        assert post(http, "/embed", inputs=LONG, long_texts="error").status_code == VALIDATION
        assert post(http, "/embed_all", inputs=LONG).status_code == VALIDATION

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"window_overlap": 510}, "less than 510"),
            ({"window_overlap": 508, "prompt_name": "query"}, "less than the 507 tokens"),
            ({"truncate": True}, "contradict"),
        ],
    )
    def test_what_cannot_be(self, http, options, message):
        response = post(http, "/embed", inputs=LONG, long_texts="window", **options)
        assert response.status_code == VALIDATION
        assert message in response.json()["error"]
