"""Fixtures of the bulk jobs' tests: the service, the endpoint to compare with, and inputs."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars
import pyarrow.parquet as pq
import pytest
import zstandard

from bulk import plan as plan_module
from bulk.job import Job
from bulk.ledger import read_splits
from bulk.parts import Counts
from bulk.plan import Planned, plan
from bulk.split import Split
from bulk.storage import open_storage
from bulk.worker import embed_split
from runtime.aws.startup import load
from runtime.engine.engine import Engine
from runtime.service.service import Service
from runtime.settings import Settings
from tests.texts import EVERYDAY


@pytest.fixture(autouse=True)
def _short_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time a few rows only when a plan is made."""
    monkeypatch.setattr(plan_module, "PLAN_SAMPLE", {"rows": 16, "seconds": 3})


@pytest.fixture(scope="session")
def service(artifact: Path) -> Service:
    """The service of the embedded artifact, on one thread, as a worker has it."""
    return Service(Engine.load(artifact, threads=1))


@pytest.fixture(scope="session")
def endpoint(artifact: Path) -> Callable[..., np.ndarray]:
    """The deployed function's handler, one call for each text: float32 [texts, dimensions]."""
    handler = load(Settings(model_dir=str(artifact), log_level="ERROR"), threads=1)

    def call(texts: list[str], **options) -> np.ndarray:
        return np.concatenate([np.array(handler({"inputs": [text]} | options), np.float32) for text in texts])

    return call


def write_jsonl(path: Path, rows: list[dict | str]) -> None:
    """Write rows, or lines as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def write_by_others(path: Path, values: list[str]) -> None:
    """Write rows with a number and a text in the format of the path's name, by others' writers."""
    format = path.name.split(".")[1]
    data = io.BytesIO()
    frame = polars.DataFrame({"n": range(len(values)), "text": values})
    if format == "parquet":
        pq.write_table(frame.to_arrow(), data, row_group_size=17)
    elif format == "csv":
        frame.write_csv(data)
    else:
        frame.write_ndjson(data)
    body = data.getvalue()
    if path.suffix == ".gz":  # in several members, as some tools write them
        body = gzip.compress(body[:1000]) + gzip.compress(body[1000:])
    elif path.suffix == ".zst":
        body = zstandard.compress(body[:1000]) + zstandard.compress(body[1000:])
    path.write_bytes(body)


def everyday_rows(count: int, prefix: str = "row") -> list[dict]:
    """Rows with ids and short texts, all different."""
    return [{"id": f"{prefix}-{n}", "text": f"{EVERYDAY[n % len(EVERYDAY)][:40]} {prefix} {n}"} for n in range(count)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with three files of rows."""
    for name in "abc":
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", everyday_rows(20, name))
    return tmp_path / "in"


def make_job(folder: Path, **options) -> Job:
    """A job from the folder ``in`` to the folder ``out`` beside it."""
    return Job(**{"input": str(folder / "in"), "output": str(folder / "out"), "id": "id"} | options)


def planned_splits(planned: Planned) -> list[Split]:
    """The lines of a run's manifest."""
    path = Path(planned.manifest["path"])
    return list(read_splits(open_storage(str(path.parent)), path.name))


def embed_all(job: Job, service: Service, **options) -> tuple[Planned, Counts]:
    """Plan and embed, without a commit."""
    planned = plan(job, service, **options)
    return planned, sum((embed_split(split, planned.job, service) for split in planned_splits(planned)), Counts())


def read_rows(output: Path) -> list[dict]:
    """All rows of an output, part after part."""
    return [row for part in sorted((output / "data").glob("*.parquet")) for row in pq.read_table(part).to_pylist()]


def read_errors(output: Path) -> list[dict]:
    """All lines of the errors of an output."""
    return [json.loads(line) for path in sorted((output / "errors").glob("*")) for line in path.open()]


def check_exactly_once(output: Path, expected: dict[str, str], endpoint: Callable[..., np.ndarray], **options) -> None:
    """Check that the output has a row for each id and text of ``expected``, once, with the endpoint's vector, bit for bit."""
    rows = read_rows(output)
    assert sorted(row["id"] for row in rows) == sorted(expected)
    vectors = endpoint([expected[row["id"]] for row in rows], **options)
    assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), vectors)
