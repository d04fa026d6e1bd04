"""A plan takes every row once, in whatever splits; the next one takes what is not done and what is new, and nothing twice."""

import gzip
import json
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from bulk import plan as plan_module
from bulk.commit import commit
from bulk.errors import Incomplete, InputError, JobError, OutputError
from bulk.ledger import Coverage
from bulk.plan import SPLIT_BYTES, forecast, plan
from bulk.split import Piece, Split
from bulk.worker import embed_split
from runtime.service.service import Service

from .conftest import (
    check_exactly_once,
    embed_all,
    everyday_rows,
    make_job,
    planned_splits,
    read_errors,
    read_rows,
    write_by_others,
    write_jsonl,
)

SMALL = 0.02
"""Seconds of work of a split, so that a few texts are several splits."""


def expected(corpus) -> dict[str, str]:
    """The ids and texts of all files of a folder."""
    rows = [json.loads(line) for path in corpus.glob("*.jsonl") for line in path.open()]
    return {row["id"]: row["text"] for row in rows}


def test_small_objects_are_packed_and_large_ones_divided(corpus, tmp_path, service):
    planned = plan(make_job(tmp_path), service)
    (split,) = planned_splits(planned)
    assert [piece.key for piece in split.pieces] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    planned = plan(make_job(tmp_path, output=str(tmp_path / "other")), service, split_seconds=SMALL)
    splits = planned_splits(planned)
    assert planned.splits == len(splits) > 3
    assert all(len(split.pieces) == 1 for split in splits)


def test_a_line_of_the_manifest_is_as_short_as_step_functions_needs(tmp_path, service):
    for number in range(1500):
        write_jsonl(tmp_path / "in" / f"{number:05}-{'x' * 180}.jsonl", everyday_rows(1, str(number)))
    planned = plan(make_job(tmp_path), service)
    assert planned.splits > 1
    lines = Path(planned.manifest["path"]).read_bytes().splitlines()
    assert max(map(len, lines)) < SPLIT_BYTES * 1.1
    assert sum(len(json.loads(line)["pieces"]) for line in lines) == 1500


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"])
@pytest.mark.parametrize("limit", [None, 70])
def test_every_row_is_in_the_output_once_whatever_the_format(tmp_path, service, endpoint, name, limit):
    (tmp_path / "in").mkdir()
    texts = [row["text"] for row in everyday_rows(200)]
    write_by_others(tmp_path / "in" / name, texts)
    planned, counts = embed_all(make_job(tmp_path, id="n", limit=limit), service, split_seconds=0.05)
    assert planned.splits > 1
    assert counts.rows == (limit or 200)
    rows = {str(number): text for number, text in enumerate(texts[:limit])}
    if name.endswith("parquet"):
        rows = {int(number): text for number, text in rows.items()}
    check_exactly_once(tmp_path / "out", rows, endpoint)


def test_the_next_run_takes_what_is_missing_and_what_is_new(corpus, tmp_path, service, endpoint):
    job = make_job(tmp_path)
    planned = plan(job, service, split_seconds=SMALL)
    splits = planned_splits(planned)
    for split in splits[::2]:
        embed_split(split, planned.job, service)
    with pytest.raises(Incomplete, match=f"{len(splits) // 2} parts are missing"):
        commit(planned.job, planned.run)
    write_jsonl(corpus / "0-new.jsonl", everyday_rows(5, "new"))
    # Another size of splits changes nothing of what was planned before.
    again = plan(job, service, split_seconds=120)
    assert (again.run, again.done) == (2, len(splits[::2]))
    assert [split for split in planned_splits(again) if split in splits] == splits[1::2]
    for split in planned_splits(again):
        embed_split(split, again.job, service)
    done = commit(again.job, again.run)
    assert (done.total.rows, done.new.rows, done.parts) == (65, 65, len(splits) + 1)
    check_exactly_once(tmp_path / "out", expected(corpus), endpoint)
    write_jsonl(corpus / "d.jsonl", everyday_rows(7, "d"))
    third, _ = embed_all(job, service)
    assert third.splits == 1
    done = commit(third.job, third.run)
    assert (done.total.rows, done.new.rows) == (72, 7)
    success = json.loads((tmp_path / "out" / "_SUCCESS").read_text())
    assert (success["run"], success["total"]["rows"], success["model"]) == (3, 72, service.manifest.model.id)


