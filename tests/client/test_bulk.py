"""`embeddings bulk` without AWS: jobs on folders by the command itself, what it says, and how it ends."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars
import pytest
from botocore.exceptions import ClientError

from bulk.commit import Commit
from containers.tools import PROJECT, wait_until
from runtime.aws.startup import load
from runtime.settings import Settings
from serverless_embeddings_client.cli import reports
from serverless_embeddings_client.cli.aws import explained
from serverless_embeddings_client.cli.errors import CommandError
from serverless_embeddings_client.cli.jobs import refusal
from serverless_embeddings_client.cli.places import reason
from tests.bulk.conftest import check_exactly_once, everyday_rows, write_jsonl

COMMAND = [sys.executable, "-m", "serverless_embeddings_client.cli", "bulk"]
FORECAST = {
    "splits": 1000,
    "done": 0,
    "todo": {
        "objects": 12,
        "bytes": 3_400_000_000,
        "rows": 9_000_000,
        "tokens": 900_000_000,
        "seconds": 100_000.0,
        "sampled_rows": 1000,
    },
    "concurrency": 100,
    "usd_per_second": 0.00003,
}


def environment(**values: str) -> dict[str, str]:
    """An environment without AWS."""
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return mine | nothing | {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": f"{PROJECT}/client/src"} | values


def say(*arguments: object, status: int = 0, cwd: Path = PROJECT, **values: str) -> tuple[str, str]:
    """Run the command, which ends with ``status``, and return what it writes to stdout and stderr."""
    words = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(words, cwd=cwd, env=environment(**values), capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def job(tmp_path: Path, artifact: Path) -> list[object]:
    """The arguments of a job on a folder with 40 rows and a broken line."""
    write_jsonl(tmp_path / "in" / "a.jsonl", [*everyday_rows(40), "{broken"])
    return [tmp_path / "in", tmp_path / "out", "--id", "id", "--concurrency", 1, "--model-dir", artifact]


def test_a_folder_becomes_vectors(job, tmp_path, artifact):
    bill, progress = say("run", *job, status=3)
    assert "40" in bill and "$" not in bill
    assert "· planning" in progress and "1 of 1 splits" in progress
    assert len(polars.read_parquet(tmp_path / "out" / "data" / "*.parquet")) == 40
    handler = load(Settings(model_dir=str(artifact), log_level="ERROR"), threads=1)
    texts = {row["id"]: row["text"] for row in everyday_rows(40)}
    check_exactly_once(
        tmp_path / "out", texts, lambda texts: np.float32([handler({"inputs": [text]})[0] for text in texts])
    )

    lines, summary = say("errors", tmp_path / "out")
    assert json.loads(lines)["source"] == "a.jsonl" and "1 rows" in summary
    assert "40" in say("status", tmp_path / "out", status=3)[0]
    write_jsonl(tmp_path / "in" / "b.jsonl", everyday_rows(5, "new"))
    bill, progress = say("run", *job)
    assert "5, with earlier runs 45" in bill and "continues" in progress
    assert "dimensions None (now 64)" in say("run", *job, "--dimensions", 64, status=2)[1]


def test_an_estimate_writes_nothing(job, tmp_path):
    said, _ = say("estimate", *job)
    assert "1 objects" in said and "1 splits" in said and "$" not in said
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_what_the_same_command_continues(job, tmp_path):
    write_jsonl(tmp_path / "in" / "z.jsonl", [{"id": f"z{n}", "text": "word " * 400} for n in range(200)])
    process = subprocess.Popen(
        [*COMMAND, "run", *map(str, job)],
        cwd=PROJECT,
        env=environment(),
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "_runs" / "000001" / "manifest.jsonl").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: stopped; the same command again continues"
    assert "0 of the last run's" in say("status", tmp_path / "out")[0]


def workers(group: int) -> int:
    """How many workers of a process group have started, by proc(5)."""
    found = 0
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_worker = b"multiprocessing.spawn" in (path / "cmdline").read_bytes()
            found += is_worker and int((path / "stat").read_text().rpartition(")")[2].split()[2]) == group
    return found


def test_ctrl_c_while_workers_start_is_one_sentence(job):
    process = subprocess.Popen(
        [*COMMAND, "run", *map(str, job)],
        cwd=PROJECT,
        env=environment(),
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: workers(process.pid), "the start of a worker")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors and errors.splitlines()[-1].startswith("error: stopped")


def test_a_full_disk_is_said_in_a_sentence_and_the_same_command_continues(job, tmp_path):
    """A limit of a file's size stands for a full disk."""
    words = [*COMMAND, "run", *map(str, job)]
    done = subprocess.run(
        words,
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert done.returncode == 1
    assert "cannot be written (File too large)" in done.stderr and "Traceback" not in done.stderr
    assert "40" in say("run", *job, status=3)[0]


def test_a_run_that_is_refused_leaves_nothing(job, tmp_path):
    assert "there is no column 'body'" in say("run", *job, "--column", "body", status=2)[1]
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").write_text("a file")
    assert "out: a folder cannot be made there (File exists)" in say("run", *job, status=2)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "{}/in", "s3://bucket/out"], "both on S3 or both folders"),
        (["run", "{}/in", "{}/out"], "`make model` makes build/model/latest"),
        (["run", "{}/in", "{}/out", "--model-dir", "{}/none"], "cannot be read"),
        (["run", "{}/in", "{}/out", "--detach"], "runs in this command"),
        (["status", "{}/out"], "no job has written there yet"),
        (["errors", "{}/out"], "no job has written there yet"),
        (["cancel", "{}/out"], "Ctrl-C"),
        (["status", "arn:aws:s3:::bucket"], "name the job's output"),
        (["run", "s3://corpus/texts", "s3://vectors/first"], "export AWS_REGION="),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, arguments, message):
    _, errors = say(*(word.format(tmp_path) for word in arguments), status=2)
    said = errors.splitlines()[-1]
    assert said.startswith("error: ") and message in said


