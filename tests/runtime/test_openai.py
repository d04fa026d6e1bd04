"""OpenAI's routes over HTTP, as raw requests; ``test_clients.py`` has its published client."""

import base64
import copy

import httpx
import msgspec
import numpy as np
import pytest

from tests.runtime.conftest import make_handler, serving

MODEL = "intfloat/multilingual-e5-small"
LONG = "word " * 600


def embeddings(http, **body):
    return http.post("/v1/embeddings", json={"model": MODEL, **body})


def vectors(response) -> list[list[float]]:
    assert response.status_code == 200
    return [item["embedding"] for item in response.json()["data"]]


def error(response) -> dict:
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return body["error"]


class TestEmbeddings:
    @pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
    def test_the_answer(self, http, path):
        response = http.post(path, json={"model": MODEL, "input": ["First text", "Second text"], "user": "me"})
        body = response.json()
        assert body.keys() == {"object", "data", "model", "usage"}
        assert (body["object"], body["model"]) == ("list", MODEL)
        assert [(item["object"], item["index"]) for item in body["data"]] == [("embedding", 0), ("embedding", 1)]
        assert vectors(response) == http.post("/embed", json={"inputs": ["First text", "Second text"]}).json()

    def test_usage_counts_what_the_model_read(self, http):
        tokens = http.post("/tokenize", json={"inputs": ["First text", "Second"]}).json()
        usage = embeddings(http, input=["First text", "Second"]).json()["usage"]
        assert usage == dict.fromkeys(["prompt_tokens", "total_tokens"], sum(map(len, tokens)))

    def test_inputs_as_text_and_as_tokens(self, http):
        ids = [token["id"] for token in http.post("/tokenize", json={"inputs": "First text"}).json()[0]]
        expected = vectors(embeddings(http, input="First text"))
        assert vectors(embeddings(http, input=ids)) == expected
        assert vectors(embeddings(http, input=[ids, ids])) == expected * 2
        assert vectors(embeddings(http, input=[ids, "First text"])) == expected * 2

    @pytest.mark.parametrize("ids", [[5451, 1495], [0, 5451, 1495], [5451, 1495, 2], [0], [2, 5451, 0]])
    def test_token_ids_without_the_models_special_tokens(self, http, ids):
        """They may be those of another model, as LangChain's are, and would get vectors of other words."""
        for inputs in (ids, ["First text", ids]):
            response = embeddings(http, input=inputs)
            assert response.status_code == 400
            told = error(response)
            assert told["param"] == "input"
            assert "start with [0] and end with [2]" in told["message"]
            assert "check_embedding_ctx_length=False" in told["message"]
        assert http.post("/embed", json={"inputs": [ids]}).status_code == 200

    @pytest.mark.parametrize(
        ("prefix", "suffix", "valid", "invalid"),
        [([], [2], [[2], [7, 2]], [[7], [2, 7]]), ([2], [2], [[2, 2], [2, 7, 2]], [[2], [7, 2]]), ([], [], [], [[7]])],
    )
    def test_token_ids_of_models_with_other_special_tokens(self, engine, prefix, suffix, valid, invalid):
        tokenizer = msgspec.structs.replace(engine.manifest.tokenizer, prefix=prefix, suffix=suffix)
        other = copy.copy(engine)
        other.manifest = msgspec.structs.replace(engine.manifest, tokenizer=tokenizer)
        with serving(make_handler(other)) as url, httpx.Client(base_url=url) as http:
            assert [embeddings(http, input=[ids]).status_code for ids in valid] == [200] * len(valid)
            assert [embeddings(http, input=[ids]).status_code for ids in invalid] == [400] * len(invalid)
            assert embeddings(http, input="text").status_code == 200

    def test_base64_is_little_endian_float32(self, http):
        (encoded,) = vectors(embeddings(http, input="First text", encoding_format="base64"))
        decoded = np.frombuffer(base64.b64decode(encoded), dtype="<f4")
        assert decoded.tolist() == np.float32(vectors(embeddings(http, input="First text"))[0]).tolist()

    def test_dimensions(self, http):
        (short,) = vectors(embeddings(http, input="First text", dimensions=32))
        assert short == http.post("/embed", json={"inputs": "First text", "dimensions": 32}).json()[0]

    def test_a_prompt_by_the_models_name(self, http):
        expected = http.post("/embed", json={"inputs": "text", "prompt_name": "query"}).json()
        assert vectors(embeddings(http, input="text", model=f"{MODEL}:query")) == expected
        assert vectors(embeddings(http, input="text", prompt_name="query")) == expected
        assert vectors(embeddings(http, input="text", prompt_name="query", model=f"{MODEL}:query")) == expected

    def test_two_prompts_contradict(self, http):
        response = embeddings(http, input="text", prompt_name="passage", model=f"{MODEL}:query")
        assert response.status_code == 400
        assert error(response)["param"] == "prompt_name"

    def test_without_a_model(self, http):
        assert http.post("/v1/embeddings", json={"input": "text"}).status_code == 200

    def test_long_texts(self, http):
        windowed = http.post("/embed", json={"inputs": LONG, "long_texts": "window"}).json()
        assert vectors(embeddings(http, input=LONG, long_texts="window")) == windowed
        truncated = http.post("/embed", json={"inputs": LONG, "truncate": True}).json()
        assert vectors(embeddings(http, input=LONG, truncate=True)) == truncated

    def test_precision_as_numbers(self, http):
        (packed,) = vectors(embeddings(http, input="text", precision="ubinary"))
        assert packed == http.post("/embed", json={"inputs": "text", "precision": "ubinary"}).json()[0]
        response = embeddings(http, input="text", precision="int8", encoding_format="base64")
        assert response.status_code == 400
        assert error(response)["param"] == "encoding_format"

    def test_gzip_and_base64_fit_more(self, http):
        http.headers["accept-encoding"] = "identity"
        try:
            response = embeddings(http, input=["a"] * 1000)
            assert response.status_code == 400
            message = error(response)["message"]
            for encoding in ("gzip` ", "base64 "):
                assert int(message.rpartition(encoding)[2].split()[0]) >= 2048
            assert len(vectors(embeddings(http, input=["a"] * 1000, encoding_format="base64"))) == 1000
        finally:
            http.headers["accept-encoding"] = "gzip"
        assert len(vectors(embeddings(http, input=["a"] * 1000))) == 1000


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"input": ""}, "input"),
            ({"input": []}, "input"),
            ({"input": LONG, "truncate": False}, "input"),
            ({"input": ["a"] * 2049}, "input"),
            ({"input": {"text": "a"}}, "input"),
            ({"input": ["a", 1]}, None),
            ({"input": [2**31]}, "input"),
            ({"input": "a", "dimensions": 0}, "dimensions"),
            ({"input": "a", "dimensions": 385}, "dimensions"),
            ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
            ({"input": "a", "prompt_name": "nope"}, "prompt_name"),
            ({}, None),
        ],
    )
    def test_what_is_wrong_with_a_request_is_a_400(self, http, body, param):
        response = embeddings(http, **body)
        assert response.status_code == 400
        told = error(response)
        assert (told["type"], told["param"]) == ("invalid_request_error", param)
        assert "`inputs`" not in told["message"]

    def test_no_json(self, http):
        response = http.post("/v1/embeddings", content="{", headers={"content-type": "application/json"})
        assert response.status_code == 400
        error(response)

    @pytest.mark.parametrize("model", ["text-embedding-3-small", f"{MODEL}:nope", "", "nope:query"])
    def test_a_model_that_is_not_served(self, http, model):
        response = embeddings(http, input="a", model=model)
        assert response.status_code == 404
        assert error(response)["code"] == "model_not_found"

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/embeddings", 405), ("GET", "/v1/nope", 404)])
    def test_other_methods_and_paths(self, http, method, path, status):
        response = http.request(method, path)
        assert response.status_code == status
        error(response)


