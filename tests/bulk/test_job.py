"""A job is checked before anything is read."""

import pytest

from bulk.errors import JobError
from bulk.job import read_job
from bulk.plan import plan

from .conftest import everyday_rows, make_job, write_jsonl

ON_S3 = {"input": "s3://bucket/texts", "output": "s3://bucket/vectors"}


def test_a_job_has_defaults():
    job = read_job(b'{"input": "s3://bucket/texts", "output": "s3://bucket/vectors"}')
    assert (job.text, job.id, job.copy, job.precision, job.normalize) == ("text", None, (), "float32", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "unknown field `colour`; a job has input, output"),
        ({"limit": 0}, "Expected `int` >= 1 - at `\\$.limit`"),
        ({"precision": "binary"}, "Invalid enum value 'binary' - at `\\$.precision`"),
        ({"output": "s3://bucket/texts/vectors"}, "neither of input and output may contain the other"),
        ({"input": "s3://bucket/vectors/texts"}, "neither of input and output may contain the other"),
        ({"input": "/texts"}, "both on S3 or both folders"),
        ({"input": "gs://bucket/texts"}, "both on S3 or both folders"),
        ({"input": "gs://a/b", "output": "gs://a/c"}, "s3://bucket/prefix or a path. Given: gs://a/b"),
        ({"input": "s3:///texts"}, "s3://bucket/prefix or a path"),
        ({"copy": ["vector"]}, "already has a column 'vector'"),
        ({"id": "key", "copy": ["id"]}, "already has a column 'id'"),
        ({"copy": ["year", "year"]}, "only once"),
        ({"precision": "int8", "normalize": False}, "int8 needs normalize"),
    ],
)
def test_a_wrong_job_is_refused(options, message):
    with pytest.raises(JobError, match=message):
        read_job(ON_S3 | options)


def test_input_and_output_are_needed():
    with pytest.raises(JobError, match="missing required field `output`"):
        read_job(b'{"input": "s3://bucket/texts"}')


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_name": "question"}, "`question` was not found in the prompts of the model"),
        ({"dimensions": 385}, "at most 384"),
        ({"text": "body"}, "no column 'body'; the columns are 'id', 'text'"),
        ({"id": "key"}, "no column 'key'"),
        ({"copy": ["year"]}, "no column 'year'"),
        ({"format": "parquet"}, "rows.jsonl: cannot be read as parquet"),
        ({"input": "nowhere"}, "there is no such file or folder"),
    ],
)
def test_what_the_model_or_the_input_lacks_is_told_before_anything_is_written(tmp_path, service, options, message):
    write_jsonl(tmp_path / "in" / "rows.jsonl", everyday_rows(3))
    with pytest.raises(Exception, match=message) as raised:
        plan(make_job(tmp_path, **options), service)
    assert raised.type.__module__ == "bulk.errors"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.jsonl", "notes.txt"], "what format is notes.txt"),
        (["a.jsonl", "b.csv"], "several formats"),
        (["_hidden.jsonl", ".x/a.jsonl"], "no objects with rows"),
    ],
)
def test_the_names_of_the_input_s_objects_are_checked(tmp_path, service, names, message):
    for name in names:
        write_jsonl(tmp_path / "in" / name, everyday_rows(1))
    with pytest.raises(JobError, match=message):
        plan(make_job(tmp_path), service)


def test_another_encoding_is_told_before_anything_is_written(tmp_path, service):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.jsonl").write_text('{"id": "1", "text": "é"}\n', encoding="utf-16")
    with pytest.raises(JobError, match=r"rows.jsonl: is not JSON Lines: .* UTF-8"):
        plan(make_job(tmp_path), service)