def test_the_region_is_that_of_other_sdks_and_credentials_are_asked_for():
    _, errors = say("run", "s3://corpus/texts", "s3://vectors/first", status=2, AWS_REGION="eu-central-1")
    assert "there are no AWS credentials" in errors


def test_the_status_is_that_of_the_last_run_that_was_planned(job, tmp_path):
    say("run", *job, status=3)
    write_jsonl(tmp_path / "in" / "a.jsonl", everyday_rows(3, "changed"))
    assert "objects changed after rows of them were embedded" in say("run", *job, status=2)[1]
    assert (tmp_path / "out" / "_runs" / "000002").exists()
    assert "40" in say("status", tmp_path / "out", status=3)[0]
    for manifest in (tmp_path / "out" / "_runs").glob("*/manifest.jsonl"):
        manifest.unlink()
    assert "stopped while it planned" in say("status", tmp_path / "out")[0]


def test_rows_that_are_tried_again_are_not_listed_as_refused(job, tmp_path):
    """All dies between the errors of a split and its part; then the object is mended, and the next run makes another part."""
    say("run", *job, status=3)
    for path in (*(tmp_path / "out" / "data").iterdir(), *(tmp_path / "out" / "_commits").iterdir()):
        path.unlink()
    (tmp_path / "out" / "_SUCCESS").unlink()
    write_jsonl(tmp_path / "in" / "a.jsonl", everyday_rows(40))
    say("run", *job)
    assert say("errors", tmp_path / "out")[0] == ""


def test_folders_need_the_project(job, tmp_path):
    assert "run the command in its checkout" in say("run", *job, status=2, cwd=tmp_path)[1]


def test_help_teaches_with_examples():
    said, _ = say("run", "--help", COLUMNS="200")
    assert "embeddings bulk run s3://corpus/texts s3://vectors/first --column body" in said
    said, _ = say("--help")
    assert all(name in said for name in ("run", "estimate", "status", "errors", "cancel"))


def test_an_estimate_is_a_range_of_hours_and_dollars():
    """1,000 splits of 100 s, 100 at a time, are 10 times 100 s: 750 s to 1,400 s; $3, from 2.25 to 4.20."""
    said = reports.estimate(FORECAST, 100, 1000)
    assert "time       13 min to 24 min" in said
    assert "cost       $2.25 to $4.20" in said
    assert "12 objects, 3.4 GB: about 9,000,000 rows and 900,000,000 tokens (100 a row), in 1,000 splits" in said
    assert "Service Quotas" not in said and "continues" not in said


