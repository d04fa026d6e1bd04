"""`embeddings measure` without AWS: what it reads from a log, what it computes, and what it refuses before anything is called."""

import copy
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from statistics import mean
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from benchmarks import cost
from benchmarks import loads as bench_loads
from containers.tools import PROJECT
from infra.watch import prices
from serverless_embeddings_client.cli import aws as aws_module
from serverless_embeddings_client.cli import measure
from serverless_embeddings_client.cli.errors import CommandError
from serverless_embeddings_client.cli.measuring import lines, loads, results, runs, versions
from serverless_embeddings_client.cli.measuring.measurement import Measurement
from serverless_embeddings_client.cli.measuring.plots import plot
from serverless_embeddings_client.cli.measuring.runs import Answer, Caller, Throughput
from tests.client.test_bulk import environment

# https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html
TEXT = """\
START RequestId: c793869b-ee49-115b-a5b6-4fd21e8dedac Version: $LATEST
2019-06-07T19:11:20.562Z	c793869b-ee49-115b-a5b6-4fd21e8dedac	INFO	ENVIRONMENT VARIABLES
END RequestId: c793869b-ee49-115b-a5b6-4fd21e8dedac
REPORT RequestId: c793869b-ee49-115b-a5b6-4fd21e8dedac	Duration: 128.83 ms	Billed Duration: 200 ms	Memory Size: 128 MB	Max Memory Used: 74 MB	Init Duration: 166.62 ms	XRAY TraceId: 1-5d9d007f-0a8c7fd02xmpl480aed55ef0	SegmentId: 3d752xmpl1bbe37e	Sampled: true
"""
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report
JSON = json.dumps(
    {
        "time": "2022-10-12T00:01:15.000Z",
        "type": "platform.report",
        "record": {
            "metrics": {
                "billedDurationMs": 694,
                "durationMs": 693.92,
                "initDurationMs": 397.68,
                "maxMemoryUsedMB": 84,
                "memorySizeMB": 128,
            },
            "requestId": "6d68ca91-49c9-448d-89b8-7ca3e6dc66aa",
        },
    }
)


def test_lambda_s_report_is_read_in_both_formats():
    text = lines.read_report(TEXT, "c793869b-ee49-115b-a5b6-4fd21e8dedac")
    assert text == lines.Report(duration_ms=128.83, billed_ms=200, peak_mb=74, init_ms=166.62)
    found = lines.read_report(JSON, "6d68ca91-49c9-448d-89b8-7ca3e6dc66aa")
    assert found == lines.Report(duration_ms=693.92, billed_ms=694, peak_mb=84, init_ms=397.68)


@pytest.mark.parametrize(
    "log", [TEXT, JSON, TEXT[-100:], "", "REPORT RequestId: 1\tDuration: 1 ms", '{"request_id": "1"}']
)
def test_a_report_that_is_cut_off_or_of_another_request_is_none(log):
    assert lines.read_report(log, "1") is None
    assert lines.read_line(log, "1") == {}


def answer(ms: float, billed: float | None, cold: bool = False, tokens: int = 100) -> Answer:
    report = lines.Report(ms, billed, 193, 300.0 if cold else None) if billed else None
    line = {"cold_start": cold, "Latency": ms - 1, "MemoryUsed": 190.5} | ({"InitDuration": 290.0} if cold else {})
    return Answer(tokens, ms + 20, report, line)


def test_percentiles_are_values_that_were_measured():
    assert results.percentiles(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99}
    assert results.percentiles([3.0, None, 1.0]) == {"p50": 1, "p95": 3, "p99": 3}
    assert results.percentiles([None]) is None


def test_what_was_not_reported_is_null_and_what_was_not_cold_is_left_out():
    found = results.cold_result([answer(10, None, cold=True), answer(5, None)])
    assert (found["count"], found["init_ms"], found["first_request_ms"]) == (1, None, None)
    assert found["end_to_end_ms"]["p50"] == 30 and found["runtime_init_ms"]["p50"] == 290
    warm = results.warm_result("128", 1, [answer(10, None)], 1769, "x86_64")
    assert (warm["billed_ms"], warm["usd_per_million_tokens"]) == (None, None)
    assert results.peaks([answer(10, None)]) == {"peak_memory_mb": None, "runtime_peak_memory_mb": 190.5}


def test_dollars_are_those_of_the_project_s_cost_model():
    for architecture, price in prices.COMPUTE.items():
        assert results.USD_PER_GB_SECOND[architecture] == price.on_demand
    assert results.USD_PER_REQUEST == prices.USD_PER_REQUEST
    assert (results.FREE_GB_SECONDS, results.FREE_REQUESTS) == (cost.FREE_GB_SECONDS, cost.FREE_REQUESTS)
    billed = [78, 78, 90]
    found = results.warm_result("512", 1, [answer(each - 0.5, each, tokens=512) for each in billed], 1769, "arm64")
    request = cost.Request(memory_mb=1769, tokens=512, warm=mean(billed) / 1000, init=0)
    priced = cost.price(request, "arm64", cold_share=0)
    assert found["usd_per_million_tokens"] == pytest.approx(priced.usd_per_million_tokens, rel=0.001)


