"""The image answers invocations in the memory, the CPU and the read-only file system that Lambda gives it."""

import json

import httpx
import numpy as np
import pytest

from containers import emulator, podman
from containers.emulator import FunctionContainer
from containers.tools import wait_until
from infra.memory import needed_memory_mb
from runtime.engine.manifest import read_manifest
from serverless_embeddings_client import Client
from tests.texts import LANGUAGES, ODD

TEXT = LANGUAGES["en"]


def http_event(method: str, path: str, body: object = None) -> dict:
    """A Function URL's event, payload format 2.0."""
    event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "from-the-url"},
        "isBase64Encoded": False,
    }
    return event if body is None else event | {"body": json.dumps(body)}


def log_lines(container: FunctionContainer) -> list[dict]:
    """The requests' lines in the log."""
    lines = [line[line.index("{") :] for line in container.logs().splitlines() if '"cold_start"' in line]
    return [json.loads(line) for line in lines]


def test_vectors_are_those_of_the_original_model(function, reference):
    texts = [*LANGUAGES.values(), *(ODD[name] for name in ("emoji", "right to left, mixed", "one character"))]
    vectors = np.array(function.invoke({"inputs": texts}).json())
    assert vectors.shape == (len(texts), 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.sum(vectors * reference.encode(texts), axis=1).min() >= 0.99


def test_vectors_are_those_that_were_verified_at_the_export(function, artifact):
    golden = json.loads((artifact / "golden.json").read_text())
    vectors = np.array(function.invoke({"inputs": [entry["text"] for entry in golden]}).json())
    assert np.sum(vectors * np.array([entry["vector"] for entry in golden]), axis=1).min() >= 0.9999


def test_a_text_gets_the_same_vector_alone_and_in_a_batch(function):
    (alone,) = function.invoke({"inputs": TEXT}).json()
    assert function.invoke({"inputs": ["something else", TEXT, "x"]}).json()[1] == alone


def test_a_function_url_is_answered_as_well(function):
    answer = function.invoke(http_event("POST", "/embed", {"inputs": TEXT})).json()
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == function.invoke({"inputs": TEXT}).json()


def test_the_client_calls_it_by_its_name(function, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", function.api)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    texts = [*LANGUAGES.values()] * 30
    with Client(function="function", concurrency=1) as client:  # aws-lambda-rie takes one call at a time
        vectors = client.embed(texts, prompt_name="passage")
    expected = [function.invoke({"inputs": text, "prompt_name": "passage"}).json()[0] for text in LANGUAGES.values()]
    assert np.array_equal(vectors, np.array(expected * 30, np.float32))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tokenize", {"inputs": TEXT}),
        ("POST", "/embed_all", {"inputs": TEXT}),
        ("POST", "/v1/embeddings", {"input": TEXT, "model": "intfloat/multilingual-e5-small"}),
        ("GET", "/info", None),
        ("GET", "/metrics", None),
        ("GET", "/openapi.json", None),
        ("GET", "/docs", None),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("/") else "",
)
def test_routes_find_in_the_image_what_they_need(function, method, path, body):
    assert function.invoke(http_event(method, path, body)).json()["statusCode"] == 200


def test_the_first_request_meets_a_loaded_model(image, memory_mb):
    """Loading belongs to Lambda's init phase: it is over before the first event arrives, and the log says who came first."""
    with FunctionContainer(image, memory_mb) as container:
        first, second = (container.invoke({"inputs": TEXT}).json() for _ in range(2))
        assert first == second
        log = container.logs()
        assert log.index("INIT RTDONE(status: success)") < log.index("INVOKE START")
        assert [line["cold_start"] for line in log_lines(container)[:2]] == [True, False]
        # On a read-only file system onnxruntime's telemetry complains, unless it is off.
        assert "telemetry" not in log


@pytest.mark.parametrize(
    "event",
    [{}, [], None, {"inputs": 3}, {"inputs": ["x", None]}, {"inputs": "x", "dimensions": 0}, {"inputs": "\ud800"}],
    ids=repr,
)
def test_a_bad_request_is_told_why_and_the_next_one_works(function, event):
    before = function.invoke({"inputs": TEXT}).json()
    refused = function.invoke(event).json()
    assert set(refused) == {"error", "error_type"} and "Traceback" not in json.dumps(refused)
    assert function.invoke({"inputs": TEXT}).json() == before


def test_a_request_that_takes_too_long_is_refused_and_the_next_one_works(image, memory_mb):
    long = " ".join([TEXT] * 20)
    with FunctionContainer(image, memory_mb, timeout=3) as container:
        before = container.invoke({"inputs": TEXT}).json()
        assert "takes longer than the function may" in container.invoke({"inputs": [long] * 200}).json()["error"]
        assert container.invoke({"inputs": TEXT}).json() == before


def test_the_least_memory_that_a_deployment_may_have_is_enough(image, artifact):
    """The deployment refuses less (infra/memory.py); with just that, a batch of texts as long as the model reads works."""
    long = " ".join([TEXT] * 100)
    with FunctionContainer(image, needed_memory_mb(read_manifest(artifact))) as container:
        assert len(container.invoke({"inputs": [long] * 4, "truncate": True}).json()) == 4
        # A special token that is spelled out makes the function load the checkpoint's own tokenizer.
        assert len(container.invoke({"inputs": [f"<s> {long}"] * 4, "truncate": True}).json()) == 4


def test_without_lambda_the_image_serves_http(image, memory_mb):
    options = [*emulator.limits(memory_mb), "--publish=127.0.0.1::8080"]
    name = podman.run("run", "--detach", "--rm", *options, image).strip()
    try:
        url = f"http://{podman.run('port', name, '8080/tcp').strip()}"
        with httpx.Client(base_url=url) as client:
            wait_until(lambda: answers(client), "the server in the container")
            assert len(client.post("/embed", json={"inputs": TEXT}).json()[0]) == 384
    finally:
        podman.run("rm", "--force", "--time=0", name)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False
