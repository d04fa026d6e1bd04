"""The Lambda handlers on an emulated S3 (ministack, which knows ranges and conditions)."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from bulk import handlers
from bulk.errors import Incomplete, InputError, JobError, OutputError
from bulk.job import read_job
from bulk.storage import open_storage
from containers.tools import wait_until
from tests.support import aws
from tests.support.processes import free_port, start, stop

from .conftest import everyday_rows, write_by_others

pytestmark = pytest.mark.slow
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:bulk:first"


@pytest.fixture(scope="module")
def s3(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A client of the emulated S3; this process's AWS SDKs use it, and the handlers the embedded model."""
    aws.ensure()
    folder = tmp_path_factory.mktemp("ministack")
    port = free_port()
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"GATEWAY_PORT": str(port)}
    python = aws._VENV / "bin" / "python"
    process = start([python, aws._LAUNCHER], log=folder / "log", env=env | {"TMPDIR": str(folder)})
    url = f"http://localhost:{port}"

    def is_ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return urllib.request.urlopen(f"{url}/_ministack/health", timeout=5).status == 200
        except OSError:
            return False

    with pytest.MonkeyPatch.context() as environment:
        wait_until(is_ready, "the emulated S3")
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "EMBEDDINGS_MODEL_DIR": str(artifact),
            "EMBEDDINGS_BULK_USD_PER_SECOND": "0.5",
        }.items():
            environment.setenv(name, value)
        yield boto3.client("s3")
    stop(process)
    handlers._step_functions.cache_clear()


@pytest.fixture
def bucket(s3, request: pytest.FixtureRequest) -> str:
    """A bucket with three objects under ``texts/``, and another that does not belong to the input."""
    name = f"bucket-{abs(hash(request.node.name))}"
    s3.create_bucket(Bucket=name)
    for key in "abc":
        put(s3, name, f"texts/{key}.jsonl", everyday_rows(20, key))
    put(s3, name, "texts-of-others/a.jsonl", everyday_rows(20, "other"))
    return name


def put(s3, bucket: str, key: str, rows: list[dict]) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body="".join(json.dumps(row) + "\n" for row in rows).encode())


def make_job(bucket: str, **options) -> dict:
    return {"input": f"s3://{bucket}/texts", "output": f"s3://{bucket}/vectors", "id": "id"} | options


def manifest(s3, planned: dict) -> list[dict]:
    """The lines of the manifest, as a Distributed Map reads them."""
    place = planned["manifest"]
    body = s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    return [json.loads(line) for line in body.splitlines()]


def run(s3, job: dict, execution: str = EXECUTION) -> dict:
    """What the state machine does: every value between two steps is JSON."""
    planned = json.loads(json.dumps(handlers.plan({"job": job, "execution": execution}, None)))
    for split in manifest(s3, planned):
        handlers.embed({"split": split, "job": planned["job"]}, None)
    return json.loads(json.dumps(handlers.commit(planned, None)))


def read_rows(s3, bucket: str, folder: Path) -> list[dict]:
    found = s3.list_objects_v2(Bucket=bucket, Prefix="vectors/data/")["Contents"]
    rows = []
    for number, each in enumerate(found):
        s3.download_file(bucket, each["Key"], str(folder / f"{number}.parquet"))
        rows += pq.read_table(folder / f"{number}.parquet").to_pylist()
    return rows