def test_texts_have_the_tokens_that_their_names_say(engine):
    info = {"max_input_length": 512, "max_batch_tokens": 16384, "max_client_batch_size": 32}

    def count(text: str) -> int:
        return len(engine.tokenizer.reference.encode(text).ids)

    made = loads.make_loads(info, count)
    assert {name: [count(text) for text in texts] for name, texts in made.items() if name != "batch"} == {
        "16": [16],
        "128": [128],
        "512": [512],
    }
    assert [count(text) for text in made["batch"]] == list(bench_loads._shuffled(bench_loads.BATCH_LENGTHS))
    less = loads.make_loads(
        info | {"max_input_length": 512, "max_batch_tokens": 100, "max_client_batch_size": 3}, count
    )
    assert list(less) == ["16", "batch"] and [count(text) for text in less["batch"]] == [8, 64]


def test_the_report_has_a_row_for_each_size_and_dashes_for_what_is_unknown():
    cold, warm = [answer(10, 310, cold=True)], [answer(8, 9), answer(9, 10)]
    size = {
        "memory_mb": 1769,
        "cold": results.cold_result(cold),
        "warm": [results.warm_result("512", 1, warm, 1769, "x86_64")],
        "throughput": [results.throughput_result(Throughput(2, 10, 1, 5.0, 64.0, 8448.0))],
        **results.peaks(warm),
    }
    about = {
        "function": "arn",
        "region": "eu-central-1",
        "architecture": "x86_64",
        "model": "model",
        "date": "2026-11-26",
    }
    measured = about | {"emulated": True, "notes": ["A note."], "sizes": [size]}
    text = "\n".join(results.report(measured))
    assert "Of an emulator, not of AWS" in text and "A note." in text
    # Billed are 9 ms, and 301 ms more for one in ten: 39.1 ms at 1.73 GB, and the fee, for 100 tokens.
    assert "| 1,769 MB | 30.0 | 28.0 | 0.0133 | 100 |" in text
    assert "| 1,769 MB | 2 | 10 | 1 | 5.0 | 64.0 | 8,448 |" in text
    unknown = size | {"cold": results.cold_result([]), "peak_memory_mb": None}
    text = "\n".join(results.report(measured | {"emulated": False, "sizes": [unknown]}))
    assert "emulator" not in text and "| 1,769 MB | 0 | – |" in text and "| 1,769 MB | – | 190 |" in text


