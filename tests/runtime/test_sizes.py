"""How long answers get: the bounds hold for the numbers that orjson writes, and an answer that is too long is told."""

import base64
import gzip
import json
import math

import numpy as np
import orjson
import pytest
from awslambdaric.bootstrap import to_json

from runtime.aws import http_events
from runtime.http import sizes
from runtime.http.answers import numbers_answer
from runtime.http.messages import Request, Response, finish
from runtime.service.errors import InvalidInput
from runtime.service.options import Usage
from runtime.service.quantization import quantize
from tests.runtime.test_http import event

DIMENSIONS = (128, 384, 1024, 4096)
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")


def unit_vectors(count: int, dimensions: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((count, dimensions), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sent_bytes(vectors: np.ndarray, accept_encoding: str) -> int:
    """Bytes of what Lambda's runtime client sends for these vectors in OpenAI's form."""
    items = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    response = numbers_answer({"object": "list", "data": items}, Usage(len(vectors), 0, 0, 0, 0, 0, 0))
    finish(response, Request(method="POST", path="/", headers={"accept-encoding": accept_encoding}))
    return len(to_json(http_events.answer(response)).encode())


def test_no_float32_is_longer_than_its_bound():
    bits = np.random.default_rng(0).integers(0, 2**32, 2**20, dtype=np.uint32)
    # Lengths change at the powers of ten.
    powers = np.array([10.0**power for power in range(-45, 39)], np.float32).view(np.uint32)
    near = (powers[:, np.newaxis].astype(np.int64) + np.arange(-50, 50)).clip(0, 2**31 - 1).astype(np.uint32).ravel()
    values = np.concatenate([bits, near, near | 2**31]).view(np.float32)
    values = values[np.isfinite(values)]
    body = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    assert max(map(len, body.strip(b"[]").split(b","))) + len(",") <= sizes.NUMBER_BYTES["float32"]
    # From 10**12 on Python writes more digits than orjson; no vector has such numbers.
    direct = json.dumps([value for value in orjson.loads(body) if abs(value) < 1e12])
    assert max(map(len, direct.strip("[]").split(", "))) + len(", ") <= sizes.NUMBER_BYTES["float32"]


@pytest.mark.parametrize("dimensions", DIMENSIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_as_many_vectors_as_are_let_through_fit(dimensions, precision):
    fit = min(sizes.fitting_vectors(dimensions, precision, gzip=True), 2048)
    vectors = unit_vectors(fit, dimensions)
    vectors = vectors if precision == "float32" else quantize(vectors, precision)
    assert sent_bytes(vectors, "gzip") <= sizes.LAMBDA_PAYLOAD_BYTES
    plain = vectors[: sizes.fitting_vectors(dimensions, precision)]
    assert sent_bytes(plain, "identity") <= sizes.LAMBDA_PAYLOAD_BYTES


def test_an_answer_that_gets_too_long_is_told(serve, monkeypatch):
    """As if vectors compressed worse than any that were measured."""
    http, texts = serve(), [f"Text {number}" for number in range(40)]
    with monkeypatch.context() as patch:
        patch.setattr(sizes, "ANSWER_BYTES", 60_000)
        patch.setattr(sizes, "GZIPPED_SHARE", 0.1)
        response = http.post("/embed", json={"inputs": texts}, headers={"accept-encoding": "gzip"})
    assert response.status_code == 422
    assert "content-encoding" not in response.headers
    about = int(response.json()["error"].partition("of 40 texts about ")[2].split()[0])
    assert 15 < about < 30


def test_text_that_json_escapes_counts_as_it_is_sent():
    """A quote in a body takes two bytes in the JSON that Lambda sends on."""
    body = b'"' * (sizes.ANSWER_BYTES // 2 - 1)
    sizes.check(Response(body=body))
    with pytest.raises(InvalidInput, match="send less in one request"):
        sizes.check(Response(body=body + b'"'))


@pytest.mark.slow
def test_2048_vectors_through_a_function_url(handler):
    texts = [f"Text {number}" for number in range(2048)]
    for path, body in (("/embed", {"inputs": texts}), ("/v1/embeddings", {"input": texts})):
        result = handler(event(path=path, body=json.dumps(body), headers={"accept-encoding": "gzip, deflate"}))
        assert result["statusCode"] == 200
        assert len(to_json(result).encode()) <= sizes.LAMBDA_PAYLOAD_BYTES
        answer = json.loads(gzip.decompress(base64.b64decode(result["body"])))
        vectors = answer if path == "/embed" else [item["embedding"] for item in answer["data"]]
        assert len(vectors) == 2048
        assert math.isclose(np.linalg.norm(vectors[2047]), 1, abs_tol=1e-6)
