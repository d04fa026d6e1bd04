"""The local engine with real processes: whatever dies when, every row is in the output once, with the endpoint's vector."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bulk.errors import Incomplete, JobError, OutputError
from bulk.job import Job
from bulk.local import Progress, run_local
from containers.tools import PROJECT, wait_until

from .conftest import check_exactly_once, everyday_rows, make_job, read_errors, read_rows, write_jsonl

FILES, ROWS = "abcd", 60


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, str]:
    """A folder ``in`` with rows, some of them bad; the ids and texts of the good ones."""
    good: dict[str, str] = {}
    for name in FILES:
        rows = everyday_rows(ROWS, name)
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", [*rows[:30], "{broken", {"id": "empty", "text": ""}, *rows[30:]])
        good |= {row["id"]: row["text"] for row in rows}
    return good


def start(folder: Path, artifact: Path, *points: str) -> subprocess.Popen:
    """Start a run as a process group of its own."""
    (folder / "flags").mkdir(exist_ok=True)
    places = [folder / "in", folder / "out", artifact, folder / "flags"]
    command = [sys.executable, "-m", "tests.bulk.run_with_faults", *map(str, places), *points]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's job in the background ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def running(group: int) -> list[str]:
    """The states of the processes of a group that have not ended, by proc(5)."""
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    return [state for state, _, their_group, *_ in stats if int(their_group) == group and state != "Z"]


def finish(process: subprocess.Popen) -> None:
    """Wait for a run that succeeds."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert int(output) == len(FILES) * ROWS


def check(folder: Path, texts: dict[str, str], endpoint) -> None:
    """Check rows, errors and totals of the complete output."""
    check_exactly_once(folder / "out", texts, endpoint)
    assert len(read_errors(folder / "out")) == 2 * len(FILES)
    total = json.loads((folder / "out" / "_SUCCESS").read_text())["total"]
    assert (total["rows"], total["errors"]) == (len(texts), 2 * len(FILES))


def test_workers_that_die_lose_and_repeat_nothing(tmp_path, artifact, endpoint, texts):
    points = ["embedding:2", "before:data/", "after:data/", "after:errors/"]
    finish(start(tmp_path, artifact, *points))
    assert len(list((tmp_path / "flags").iterdir())) == len(points)
    check(tmp_path, texts, endpoint)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        "after:_job.json",
        "after:_runs/000001/run.json",
        "after:_runs/000001/splits.jsonl",
        "after:_runs/000001/manifest.jsonl",
        "before:_commits/",
        "after:_commits/",
        "after:_SUCCESS",
    ],
)
def test_the_same_command_continues_what_a_dead_one_began(tmp_path, artifact, endpoint, texts, point):
    assert start(tmp_path, artifact, point).wait(60) == -signal.SIGKILL
    finish(start(tmp_path, artifact))
    check(tmp_path, texts, endpoint)


@pytest.mark.slow
def test_any_process_may_die_at_any_time(tmp_path, artifact, endpoint, texts):
    """The whole group and single processes, at random times, until a run gets through."""
    chance = random.Random(5)
    for _ in range(8):
        process = start(tmp_path, artifact)
        time.sleep(chance.uniform(0.5, 3))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finish(start(tmp_path, artifact))
    check(tmp_path, texts, endpoint)


def test_ctrl_c_ends_all_processes_and_the_next_run_continues(tmp_path, artifact, endpoint, texts):
    process = start(tmp_path, artifact)
    while not list((tmp_path / "out" / "data").glob("*.parquet")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    wait_until(lambda: not running(process.pid), "the end of all processes")
    done = len(read_rows(tmp_path / "out"))
    assert 0 < done < len(texts)
    finish(start(tmp_path, artifact))
    check(tmp_path, texts, endpoint)


def test_a_second_run_on_one_output_is_refused(tmp_path, artifact, texts):
    process = start(tmp_path, artifact)
    try:
        while not (tmp_path / "out" / "_job.json").exists():
            time.sleep(0.02)
        with pytest.raises(OutputError, match="is written now, by another process"):
            run_local(make_job(tmp_path), artifact)
    finally:
        finish(process)


def test_progress_counts_the_rows_that_are_read(tmp_path, artifact, texts, monkeypatch):
    monkeypatch.setattr("bulk.local.PROGRESS_SECONDS", 0.05)
    seen: list[Progress] = []
    run_local(make_job(tmp_path), artifact, workers=1, progress=seen.append)
    rows = [each.rows for each in seen]
    assert rows == sorted(rows)
    assert rows[-1] == seen[-1].of_rows == len(FILES) * (ROWS + 2)
    assert len(set(rows)) > 2
    assert (seen[-1].splits, seen[-1].of_splits) == (1, 1)


def test_a_split_that_fails_is_named_and_the_others_are_done(tmp_path, artifact, texts, monkeypatch):
    monkeypatch.setattr("bulk.local.SPLIT_SECONDS", 0.15)
    (tmp_path / "in" / "z.jsonl.gz").write_bytes(b"no gzip")  # so small that no row of it is sampled
    with pytest.raises(
        Incomplete, match=r"1 of \d+ splits failed; the first: .*/in/z\.jsonl\.gz: cannot be read as jsonl"
    ):
        run_local(make_job(tmp_path), artifact)
    (tmp_path / "in" / "z.jsonl.gz").unlink()
    assert run_local(make_job(tmp_path), artifact).total.rows == len(texts)


def test_a_split_that_kills_its_workers_fails_and_the_others_are_done(tmp_path, artifact, texts):
    write_jsonl(tmp_path / "in" / "poison.jsonl", [{"id": "x", "text": "a text that kills"}] * 60)
    process = start(tmp_path, artifact, "poison:a text that kills")
    _, errors = process.communicate(timeout=60)
    assert re.search(r"\d of \d+ splits failed; the first: ", errors)  # a slow machine has more and smaller splits
    assert "poison.jsonl: 3 workers died, the last with status -9; is there enough memory?" in errors
    assert len(read_rows(tmp_path / "out")) == len(texts)


def test_s3_is_not_for_the_local_engine(artifact):
    with pytest.raises(JobError, match="S3 needs the state machine"):
        run_local(Job(input="s3://bucket/texts", output="s3://bucket/vectors"), artifact)
