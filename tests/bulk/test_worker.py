"""Parts: the endpoint's vectors with all options, in files that others read."""

import duckdb
import msgspec
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulk.parts import ROW_GROUP

from .conftest import embed_all, everyday_rows, make_job, read_errors, read_rows, write_jsonl

LONG = "The ferry to the island leaves every morning at seven. " * 60


@pytest.mark.parametrize(
    ("options", "request_options"),
    [
        ({"prompt_name": "query"}, {"prompt_name": "query"}),
        ({"dimensions": 100}, {"dimensions": 100}),
        ({"normalize": False}, {"normalize": False}),
        ({"precision": "int8"}, {"precision": "int8"}),
        ({"long_texts": "window"}, {"long_texts": "window"}),
        ({}, {}),
    ],
)
def test_vectors_are_the_endpoint_s_with_all_options(tmp_path, service, endpoint, options, request_options):
    texts = [LONG, "short", *(row["text"] for row in everyday_rows(20))]
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": str(number), "text": text} for number, text in enumerate(texts)])
    _, counts = embed_all(make_job(tmp_path, **options), service)
    rows = read_rows(tmp_path / "out")
    assert [row["id"] for row in rows] == [str(number) for number in range(len(texts))]
    vectors = np.array([row["vector"] for row in rows], np.float32)
    assert np.array_equal(vectors, endpoint(texts, **request_options))
    assert counts.tokens == sum(row["tokens"] for row in rows)
    assert counts.truncated == (0 if options.get("long_texts") == "window" else 1)
    assert rows[0]["tokens"] > 512 if options.get("long_texts") == "window" else rows[0]["tokens"] == 512


def test_tokens_are_those_of_tokenizers(tmp_path, service, artifact):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(artifact / "tokenizer.json"))
    rows = everyday_rows(30)
    write_jsonl(tmp_path / "in" / "a.jsonl", rows)
    embed_all(make_job(tmp_path), service)
    assert [row["tokens"] for row in read_rows(tmp_path / "out")] == [
        len(tokenizer.encode(row["text"]).ids) for row in rows
    ]


@pytest.fixture(scope="module")
def part(tmp_path_factory, service):
    """A part with copied columns, and more rows than a row group."""
    folder = tmp_path_factory.mktemp("part")
    rows = [row | {"n": number, "tags": ["a", "b"]} for number, row in enumerate(everyday_rows(ROW_GROUP + 100))]
    write_jsonl(folder / "in" / "a.jsonl", rows)
    embed_all(make_job(folder, copy=["tags", "n"], dimensions=8), service)
    return next((folder / "out" / "data").glob("*.parquet"))


def test_a_part_is_what_all_readers_take(part):
    file = pq.ParquetFile(part)
    assert file.schema_arrow.names == ["id", "tags", "n", "tokens", "vector"]
    assert file.schema_arrow.field("vector").type == pa.list_(pa.field("element", pa.float32()))
    assert [file.metadata.row_group(group).num_rows for group in range(2)] == [ROW_GROUP, 100]
    vector = file.metadata.row_group(0).column(4)
    assert (vector.compression, vector.has_dictionary_page) == ("ZSTD", False)
    assert set(vector.encodings) == {"PLAIN", "RLE"}
    assert b"ARROW:schema" not in (file.metadata.metadata or {})


def test_duckdb_and_polars_read_the_same_rows(part):
    expected = pq.read_table(part).to_pylist()
    names = "id, tags, n, tokens, vector"
    database = duckdb.connect()
    assert database.sql(f"select {names} from '{part}'").fetchall() == [tuple(row.values()) for row in expected]
    assert polars.read_parquet(part).to_dicts() == expected
    nearest = f"select id from '{part}' order by list_cosine_similarity(vector, (select vector from '{part}' where n = '7')) desc"
    assert database.sql(f"{nearest} limit 1").fetchall() == [(expected[7]["id"],)]


def test_a_part_says_what_made_it(part, service):
    made = msgspec.json.decode(pq.read_metadata(part).metadata[b"serverless-embeddings"])
    assert made["made_by"]["artifact"] == service.manifest.key
    assert made["made_by"]["model"] == service.manifest.model.id
    assert made["counts"]["rows"] == ROW_GROUP + 100


def test_rows_without_ids_have_their_place(tmp_path, service):
    write_jsonl(tmp_path / "in" / "deep" / "a.jsonl", everyday_rows(3))
    write_jsonl(tmp_path / "in" / "b.jsonl", everyday_rows(2))
    embed_all(make_job(tmp_path, id=None), service)
    rows = read_rows(tmp_path / "out")
    assert [row["source"] for row in rows] == ["b.jsonl"] * 2 + ["deep/a.jsonl"] * 3
    for row in rows:
        assert (tmp_path / "in" / row["source"]).read_bytes()[row["position"] :].startswith(b'{"id": "row-')


def test_columns_of_parquet_keep_their_types(tmp_path, service):
    (tmp_path / "in").mkdir()
    texts = [row["text"] for row in everyday_rows(5)]
    columns = {"key": pa.array(range(5), pa.uint32()), "day": pa.array(range(5), pa.date32()), "text": texts}
    columns["meta"] = [{"tags": ["x"]}, None, {"tags": []}, {"tags": None}, {"tags": ["y", None]}]
    columns["kind"] = pa.array(["a", "b", "a", None, "b"]).dictionary_encode()
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "in" / "a.parquet")
    embed_all(make_job(tmp_path, id="key", copy=["day", "meta", "kind"]), service)
    (path,) = (tmp_path / "out" / "data").iterdir()
    found = pq.read_table(path)
    assert found.schema.field("id").type == pa.uint32()
    assert found.schema.field("day").type == pa.date32()
    assert found["meta"].to_pylist() == table["meta"].to_pylist()
    assert found["kind"].to_pylist() == table["kind"].to_pylist()
    assert polars.read_parquet(path)["id"].to_list() == list(range(5))


def test_a_row_of_6_mb_is_treated_as_long_texts_are(tmp_path, service):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": "1", "text": "word " * 1_200_000}, {"id": "2", "text": "short"}])
    embed_all(make_job(tmp_path), service)
    assert [row["tokens"] for row in read_rows(tmp_path / "out")] == [512, 3]
    other = make_job(tmp_path, long_texts="window", output=str(tmp_path / "other"))
    _, counts = embed_all(other, service)
    assert (counts.rows, counts.errors) == (1, 1)
    (error,) = read_errors(tmp_path / "other")
    assert error["reason"] == "the text must have less than 786432 characters. Given: 6000000"