@pytest.fixture
def small_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits of a few texts."""
    monkeypatch.setenv("EMBEDDINGS_BULK_SPLIT_SECONDS", "0.05")


def test_a_corpus_in_s3_becomes_the_endpoint_s_vectors(s3, bucket, tmp_path, endpoint, small_splits):
    done = run(s3, make_job(bucket))
    assert (done["total"]["rows"], done["usd"]) == (60, pytest.approx(done["total"]["seconds"] / 2, abs=1e-3))
    assert done["parts"] > 3
    rows = read_rows(s3, bucket, tmp_path)
    texts = {row["id"]: row["text"] for key in "abc" for row in everyday_rows(20, key)}
    assert sorted(row["id"] for row in rows) == sorted(texts)
    vectors = endpoint([texts[row["id"]] for row in rows])
    assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), vectors)
    assert json.loads(s3.get_object(Bucket=bucket, Key="vectors/_SUCCESS")["Body"].read()) == done


def test_a_step_may_run_again_and_the_next_execution_continues(s3, bucket, tmp_path, small_splits, capsys):
    job = make_job(bucket)
    planned = handlers.plan({"job": job, "execution": EXECUTION}, None)
    again = handlers.plan({"job": job, "execution": EXECUTION}, None)
    splits = manifest(s3, planned)
    assert manifest(s3, again) == splits
    for split in splits[:2] * 2:
        handlers.embed({"split": split, "job": planned["job"]}, None)
    with pytest.raises(Incomplete, match=f"{len(splits) - 2} parts are missing"):
        handlers.commit(again, None)
    put(s3, bucket, "texts/new.jsonl", everyday_rows(7, "new"))
    done = run(s3, job, EXECUTION + "-2")
    assert (done["run"], done["total"]["rows"]) == (3, 67)
    ids = [row["id"] for row in read_rows(s3, bucket, tmp_path)]
    assert len(ids) == len(set(ids)) == 67
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["step"] for line in lines} == {"plan", "embed", "commit"}
    assert "query:" not in json.dumps(lines)


def test_an_object_that_changes_is_refused(s3, bucket):
    planned = handlers.plan({"job": make_job(bucket), "execution": EXECUTION}, None)
    put(s3, bucket, "texts/b.jsonl", everyday_rows(3, "changed"))
    with pytest.raises(InputError, match=rf"s3://{bucket}/texts/b\.jsonl: changed since the plan"):
        for split in manifest(s3, planned):
            handlers.embed({"split": split, "job": planned["job"]}, None)


def test_an_output_that_a_running_execution_writes_is_refused(s3, bucket, monkeypatch):
    """ministack knows no such execution, which is how one that is long over looks."""
    handlers.plan({"job": make_job(bucket), "execution": EXECUTION}, None)
    assert handlers._is_running(EXECUTION) is False
    monkeypatch.setattr(handlers, "_is_running", lambda execution: execution == EXECUTION)
    with pytest.raises(OutputError, match=f"is written now, by {EXECUTION}"):
        handlers.plan({"job": make_job(bucket), "execution": EXECUTION + "-2"}, None)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_one_object_of_another_format(s3, bucket, tmp_path, name, small_splits):
    write_by_others(tmp_path / name, [row["text"] for row in everyday_rows(150)])
    s3.upload_file(str(tmp_path / name), bucket, f"one/{name}")
    s3.put_object(Bucket=bucket, Key=f"one/{name}.old", Body=b"something else")
    done = run(s3, make_job(bucket, input=f"s3://{bucket}/one/{name}", id="n"))
    assert (done["total"]["rows"], done["repeated_ids"]) == (150, 0)
    assert done["parts"] > 1


def test_an_estimate_writes_nothing(s3, bucket):
    guess = handlers.plan({"job": make_job(bucket), "estimate": True}, None)
    assert (guess["todo"]["objects"], guess["concurrency"], guess["usd_per_second"]) == (3, 1, 0.5)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="vectors")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://no-such-bucket-of-ours/texts", "cannot be listed .*NoSuchBucket"),
        ("s3://{}/nothing", "no objects with rows"),
    ],
)
def test_a_place_that_does_not_exist_is_an_error(s3, bucket, place, message):
    with pytest.raises(JobError, match=message):
        handlers.plan({"job": make_job(bucket, input=place.format(bucket)), "execution": EXECUTION}, None)


def test_nothing_is_written_over(s3, bucket):
    storage = open_storage(f"s3://{bucket}/vectors")
    assert storage.put_if_absent("x", b"first") is True
    assert storage.put_if_absent("x", b"second") is False
    assert storage.read("x") == b"first"
    with pytest.raises(InputError, match="y: cannot be read"):
        storage.read("y")


def test_a_job_survives_json():
    job = read_job(make_job("bucket", copy=["year"], concurrency=5))
    assert read_job(msgspec.to_builtins(job)) == job
