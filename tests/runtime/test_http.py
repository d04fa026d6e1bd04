"""Rules of HTTP that hold for any server, through the local server and through a Function URL."""

import base64
import gzip
import json
import time
import zlib

import pytest
from awslambdaric.lambda_context import LambdaContext

from runtime.http.auth import ApiKeyAuthenticator
from runtime.http.messages import BodyError, Request, read_body
from tests.runtime.conftest import make_handler

JSON = {"content-type": "application/json"}


def event(
    method="POST", path="/embed", body: str | None = None, headers: dict | None = None, base64_body=False
) -> dict:
    """A Function URL event, payload format 2.0."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {**JSON, **(headers or {})},
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "a-request"},
        **({} if body is None else {"body": body}),
        "isBase64Encoded": base64_body,
    }


class TestEvents:
    def test_an_answer(self, handler):
        result = handler(event(body='{"inputs": "a"}'))
        assert result.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert result["statusCode"] == 200
        assert result["headers"]["content-type"] == "application/json"
        assert result["headers"]["x-request-id"] == "a-request"
        assert len(json.loads(result["body"])[0]) == 384

    def test_a_base64_body(self, handler):
        body = base64.b64encode('{"inputs": "é"}'.encode()).decode()
        assert handler(event(body=body, base64_body=True))["statusCode"] == 200

    @pytest.mark.parametrize("body", ["é", "not base64!", "YQ", "YQ==YQ=="])
    def test_a_body_that_is_no_base64(self, handler, body):
        result = handler(event(body=body, base64_body=True))
        assert result["statusCode"] == 400
        assert "base64" in json.loads(result["body"])["error"]

    def test_a_body_that_is_no_base64_has_the_error_of_its_route(self, handler):
        result = handler(event(path="/v1/embeddings", body="not base64!", base64_body=True))
        assert result["statusCode"] == 400
        assert "base64" in json.loads(result["body"])["error"]["message"]

    def test_a_body_that_is_no_base64_matters_after_the_key_and_the_route(self, engine):
        handler = make_handler(engine, ApiKeyAuthenticator(lambda seconds: {None: "key"}, report=print))
        request = event(body="not base64!", base64_body=True)
        assert handler(request)["statusCode"] == 401
        with_key = {"authorization": "Bearer key"}
        assert handler(event(headers=with_key, body="not base64!", base64_body=True))["statusCode"] == 400
        unknown = event(path="/nope", headers=with_key, body="not base64!", base64_body=True)
        assert handler(unknown)["statusCode"] == 404
        assert handler(event("GET", "/health", body="not base64!", base64_body=True))["statusCode"] == 200

    def test_a_long_answer_is_base64_of_gzip(self, handler):
        body = json.dumps({"inputs": ["First text"] * 4})
        plain = handler(event(body=body))
        result = handler(event(body=body, headers={"accept-encoding": "gzip"}))
        assert (plain["isBase64Encoded"], result["isBase64Encoded"]) == (False, True)
        assert result["headers"]["content-encoding"] == "gzip"
        assert gzip.decompress(base64.b64decode(result["body"])).decode() == plain["body"]

    @pytest.mark.parametrize(
        "body", [r'{"inputs": "\ud800"}', r'{"inputs": "a", "\ud800": 1}', r'{"inputs": "\udc00"}']
    )
    def test_half_of_a_surrogate_pair_is_named(self, handler, body):
        assert "surrogate" in handler(event(body=body))["body"]

    def test_half_of_a_surrogate_pair(self, handler):
        assert handler(event(body='{"inputs": "\ud800"}'))["statusCode"] == 400
        assert handler(event(body='{"inputs": "\\ud800"}'))["statusCode"] == 400
        assert handler({"inputs": "\ud800"})["error_type"] == "Tokenizer"

    @pytest.mark.parametrize("name", ["Content-Type", "CONTENT-TYPE", "content-Type"])
    def test_header_case(self, handler, name):
        request = event(body='{"inputs": "a"}')
        request["headers"] = {name: "application/json"}
        assert handler(request)["statusCode"] == 200

    def test_a_trailing_slash(self, handler):
        assert handler(event(path="/embed/", body='{"inputs": "a"}'))["statusCode"] == 200

    @pytest.mark.parametrize("missing", ["headers", "body", "rawPath", "isBase64Encoded", "version"])
    def test_missing_parts(self, handler, missing):
        request = event(body='{"inputs": "a"}')
        del request[missing]
        assert handler(request)["statusCode"] < 500


class TestDirectInvocation:
    def test_gives_vectors(self, handler):
        one, many = handler({"inputs": "First text"}), handler({"inputs": ["First text", "Second text"]})
        assert [len(vector) for vector in many] == [384, 384]
        assert one == many[:1]

    def test_takes_the_fields_of_embed(self, handler):
        (vector,) = handler({"inputs": "text", "dimensions": 8, "prompt_name": "query", "normalize": False})
        assert len(vector) == 8

    def test_numbers_have_as_few_digits_as_float32_needs(self, handler):
        assert len(json.dumps(handler({"inputs": "First text"}))) < 5200

    @pytest.mark.parametrize(
        "invalid", [{}, {"inputs": 1}, [], "text", None, {"Records": [{"eventSource": "aws:sqs"}]}]
    )
    def test_an_error_is_a_result(self, handler, invalid):
        assert handler(invalid).keys() == {"error", "error_type"}

    @pytest.mark.parametrize(
        ("texts", "progress"), [(["word " * 500] * 250, "of 250 texts"), (["word " * 100_000], "windows of the texts")]
    )
    def test_what_takes_longer_than_lambda_lets_it_is_refused_in_time(self, handler, texts, progress):
        before = handler({"inputs": "a"})
        context = LambdaContext("id", None, None, (time.time() + 3) * 1000)
        refused = handler({"inputs": texts, "long_texts": "window", "dimensions": 8}, context)
        assert context.get_remaining_time_in_millis() > 0
        assert refused["error_type"] == "Validation"
        assert "takes longer than the function may" in refused["error"] and progress in refused["error"]
        assert handler({"inputs": "a"}) == before

    def test_a_text_is_always_tried(self, handler):
        assert handler({"inputs": "a"}, LambdaContext("id", None, None, 0)) == handler({"inputs": "a"})


class TestEncodings:
    def test_gzip_in(self, http):
        body = gzip.compress(b'{"inputs": "First text"}')
        response = http.post("/embed", content=body, headers={**JSON, "content-encoding": "gzip"})
        assert response.json() == http.post("/embed", json={"inputs": "First text"}).json()

    @pytest.mark.parametrize(
        "body", [b"no gzip", gzip.compress(b'{"inputs": "a"}')[:-4], gzip.compress(b"{}") * 2, b""]
    )
    def test_damaged_gzip(self, http, body):
        response = http.post("/embed", content=body, headers={**JSON, "content-encoding": "gzip"})
        assert response.status_code == 400
        assert "gzip" in response.json()["error"]

    def test_a_body_that_unfolds_to_many_times_its_size(self, http):
        compressor = zlib.compressobj(9, wbits=31)
        bomb = b"".join([*(compressor.compress(bytes(2**24)) for _ in range(8)), compressor.flush()])
        response = http.post("/embed", content=bomb, headers={**JSON, "content-encoding": "gzip"})
        assert response.status_code == 413
        assert "6291456 bytes" in response.json()["error"]

    @pytest.mark.parametrize("encoding", ["identity", "gzip"])
    def test_the_limit_of_a_body_is_that_of_its_plain_bytes(self, encoding):
        def request(length):
            body = bytes(length) if encoding == "identity" else gzip.compress(bytes(length))
            return Request(method="POST", path="/", headers={"content-encoding": encoding}, body=body)

        assert read_body(request(100), 100) == bytes(100)
        with pytest.raises(BodyError, match="longer than the 100 bytes"):
            read_body(request(101), 100)

    def test_other_encodings(self, http):
        response = http.post("/embed", content=b"{}", headers={**JSON, "content-encoding": "br"})
        assert response.status_code == 415

    @pytest.mark.parametrize(
        ("accept", "encoded"),
        [
            ("gzip", True),
            ("br, GZIP;q=0.5", True),
            ("*", True),
            ("*;q=0, x-gzip", True),
            ("gzip;q=0", False),
            ("*;q=1, gzip ; q=0.0", False),
            ("*;q=0", False),
            ("br", False),
            ("identity", False),
            ("", False),
        ],
    )
    def test_gzip_out(self, http, accept, encoded):
        response = http.post("/embed", json={"inputs": ["First text"] * 4}, headers={"accept-encoding": accept})
        assert (response.headers.get("content-encoding") == "gzip") == encoded
        assert len(response.json()[3]) == 384

    def test_short_answers_are_not_compressed(self, http):
        response = http.post("/embed", json={"inputs": "First text"}, headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in response.headers

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
    def test_content_type(self, http, content_type):
        response = http.post("/embed", content=b'{"inputs": "a"}', headers={"content-type": content_type})
        assert response.status_code == 415
        assert "application/json" in response.json()["error"]

    @pytest.mark.parametrize(
        "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/a+json"]
    )
    def test_content_types_that_are_json(self, http, content_type):
        response = http.post("/embed", content=b'{"inputs": "a"}', headers={"content-type": content_type})
        assert response.status_code == 200

    @pytest.mark.parametrize(
        "body", [b"", b"{", b'{"inputs": "\xff"}', b'{"inputs": NaN}', b'{"x": ' + b"[" * 100_000, b"\x00"]
    )
    def test_what_is_no_json(self, http, body):
        response = http.post("/embed", content=body, headers=JSON)
        assert response.status_code == 400
        assert response.json()["error"].startswith("Failed to parse the request body as JSON")


class TestMethods:
    @pytest.mark.parametrize("path", ["/health", "/info", "/", "/v1/models", "/metrics", "/openapi.json", "/docs"])
    def test_head_is_get_without_a_body(self, http, path):
        get, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers.get("content-length") in (None, get.headers["content-length"])

    def test_options(self, http):
        response = http.options("/")
        assert response.status_code == 204
        assert set(response.headers["allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}

    def test_a_method_that_is_not_allowed(self, http):
        for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD"):
            response = http.request(method, "/embed")
            assert response.status_code == 405
            assert response.headers["allow"] == "POST, OPTIONS"

    @pytest.mark.parametrize("path", ["/nope", "/embed/more", "/EMBED", "/v2/embed", "/%65mbed"])
    def test_an_unknown_path(self, http, path):
        response = http.post(path, json={"inputs": "a"})
        assert response.status_code == 404
        assert response.json()["error_type"] == "NotFound"


PREFLIGHT = {"origin": "https://app.example", "access-control-request-method": "POST"}


class TestCors:
    def test_is_off_by_default(self, http):
        response = http.post("/embed", json={"inputs": "a"}, headers={"origin": "https://app.example"})
        assert "access-control-allow-origin" not in response.headers
        assert "access-control-allow-origin" not in http.options("/embed", headers=PREFLIGHT).headers

    @pytest.mark.parametrize(("origins", "allowed"), [(("https://app.example",), "https://app.example"), (("*",), "*")])
    def test_lets_an_origin_in(self, serve, origins, allowed):
        http = serve(cors_origins=origins)
        preflight = http.options("/embed", headers=PREFLIGHT)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == allowed
        allowed_headers = preflight.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "x-stainless-os"} <= set(allowed_headers)
        response = http.post("/embed", json={"inputs": "a"}, headers={"origin": "https://app.example"})
        assert response.headers["access-control-allow-origin"] == allowed
        assert "x-request-id" in response.headers["access-control-expose-headers"].split(", ")

    def test_keeps_others_out(self, serve):
        http = serve(cors_origins=("https://app.example",))
        response = http.options("/embed", headers={**PREFLIGHT, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in response.headers