def test_an_object_that_comes_back_is_counted(corpus, tmp_path, service):
    job = make_job(tmp_path)
    plan(job, service, split_seconds=SMALL)
    (corpus / "b.jsonl").rename(tmp_path / "away")
    planned, _ = embed_all(job, service)
    assert commit(planned.job, planned.run).total.rows == 40
    (tmp_path / "away").rename(corpus / "b.jsonl")
    planned, _ = embed_all(job, service)
    assert commit(planned.job, planned.run).total.rows == len(read_rows(tmp_path / "out")) == 60


def test_a_run_without_work_leaves_the_totals(corpus, tmp_path, service):
    for new in (60, 0):
        planned, _ = embed_all(make_job(tmp_path), service)
        done = commit(planned.job, planned.run)
        assert (done.total.rows, done.new.rows) == (60, new)


def test_a_worker_of_an_earlier_run_writes_the_part_of_the_later_one(corpus, tmp_path, service, endpoint):
    first = plan(make_job(tmp_path), service, split_seconds=SMALL)
    again, _ = embed_all(make_job(tmp_path), service, split_seconds=0.5)
    for split in planned_splits(first):
        embed_split(split, first.job, service)
    commit(again.job, again.run)
    check_exactly_once(tmp_path / "out", expected(corpus), endpoint)


def test_an_object_that_changes_before_it_is_embedded_fails_and_the_next_run_takes_it(
    corpus, tmp_path, service, endpoint
):
    planned = plan(make_job(tmp_path), service)
    (split,) = planned_splits(planned)
    write_jsonl(corpus / "b.jsonl", everyday_rows(9, "changed"))
    with pytest.raises(InputError, match=r"b\.jsonl: changed since the plan"):
        embed_split(split, planned.job, service)
    assert read_rows(tmp_path / "out") == []
    again, _ = embed_all(make_job(tmp_path), service)
    commit(again.job, again.run)
    check_exactly_once(tmp_path / "out", expected(corpus), endpoint)


def test_an_object_that_changes_after_it_was_embedded_is_refused(corpus, tmp_path, service):
    embed_all(make_job(tmp_path), service)
    write_jsonl(corpus / "b.jsonl", everyday_rows(9, "changed"))
    with pytest.raises(InputError, match=r"objects changed after rows of them were embedded: b\.jsonl"):
        plan(make_job(tmp_path), service)


def test_an_object_that_is_removed_after_it_was_embedded_stays_in_the_output(corpus, tmp_path, service):
    embed_all(make_job(tmp_path), service)
    (corpus / "b.jsonl").unlink()
    planned = plan(make_job(tmp_path), service)
    assert (planned.splits, planned.done) == (0, 1)
    assert commit(planned.job, planned.run).total.rows == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_name": "query"}, "prompt_name None \\(now 'query'\\)"),
        ({"dimensions": 128}, "dimensions None \\(now 128\\)"),
        ({"limit": 5}, "limit None \\(now 5\\)"),
        ({"id": None}, "id 'id' \\(now None\\)"),
    ],
)
def test_an_output_of_other_options_is_refused(corpus, tmp_path, service, options, message):
    embed_all(make_job(tmp_path), service)
    with pytest.raises(OutputError, match=f"made with other options: {message}; write to another output"):
        plan(make_job(tmp_path, **options), service)


def test_an_output_of_another_model_is_refused(corpus, tmp_path, service):
    planned = plan(make_job(tmp_path), service)
    path = tmp_path / "out" / "_job.json"
    maker = json.loads(path.read_text())
    path.write_text(json.dumps(maker | {"id": "other", "artifact": "0123"}))
    with pytest.raises(OutputError, match="artifact '0123' \\(now '"):
        plan(planned.job, service)


def test_files_that_the_job_did_not_make_are_refused(corpus, tmp_path, service):
    write_jsonl(tmp_path / "out" / "data" / "old.parquet", ["something"])
    with pytest.raises(OutputError, match=r"old\.parquet: was not made by this job"):
        plan(make_job(tmp_path), service)


