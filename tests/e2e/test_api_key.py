"""A deployment with an API key: who may call, how the key is rotated, and what happens if it cannot be read.

The tests run in this order; the last one removes the stack.
"""

import json
import time

import huggingface_hub
import openai
import pytest
from langchain_openai import OpenAIEmbeddings

from containers.tools import wait_until
from tests.e2e.conftest import resources
from tests.texts import LANGUAGES

STACK = "E2eApiKey"
CONTEXT = {"auth": "api_key"}
REREAD_SECONDS = 10
"""A wrong key makes the function read the secret again, at most this often (docs/operations.md)."""
TEXT = LANGUAGES["en"]
MODEL = "intfloat/multilingual-e5-small"


@pytest.fixture
def key(stack) -> str:
    """The key that is valid now."""
    secrets = stack.aws.client("secretsmanager")
    return secrets.get_secret_value(SecretId=stack.outputs["ApiKeySecret"])["SecretString"]


def status(stack, api_key: str | None = None) -> int:
    with stack.client(api_key=api_key) as client:
        return client.post("/embed", json={"inputs": TEXT}).status_code


def test_the_key_lets_in(stack, key):
    assert len(key) >= 32
    assert status(stack, key) == 200


@pytest.mark.parametrize("wrong", [None, "wrong"])
def test_nothing_else_does(stack, wrong):
    with stack.client(api_key=wrong) as client:
        answer = client.post("/embed", json={"inputs": TEXT})
    assert answer.status_code == 401 and "www-authenticate" in answer.headers


def test_health_is_open(stack):
    with stack.client() as client:
        assert client.get("/health").status_code == 200
        assert client.get("/info").status_code == 401


def test_published_clients_take_the_key(stack, key):
    expected = pytest.approx(stack.invoke({"inputs": TEXT})[0], abs=1e-6)
    ours = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=key)
    assert ours.embeddings.create(model=MODEL, input=TEXT).data[0].embedding == expected
    assert huggingface_hub.InferenceClient(model=stack.url, token=key).feature_extraction(TEXT)[0] == expected
    options = {"base_url": f"{stack.url}/v1", "model": MODEL, "check_embedding_ctx_length": False}
    assert OpenAIEmbeddings(api_key=key, **options).embed_query(TEXT) == expected
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{stack.url}/v1", api_key="wrong").embeddings.create(model=MODEL, input=TEXT)


def test_a_rotated_key_counts_without_a_deployment(stack, key):
    assert status(stack, key) == 200
    new = key[::-1]
    stack.aws.client("secretsmanager").put_secret_value(SecretId=stack.outputs["ApiKeySecret"], SecretString=new)
    wait_until(lambda: status(stack, new) == 200, "the new key", seconds=REREAD_SECONDS + 10, interval=0.5)
    assert status(stack, key) == 401


def test_two_keys_are_valid_at_once_and_the_log_names_them(stack, key):
    secrets, secret = stack.aws.client("secretsmanager"), stack.outputs["ApiKeySecret"]
    new = key[::-1]
    secrets.put_secret_value(SecretId=secret, SecretString=json.dumps({"old": key, "new": new}))
    wait_until(lambda: status(stack, new) == 200, "the new key", seconds=REREAD_SECONDS + 10, interval=0.5)
    assert status(stack, key) == 200
    log = stack.aws.client("logs").filter_log_events(logGroupName=stack.outputs["LogGroup"])["events"]
    lines = [json.loads(event["message"]) for event in log if event["message"].startswith("{")]
    assert {"old", "new"} <= {line.get("key") for line in lines}
    secrets.put_secret_value(SecretId=secret, SecretString=key)
    time.sleep(REREAD_SECONDS + 1)
    assert status(stack, "wrong") == 401
    assert (status(stack, key), status(stack, new)) == (200, 401)


def test_a_key_that_may_not_be_read_any_more_ends(stack, key):
    assert status(stack, key) == 200
    with denied(stack):
        time.sleep(REREAD_SECONDS + 1)
        # A wrong key makes the function read the secret again, which is refused.
        assert status(stack, "wrong") == 503
        assert status(stack, key) == 503
    wait_until(lambda: status(stack, key) == 200, "the key", seconds=REREAD_SECONDS + 10, interval=0.5)


def test_a_key_that_was_never_read_lets_nobody_in_and_the_log_says_why(stack, key):
    with denied(stack):
        stack.aws.end_environments()
        assert status(stack, key) == 503
    log = stack.aws.client("logs").filter_log_events(logGroupName=stack.outputs["LogGroup"])["events"]
    (reason, *_) = [json.loads(event["message"])["reason"] for event in log if '"SecretError"' in event["message"]]
    assert "secretsmanager:GetSecretValue" in reason
    assert key not in json.dumps(log)
    wait_until(lambda: status(stack, key) == 200, "the key", seconds=REREAD_SECONDS + 10, interval=0.5)


class denied:
    """While it lasts, the function's role may not read any secret."""

    def __init__(self, stack):
        function = stack.aws.client("lambda").get_function_configuration(FunctionName=stack.outputs["FunctionName"])
        self._role = {"RoleName": function["Role"].rsplit("/", 1)[1], "PolicyName": "denied"}
        self._iam = stack.aws.client("iam")

    def __enter__(self):
        statement = {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._iam.put_role_policy(**self._role, PolicyDocument=policy)

    def __exit__(self, *_):
        self._iam.delete_role_policy(**self._role)


def test_destroying_leaves_nothing(stack, before):
    stack.app.destroy()
    assert resources(stack.aws) == before
