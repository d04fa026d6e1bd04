"""Who may call: the key, its rotation, and how it is read from Secrets Manager."""

import base64
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic, perf_counter, sleep

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session

from runtime.aws.secrets import (
    MAX_ANSWER_BYTES,
    default_endpoint,
    parse_keys,
    read_keys,
    read_secret,
    signed_headers,
)
from runtime.aws.startup import load
from runtime.http.auth import MAX_AGE_SECONDS, READ_SECONDS, RETRY_SECONDS, ApiKeyAuthenticator, SecretError
from runtime.http.messages import Request
from runtime.settings import Settings
from tests.runtime.conftest import make_handler

ARN = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:key-AbCdEf"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_SESSION_TOKEN": "TOKEN"}

SECRET = "the-key-of-20-characters"


class Vault:
    """A key that can be changed, a clock that can be set, and how often the key was read."""

    def __init__(self, key: str = "first-key") -> None:
        self.key: str | Exception = key
        self.now = 1000.0
        self.reads = 0
        self.reported: list[Exception] = []

    def read(self, seconds: float) -> dict[str | None, str]:
        self.reads += 1
        if isinstance(self.key, Exception):
            raise self.key
        return {None: self.key}

    def authenticator(self) -> ApiKeyAuthenticator:
        return ApiKeyAuthenticator(self.read, self.reported.append, lambda: self.now)


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def http(vault, serve):
    return serve(authenticator=vault.authenticator())


def embed(http, key: str | None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}".strip()}
    return http.post("/embed", json={"inputs": "a"}, headers=headers).status_code


class TestKey:
    def test_lets_in_who_has_it(self, http):
        assert embed(http, "first-key") == 200

    @pytest.mark.parametrize("key", [None, "", "wrong", "first-ke", "first-key2", "FIRST-KEY", "é" * 9])
    def test_keeps_out_who_has_not(self, http, key):
        headers = {} if key is None else {"authorization": f"Bearer {key}".strip().encode()}
        response = http.post("/embed", json={"inputs": "a"}, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert response.json()["error_type"] == "Unauthorized"

    @pytest.mark.parametrize("path", ["/health", "/", "/ping"])
    def test_health_stays_open(self, http, vault, path):
        assert http.get(path).status_code == 200
        assert http.head(path).status_code == 200
        assert vault.reads == 0

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", path)
            for path in ("/info", "/metrics", "/docs", "/openapi.json", "/v1/models", "/v1/models/a", "/nope")
        ]
        + [
            ("POST", path)
            for path in ("/", "/invocations", "/embed_all", "/similarity", "/tokenize", "/decode", "/health")
        ]
        + [("POST", path) for path in ("/rerank", "/predict", "/embed_sparse", "/v1/embeddings", "/nope")]
        + [("OPTIONS", "/embed"), ("PUT", "/embed")],
    )
    def test_everything_else_is_401(self, http, method, path):
        assert http.request(method, path).status_code == 401

    def test_openai_is_told_in_its_way(self, http):
        response = http.post("/v1/embeddings", json={"input": "a"}, headers={"authorization": "Bearer nope"})
        assert response.json()["error"]["code"] == "invalid_api_key"

    def test_a_browser_is_asked_for_it_and_sends_it_as_a_password(self, http):
        response = http.get("/docs", headers={"accept": "text/html"})
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Basic")
        assert http.get("/docs", auth=("anyone", "first-key")).status_code == 200
        assert http.get("/docs", auth=("first-key", "anyone")).status_code == 401
        assert http.get("/docs", headers={"authorization": "Basic !"}).status_code == 401

    @pytest.mark.parametrize(
        "text", ["", " ", "secret key", "k" * 513, "schlüssel", "[]", "{}", "[", '[""]', '{"a b": "k"}', "[" * 10**5]
    )
    def test_a_text_that_holds_no_key_revokes_and_is_not_quoted(self, text):
        with pytest.raises(SecretError, match="Allowed are a key, a JSON list") as error:
            parse_keys(text)
        assert error.value.revokes and "secret key" not in str(error.value)

    def test_several_keys_have_names(self):
        one, other = "k" * 20, "l" * 20
        assert parse_keys(f" {one}\n") == {None: one}
        assert parse_keys(json.dumps([one, other])) == {"1": one, "2": other}
        assert parse_keys(json.dumps({"search": one, "index": other})) == {"search": one, "index": other}