def test_how_many_split_at_a_time_may_change(corpus, tmp_path, service):
    embed_all(make_job(tmp_path), service)
    assert plan(make_job(tmp_path, concurrency=3), service).done == 1


def test_an_output_that_another_run_writes_is_refused(corpus, tmp_path, service):
    plan(make_job(tmp_path), service, "first")
    with pytest.raises(OutputError, match="is written now, by first"):
        plan(make_job(tmp_path), service, "second", lambda owner: owner == "first")
    planned, _ = embed_all(make_job(tmp_path), service, owner="third")
    commit(planned.job, planned.run)
    assert plan(make_job(tmp_path), service, "fourth", lambda owner: True).run == planned.run + 1


def test_of_two_plans_at_the_same_time_the_second_is_refused(corpus, tmp_path, service, monkeypatch):
    """Both find the output free; then the first begins its run."""
    check, calls = plan_module._check_free, []

    def late(output, maker, is_running, before=None):
        calls.append(before)
        if before is not None:
            check(output, maker, is_running, before)

    plan(make_job(tmp_path), service, "first")
    with monkeypatch.context() as patched:
        patched.setattr(plan_module, "_check_free", late)
        with pytest.raises(OutputError, match="is written now, by first"):
            plan(make_job(tmp_path), service, "second", lambda owner: owner == "first")
    assert calls == [None, 2]
    with pytest.raises(OutputError, match="is written now, by first"):
        plan(make_job(tmp_path), service, "third", lambda owner: owner == "first")


def test_a_service_with_other_defaults_than_the_plan_s_is_refused(corpus, tmp_path, service):
    planned = plan(make_job(tmp_path), service)
    other = Service(service.engine, msgspec.structs.replace(service.config, default_prompt="query"))
    with pytest.raises(JobError, match="not those that the split was planned for"):
        embed_split(planned_splits(planned)[0], planned.job, other)
    with pytest.raises(OutputError, match="with other options: the deployment's defaults"):
        plan(make_job(tmp_path), other)


