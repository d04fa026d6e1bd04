"""Log lines and metrics."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

from containers.tools import PROJECT
from runtime.aws import telemetry
from runtime.aws.startup import load
from runtime.settings import Settings
from tests.runtime.conftest import make_handler

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30, "items": {"type": "string", "minLength": 1}},
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {"Unit": {"enum": ["Count", "Milliseconds", "Megabytes"]}},
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def handler(engine, lines):
    return make_handler(engine, lines=lines, function_name="embeddings")


def http(path: str, body: dict | None = None, method: str = "POST") -> dict:
    return {
        "rawPath": path,
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": method}, "requestId": "r-1"},
        "body": json.dumps(body),
    }


def metrics(line: dict) -> dict[tuple, float]:
    """Read a line as CloudWatch does: values by name and dimensions."""
    jsonschema.validate(line, EMF)
    found = {}
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == "ServerlessEmbeddings"
        for dimensions in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                found[metric["Name"], *(line[name] for name in dimensions)] = line[metric["Name"]]
    return found


def test_one_line_a_request(handler, lines):
    handler(http("/embed", {"inputs": ["First text", "b"]}))
    (line,) = map(json.loads, lines)
    assert (line["level"], line["request_id"], line["route"], line["status"]) == ("INFO", "r-1", "/embed", 200)
    assert (line["texts"], line["tokens"], line["cold_start"]) == (2, 7, True)
    assert line["ms"].keys() == {"total", "tokenization", "inference"}
    assert line["memory_mb"] > 50
    found = metrics(line)
    assert {name for name, _ in found} == {
        "Requests",
        "Texts",
        "Tokens",
        "Errors",
        "Latency",
        "ColdStarts",
        "InitDuration",
        "MemoryUsed",
    }
    assert found["Requests", "embeddings"] == found["ColdStarts", "embeddings"] == 1
    assert (found["Texts", "embeddings"], found["Tokens", "embeddings"]) == (2, 7)
    assert (found["Errors", "embeddings"], found["InitDuration", "embeddings"]) == (0, 250)
    assert found["Latency", "embeddings"] == line["ms"]["total"]


def test_texts_that_were_cut_off_or_windowed(handler, lines):
    long = "word " * 600
    for event in ({"inputs": ["a", long, long]}, {"inputs": long, "long_texts": "window"}, {"inputs": "a"}):
        handler(event)
    cut, windowed, neither = map(json.loads, lines)
    assert cut["truncated_texts"] == metrics(cut)["TruncatedTexts", "embeddings"] == 2
    assert windowed["windowed_texts"] == metrics(windowed)["WindowedTexts", "embeddings"] == 1
    for line, absent in ((cut, "Windowed"), (windowed, "Truncated"), (neither, "Truncated"), (neither, "Windowed")):
        assert f"{absent}Texts" not in line and f"{absent.lower()}_texts" not in line


def test_only_the_first_request_is_cold(handler, lines):
    for _ in range(2):
        handler({"inputs": "a"})
    second = json.loads(lines[1])
    assert (second["cold_start"], second["route"]) == (False, "invoke")
    assert not {"ColdStarts", "InitDuration"} & {name for name, *_ in metrics(second)}


def test_provisioned_concurrency_has_no_cold_starts(artifact, monkeypatch, capsys):
    # As Lambda sets it ("Defined runtime environment variables" in its developer guide).
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")
    load(Settings(model_dir=str(artifact)), "embeddings")({"inputs": "a"})
    line = json.loads(capsys.readouterr().out)
    found = metrics(line)
    assert (line["cold_start"], found["ColdStarts", "embeddings"]) == (False, 0)
    assert found["InitDuration", "embeddings"] > 0


@pytest.mark.parametrize(
    ("event", "level", "kind"),
    [
        (http("/embed", {"inputs": ""}), "WARNING", "Empty"),
        (http("/embed", {}), "WARNING", "Validation"),
        (http("/nope"), "WARNING", "NotFound"),
        (http("/rerank", {"query": "a", "texts": ["b"]}), "WARNING", "Backend"),
        ({"inputs": 1}, "WARNING", "Validation"),
    ],
)
def test_errors_are_counted_by_type(handler, lines, event, level, kind):
    handler(event)
    line = json.loads(lines[0])
    assert (line["level"], line["error_type"]) == (level, kind)
    found = metrics(line)
    assert found["Errors", "embeddings"] == found["Errors", "embeddings", kind] == 1


def test_never_texts_or_keys(handler, lines):
    secret = "a secret text"
    request = http("/embed", {"inputs": [secret, 1]})
    request["headers"]["authorization"] = "Bearer secret-key"
    handler(request)
    handler(http("/v1/embeddings", {"input": secret, "user": "secret user"}))
    handler({"inputs": secret, "prompt_name": secret})
    handler(http(f"/{secret}"))
    assert lines
    assert "secret" not in "".join(lines)


def test_outside_of_lambda_there_are_no_metrics(engine, lines):
    make_handler(engine, lines=lines)({"inputs": "a"})
    assert "_aws" not in json.loads(lines[0])


def test_a_higher_level_keeps_the_metrics_only(engine, lines):
    handler = make_handler(engine, lines=lines, function_name="embeddings", log_level="ERROR")
    handler({"inputs": "a"})
    line = json.loads(lines[0])
    assert "message" not in line
    assert metrics(line)["Requests", "embeddings"] == 1


def test_an_error_of_ours_is_a_500_without_details(handler, lines, monkeypatch):
    def fail(*_):
        raise RuntimeError("about a secret text")

    monkeypatch.setattr(handler.application.service.engine, "embed", fail)
    for event in (http("/embed", {"inputs": "a"}), http("/v1/embeddings", {"input": "a"})):
        result = handler(event)
        assert result["statusCode"] == 500
        assert "r-1" in result["body"]
        assert "secret" not in result["body"]
    failure, request, *_ = map(json.loads, lines)
    assert (failure["level"], failure["exception"]) == ("ERROR", "RuntimeError")
    assert failure["trace"][-1].startswith("test_telemetry.py")
    assert request["status"] == 500
    assert "secret" not in "".join(lines)
    monkeypatch.undo()
    assert handler(http("/embed", {"inputs": "a"}))["statusCode"] == 200


def test_failures_are_counted_by_version_and_mistakes_of_callers_are_not(engine, monkeypatch):
    lines = []
    handler = make_handler(engine, lines=lines, function_name="embeddings")
    handler(http("/embed", {"inputs": ""}))
    monkeypatch.setattr(handler.application.service.engine.head, "vector", lambda *_: 1 / 0)
    handler(http("/embed", {"inputs": "a"}))

    mistake, _, failure = map(json.loads, lines)
    assert "Failures" not in mistake
    assert metrics(failure)["Failures", "embeddings", "$LATEST"] == 1


SIGNED = {
    # As in "Request payload format" of https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
    "accountId": "123456789012",
    "authorizer": {
        "iam": {
            "accessKey": "AKIA...",
            "accountId": "111122223333",
            "callerId": "AIDA...",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::111122223333:user/example-user",
            "userId": "AIDA...",
        }
    },
    "http": {"method": "POST", "path": "/embed", "protocol": "HTTP/1.1", "sourceIp": "198.51.100.7"},
    "requestId": "r-1",
}


def test_the_caller_is_logged_if_that_is_asked_for(artifact, capsys):
    event = http("/embed", {"inputs": "a"}) | {"requestContext": SIGNED}
    unsigned = event | {"requestContext": SIGNED | {"authorizer": None}}
    for log_caller in (False, True):
        handler = load(Settings(model_dir=str(artifact), log_caller=log_caller), "embeddings")
        for each in (event, unsigned, {"inputs": "a"}):
            assert handler(each)

    callers = [json.loads(line).get("caller") for line in capsys.readouterr().out.splitlines()]
    address = {"source_ip": "198.51.100.7"}
    principal = {"principal": "arn:aws:iam::111122223333:user/example-user"}
    assert callers == [None, None, None, principal | address, address, None]


def test_memory_is_what_the_kernel_says():
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE)[1]) / 1024
    assert telemetry.memory_megabytes() == pytest.approx(peak, rel=0.02)


def test_memory_on_macos_is_counted_in_bytes(monkeypatch):
    """getrusage(2) of macOS: "ru_maxrss: the maximum resident set size utilized (in bytes)"."""
    monkeypatch.setattr(telemetry.sys, "platform", "darwin")
    monkeypatch.setattr(telemetry, "getrusage", lambda who: SimpleNamespace(ru_maxrss=300 * 1024 * 1024))
    assert telemetry.memory_megabytes() == 300


def test_time_since_the_start_of_the_process():
    code = "from runtime.aws.telemetry import process_seconds; print(process_seconds())"
    start = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", f"import time; time.sleep(0.3); {code}"], cwd=PROJECT, capture_output=True, check=True
    )
    # The kernel counts the start in hundredths of a second.
    assert 0.3 <= float(result.stdout) <= time.monotonic() - start + 0.02


def test_without_proc_time_is_counted_from_the_import(monkeypatch, tmp_path):
    monkeypatch.setattr(telemetry, "PROCESS_FILE", str(tmp_path / "nothing"))
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    before = telemetry.process_seconds()
    time.sleep(0.02)
    assert 0 < before <= telemetry.process_seconds() - 0.02
