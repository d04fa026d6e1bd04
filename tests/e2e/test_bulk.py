"""Bulk jobs on the emulated AWS: the deployed state machine, the worker's image, and deaths at the worst moments.

After every job, each row of the corpus is in the output once, with the vector that the endpoint gives it, bit for bit.
"""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from containers.tools import PROJECT
from tests.bulk.conftest import everyday_rows
from tests.e2e.conftest import Deployment

STACK = "E2eBulk"
CONTEXT = {
    "bulk_inputs": "corpus/texts",
    "bulk_outputs": "vectors/of",
    "bulk_concurrency": "2",
    "bulk_split_seconds": "1",
    "alarms": "true",
}


def rows(count: int, prefix: str) -> list[dict]:
    """Rows with texts so long that those of a file are more than half a split."""
    return [row | {"text": " ".join([row["text"]] * 12)} for row in everyday_rows(count, prefix)]


FILES = {f"{name}.jsonl": rows(60, name) for name in "abc"}


class Account:
    """The corpus and the outputs, and the jobs on them."""

    def __init__(self, stack: Deployment) -> None:
        self.stack = stack
        self.s3 = stack.aws.client("s3")
        self.states = stack.aws.client("stepfunctions")

    def put(self, folder: str, name: str, rows: list[dict], more: bytes = b"") -> None:
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows) + more
        self.s3.put_object(Bucket="corpus", Key=f"texts/{folder}/{name}", Body=body)

    def job(self, folder: str, **options: Any) -> dict:
        places = {"input": f"s3://corpus/texts/{folder}", "output": f"s3://vectors/of/{folder}"}
        return places | {"id": "id"} | options

    def start(self, job: dict) -> str:
        machine = self.stack.outputs["BulkStateMachine"]
        return self.states.start_execution(stateMachineArn=machine, input=json.dumps(job))["executionArn"]

    def wait(self, execution: str) -> dict:
        """The execution when it is over."""
        while (found := self.states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            time.sleep(0.2)
        return found

    def run(self, job: dict) -> dict:
        """Run a job that succeeds, and return its commit."""
        done = self.wait(self.start(job))
        assert done["status"] == "SUCCEEDED", f"{done.get('error')}: {done.get('cause')}\n{self.stack.aws.recent_log()}"
        return json.loads(done["output"])

    def refused(self, job: dict) -> str:
        """Run a job that fails, and return why."""
        done = self.wait(self.start(job))
        assert done["status"] == "FAILED"
        return f"{done['error']}: {done['cause']}"

    def keys(self, prefix: str) -> list[str]:
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket="vectors", Prefix=prefix).get("Contents", [])]

    def wait_for(self, prefix: str) -> None:
        """Wait until there is an object under ``prefix``."""
        deadline = time.monotonic() + 120
        while not self.keys(prefix):
            assert time.monotonic() < deadline, f"no object under {prefix}\n{self.stack.aws.recent_log()}"
            time.sleep(0.05)

    def command(self, *arguments: str, **options: Any) -> subprocess.Popen:
        """Start `embeddings bulk`."""
        env = self.stack.aws.environment | {"PYTHONPATH": f"{PROJECT}/client/src", "EMBEDDINGS_DEPLOYMENT": STACK}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        command = [sys.executable, "-m", "serverless_embeddings_client.cli", "bulk", *arguments]
        return subprocess.Popen(command, env=env, text=True, **pipes)

    def say(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        """Run `embeddings bulk`, which ends with ``status``, and return what it writes to stdout and stderr."""
        process = self.command(*arguments)
        output, errors = process.communicate(timeout=180)
        assert process.returncode == status, output + errors
        return output, errors

    def output(self, folder: str) -> list[dict]:
        bodies = [
            self.s3.get_object(Bucket="vectors", Key=key)["Body"].read() for key in self.keys(f"of/{folder}/data/")
        ]
        return [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]


@pytest.fixture(scope="module")
def account(stack: Deployment) -> Account:
    account = Account(stack)
    for bucket in ("corpus", "vectors"):
        account.s3.create_bucket(Bucket=bucket)
    return account


@pytest.fixture(scope="module")
def check(account: Account) -> Callable[[str, list[dict]], None]:
    """Checks that an output has each of the rows once, with the endpoint's vectors."""
    known: dict[str, list[float]] = {}

    def check(folder: str, wanted: list[dict]) -> None:
        found = account.output(folder)
        assert sorted(row["id"] for row in found) == sorted(row["id"] for row in wanted)
        new = [row["text"] for row in wanted if row["text"] not in known]
        if new:
            known.update(zip(new, account.stack.invoke({"inputs": new}), strict=True))
        texts = {row["id"]: row["text"] for row in wanted}
        vectors = np.array([known[texts[row["id"]]] for row in found], np.float32)
        assert np.array_equal(np.array([row["vector"] for row in found], np.float32), vectors)

    return check


def every_row(files: dict[str, list[dict]] = FILES) -> list[dict]:
    return [row for rows in files.values() for row in rows]


def fill(account: Account, folder: str) -> None:
    for name, rows in FILES.items():
        account.put(folder, name, rows)


def test_a_corpus_becomes_the_endpoint_s_vectors(account, check):
    fill(account, "plain")
    account.put("plain", "d.jsonl", [], b'{broken\n{"id": "no-text"}\n')
    done = account.run(account.job("plain", concurrency=2))
    assert (done["total"]["rows"], done["total"]["errors"], done["repeated_ids"]) == (180, 2, 0)
    assert done["parts"] == len(account.keys("of/plain/data/")) >= 3
    assert done["usd"] > 0
    check("plain", every_row())
    assert len(account.keys("of/plain/errors/")) == 1
    parameters = account.stack.aws.client("ssm")
    for name, output in (("state-machine", "BulkStateMachine"), ("plan-function", "BulkPlanFunction")):
        value = parameters.get_parameter(Name=f"/serverless-embeddings/{STACK}/bulk-{name}")["Parameter"]["Value"]
        assert value == account.stack.outputs[output]

    again = account.run(account.job("plain"))
    assert (again["run"], again["new"]["rows"], again["total"]["rows"]) == (2, 0, 180)
    account.put("plain", "new.jsonl", rows(7, "new"))
    assert account.run(account.job("plain"))["total"]["rows"] == 187
    check("plain", every_row() + rows(7, "new"))

    assert "OutputError" in (told := account.refused(account.job("plain", dimensions=64))) and "dimensions" in told
    assert "JobError" in (told := account.refused(account.job("plain", text="txt"))) and "txt" in told
    assert "AccessDenied" in account.refused(account.job("plain") | {"output": "s3://vectors/elsewhere"})


def places(folder: str) -> tuple[str, ...]:
    """The arguments of a job in ``folder``."""
    return f"s3://corpus/texts/{folder}", f"s3://vectors/of/{folder}", "--id", "id"


def test_the_command_takes_a_corpus_from_a_question_to_a_bill(account, check):
    wanted = rows(20, "a") + rows(20, "b")
    account.put("asked", "a.jsonl", wanted[:20])
    account.put("asked", "b.jsonl", wanted[20:])
    account.put("asked", "d.jsonl", [], b'{broken\n{"id": "no-text"}\n')
    output = places("asked")[1]
    said, _ = account.say("estimate", *places("asked"))
    assert "3 objects" in said and "2 splits" in said and "$0.0" in said
    assert "add --yes" in account.say("run", *places("asked"), status=2)[1]
    assert not account.keys("of/asked/")

    person, terminal = pty.openpty()
    process = account.command("run", *places("asked"), stdin=terminal)
    os.write(person, b"y\n")
    bill, progress = process.communicate(timeout=180)
    os.close(person)
    os.close(terminal)
    assert process.returncode == 3, progress
    assert "Start it?" in progress and "started arn:" in progress  # how many states it sees is a matter of time
    assert "40" in bill and f"`embeddings bulk errors {output}` says why" in bill and "$0.0" in bill
    check("asked", wanted)

    assert bill.rpartition("cost")[2] in account.say("status", output, status=3)[0]
    lines, summary = account.say("errors", output)
    refused = [json.loads(line) for line in lines.splitlines()]
    assert [each["source"] for each in refused] == ["d.jsonl"] * 2 and refused[1]["id"] == "no-text"
    assert "2 rows" in summary

    account.put("asked", "new.jsonl", rows(7, "new"))
    bill, _ = account.say("run", *places("asked"), "--yes")
    assert "splits are done and stay" in bill and "7, with earlier runs 47" in bill
    check("asked", wanted + rows(7, "new"))
    assert "dimensions None (now 64)" in account.say("run", *places("asked"), "--dimensions", "64", status=2)[1]


def test_the_command_leaves_a_job_alone_looks_at_it_and_stops_it(account, check):
    fill(account, "left")
    output = places("left")[1]
    options = *places("left"), "--concurrency", "1", "--yes"
    execution = account.say("run", *options, "--detach")[0].splitlines()[-1]
    assert execution in account.say("status", output)[0]  # it plans, and has written nothing
    account.wait_for("of/left/data/")
    assert f"is written now, by {execution}" in account.say("run", *options, status=2)[1]
    watching = account.command("status", output, "--watch")
    while "embedding: " not in (line := watching.stderr.readline()):
        assert line, "it has ended"
    watching.send_signal(signal.SIGINT)
    assert f"embeddings bulk cancel {output}" in watching.communicate(timeout=30)[1]
    assert watching.returncode == 130
    assert account.states.describe_execution(executionArn=execution)["status"] == "RUNNING"

    account.say("cancel", output)
    assert "was cancelled" in account.say("status", execution, status=1)[1]
    assert "is over" in account.say("cancel", output, status=2)[1]
    assert "180" in account.say("run", *options)[0]
    check("left", every_row())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3://corpus/texts/none", "s3://vectors/of/none"], "there are no objects with rows"),
        (["s3://no-such-bucket/texts", "s3://vectors/of/none"], "is the bucket's name right"),
        (["s3://corpus/texts/plain", "s3://vectors/elsewhere"], "in the deployment's bulk_inputs or bulk_outputs?"),
        (["s3://corpus/texts/plain", "s3://vectors/of/none", "--column", "txt"], "there is no column 'txt'"),
        (["s3://corpus/texts/plain", "s3://vectors/of/none", "--deployment", "Other"], "no deployment Other"),
    ],
)
def test_the_command_refuses_in_a_sentence_before_anything_is_spent(account, arguments, message):
    fill(account, "plain")
    said = account.say("run", *arguments, "--yes", status=2)[1].splitlines()[-1]
    assert said.startswith("error: ") and message in said and "An error occurred" not in said
    assert "no job has written there" in account.say("status", "s3://vectors/of/none", status=2)[1]