class TestModels:
    def test_the_list_has_the_prompts(self, http):
        body = http.get("/v1/models").json()
        assert body["object"] == "list"
        assert [model["id"] for model in body["data"]] == [MODEL, f"{MODEL}:query", f"{MODEL}:passage"]
        assert all(model["object"] == "model" for model in body["data"])

    @pytest.mark.parametrize("path", [MODEL, "intfloat%2Fmultilingual-e5-small", f"{MODEL}:query"])
    def test_one(self, http, path):
        body = http.get(f"/v1/models/{path}").json()
        assert body["id"] == path.replace("%2F", "/")

    def test_none(self, http):
        response = http.get("/v1/models/nope")
        assert response.status_code == 404
        assert error(response)["code"] == "model_not_found"

    def test_names_of_ones_own(self, serve):
        http = serve(served_model_names=("text-embedding-3-small", "e5"))
        for name in ("text-embedding-3-small", "e5", MODEL):
            # As vLLM does, whose first name is in the answers.
            assert embeddings(http, input="a", model=name).json()["model"] == "text-embedding-3-small"
            assert embeddings(http, input="a", model=f"{name}:query").status_code == 200
        assert embeddings(http, input="a", model="text-embedding-ada-002").status_code == 404
        listed = [model["id"] for model in http.get("/v1/models").json()["data"]]
        names = ["text-embedding-3-small", "e5", MODEL]
        assert listed == names + [f"{name}:{prompt}" for name in names for prompt in ("query", "passage")]
        assert http.get("/info").json()["served_model_name"] == "text-embedding-3-small"

    def test_any_name(self, serve):
        http = serve(served_model_names=("*",))
        bare, query = vectors(embeddings(http, input="a")), vectors(embeddings(http, input="a", prompt_name="query"))
        for name in ("text-embedding-ada-002", "", "*", "nomic-embed-text:latest", "a:b:c"):
            response = embeddings(http, input="a", model=name)
            assert (vectors(response), response.json()["model"]) == (bare, MODEL)
        for name in ("tei:query", ":query", "nomic-embed-text:latest:query", f"{MODEL}:query"):
            assert vectors(embeddings(http, input="a", model=name)) == query
        # A slip in a name that is known gets no vector without its prompt.
        assert embeddings(http, input="a", model=f"{MODEL}:qeury").status_code == 404
        assert http.get("/v1/models/any").json()["id"] == "any"
        assert http.get("/v1/models").json()["data"][0]["id"] == MODEL
        assert http.get("/info").json()["served_model_name"] == MODEL