def test_a_load_without_a_warm_answer_is_not_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    loads = [
        results.warm_result(name, 1, answers, 1769, "arm64") for name, answers in (("16", []), ("128", [answer(8, 9)]))
    ]
    level = results.throughput_result(Throughput(1, 10, 0, 5.0, 64.0, 8448.0))
    size = {"memory_mb": 1769, "warm": loads, "throughput": [level]}
    plot({"model": "model", "architecture": "arm64", "emulated": False, "sizes": [size]}, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memory", "1 GB"], "--memory takes whole numbers from 1 with commas between them"),
        (["--concurrency", "0,1"], "--concurrency takes whole numbers"),
        (["-o", "measured.txt"], "has to end with .json"),
        (["-o", "none/measured.json"], "there is no folder none"),
        (["-o", "docs/measured.json"], "docs/measured.json exists"),
        ([], "export AWS_REGION="),
    ],
)
def test_what_is_wrong_is_said_before_aws_is_called(arguments, message):
    command = [sys.executable, "-m", "serverless_embeddings_client.cli", "measure", "--function", "name", *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and message in done.stderr


def test_the_example_in_the_docs_is_the_report_of_its_figures():
    measured = json.loads((PROJECT / "docs" / "measured.json").read_text())
    assert measured["emulated"]
    assert "\n".join(results.report(measured)) in (PROJECT / "docs" / "measuring.md").read_text()


class Lambda:
    """One function in Lambda, as far as a version of it is made: revisions, versions, and something that ``happens`` with each call,
    given its number, its name, and whether it is done."""

    def __init__(self) -> None:
        self.latest = {
            "CodeSha256": "code",
            "MemorySize": 1769,
            "Timeout": 60,
            "Environment": {},
            "Architectures": ["arm64"],
        }
        self.latest |= {"Description": "an endpoint", "Version": "$LATEST", "RevisionId": "0"}
        self.versions = {"1": self.latest | {"Version": "1"}}
        self.reserved, self.provisioned = 10, 0
        self.calls, self.last, self.pending = 0, 1, set()
        self.answers: Callable[[dict[str, Any]], Any] = lambda event: None
        self.happens: Callable[[int, str, bool], None] = lambda number, name, done: None

    def change(self, **values: Any) -> None:
        self.latest |= values | {"RevisionId": str(int(self.latest["RevisionId"]) + 1)}

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return copy.deepcopy(({**self.latest, "RevisionId": None}, self.versions))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls += 1
            number = self.calls
            self.happens(number, name, False)
            result = getattr(self, f"_{name}")(**arguments)
            self.happens(number, name, True)
            return result

        if name.startswith("_"):
            raise AttributeError(name)
        return call

    def get_waiter(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(wait=getattr(self, name))

    def get_paginator(self, operation: str) -> SimpleNamespace:
        return SimpleNamespace(paginate=getattr(self, operation))

    def _function_updated_v2(self, **_: Any) -> None:
        pass

    def _published_version_active(self, Qualifier: str, **_: Any) -> None:
        self.pending.discard(Qualifier)

    def _list_versions_by_function(self, FunctionName: str) -> list[dict[str, Any]]:
        return [{"Versions": copy.deepcopy([self.latest, *self.versions.values()])}]

    def _get_function_configuration(self, FunctionName: str, Qualifier: str = "") -> dict[str, Any]:
        return dict(self.versions["1"] if Qualifier == "live" else self.latest)

    def _update_function_configuration(self, FunctionName: str, RevisionId: str, **values: Any) -> None:
        self._check(RevisionId)
        self.change(**values)

    def _publish_version(self, FunctionName: str, Description: str, RevisionId: str, CodeSha256: str) -> dict[str, Any]:
        self._check(RevisionId)
        self.last += 1
        self.pending.add(str(self.last))
        self.versions[str(self.last)] = self.latest | {"Description": Description, "Version": str(self.last)}
        return self.versions[str(self.last)]

    def _delete_function(self, FunctionName: str, Qualifier: str) -> None:
        if Qualifier in self.pending:
            raise ClientError({"Error": {"Code": "ResourceConflictException", "Message": "pending"}}, "operation")
        del self.versions[Qualifier]

    def _invoke(self, Payload: str, **_: Any) -> dict[str, Any]:
        result = self.answers(json.loads(Payload))
        if isinstance(result, Exception):
            raise result
        return {"Payload": io.BytesIO(json.dumps(result).encode())}

    def _get_function_concurrency(self, FunctionName: str) -> dict[str, int]:
        return {"ReservedConcurrentExecutions": self.reserved}

    def _get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": 900, "ConcurrentExecutions": 1000}}

    def _get_provisioned_concurrency_config(self, FunctionName: str, Qualifier: str) -> dict[str, int]:
        if not self.provisioned:
            raise ClientError({"Error": {"Code": "ProvisionedConcurrencyConfigNotFoundException"}}, "operation")
        return {"RequestedProvisionedConcurrentExecutions": self.provisioned}

    def _check(self, revision: str) -> None:
        if revision != self.latest["RevisionId"]:
            raise ClientError({"Error": {"Code": "PreconditionFailedException", "Message": "stale"}}, "operation")


@pytest.fixture
def aws(monkeypatch) -> Lambda:
    fake = Lambda()
    for module in (versions, aws_module, runs):
        monkeypatch.setattr(module, "client", lambda *_, **__: fake)
    return fake


def make_version(memory_mb: int = 3008) -> dict[str, Any]:
    """Make a version, as `embeddings measure` does; returns its configuration."""
    function = versions.Function("name")
    with function.temporary_version(memory_mb, function.served()) as version:
        return dict(function.lambda_.versions[version])


def test_a_version_has_the_memory_that_is_measured_and_is_deleted(aws):
    before = aws.state()
    assert make_version()["MemorySize"] == 3008
    assert aws.state() == before


@pytest.mark.parametrize("name", ["update_function_configuration", "get_function_configuration", "publish_version"])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("deployed", [{"CodeSha256": "new"}, {"MemorySize": 2048}])
def test_a_deployment_while_a_version_is_made_is_not_measured_and_stays(aws, name, done, deployed):
    """With each call until the version is published, of which those that look are several."""
    before, numbers = aws.state(), []
    aws.happens = lambda number, called, after: numbers.append(number) if (called, after) == (name, done) else None
    make_version()
    for chosen in numbers:
        aws.__init__()

        def deploy(number: int, called: str, after: bool, chosen: int = chosen) -> None:
            if (number, after) == (chosen, done):
                aws.change(**deployed)

        aws.happens = deploy
        try:
            version = make_version()
        except CommandError:
            pass
        else:
            assert (version["MemorySize"], version["CodeSha256"]) == (3008, "code")
        latest, others = aws.state()
        assert latest == before[0] | deployed and others == before[1]


def test_whenever_it_is_stopped_the_function_is_as_it_was(aws):
    before = aws.state()
    make_version()
    calls = aws.calls
    assert calls > 10

    for stopped in [(number, done) for number in range(1, calls + 1) for done in (False, True)]:
        aws.__init__()

        def stop(number: int, name: str, done: bool, stopped: tuple[int, bool] = stopped) -> None:
            if (number, done) == stopped:
                raise KeyboardInterrupt

        aws.happens = stop
        with pytest.raises(KeyboardInterrupt):
            make_version()
        # The command cleans up once more, since the interrupt may have come while it did.
        versions.Function("name").clean_up()
        assert aws.state() == before, stopped


def test_a_version_is_deleted_even_if_the_function_cannot_be_put_back(aws):
    updates = []

    def refuse(number: int, name: str, done: bool) -> None:
        if name == "update_function_configuration" and not done:
            updates.append(number)
            if len(updates) > 1:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "operation")

    aws.happens = refuse
    with pytest.raises(CommandError, match=r"may not change .*; name is not as it was: run `embeddings measure` again"):
        make_version()
    assert list(aws.versions) == ["1"]
    aws.happens = lambda number, name, done: None
    versions.Function("name").clean_up()
    assert aws.state() == Lambda().state()


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in measure.SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def test_a_signal_stops_it_even_if_nobody_can_read_that(handlers, monkeypatch):
    closed = io.StringIO()
    monkeypatch.setattr(closed, "write", lambda text: (_ for _ in ()).throw(BrokenPipeError()))
    monkeypatch.setattr(sys, "stderr", closed)
    assert signal.SIGHUP in measure.SIGNALS
    with pytest.raises(KeyboardInterrupt):
        measure._stop()
    assert {signal.getsignal(each) for each in measure.SIGNALS} == {signal.SIG_IGN}


@pytest.mark.parametrize(
    ("reserved", "provisioned", "levels", "message"),
    [
        (0, 0, [1], "name may have 0 executions at a time"),
        (1, 0, [1], "needs 2 or more"),
        (5, 4, [1], "name may have 1 executions at a time beside those that are provisioned"),
        (6, 2, [], "--concurrency: give a number from 1 to 2"),
        (6, 2, [3], "--concurrency: give a number from 1 to 2"),
    ],
)
def test_callers_keep_half_of_the_executions(aws, reserved, provisioned, levels, message):
    aws.reserved, aws.provisioned = reserved, provisioned
    function = versions.Function("name")
    with pytest.raises(CommandError, match=message):
        Measurement(function, function.served(), 5, 50, levels)


def ok(body: Any, **headers: str) -> dict[str, Any]:
    return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": False}


@pytest.mark.parametrize("result", [None, "ok", {}, [1], ok("ok"), ok("[]"), ok("{}"), ok(None)])
def test_a_function_that_is_no_endpoint_is_refused(aws, result):
    aws.answers = lambda event: result
    with pytest.raises(CommandError, match="name does not answer as an embeddings endpoint"):
        Caller("name", "live", None, 1, 60, None).info()


THROTTLED = ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "rate"}}, "Invoke")
EMBEDDED = ok("{}", **{"x-request-id": "1", "x-compute-tokens": "16"})


