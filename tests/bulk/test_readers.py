"""The snippets of docs/bulk.md that read an output, as they stand there."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.snippets import snippets

from .conftest import embed_all, make_job, read_rows

PYTHON = [snippet.code for snippet in snippets("docs/bulk.md", "python")]


@pytest.fixture
def output(corpus: Path, service, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The rows of an output in ``vectors``, in the working folder."""
    embed_all(make_job(corpus.parent, output=str(corpus.parent / "vectors")), service)
    monkeypatch.chdir(corpus.parent)
    return read_rows(corpus.parent / "vectors")


def run(code: str, **names) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


@pytest.mark.parametrize("library", ["duckdb", "polars"])
def test_the_nearest_row_is_the_one_whose_vector_is_asked_for(library: str, output: list[dict]) -> None:
    (code,) = (code for code in PYTHON if f"import {library}" in code)
    row = output[7]

    printed = run(code, query=row["vector"])

    found = [each["id"] for each in output if each["id"] in printed]
    vectors = np.array([each["vector"] for each in output], np.float32)
    nearest = np.argsort(-vectors @ np.float32(row["vector"]))[:10]
    assert row["id"] in found and {output[place]["id"] for place in nearest[:5]} <= set(found)


@pytest.fixture
def postgres() -> Iterator:
    """A connection to a new database with pgvector."""
    import pgserver
    import pgvector.psycopg
    import psycopg

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        server = pgserver.get_server(folder)
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("create extension vector")
            pgvector.psycopg.register_vector(connection)
            connection.execute("create table texts (id text primary key, vector vector(384))")
            yield connection
        server.cleanup()


@pytest.mark.slow
def test_pgvector_gets_every_row(output: list[dict], postgres) -> None:
    import duckdb

    (code,) = (code for code in PYTHON if "copy.write_row" in code)
    run(code, connection=postgres, duckdb=duckdb)
    postgres.execute("create index on texts using hnsw (vector vector_ip_ops)")

    rows = dict(postgres.execute("select id, vector from texts").fetchall())
    assert len(rows) == len(output)
    for row in output:
        assert np.array_equal(rows[row["id"]].to_numpy(), np.float32(row["vector"]))
