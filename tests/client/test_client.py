"""The library's clients against the real server, and against one that fails as endpoints and Lambda do."""

import asyncio
import threading
import time

import numpy as np
import pytest
from botocore.credentials import Credentials

from runtime.http.auth import ApiKeyAuthenticator
from serverless_embeddings_client import AsyncClient, Client, EndpointError, SigV4Auth, TextRefused, retries
from serverless_embeddings_client.batches import Limits, split
from serverless_embeddings_client.function import FunctionTransport
from tests.client.conftest import aws_environment, counts_of
from tests.runtime.conftest import make_handler, serving
from tests.runtime.signatures import CREDENTIALS, REGION, SignatureAuthenticator
from tests.texts import LANGUAGES, ODD

TEXTS = [*LANGUAGES.values(), *(text for text in ODD.values() if text)]
LONG = "word " * 600


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(retries, "MOST_SECONDS", 0.01)


class TestVectors:
    def test_are_those_of_single_calls(self, url, one_by_one):
        with Client(url) as client:
            vectors = client.embed(TEXTS, prompt_name="passage")
        assert vectors.dtype == np.float32
        assert np.array_equal(vectors, one_by_one(TEXTS, prompt_name="passage"))

    def test_are_the_same_by_a_function_s_name(self, lambda_api, one_by_one):
        with Client(function="embeddings") as client:
            assert np.array_equal(client.embed(TEXTS), one_by_one(TEXTS))

    def test_keep_their_order_over_batches(self, url, log, monkeypatch):
        monkeypatch.setattr("serverless_embeddings_client.batches.BATCH_TEXTS", 3)
        log.clear()
        with Client(url) as client:
            expected = {text: client.embed([text])[0] for text in TEXTS}
            vectors = client.embed(TEXTS[::-1])
        assert all(np.array_equal(vector, expected[text]) for text, vector in zip(TEXTS[::-1], vectors, strict=True))
        assert max(counts_of(log)) == 3

    def test_have_the_options(self, url, one_by_one):
        options = {"dimensions": 128, "long_texts": "window"}
        with Client(url) as client:
            assert np.array_equal(client.embed([LONG], **options), one_by_one([LONG], **options))

    def test_of_no_texts(self, url):
        with Client(url) as client:
            assert client.embed([]).shape == (0, 384)

    def test_asynchronous(self, url, one_by_one):
        async def embed() -> list[np.ndarray]:
            async with AsyncClient(url, concurrency=2) as client:
                return await asyncio.gather(*(client.embed(TEXTS[n : n + 2]) for n in range(0, 10, 2)))

        assert np.array_equal(np.concatenate(asyncio.run(embed())), one_by_one(TEXTS[:10]))

    def test_from_many_threads(self, url, one_by_one):
        found = {}
        with Client(url) as client:
            threads = [
                threading.Thread(target=lambda n=n: found.__setitem__(n, client.embed([TEXTS[n]])[0])) for n in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert np.array_equal(np.stack([found[n] for n in range(8)]), one_by_one(TEXTS[:8]))


class TestRefusals:
    BAD = ("\ud800", "y" * 7_000_000, LONG)

    @pytest.mark.parametrize("by", ["url", "function"])
    def test_the_other_texts_of_a_batch_get_their_vectors(self, url, lambda_api, one_by_one, by):
        texts = ["a", self.BAD[0], "b", "c", self.BAD[1], "d", self.BAD[2]]
        refused = {}
        with Client(url) if by == "url" else Client(function="embeddings") as client:
            vectors = client.embed(texts, long_texts="error", on_refused=refused.__setitem__)
        assert sorted(refused) == [1, 4, 6]
        assert "surrogate" in refused[1] and "6291456 bytes" in refused[4] and "512 tokens" in refused[6]
        assert np.isnan(vectors).all(axis=1).tolist() == [index in refused for index in range(7)]
        good = [0, 2, 3, 5]
        assert np.array_equal(vectors[good], one_by_one([texts[index] for index in good]))

    def test_without_a_callback_the_text_is_named(self, url):
        with (
            Client(url) as client,
            pytest.raises(TextRefused, match=r"text 2 cannot be embedded: .*512 tokens") as error,
        ):
            client.embed(["a", "b", LONG], long_texts="error")
        assert error.value.index == 2

    @pytest.mark.parametrize(
        ("options", "message"), [({"prompt_name": "nix"}, "`passage`"), ({"dimensions": 5000}, "at most 384")]
    )
    def test_options_that_are_wrong_are_no_text_s_fault(self, url, options, message):
        with Client(url) as client, pytest.raises(EndpointError, match=message) as error:
            client.embed(["a", "b"], on_refused=lambda index, reason: None, **options)
        assert not isinstance(error.value, TextRefused)

    def test_a_batch_over_a_limit_that_was_not_foreseen_is_split(self, engine, one_by_one):
        with serving(make_handler(engine, max_texts=5)) as url, Client(url) as client:
            client.info()["max_client_batch_size"] = 100
            assert np.array_equal(client.embed(TEXTS), one_by_one(TEXTS))

    def test_a_string_is_not_a_list_of_letters(self, url):
        with Client(url) as client, pytest.raises(TypeError, match=r"\[text\]"):
            client.embed("text")


class TestRetries:
    def test_until_the_endpoint_is_well_again(self, scripted, one_by_one):
        throttled = {"Message": "Rate Exceeded."}
        server = scripted((429, {}, throttled), None, (500, {}, {}), (502, {}, b"bad gateway"), (503, {}, {}))
        with Client(server.url) as client:
            assert np.array_equal(client.embed(TEXTS[:3]), one_by_one(TEXTS[:3]))
        assert server.requests == ["/info", *["/v1/embeddings"] * 6]

    def test_wait_as_long_as_the_endpoint_asks(self, scripted):
        server = scripted((429, {"Retry-After": "1"}, {}))
        start = time.monotonic()
        with Client(server.url) as client:
            client.embed(["a"])
        assert time.monotonic() - start >= 1

    def test_end_where_the_endpoint_asks_for_too_much(self, scripted):
        server = scripted((503, {"Retry-After": "86400"}, {}))
        with Client(server.url) as client, pytest.raises(EndpointError, match="Retry-After: 86400"):
            client.embed(["a"])

    def test_end_at_last_with_the_endpoint_s_words(self, scripted):
        server = scripted(*[(429, {}, {"Message": "Rate Exceeded."})] * 20)
        with Client(server.url) as client, pytest.raises(EndpointError, match=r"429: Rate Exceeded. \(attempts: 10\)"):
            client.embed(["a"])

    def test_of_an_address_that_never_answers_are_few(self):
        with Client("http://127.0.0.1:9") as client, pytest.raises(EndpointError, match=r"reached.*attempts: 3"):
            client.embed(["a"])

    def test_a_date_is_understood_too(self):
        assert retries._seconds("Wed, 01 Jan 2200 00:00:00 GMT") > 3000 and retries._seconds("soon") == 0

    def test_another_error_ends_the_call_and_the_calls_beside_it(self, scripted, monkeypatch):
        monkeypatch.setattr("serverless_embeddings_client.batches.BATCH_TEXTS", 1)
        server = scripted((418, {}, {"error": "a teapot"}))
        with Client(server.url, concurrency=1) as client, pytest.raises(EndpointError, match="418: a teapot"):
            client.embed(["a"] * 50)
        assert len(server.requests) < 10

    def test_closing_ends_calls_that_wait(self, scripted):
        server = scripted((429, {"Retry-After": "200"}, {}))
        client = Client(server.url)
        failed = threading.Event()

        def embed() -> None:
            try:
                client.embed(["a"])
            except BaseException:
                failed.set()

        thread = threading.Thread(target=embed)
        thread.start()
        while len(server.requests) < 2:
            time.sleep(0.01)
        client.close()
        thread.join(10)
        assert failed.is_set()


class TestAuthentication:
    def test_with_a_key(self, engine):
        authenticator = ApiKeyAuthenticator(lambda seconds: {None: "the-key"}, report=print)
        with serving(make_handler(engine, authenticator)) as url:
            with Client(url, api_key="the-key") as client:
                assert client.embed(["a"]).shape == (1, 384)
            with Client(url, api_key="another") as client, pytest.raises(EndpointError, match=r"401.*`api_key`"):
                client.embed(["a"])

    def test_with_a_signature(self, engine):
        with serving(make_handler(engine, SignatureAuthenticator())) as url:
            with Client(url, auth=SigV4Auth(REGION, credentials=Credentials(*CREDENTIALS))) as client:
                assert client.embed(["a"]).shape == (1, 384)
            with Client(url) as client, pytest.raises(EndpointError, match=r"403.*credentials"):
                client.embed(["a"])

    @pytest.mark.parametrize(
        ("host", "service"),
        [("x.lambda-url.eu-west-1.on.aws", "lambda"), ("x.execute-api.eu-west-1.amazonaws.com", "execute-api")],
    )
    def test_addresses_of_aws_are_signed_for_their_service_and_region(self, monkeypatch, host, service):
        aws_environment(monkeypatch)
        with Client(f"https://{host}/") as client:
            http = client._client._http
            request = http.auth.sync_auth_flow(http.build_request("POST", "v1/embeddings", content=b"{}"))
            assert f"/eu-west-1/{service}/aws4_request" in next(request).headers["authorization"]

    def test_the_region_of_another_host_is_that_of_the_environment(self, monkeypatch):
        aws_environment(monkeypatch)
        assert SigV4Auth()._scope("vectors.example.com") == ("lambda", "eu-central-1")


class TestFunctions:
    """Lambda's own answers, from its API reference ("Invoke")."""

    @pytest.fixture
    def lambda_answers(self, scripted, monkeypatch):
        def start(*answers):
            server = scripted(*answers)
            monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
            aws_environment(monkeypatch)
            return server

        return start

    def test_throttling_and_a_crash_are_tried_again(self, lambda_answers, one_by_one):
        throttled = {"x-amzn-errortype": "TooManyRequestsException"}
        crash = {"x-amz-function-error": "Unhandled"}
        lambda_answers(
            (429, throttled, {"Type": "User", "Message": "Rate Exceeded.", "Reason": "ReservedFunctionConcurrency"}),
            (200, crash, {"errorMessage": "RequestId: 1 Error: Runtime exited", "errorType": "Runtime.ExitError"}),
            None,
        )
        with Client(function="embeddings") as client:
            assert np.array_equal(client.embed(TEXTS[:3]), one_by_one(TEXTS[:3]))

    def test_a_function_that_is_not_there(self, lambda_answers):
        missing = {"x-amzn-errortype": "ResourceNotFoundException"}
        lambda_answers((404, missing, {"Type": "User", "Message": "Function not found: nix"}))
        with Client(function="nix") as client, pytest.raises(EndpointError, match=r"404.*Function not found: nix"):
            client.embed(["a"])

    @pytest.mark.parametrize(
        ("name", "qualifier"),
        [
            ("f", "live"),
            ("f:7", None),
            ("123456789012:function:f", "live"),
            ("arn:aws:lambda:us-east-1:123456789012:function:f", "live"),
            ("arn:aws:lambda:us-east-1:123456789012:function:f:blue", None),
        ],
    )
    def test_the_alias_live_is_called_unless_another_is_named(self, monkeypatch, name, qualifier):
        aws_environment(monkeypatch)
        transport = FunctionTransport(name, 1, 1)
        assert transport._target.get("Qualifier") == qualifier
        assert transport._lambda.meta.region_name == ("us-east-1" if name.startswith("arn") else "eu-central-1")


def test_an_address_or_a_function():
    for arguments in ({}, {"url": "http://a", "function": "b"}):
        with pytest.raises(ValueError, match="either"):
            Client(**arguments)
    with pytest.raises(ValueError, match="https://"):
        Client("localhost:9000")


class TestBatches:
    LIMITS = Limits(texts=4, tokens=100, text_tokens=50)

    def test_have_all_texts_once_in_their_order(self):
        texts = [("x" * (n * 37 % 400)) for n in range(200)]
        batches = list(split(texts, self.LIMITS))
        assert [text for batch in batches for text in texts[batch]] == texts
        assert all(0 < batch.stop - batch.start <= 4 for batch in batches)

    def test_a_text_that_is_too_long_is_alone_if_all_of_it_is_read(self):
        texts = ["a", "x" * 10_000, "b"]
        assert len(list(split(texts, self.LIMITS._replace(text_tokens=None)))) == 3
        assert len(list(split(texts, self.LIMITS))) == 1

    def test_fill_no_body(self):
        texts = ["x" * 1_000_000] * 6
        assert [batch.stop - batch.start for batch in split(texts, self.LIMITS._replace(texts=9, tokens=999))] == [4, 2]