class TestRotation:
    def test_is_read_once(self, http, vault):
        for _ in range(3):
            assert embed(http, "first-key") == 200
        assert vault.reads == 1

    def test_a_new_key_is_taken_at_once(self, http, vault):
        assert embed(http, "first-key") == 200
        vault.key, vault.now = "second-key", vault.now + RETRY_SECONDS
        assert embed(http, "second-key") == 200
        assert embed(http, "first-key") == 401

    def test_the_old_key_ends_with_the_next_refresh(self, http, vault):
        assert embed(http, "first-key") == 200
        vault.key, vault.now = "second-key", vault.now + 299
        assert embed(http, "first-key") == 200
        vault.now += 1
        assert embed(http, "first-key") == 401

    def test_wrong_keys_do_not_make_it_read_every_time(self, http, vault):
        for _ in range(20):
            assert embed(http, "wrong") == 401
        assert vault.reads == 1
        vault.now += RETRY_SECONDS
        for _ in range(20):
            assert embed(http, "wrong") == 401
        assert vault.reads == 2

    def test_while_it_cannot_be_read_the_known_key_holds(self, http, vault):
        assert embed(http, "first-key") == 200
        vault.key, vault.now = OSError("no network"), vault.now + 300
        assert embed(http, "first-key") == 200
        assert [str(error) for error in vault.reported] == ["no network"]

    def test_a_key_that_was_never_read_is_503(self, http, vault):
        vault.key = OSError("no network")
        assert embed(http, "first-key") == 503
        vault.key = "first-key"
        assert embed(http, "first-key") == 503
        assert vault.reads == 1
        vault.now += RETRY_SECONDS
        assert embed(http, "first-key") == 200

    def test_a_refusal_revokes_with_the_next_refresh(self, http, vault):
        assert embed(http, "first-key") == 200
        vault.key, vault.now = SecretError("gone", revokes=True), vault.now + 300
        assert embed(http, "first-key") == 503

    def test_a_passing_failure_revokes_after_an_hour(self, http, vault):
        assert embed(http, "first-key") == 200
        vault.key, vault.now = OSError("no network"), vault.now + MAX_AGE_SECONDS - 1
        assert embed(http, "first-key") == 200
        vault.now += RETRY_SECONDS
        assert embed(http, "first-key") == 503


class TestDeadline:
    def test_a_reading_takes_half_of_the_time_that_is_left(self, vault):
        allowed = []
        read = vault.read
        vault.read = lambda seconds: allowed.append(seconds) or read(seconds)
        for left in (2.0, 100.0):
            request = Request(method="GET", path="/info", headers={"authorization": "Bearer first-key"})
            vault.authenticator().check(request, perf_counter() + left)
        assert allowed == [pytest.approx(1.0, abs=0.1), READ_SECONDS]


class TestNames:
    def test_each_of_several_keys_has_its_name_in_the_log(self, engine):
        lines = []
        authenticator = ApiKeyAuthenticator(lambda seconds: {"search": "one", "index": "two"}, report=print)
        handler = make_handler(engine, authenticator, lines, function_name="embeddings")
        for key in ("one", "two", "three"):
            headers = {"authorization": f"Bearer {key}"}
            handler({"rawPath": "/info", "headers": headers, "requestContext": {"http": {"method": "GET"}}})
        lines = list(map(json.loads, lines))
        assert [line.get("key") for line in lines] == ["search", "index", None]
        by_key = [
            [metric["Name"] for metric in directive["Metrics"]]
            for directive in lines[0]["_aws"]["CloudWatchMetrics"]
            if directive["Dimensions"] == [["FunctionName", "Key"]]
        ]
        assert by_key == [["Requests", "Tokens"]] and lines[0]["Key"] == "search"
        assert "Key" not in lines[2]

    def test_a_single_key_has_none(self, engine):
        lines = []
        authenticator = ApiKeyAuthenticator(lambda seconds: {None: "one"}, report=print)
        handler = make_handler(engine, authenticator, lines, function_name="embeddings")
        headers = {"authorization": "Bearer one"}
        handler({"rawPath": "/info", "headers": headers, "requestContext": {"http": {"method": "GET"}}})
        assert "key" not in lines[0].lower()


def test_a_long_id_of_a_caller_is_cut(engine):
    lines = []
    event = {"rawPath": "/info", "requestContext": {"http": {"method": "GET"}, "requestId": "r" * 7_000_000}}
    result = make_handler(engine, lines=lines)(event)
    assert result["headers"]["x-request-id"] == "r" * 128
    assert len(lines[0]) < 1000


