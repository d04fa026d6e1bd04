"""Published clients, unmodified, against the server: what they return, and what they raise."""

import asyncio
import json
import subprocess

import boto3
import httpx
import httpx2
import huggingface_hub
import numpy as np
import openai
import pytest
from botocore.credentials import Credentials
from huggingface_hub.errors import HfHubHTTPError
from langchain_openai import OpenAIEmbeddings

from runtime.http.auth import ApiKeyAuthenticator
from serverless_embeddings_client import SigV4Auth
from tests.runtime.conftest import MODEL, make_handler, serving
from tests.runtime.signatures import CREDENTIALS, REGION, SignatureAuthenticator

KEY = "the-key"
TEXTS = ["First text", "Second text"]
LONG = "word " * 600


@pytest.fixture(scope="module")
def url(engine):
    """A server that asks for a key."""
    authenticator = ApiKeyAuthenticator(lambda seconds: {None: KEY}, report=print)
    with serving(make_handler(engine, authenticator)) as url:
        yield url


@pytest.fixture(scope="module")
def open_url(handler):
    """A server that lets everyone in, as Lambda's API does with whom IAM lets invoke."""
    with serving(handler) as url:
        yield url


@pytest.fixture(scope="module")
def signed_url(engine):
    """A server that asks for a signature, as a Function URL with AWS_IAM does."""
    with serving(make_handler(engine, SignatureAuthenticator())) as url:
        yield url


@pytest.fixture(scope="module")
def expected(url) -> np.ndarray:
    """The vectors of TEXTS."""
    response = httpx.post(f"{url}/embed", json={"inputs": TEXTS}, headers={"authorization": f"Bearer {KEY}"})
    return np.array(response.json())


@pytest.fixture
def auth() -> SigV4Auth:
    return SigV4Auth(REGION, credentials=Credentials(*CREDENTIALS))


def of(response) -> np.ndarray:
    """The vectors in the answer of openai's client."""
    return np.array([item.embedding for item in response.data])


class TestOpenAI:
    @pytest.fixture
    def client(self, url):
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            yield client

    def test_embeddings(self, client, expected):
        response = client.embeddings.create(model=MODEL, input=TEXTS)
        assert of(response) == pytest.approx(expected, abs=1e-7)
        assert (response.model, response.usage.prompt_tokens) == (MODEL, 8)
        assert response._request_id
        floats = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
        assert of(floats) == pytest.approx(expected, abs=1e-7)

    def test_one_text_and_options(self, client, expected):
        response = client.embeddings.create(model=f"{MODEL}:query", input="text", dimensions=64, user="me")
        assert len(response.data[0].embedding) == 64
        more = client.embeddings.create(model=MODEL, input=LONG, extra_body={"long_texts": "window"})
        assert len(more.data[0].embedding) == 384

    def test_token_ids(self, client, expected):
        assert of(client.embeddings.create(model=MODEL, input=[0, 23325, 7986, 2])).shape == (1, 384)

    def test_models(self, client):
        assert client.models.list().data[0].id == MODEL
        assert client.models.retrieve(f"{MODEL}:passage").id == f"{MODEL}:passage"

    def test_async(self, url, expected):
        async def embed() -> openai.types.CreateEmbeddingResponse:
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
                return await client.embeddings.create(model=MODEL, input=TEXTS)

        assert of(asyncio.run(embed())) == pytest.approx(expected, abs=1e-7)

    @pytest.mark.parametrize(
        ("arguments", "exception", "code"),
        [
            ({"model": "text-embedding-3-small", "input": "a"}, openai.NotFoundError, "model_not_found"),
            ({"model": MODEL, "input": LONG, "extra_body": {"truncate": False}}, openai.BadRequestError, None),
            ({"model": MODEL, "input": ["a"] * 2049}, openai.BadRequestError, None),
            ({"model": MODEL, "input": ""}, openai.BadRequestError, None),
            ({"model": MODEL, "input": "a", "dimensions": 1000}, openai.BadRequestError, None),
        ],
    )
    def test_exceptions(self, client, arguments, exception, code):
        with pytest.raises(exception) as raised:
            client.embeddings.create(**arguments)
        assert raised.value.code == code
        assert raised.value.type == "invalid_request_error"
        assert raised.value.body["message"]

    def test_a_wrong_key(self, url):
        with pytest.raises(openai.AuthenticationError) as raised:
            openai.OpenAI(base_url=f"{url}/v1", api_key="wrong").embeddings.create(model=MODEL, input="a")
        assert raised.value.code == "invalid_api_key"

    def test_a_model_that_is_not_there(self, client):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("nope")


