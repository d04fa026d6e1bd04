"""The configuration's model part: where it is read from, and what a wrong value is told."""

import json

import pytest

from configuration.errors import ConfigurationError
from configuration.settings import ModelSettings, model_settings, read_context, validate

WRONG = {
    "precision": ("int4", "precision: 'int4' is not allowed: input should be 'fast', 'balanced' or 'exact'"),
    "model": ("", "model: '' is not allowed: string should have at least 1 character"),
    "max_tokens": ("4", "max_tokens: '4' is not allowed: input should be greater than or equal to 8"),
    "prompts": ("query", "prompts: 'query' is not allowed: is no JSON"),
    "precison": ("fast", "precison: is no configuration key; did you mean 'precision'?"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_names_the_key_the_value_and_what_is_allowed(key):
    value, message = WRONG[key]
    with pytest.raises(ConfigurationError) as error:
        validate(ModelSettings, {key: value})
    assert message in str(error.value)


def test_values_from_the_command_line_are_read_like_those_of_the_file():
    given = {"max_tokens": "128", "revision": "", "prompts": '{"query": "q: "}'}
    assert model_settings(given) == ModelSettings(max_tokens=128, prompts={"query": "q: "})


def test_a_revision_may_follow_the_model():
    assert model_settings({"model": "org/name@abc", "revision": ""}) == ModelSettings(model="org/name", revision="abc")
    assert model_settings({"model": "./folder@abc"}).model == "./folder@abc"
    with pytest.raises(ConfigurationError, match="model names the revision 'abc', and revision 'def'; only one may"):
        model_settings({"model": "org/name@abc", "revision": "def"})


def test_the_cdk_cli_hands_the_context_over(monkeypatch):
    committed = read_context()
    monkeypatch.setenv(
        "CDK_CONTEXT_JSON", json.dumps(committed | {"model": "embedded", "aws:cdk:x": True, "@aws-cdk/y": 1})
    )
    handed_over = read_context()
    assert handed_over["model"] == "embedded"
    assert not any("/" in key or ":" in key for key in handed_over)


def test_a_misspelt_key_is_refused():
    with pytest.raises(ConfigurationError, match="modell: is no configuration key; did you mean 'model'"):
        read_context({"modell": "embedded"})


def test_an_unknown_stage_is_refused():
    with pytest.raises(ConfigurationError, match="stage: 'prdo' is not defined"):
        read_context({"stage": "prdo"})