def test_deaths_before_and_after_every_write(account, check):
    """A death takes every environment: the one that writes, and the other in the middle of its split."""
    fill(account, "deaths")
    account.stack.aws.die_at(
        ("after", "deaths/_runs/000001/run.json"),
        ("before", "deaths/_runs/000002/manifest.jsonl"),
        ("before", "deaths/data/"),
        ("after", "deaths/data/"),
        ("before", "deaths/data/"),
        ("before", "deaths/_commits/"),
        ("after", "deaths/_commits/"),
    )
    account.run(account.job("deaths"))
    assert account.stack.aws.has_died()
    check("deaths", every_row())
    assert account.run(account.job("deaths"))["total"]["rows"] == 180


def test_lambda_has_no_room(account, check):
    fill(account, "throttled")
    functions = account.stack.aws.client("lambda")
    (embed,) = (
        each["FunctionName"]
        for each in functions.list_functions()["Functions"]
        if each.get("Description") == "Embeds a split of a corpus"
    )
    functions.put_function_concurrency(FunctionName=embed, ReservedConcurrentExecutions=1)
    account.run(account.job("throttled"))
    functions.put_function_concurrency(FunctionName=embed, ReservedConcurrentExecutions=2)
    check("throttled", every_row())


def test_a_job_is_stopped_and_started_again(account, check):
    fill(account, "stopped")
    first = account.start(account.job("stopped"))
    account.wait_for("of/stopped/data/")
    assert f"is written now, by {first}" in account.refused(account.job("stopped"))
    account.states.stop_execution(executionArn=first)
    account.put("stopped", "new.jsonl", rows(7, "new"))
    done = account.run(account.job("stopped"))
    assert done["total"]["rows"] == 187
    check("stopped", every_row() + rows(7, "new"))


def test_an_object_changes_meanwhile(account, check):
    fill(account, "changed")
    account.put("changed", "z.jsonl", rows(60, "z"))
    execution = account.start(account.job("changed", concurrency=1))
    account.wait_for("of/changed/_runs/000001/manifest.jsonl")
    account.put("changed", "z.jsonl", rows(60, "other"))
    done = account.wait(execution)
    assert done["status"] == "FAILED" and done["error"] == "Incomplete" and "z.jsonl" in done["cause"]
    (results,) = (key for key in account.keys("of/changed/_runs/000001/") if key.endswith("FAILED_0.json"))
    failed = json.loads(account.s3.get_object(Bucket="vectors", Key=results)["Body"].read())
    assert all("changed since the plan" in each["Cause"] for each in failed)
    lines, _ = account.say("errors", execution)
    assert all("changed since the plan" in each["reason"] for each in map(json.loads, lines.splitlines())) and lines
    assert "bulk errors s3://vectors/of/changed" in account.say("status", execution, status=1)[1]
    assert account.run(account.job("changed"))["total"]["rows"] == 240
    check("changed", every_row() + rows(60, "other"))