def test_an_account_that_may_run_ten_functions_is_told_before():
    said = reports.estimate(FORECAST, 10, 10)
    assert "10 splits; the account may run 10 functions, so fewer than the job's 100: ask for more" in said
    assert "time       2.1 h to 3.9 h" in said


def test_a_job_that_continues_says_what_stays():
    assert "continues  41 splits are done" in reports.estimate(FORECAST | {"done": 41}, 100)
    assert "nothing" in reports.estimate(FORECAST | {"done": 41, "splits": 0}, 100)


def commit(new: dict, total: dict) -> dict:
    """A commit; all that a bill reads are fields of ``bulk.commit.Commit``."""
    counts = {"errors": 0, "truncated": 0, "seconds": 0.0, "tokens": 0}
    made = {"model": "model", "usd": 3.0, "repeated_ids": 0, "job": {"output": "s3://vectors/first/"}}
    assert made.keys() < set(Commit.__struct_fields__)
    return made | {"new": counts | new, "total": counts | total}


def test_the_bill_of_a_run_is_its_share_of_the_output_s():
    said = reports.bill(commit({"rows": 1, "seconds": 25.0}, {"rows": 4, "seconds": 100.0}), "list", 61)
    assert "rows       1, with earlier runs 4" in said
    assert "cost       $0.75, with earlier runs $3.00" in said
    assert "took       61 s" in said
    assert "refused" not in said


def test_the_bill_names_what_a_person_should_look_at():
    both = {"rows": 4, "errors": 2, "truncated": 3, "seconds": 100.0}
    said = reports.bill(commit(both, both) | {"repeated_ids": 7}, "list")
    assert "refused    2; `list` says why" in said
    assert "3 rows are longer than the model takes" in said
    assert "7 rows have an id" in said


def test_progress_says_the_rate_and_the_time_left():
    said = reports.Progress(250, 1000, 1, 4, failed=1, seconds=50, usd=0.5).text
    assert said == "1 of 4 splits, 250 of about 1,000 rows, 1 failed, 5 rows/s, 2 min left, about $0.50 so far"
    assert "100 s left" not in reports.Progress(0, 10, 0, 4, seconds=20, expected_seconds=100).text
    assert "80 s left" in reports.Progress(0, 10, 0, 4, seconds=20, expected_seconds=100).text


def test_a_refusal_says_what_to_do():
    message = (
        "s3://b/x/: cannot be listed (An error occurred (AccessDenied) when calling the ListObjectsV2 operation: no)"
    )
    said = refusal("JobError", message)
    assert str(said).startswith("s3://b/x/: cannot be listed (AccessDenied); is the bucket's name right")
    assert said.exit_code == 2
    said = refusal("OutputError", "s3://b/x/: is written now, by arn:e, since 2026")
    assert "`embeddings bulk status s3://b/x` shows it" in str(said)
    assert refusal("Sandbox.Timedout", "after 900 s").exit_code == 1


@pytest.mark.parametrize(
    ("code", "said", "status"),
    [
        ("AccessDeniedException", "your AWS credentials may not stop it: why", 2),
        ("NoSuchBucket", "cannot stop it: there is no such bucket", 2),
        ("InternalError", "cannot stop it: InternalError: why", 1),
    ],
)
def test_what_aws_refuses_is_said_in_a_sentence(code, said, status):
    with pytest.raises(CommandError) as error, explained("stop it"):
        raise ClientError({"Error": {"Code": code, "Message": "why"}}, "StopExecution")
    assert (str(error.value), error.value.exit_code) == (said, status)


def test_the_reason_of_a_failed_function_is_its_message():
    cause = json.dumps({"errorMessage": "x: changed since the plan", "errorType": "InputError", "stackTrace": []})
    assert reason({"Error": "InputError", "Cause": cause}) == "InputError: x: changed since the plan"
    assert reason({"error": "States.Timeout"}) == "States.Timeout"
