"""Bulk jobs on the emulated AWS: the deployed state machine, the worker's image, and deaths at the worst moments.

After every job, each row of the corpus is in the output once, with the vector that the endpoint gives it, bit for bit.
"""

import io
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

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
    places = [key for key in account.keys("of/plain/errors/")]
    assert len(places) == 1
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


def test_an_estimate_costs_no_job(account):
    fill(account, "guess")
    plan = account.stack.aws.client("lambda").invoke(
        FunctionName=account.stack.outputs["BulkPlanFunction"],
        Payload=json.dumps({"job": account.job("guess"), "estimate": True}),
    )
    guess = json.loads(plan["Payload"].read())
    assert guess["objects"] == 3 and guess["seconds"] > 0
    assert not account.keys("of/guess/")


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
    assert account.run(account.job("changed"))["total"]["rows"] == 240
    check("changed", every_row() + rows(60, "other"))