def test_a_limit_is_taken_once(corpus, tmp_path, service):
    job = make_job(tmp_path, limit=25)
    _, counts = embed_all(job, service)
    assert counts.rows == 25
    write_jsonl(corpus / "0-first.jsonl", everyday_rows(5, "new"))
    assert plan(job, service).splits == 0
    (corpus / "a.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="changed"):
        plan(job, service)


def test_an_estimate_writes_nothing_and_is_near(corpus, tmp_path, service):
    expected = forecast(make_job(tmp_path), service)
    assert (expected.splits, expected.done) == (1, 0)
    guess = expected.todo
    assert (guess.objects, guess.bytes) == (3, sum(path.stat().st_size for path in corpus.iterdir()))
    assert guess.sampled_rows >= 20
    assert not (tmp_path / "out").exists()
    _, counts = embed_all(make_job(tmp_path), service)
    assert 0.7 < guess.rows / counts.rows < 1.4
    assert 0.7 < guess.tokens / counts.tokens < 1.4
    assert 0.1 < guess.seconds / counts.seconds < 10


def test_objects_of_unlike_compressions_are_estimated_each_by_its_own(tmp_path, service):
    """zstd packs these rows much tighter than gzip."""
    (tmp_path / "in").mkdir()
    rows = [json.dumps({"id": n, "text": f"the same words {n}"}) for n in range(3000)]
    body = "\n".join(rows).encode()
    (tmp_path / "in" / "a.jsonl.gz").write_bytes(gzip.compress(body, 1))
    (tmp_path / "in" / "b.jsonl.zst").write_bytes(zstandard.compress(body, 19))
    (tmp_path / "in" / "c.jsonl").write_bytes(body)
    guess = forecast(make_job(tmp_path), service).todo
    assert 0.9 < guess.rows / 9000 < 1.1


def test_ids_that_are_twice_are_counted(tmp_path, service):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": "x", "text": "one"}, {"id": "y", "text": "two"}])
    write_jsonl(tmp_path / "in" / "b.jsonl", [{"id": "x", "text": "three"}])
    planned, _ = embed_all(make_job(tmp_path), service, split_seconds=0.001)
    assert commit(planned.job, planned.run).repeated_ids == 1
    assert len(read_rows(tmp_path / "out")) == 3


def test_numbers_as_ids_are_equal_only_if_they_are(tmp_path, service):
    """hash(-1) == hash(-2), and hash(2**61 - 1) == hash(0), in CPython."""
    (tmp_path / "in").mkdir()
    ids = [-1, -2, 0, 2**61 - 1, 0]
    pq.write_table(pa.table({"id": ids, "text": ["a text"] * len(ids)}), tmp_path / "in" / "a.parquet")
    planned, _ = embed_all(make_job(tmp_path), service)
    assert commit(planned.job, planned.run).repeated_ids == 1


def test_dollars_are_those_of_all_workers_seconds(corpus, tmp_path, service):
    planned, counts = embed_all(make_job(tmp_path), service)
    done = commit(planned.job, planned.run, usd_per_second=2.0)
    assert done.usd == pytest.approx(2 * counts.seconds, abs=0.01)


def test_rows_without_vectors_are_errors_with_their_places(tmp_path, service):
    rows = [{"id": "1", "text": "good"}, "{broken", {"id": "3", "text": ""}, {"text": "no id"}, {"id": "5"}]
    write_jsonl(tmp_path / "in" / "a.jsonl", [*rows, {"id": "6", "text": "word " * 600}])
    planned, counts = embed_all(make_job(tmp_path, long_texts="error"), service)
    assert (counts.rows, counts.errors) == (1, 5)
    assert [row["id"] for row in read_rows(tmp_path / "out")] == ["1"]
    errors = read_errors(tmp_path / "out")
    assert [error.get("id") for error in errors] == [None, "3", None, "5", "6"]
    data = (tmp_path / "in" / "a.jsonl").read_bytes()
    assert data[errors[1]["position"] :].startswith(b'{"id": "3"')
    assert errors[1]["reason"] == "the text cannot be empty"
    assert errors[4]["reason"] == "the text must have less than 512 tokens. Given: 602"
    assert {error["source"] for error in errors} == {"a.jsonl"}
    assert commit(planned.job, planned.run).total.errors == 5


def test_a_split_without_good_rows_has_an_empty_part(tmp_path, service):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": "1", "text": ""}])
    planned, counts = embed_all(make_job(tmp_path), service)
    assert (counts.rows, counts.errors) == (0, 1)
    assert commit(planned.job, planned.run).parts == 1
    assert pq.read_table(next((tmp_path / "out" / "data").iterdir())).num_rows == 0


def test_a_manifest_that_is_written_twice_is_refused(corpus, tmp_path, service, monkeypatch):
    """Two plans at the same moment: only one gets the run's number."""
    plan(make_job(tmp_path), service)
    monkeypatch.setattr(plan_module, "runs_of", lambda output: {})
    with pytest.raises(OutputError, match="another run of this job has started at this moment"):
        plan(make_job(tmp_path), service)


def piece(key="a", start=None, stop=None, **options) -> Piece:
    return Piece(key, 100, options.pop("etag", "1"), start, stop, **options)


@pytest.mark.parametrize(
    ("first", "second", "free"),
    [
        (piece(start=0, stop=10), piece(start=10, stop=20), True),
        (piece(start=10, stop=20), piece(start=0, stop=10), True),
        (piece(start=0, stop=10), piece(start=9, stop=20), False),
        (piece(start=5, stop=10), piece(start=0, stop=6), False),
        (piece(start=5, stop=10), piece(start=0, stop=20), False),
        (piece(start=0, stop=10), piece(start=0, stop=10), False),
        (piece(), piece(start=0, stop=10), False),
        (piece(start=0, stop=10), piece(start=10, stop=20, etag="2"), False),
        (piece(share=0, of=2), piece(share=1, of=2), True),
        (piece(share=0, of=2), piece(share=0, of=2), False),
        (piece(share=0, of=2), piece(share=1, of=3), False),
        (piece(), piece("b"), True),
    ],
)
def test_rows_that_two_splits_would_take_are_found(first, second, free):
    coverage = Coverage()
    assert coverage.add(Split("1", (first,)))
    assert coverage.add(Split("2", (second,))) is free