class TestSignedOpenAI:
    @pytest.mark.parametrize("library", [httpx, httpx2])
    def test_sync(self, signed_url, auth, expected, library):
        http_client = library.Client(auth=auth)
        with openai.OpenAI(base_url=f"{signed_url}/v1", api_key="unused", http_client=http_client) as client:
            assert of(client.embeddings.create(model=MODEL, input=TEXTS)) == pytest.approx(expected, abs=1e-7)
            assert client.models.retrieve(MODEL).id == MODEL

    @pytest.mark.parametrize("library", [httpx, httpx2])
    def test_async(self, signed_url, auth, expected, library):
        async def embed() -> openai.types.CreateEmbeddingResponse:
            http_client = library.AsyncClient(auth=auth)
            async with openai.AsyncOpenAI(
                base_url=f"{signed_url}/v1", api_key="unused", http_client=http_client
            ) as client:
                return await client.embeddings.create(model=MODEL, input=TEXTS)

        assert of(asyncio.run(embed())) == pytest.approx(expected, abs=1e-7)

    def test_unsigned_or_wrongly_signed_is_refused(self, signed_url):
        with pytest.raises(openai.PermissionDeniedError):
            openai.OpenAI(base_url=f"{signed_url}/v1", api_key="a").embeddings.create(model=MODEL, input="a")
        wrong = SigV4Auth(REGION, credentials=Credentials(CREDENTIALS[0], "wrong", CREDENTIALS[2]))
        assert httpx.get(f"{signed_url}/info", auth=wrong).status_code == 403


class TestSigV4Auth:
    @pytest.mark.parametrize("library", [httpx, httpx2])
    def test_signs_any_request(self, signed_url, auth, library):
        with library.Client(base_url=signed_url, auth=auth) as client:
            assert client.post("/embed", json={"inputs": "é"}).status_code == 200
            assert client.post("/embed/", content=b'{"inputs": "a"}').status_code == 415
            assert client.get("/v1/models/intfloat%2Fmultilingual-e5-small").status_code == 200

    def test_takes_the_region_from_the_host_or_the_environment(self, monkeypatch):
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        auth = SigV4Auth(credentials=Credentials(*CREDENTIALS))
        for host, region in [("abc.lambda-url.ap-south-1.on.aws", "ap-south-1"), ("localhost", "eu-west-1")]:
            request = auth(httpx.Request("GET", f"https://{host}/info"))
            assert f"/{region}/lambda/aws4_request" in request.headers["authorization"]

    def test_says_what_is_missing(self, monkeypatch, tmp_path):
        for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        auth = SigV4Auth(credentials=Credentials(*CREDENTIALS))
        with pytest.raises(ValueError, match="names no AWS region"):
            auth(httpx.Request("GET", "http://localhost/info"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ValueError, match="no AWS credentials"):
            SigV4Auth(REGION)


class TestHuggingFace:
    @pytest.fixture
    def client(self, url):
        return huggingface_hub.InferenceClient(model=url, token=KEY)

    def test_feature_extraction(self, client, expected):
        assert client.feature_extraction(TEXTS[0]) == pytest.approx(expected[:1], abs=1e-7)
        options = {"normalize": False, "prompt_name": "query", "truncate": True, "truncation_direction": "Left"}
        assert client.feature_extraction(LONG, **options).shape == (1, 384)

    def test_sentence_similarity(self, url):
        client = huggingface_hub.InferenceClient(model=f"{url}/similarity", token=KEY)
        near, far = client.sentence_similarity("A cat sleeps.", ["Eine Katze schläft.", "The bank is closed."])
        assert near > far

    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            ({"text": LONG, "truncate": False}, 422, "must have less than 512 tokens"),
            ({"text": "a", "prompt_name": "nope"}, 422, "was not found in the prompts"),
            ({"text": ""}, 400, "cannot be empty"),
        ],
    )
    def test_exceptions(self, client, arguments, status, message):
        with pytest.raises(HfHubHTTPError, match=message) as raised:
            client.feature_extraction(**arguments)
        assert raised.value.response.status_code == status

    def test_a_wrong_key(self, url):
        with pytest.raises(HfHubHTTPError, match="the API key is wrong") as raised:
            huggingface_hub.InferenceClient(model=url, token="wrong").feature_extraction("a")
        assert raised.value.response.status_code == 401