@pytest.mark.parametrize("error", [THROTTLED, ConnectionClosedError(endpoint_url="https://lambda")])
def test_a_request_that_is_refused_is_sent_again_and_counted(aws, monkeypatch, error):
    monkeypatch.setattr(runs, "REFUSED_SECONDS", 0)
    answers = iter([error, error, EMBEDDED])
    aws.answers = lambda event: next(answers)
    found = Caller("name", "live", None, 1, 60, None).embed(["a text"])
    assert (found.tokens, found.refused) == (16, 2)
    aws.answers = lambda event: error
    with pytest.raises(runs.Refused):
        Caller("name", "live", None, 1, 60, None).embed(["a text"])


def test_a_caller_who_ends_early_does_not_lower_the_throughput(aws):
    """Of two callers one gets an answer each 20 ms, the other one after 0.5 s, beyond the end: 50 requests a second, and 2."""
    slow: list[int] = []

    def answer_slowly(event: dict[str, Any]) -> dict[str, Any]:
        slow.append(threading.get_ident())
        time.sleep(0.5 if threading.get_ident() == slow[0] else 0.02)
        return EMBEDDED

    aws.answers = answer_slowly
    found = Caller("name", "live", None, 2, 60, None).throughput(["a text"], 2, 0.2)
    assert found.seconds >= 0.5
    assert found.texts_per_second > 1.2 * found.requests / found.seconds
    assert found.tokens_per_second == pytest.approx(16 * found.texts_per_second)
