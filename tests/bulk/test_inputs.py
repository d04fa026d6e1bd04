"""Readers: every row once whatever the splits, the same rows as other readers see, and a problem with a place for each bad row."""

import csv
import io
import itertools
import json
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bulk.errors import InputError
from bulk.inputs import jsonl, rows
from bulk.inputs.reader import read_pieces
from bulk.inputs.rows import Problem
from bulk.job import Job
from bulk.split import Piece
from bulk.storage import Folder
from tests.texts import LANGUAGES, ODD

from .conftest import write_by_others

TEXTS = [
    *LANGUAGES.values(),
    *(text for text in ODD.values() if text),
    'quotes " and, commas',
    "two\nlines",
    "x" * 3000,
] * 5


def read(path: Path, *shares: dict, **options) -> list[dict]:
    """The rows of a file as dicts, by one piece or several."""
    job = Job(**{"input": str(path), "output": str(path.parent / "out"), "format": path.name.split(".")[1]} | options)
    storage = Folder(path.parent)
    found = storage.find(path.name)
    result = []
    for share in shares or ({},):
        for source, some_rows in read_pieces(storage, (Piece(found.key, found.size, found.etag, **share),), job):
            for position, text, columns in zip(
                some_rows.positions, some_rows.texts, some_rows.columns.to_pylist(), strict=True
            ):
                result.append({"source": source, "position": position, "text": text} | columns)
    return result


def texts(found: list[dict]) -> list[str]:
    return [row["text"] for row in found]


@given(
    lines=some.lists(some.text("aé\r ", max_size=4), max_size=12),
    bounds=some.lists(some.integers(1, 60), max_size=5, unique=True),
    end=some.sampled_from(["", "\n", "\n\n", "\r\n"]),
)
def test_each_line_is_in_exactly_one_range(lines, bounds, end):
    """Lines as io.BytesIO, which is Python's, finds them."""
    data = "\n".join(lines).encode() + end.encode()
    expected, place = [], 0
    for line in io.BytesIO(data):
        if line.strip():
            expected.append((place, line))
        place += len(line)
    edges = [0, *sorted(bounds), max(100, len(data))]
    found = [item for start, stop in itertools.pairwise(edges) for item in jsonl.items(io.BytesIO(data), start, stop)]
    assert found == expected


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.csv.gz", "a.csv.zst", "a.parquet"]
)
def test_all_formats_have_the_same_rows(tmp_path, name):
    write_by_others(tmp_path / name, TEXTS)
    whole = [{"start": 0, "stop": len(TEXTS)}] if name.endswith("parquet") else []
    found = read(tmp_path / name, *whole, copy=("n",))
    assert texts(found) == TEXTS
    assert [int(row["n"]) for row in found] == list(range(len(TEXTS)))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv", "a.jsonl"])
def test_shares_have_each_row_once(tmp_path, name):
    write_by_others(tmp_path / name, TEXTS * 4)
    shares = [{"share": share, "of": 3} for share in range(3)]
    found = read(tmp_path / name, *shares)
    assert sorted(found, key=lambda row: row["position"]) == read(tmp_path / name)
    for share in shares:
        positions = [row["position"] for row in read(tmp_path / name, share)]
        assert positions == sorted(positions)


def test_a_limit_counts_from_the_beginning_of_an_object(tmp_path):
    write_by_others(tmp_path / "a.csv", TEXTS * 4)
    found = read(tmp_path / "a.csv", *({"share": share, "of": 2, "limit": 100} for share in range(2)))
    assert sorted(row["position"] for row in found) == list(range(100))


def test_ranges_of_parquet_have_each_row_once(tmp_path):
    write_by_others(tmp_path / "a.parquet", TEXTS)
    edges = [0, 1, 17, 40, len(TEXTS)]
    ranges = [{"start": start, "stop": stop} for start, stop in itertools.pairwise(edges)]
    found = read(tmp_path / "a.parquet", *ranges)
    assert texts(found) == TEXTS
    assert [row["position"] for row in found] == list(range(len(TEXTS)))


def test_csv_is_what_duckdb_reads(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["id", "text"], *([n, text] for n, text in enumerate(TEXTS) if "\0" not in text)])
    found = [(int(row["id"]), row["text"]) for row in read(path, id="id")]
    options = "header = true, quote = '\"', max_line_size = 1000000"
    assert found == duckdb.connect().sql(f"select id, text from read_csv('{path}', {options}) order by id").fetchall()


def test_a_position_leads_to_the_line(tmp_path):
    path = tmp_path / "a.jsonl"
    write_by_others(path, TEXTS)
    data = path.read_bytes()
    for row in read(path):
        assert json.loads(data[row["position"] :].partition(b"\n")[0])["text"] == row["text"]


def test_json_that_is_copied_stays_as_it_is_written(tmp_path):
    values = ["12345678901234567890.10", '{"a": [1, 2]}', "true", '"\\u00e9"', "null"]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "a", "x": {value}}}\n' for value in values) + '{"text": "a"}\n')
    copied = [row["x"] for row in read(path, copy=("x",))]
    assert copied == ["12345678901234567890.10", '{"a": [1, 2]}', "true", "é", None, None]


