"""Settings from the environment."""

import os
import subprocess
import sys

import pytest

from runtime.aws.startup import load
from runtime.settings import Settings, SettingsError


def test_defaults():
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"EMBEDDINGS_MAX_TOKENS": "", "EMBEDDINGS_AUTH": " "}) == Settings()


def test_every_variable():
    environment = {
        "EMBEDDINGS_MODEL_DIR": "/somewhere",
        "EMBEDDINGS_AUTH": "api_key",
        "EMBEDDINGS_API_KEY_SECRET_ARN": "arn",
        "EMBEDDINGS_MAX_TOKENS": "2",
        "EMBEDDINGS_DEFAULT_PROMPT": "query",
        "EMBEDDINGS_LONG_TEXTS": "window",
        "EMBEDDINGS_CORS_ORIGINS": "https://a.example, https://b.example",
        "EMBEDDINGS_LOG_LEVEL": "ERROR",
        "EMBEDDINGS_LOG_CALLER": "true",
        "EMBEDDINGS_SERVED_MODEL_NAMES": "name, *",
    }
    assert len(environment) == len(Settings.__struct_fields__)
    assert Settings.from_environment(environment) == Settings(
        model_dir="/somewhere",
        auth="api_key",
        api_key_secret_arn="arn",
        max_tokens=2,
        default_prompt="query",
        long_texts="window",
        cors_origins=("https://a.example", "https://b.example"),
        log_level="ERROR",
        log_caller=True,
        served_model_names=("name", "*"),
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("EMBEDDINGS_AUTH", "basic", "'basic' is not allowed: allowed are iam, api_key, none"),
        ("EMBEDDINGS_LONG_TEXTS", "split", "allowed are error, truncate, window"),
        ("EMBEDDINGS_MAX_TOKENS", "many", "'many' is not allowed"),
        ("EMBEDDINGS_MAX_TOKENS", "0", "'0' is not allowed: Expected `int` >= 1"),
        ("EMBEDDINGS_MAX_TOKENS", "1.5", "Expected `int"),
        ("EMBEDDINGS_LOG_LEVEL", "LOUD", "allowed are DEBUG"),
        ("EMBEDDINGS_AUTH", "api_key", "needs EMBEDDINGS_API_KEY_SECRET_ARN"),
    ],
)
def test_a_wrong_value_is_told_by_name(name, value, message):
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({name: value})
    assert str(raised.value).startswith(name)
    assert message in str(raised.value)


def test_a_prompt_that_the_model_does_not_have(artifact):
    with pytest.raises(SettingsError, match=r"^EMBEDDINGS_DEFAULT_PROMPT: 'nope' is not a prompt .* query, passage$"):
        load(Settings(model_dir=str(artifact), default_prompt="nope"))


def test_a_default_prompt(serve):
    http = serve(default_prompt="passage")
    assert http.get("/info").json()["default_prompt"] == "passage"
    expected = http.post("/embed", json={"inputs": "text", "prompt_name": "passage"}).json()
    assert http.post("/embed", json={"inputs": "text"}).json() == expected
    answer = http.post("/v1/embeddings", json={"input": "text"}).json()
    assert answer["data"][0]["embedding"] == expected[0]
    assert http.post("/embed", json={"inputs": "text", "prompt_name": "query"}).json() != expected
    bare = http.post("/embed", json={"inputs": "passage: text", "prompt_name": ""}).json()
    assert bare == expected


def test_a_port_that_is_taken(url, artifact):
    port = url.rpartition(":")[2]
    result = subprocess.run(
        [sys.executable, "-m", "runtime.server", "--port", port, "--model-dir", artifact],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert result.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use; --port chooses another\n"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"EMBEDDINGS_MAX_TOKENS": "lots"}, "EMBEDDINGS_MAX_TOKENS='lots' is not allowed"),
        ({}, "is nowhere an artifact?"),
    ],
)
def test_the_server_says_what_is_wrong_and_stops(variables, message):
    result = subprocess.run(
        [sys.executable, "-m", "runtime.server", "--port", "0", "--model-dir", "nowhere"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