class TestLangChain:
    def embeddings(self, url, **options) -> OpenAIEmbeddings:
        # Without the check LangChain sends text, with it the tokens of OpenAI's own models.
        options = {"api_key": KEY, "model": MODEL, "check_embedding_ctx_length": False, "max_retries": 0, **options}
        return OpenAIEmbeddings(base_url=f"{url}/v1", **options)

    def test_documents_and_queries(self, url, expected):
        assert self.embeddings(url).embed_documents(TEXTS) == pytest.approx(expected, abs=1e-7)
        assert self.embeddings(url).embed_query(TEXTS[0]) == pytest.approx(expected[0], abs=1e-7)
        assert asyncio.run(self.embeddings(url).aembed_query(TEXTS[0])) == pytest.approx(expected[0], abs=1e-7)

    def test_signed(self, signed_url, auth, expected):
        embeddings = self.embeddings(signed_url, http_client=httpx2.Client(auth=auth))
        assert embeddings.embed_documents(TEXTS) == pytest.approx(expected, abs=1e-7)

    def test_exceptions(self, url):
        with pytest.raises(openai.AuthenticationError):
            self.embeddings(url, api_key="wrong").embed_query("a")
        with pytest.raises(openai.NotFoundError):
            self.embeddings(url, model="nope").embed_query("a")
        with pytest.raises(openai.BadRequestError):
            self.embeddings(url, model_kwargs={"extra_body": {"truncate": False}}).embed_query(LONG)


class TestBoto3:
    def test_invoke(self, open_url, expected):
        client = boto3.client(
            "lambda",
            endpoint_url=open_url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS[0],
            aws_secret_access_key=CREDENTIALS[1],
        )
        result = client.invoke(FunctionName="embeddings", Payload=json.dumps({"inputs": TEXTS}))
        assert (result["StatusCode"], "FunctionError" in result) == (200, False)
        assert np.array(json.load(result["Payload"])) == pytest.approx(expected, abs=1e-7)
        error = json.load(client.invoke(FunctionName="embeddings", Payload=json.dumps({"inputs": ""}))["Payload"])
        assert error["error_type"] == "Empty"


class TestCurl:
    def curl(self, *arguments: str) -> str:
        return subprocess.run(["curl", "-sS", *arguments], check=True, capture_output=True, text=True).stdout

    def test_signed(self, signed_url, expected):
        user = ["--user", f"{CREDENTIALS[0]}:{CREDENTIALS[1]}", "-H", f"x-amz-security-token: {CREDENTIALS[2]}"]
        body = ["-H", "content-type: application/json", "-d", json.dumps({"inputs": TEXTS})]
        answer = self.curl("--aws-sigv4", f"aws:amz:{REGION}:lambda", *user, *body, f"{signed_url}/embed")
        assert np.array(json.loads(answer)) == pytest.approx(expected, abs=1e-7)

    def test_the_invocation_of_the_emulator(self, open_url, expected):
        path = "/2015-03-31/functions/function/invocations"
        body = '{"inputs":["First text", "Second text"]}'
        answer = self.curl("-X", "POST", f"{open_url}{path}", "-H", "Content-Type: application/json", "-d", body)
        assert np.array(json.loads(answer)) == pytest.approx(expected, abs=1e-7)