def test_parquet_that_is_copied_keeps_its_type(tmp_path):
    table = pa.table({"text": ["a", "b"], "year": pa.array([1, None], pa.int16()), "meta": [{"tags": ["x"]}, None]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", {"start": 0, "stop": 2}, copy=("meta", "year"))
    assert [row["meta"] for row in found] == [{"tags": ["x"]}, None]
    assert [row["year"] for row in found] == [1, None]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "cut o', "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"id": "1"}', "no column 'text'"),
        ('{"id": "1", "text": null}', "the text is null"),
        ('{"id": "1", "text": 7}', "the text is not a string"),
        ('{"id": "1", "text": ["a"]}', "the text is not a string"),
        ('{"id": "1", "text": "\\ud800"}', "not a JSON object|not valid"),
        ('{"text": "a"}', "no id in column 'id'"),
        ('{"id": null, "text": "a"}', "no id in column 'id'"),
        ('{"id": "", "text": "a"}', "no id in column 'id'"),
        ("[" * 100_000, "not a JSON object|nested too deeply"),
        (
            '{"id": "1", "text": "a", "long": "' + "x" * 2_000_000 + '"}',
            "the line has 2000037 bytes; 1000000 are allowed",
        ),
    ],
)
def test_a_bad_line_of_jsonl_is_a_problem_and_the_next_is_not(tmp_path, monkeypatch, line, reason):
    monkeypatch.setattr(jsonl, "MAX_ROW_BYTES", 1_000_000)
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"id": "0", "text": "before"}}\n{line}\n{{"id": "2", "text": "after"}}\n')
    before, bad, after = read(path, id="id")
    assert (before["text"], after["text"]) == ("before", "after")
    assert isinstance(bad["text"], Problem)
    assert re.search(reason, bad["text"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "the row has 1 fields, the header 2"),
        (b"1,a,b", "the row has 3 fields, the header 2"),
        (b'1,"a"b', "not valid CSV"),
        (b"1,caf\xe9", "column 'text' is not in UTF-8"),
        (b",a", "no id in column 'id'"),
    ],
)
def test_a_bad_row_of_csv_is_a_problem_and_the_next_is_not(tmp_path, row, reason):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n0,before\n" + row + b"\n2,after\n")
    before, bad, after = read(path, id="id")
    assert (before["text"], after["text"]) == ("before", "after")
    assert (bad["position"], after["position"]) == (1, 2)
    assert isinstance(bad["text"], Problem)
    assert reason in bad["text"]


def test_a_quote_without_end_is_a_problem(tmp_path):
    (tmp_path / "a.csv").write_text('id,text\n0,before\n1,"no end\n2,inside\n')
    _, bad = read(tmp_path / "a.csv", id="id")
    assert "unexpected end of data" in bad["text"]


def test_bad_rows_of_parquet_are_problems(tmp_path):
    binary = pa.array([b"a", b"caf\xe9", None, b"b"])
    text = pa.StringArray.from_buffers(4, binary.buffers()[1], binary.buffers()[2], binary.buffers()[0])
    pq.write_table(pa.table({"id": [1, 2, 3, None], "text": text}), tmp_path / "a.parquet")
    found = texts(read(tmp_path / "a.parquet", {"start": 0, "stop": 4}, id="id"))
    assert found == [
        "a",
        "column 'text' is not in UTF-8",
        "the text is null (column 'text')",
        "there is no id in column 'id'",
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [{"body": "a"}]}, "column 'text' has the type struct<body: string>; the text must be a string"),
        ({"text": ["a"], "id": [1.5]}, "column 'id' has the type double; an id must be a string or an integer"),
        ({"body": ["a"]}, "no column 'text'; the columns are 'body'"),
    ],
)
def test_parquet_with_other_types_is_refused(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"a.parquet: .*{message}"):
        read(tmp_path / "a.parquet", {"start": 0, "stop": 1}, id="id" if "id" in columns else None)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_column_that_is_there_twice_is_refused_if_the_job_needs_it(tmp_path, name):
    if name == "a.csv":
        (tmp_path / name).write_text("text,text,other,other\none,two,1,2\n")
        whole = {}
    else:
        pq.write_table(pa.table([["one"], ["two"], [1], [2]], ["text", "text", "other", "other"]), tmp_path / name)
        whole = {"start": 0, "stop": 1}
    with pytest.raises(InputError, match=f"{name}: there are 2 columns 'text'; a job needs one of this name"):
        read(tmp_path / name, whole)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.csv.gz", "a.parquet"])
def test_an_object_that_is_cut_off_is_an_error_that_names_it(tmp_path, name):
    write_by_others(tmp_path / name, TEXTS)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=f"{name}: cannot be read as"):
        read(tmp_path / name, *([{"start": 0, "stop": 1}] if "parquet" in name else []))


def test_an_object_that_changes_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "a.jsonl"
    write_by_others(path, TEXTS)
    storage = Folder(tmp_path)
    found = storage.find("a.jsonl")
    path.write_bytes(path.read_bytes() + b"\n")
    job = Job(input=str(path), output=str(tmp_path / "out"), format="jsonl")
    with pytest.raises(InputError, match=r"a\.jsonl: changed since the plan"):
        list(read_pieces(storage, (Piece(found.key, found.size, found.etag),), job))


def test_the_longest_row_is_longer_than_any_text_that_can_be_embedded(service):
    assert 4 * service.limits.max_characters < rows.MAX_ROW_BYTES