class _SecretsManager(BaseHTTPRequestHandler):
    """Answers GetSecretValue as AWS does, if the signature is the one that botocore makes of the same request."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        signed = self.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        request = AWSRequest("POST", self.server.url, {name: self.headers[name] for name in signed}, body)
        credentials = Credentials(*ENVIRONMENT.values())
        right = _sign(request, credentials, self.headers["x-amz-date"]) == self.headers["authorization"]
        known = (
            json.loads(body) == {"SecretId": ARN} and self.headers["x-amz-target"] == "secretsmanager.GetSecretValue"
        )
        status = 200 if right and known else 400
        answer = {"SecretString": SECRET} if status == 200 else {"__type": "InvalidSignatureException"}
        if self.server.refusal:
            status, answer = self.server.refusal
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_) -> None:
        pass


def _sign(request: AWSRequest, credentials: Credentials, timestamp: str, region: str = "eu-central-1") -> str:
    signer = SigV4Auth(credentials, "secretsmanager", region)
    request.context["timestamp"] = timestamp
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signed = signer.signed_headers(signer.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={signed}, Signature={signature}"


@pytest.fixture
def secrets_manager():
    server = HTTPServer(("127.0.0.1", 0), _SecretsManager)
    server.refusal = None
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class TestSecretsManager:
    @pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"])
    def test_reads_a_secret(self, secrets_manager, name):
        assert read_keys(ARN, {**ENVIRONMENT, name: secrets_manager.url}, 5) == {None: SECRET}

    @pytest.mark.parametrize("session_token", ["TOKEN", None])
    def test_signs_as_botocore_does(self, session_token):
        environment = {**ENVIRONMENT, "AWS_SESSION_TOKEN": session_token or ""}
        now, body = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), b'{"SecretId": "x"}'
        headers = signed_headers("secretsmanager.us-east-1.amazonaws.com", "/", body, "us-east-1", environment, now)
        given = {name: value for name, value in headers.items() if name != "authorization"}
        request = AWSRequest("POST", "https://secretsmanager.us-east-1.amazonaws.com/", given, body)
        credentials = Credentials("AKID", "SECRET", session_token)
        assert headers["authorization"] == _sign(request, credentials, "20300102T030405Z", "us-east-1")
        assert ("x-amz-security-token" in headers) == bool(session_token)

    def test_a_refusal_says_why(self, secrets_manager):
        environment = {**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "another", "AWS_ENDPOINT_URL": secrets_manager.url}
        with pytest.raises(SecretError, match=r"answered 400.*InvalidSignatureException"):
            read_secret(ARN, environment, 5)

    # The types and messages of GetSecretValue's errors:
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
    @pytest.mark.parametrize(
        ("kind", "status", "revokes"),
        [
            ("ResourceNotFoundException", 400, True),
            ("AccessDeniedException", 400, True),
            ("InvalidRequestException", 400, True),
            ("com.amazonaws.secretsmanager#DecryptionFailure", 400, True),
            ("ThrottlingException", 400, False),
            ("InternalServiceError", 500, False),
            ("ServiceUnavailableException", 503, False),
        ],
    )
    def test_which_refusals_revoke(self, secrets_manager, kind, status, revokes):
        secrets_manager.refusal = status, {"__type": kind, "Message": "why"}
        with pytest.raises(SecretError, match=rf"answered {status} {kind.rpartition('#')[2]}: why") as error:
            read_secret(ARN, {**ENVIRONMENT, "AWS_ENDPOINT_URL": secrets_manager.url}, 5)
        assert error.value.revokes == revokes

    @pytest.mark.parametrize("status", [200, 400, 502])
    def test_an_answer_of_somebody_else_is_not_quoted(self, secrets_manager, status):
        secrets_manager.refusal = status, ["somebody's words"]
        with pytest.raises(SecretError, match=f"answered {status}, but not as Secrets Manager does") as error:
            read_secret(ARN, {**ENVIRONMENT, "AWS_ENDPOINT_URL": secrets_manager.url}, 5)
        assert "words" not in str(error.value) and not error.value.revokes

    def test_an_endless_answer_is_left(self, secrets_manager):
        secrets_manager.refusal = 200, {"SecretString": "k" * MAX_ANSWER_BYTES}
        with pytest.raises(SecretError, match="answered more than 262144 bytes"):
            read_secret(ARN, {**ENVIRONMENT, "AWS_ENDPOINT_URL": secrets_manager.url}, 5)

    @pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1"])
    def test_the_default_endpoint_is_that_of_botocore(self, region):
        client = get_session().create_client("secretsmanager", region_name=region)
        assert default_endpoint(region) == client.meta.endpoint_url

    @pytest.mark.parametrize("drip", [b"", b"H"], ids=["silent", "dripping"])
    def test_an_endpoint_that_does_not_finish_is_left(self, drip):
        with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
            threads.submit(self._drip, server, drip)
            environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}"}
            start = monotonic()
            with pytest.raises(SecretError, match=r"did not answer within 0\.5 seconds"):
                read_secret(ARN, environment, 0.5)
            assert monotonic() - start < 3

    @staticmethod
    def _drip(server: socket.socket, byte: bytes) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            for _ in range(20):
                connection.sendall(byte)
                sleep(0.1)

    def test_no_credentials(self):
        with pytest.raises(SecretError, match="AWS_ACCESS_KEY_ID is not set"):
            read_secret(ARN, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 5)

    def test_no_network(self):
        with pytest.raises(SecretError, match="cannot be reached"):
            read_secret(ARN, {**ENVIRONMENT, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 5)

    def test_guards_the_function_from_its_settings_on(self, secrets_manager, artifact, monkeypatch):
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": secrets_manager.url}.items():
            monkeypatch.setenv(name, value)
        handler = load(Settings(model_dir=str(artifact), auth="api_key", api_key_secret_arn=ARN), threads=1)
        event = {"rawPath": "/info", "requestContext": {"http": {"method": "GET"}}}
        assert handler(event)["statusCode"] == 401
        assert handler({**event, "headers": {"authorization": "Bearer the-key-of-20-characters"}})["statusCode"] == 200


def test_basic_authentication_is_read_as_browsers_send_it(http):
    credential = base64.b64encode(b"user:first-key").decode()
    assert http.get("/info", headers={"Authorization": f"basic {credential}"}).status_code == 200
