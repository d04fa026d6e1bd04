"""`embeddings embed` as a process: files and pipes against the real server, killed and continued, and bad input."""

import csv
import gzip
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow.parquet
import pytest

from containers.tools import PROJECT
from examples.demo import NEXT
from runtime.http.auth import ApiKeyAuthenticator
from serverless_embeddings_client.cli import progress
from serverless_embeddings_client.cli.errors import ExitCode
from tests.client.conftest import PASS, counts_of
from tests.runtime.conftest import make_handler, serving
from tests.texts import EVERYDAY

SMALL_PARTS = "from serverless_embeddings_client.cli import embed, run; embed.CHUNK = 8; run()"
"""The command with parts of 8 rows, so that a short run has many."""
ROWS = [{"key": f"k{n}", "body": f"{EVERYDAY[n % 20].splitlines()[0][:40]} {n}", "n": n} for n in range(64)]
TEXTS = [row["body"] for row in ROWS]
LONG = "word " * 600


@pytest.fixture
def embeddings(tmp_path):
    """Starts the command in a folder of its own."""

    def start(*arguments: object, small_parts: bool = False, env: dict[str, str] | None = None, **options):
        program = ["-c", SMALL_PARTS] if small_parts else ["-m", "serverless_embeddings_client.cli"]
        command = [sys.executable, *program, *map(str, arguments)]
        env = os.environ | {"PYTHONPATH": str(PROJECT / "client" / "src"), "COLUMNS": "120"} | (env or {})
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=tmp_path, env=env, **pipes | options)

    return start


@pytest.fixture
def run(embeddings):
    """Runs the command to its end; returns its exit code, and what it wrote to stdout and stderr."""

    def run(*arguments: object, given: str | bytes | None = None, **options) -> tuple[int, str, str]:
        if given is not None:
            options["stdin"] = subprocess.PIPE
        process = embeddings(*arguments, **options)
        data = given.encode() if isinstance(given, str) else given
        out, err = process.communicate(data, timeout=120)
        return process.returncode, out.decode(), err.decode()

    return run


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write(folder: Path, name: str) -> None:
    """Write ROWS by others' writers, in the format of ``name``."""
    frame, path = polars.DataFrame(ROWS), folder / name
    match name.removesuffix(".gz").rpartition(".")[2]:
        case "parquet":
            frame.write_parquet(path, row_group_size=17)
        case "csv":
            path.write_text(frame.write_csv())
        case "jsonl":
            write_jsonl(path, ROWS)
        case "txt":
            path.write_text("\n".join(TEXTS))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))


class TestFormats:
    @pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.parquet", "in.csv.gz"])
    def test_columns_become_parquet_that_others_read(self, run, tmp_path, url, one_by_one, name):
        write(tmp_path, name)
        options = ("--column", "body", "--id", "key", "--copy", "n", "--prompt-name", "passage")
        code, out, err = run("embed", name, "-o", "out.parquet", "--url", url, *options)
        assert (code, out) == (0, "") and "out.parquet has 64 rows" in err
        table = polars.read_parquet(tmp_path / "out.parquet")
        assert table.columns == ["id", "n", "vector"]
        assert table["id"].to_list() == [row["key"] for row in ROWS]
        assert [int(value) for value in table["n"]] == list(range(64))
        assert table["vector"].dtype == polars.List(polars.Float32)
        assert np.array_equal(np.stack(table["vector"].to_numpy()), one_by_one(TEXTS, prompt_name="passage"))
        query = f"select count(*), min(len(vector)) from '{tmp_path}/out.parquet'"
        assert duckdb.execute(query).fetchone() == (64, 384)
        assert sorted(path.name for path in tmp_path.iterdir()) == [name, "out.parquet"]

    @pytest.mark.parametrize("name", ["in.txt", "in.txt.gz"])
    def test_lines_become_numpy_s_array(self, run, tmp_path, url, one_by_one, name):
        write(tmp_path, name)
        assert run("embed", name, "-o", "out.npy", "--url", url)[0] == 0
        vectors = np.load(tmp_path / "out.npy")
        assert vectors.dtype == np.float32 and np.array_equal(vectors, one_by_one(TEXTS))

    def test_a_pipe_of_lines_becomes_jsonl(self, run, url, one_by_one):
        code, out, _ = run("embed", "-", "-o", "-", "--url", url, given="\n\n".join(TEXTS[:20]))
        rows = [json.loads(line) for line in out.splitlines()]
        assert code == 0 and [row["position"] for row in rows] == list(range(0, 40, 2))
        assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), one_by_one(TEXTS[:20]))

    def test_csv_with_quotes_and_line_breaks_and_a_byte_order_mark(self, run, tmp_path, url):
        rows = [["text", "title"], ['a "quoted", text\nof two lines', "ä"], ["x", ""]]
        with (tmp_path / "in.csv").open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows(rows)
        assert run("embed", "in.csv", "-o", "out.jsonl", "--url", url, "--copy", "text", "--copy", "title")[0] == 0
        found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [[row["text"], row["title"]] for row in found] == rows[1:]

    def test_endings_in_capitals(self, run, tmp_path, url, one_by_one):
        write(tmp_path, "in.jsonl.gz")
        (tmp_path / "in.jsonl.gz").rename(tmp_path / "IN.JSONL.GZ")
        assert run("embed", "IN.JSONL.GZ", "-o", "out.npy", "--column", "body", "--url", url)[0] == 0
        assert np.array_equal(np.load(tmp_path / "out.npy"), one_by_one(TEXTS))

    def test_categories_as_texts(self, run, tmp_path, url, one_by_one):
        texts = [TEXTS[0], TEXTS[1], TEXTS[0]]
        frame = polars.DataFrame({"text": texts, "label": texts}).with_columns(polars.all().cast(polars.Categorical))
        frame.write_parquet(tmp_path / "in.parquet")
        for output in ("out.jsonl", "out.parquet"):
            assert run("embed", "in.parquet", "-o", output, "--copy", "label", "--url", url)[0] == 0
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        table = polars.read_parquet(tmp_path / "out.parquet")
        assert [row["label"] for row in rows] == table["label"].cast(str).to_list() == texts
        assert np.array_equal(np.stack(table["vector"].to_numpy()), one_by_one(texts))

    @pytest.mark.parametrize("name", ["in.jsonl", "in.parquet"])
    def test_copied_columns_may_have_any_name(self, run, tmp_path, url, name):
        rows = [{"text": "a", "_text": "copied", "_problem": "copied too"}]
        frame = polars.DataFrame(rows)
        frame.write_parquet(tmp_path / name) if name == "in.parquet" else write_jsonl(tmp_path / name, rows)
        for output in ("out.parquet", "out.jsonl"):
            assert run("embed", name, "-o", output, "--copy", "_text", "--copy", "_problem", "--url", url)[0] == 0
        columns = ["source", "position", "_text", "_problem", "vector"]
        table = polars.read_parquet(tmp_path / "out.parquet")
        assert table.columns == columns and table["_text"].to_list() == ["copied"]
        row = json.loads((tmp_path / "out.jsonl").read_text())
        assert list(row) == columns and row["_problem"] == "copied too"

    def test_several_files_are_one_output_in_their_order(self, run, tmp_path, url, one_by_one):
        write_jsonl(tmp_path / "b.jsonl", [{"text": text} for text in TEXTS[:3]])
        (tmp_path / "a.txt").write_text("\n".join(TEXTS[3:5]))
        assert run("embed", "b.jsonl", "a.txt", "-o", "out.parquet", "--url", url)[0] == 0
        table = polars.read_parquet(tmp_path / "out.parquet")
        places = [("b.jsonl", 0), ("b.jsonl", 1), ("b.jsonl", 2), ("a.txt", 0), ("a.txt", 1)]
        assert list(zip(table["source"], table["position"], strict=True)) == places
        assert np.array_equal(np.stack(table["vector"].to_numpy()), one_by_one(TEXTS[:5]))

    def test_a_function_by_its_name(self, run, tmp_path, lambda_api, one_by_one):
        write(tmp_path, "in.txt")
        assert run("embed", "in.txt", "-o", "out.npy", "--function", "embeddings")[0] == 0
        assert np.array_equal(np.load(tmp_path / "out.npy"), one_by_one(TEXTS))

    def test_a_key_from_the_environment(self, run, tmp_path, engine):
        (tmp_path / "in.txt").write_text("a text")
        authenticator = ApiKeyAuthenticator(lambda seconds: {None: "the-key"}, report=print)
        with serving(make_handler(engine, authenticator)) as url:
            assert run("embed", "in.txt", "-o", "a.npy", "--url", url, env={"EMBEDDINGS_API_KEY": "the-key"})[0] == 0
            code, _, err = run("embed", "in.txt", "-o", "b.npy", "--url", url)
        assert code == ExitCode.USAGE and "401" in err and "EMBEDDINGS_API_KEY" in err and "the-key" not in err


class TestResume:
    OPTIONS = ("embed", "in.jsonl", "-o", "out.parquet", "--column", "body", "--id", "key", "--concurrency", 1)

    def parts(self, tmp_path: Path) -> list[str]:
        return sorted(path.name for path in (tmp_path / "out.parquet.parts").glob("0*.parquet"))

    def wait_for_parts(self, tmp_path: Path, count: int) -> None:
        end = time.monotonic() + 60
        while len(self.parts(tmp_path)) < count:
            assert time.monotonic() < end
            time.sleep(0.01)

    @pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, ExitCode.STOPPED)])
    def test_every_row_is_in_the_output_once(self, embeddings, run, tmp_path, url, log, one_by_one, sent, code):
        write_jsonl(tmp_path / "in.jsonl", ROWS)
        for count in (2, 4):
            process = embeddings(*self.OPTIONS, "--url", url, small_parts=True)
            self.wait_for_parts(tmp_path, count)
            process.send_signal(sent)
            _, err = process.communicate(timeout=30)
            assert process.returncode == code and not (tmp_path / "out.parquet").exists()
            assert sent == signal.SIGKILL or b"the same command continues" in err
        left = len(ROWS) - 8 * len(self.parts(tmp_path))
        time.sleep(1)  # the server may still be at a request of the killed run
        log.clear()
        assert run(*self.OPTIONS, "--url", url, small_parts=True)[0] == 0
        assert sum(counts_of(log)) == left + 2  # and the text that is tried before and after
        table = polars.read_parquet(tmp_path / "out.parquet")
        assert table["id"].to_list() == [row["key"] for row in ROWS]
        assert np.array_equal(np.stack(table["vector"].to_numpy()), one_by_one(TEXTS))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.parquet"]

    @pytest.fixture
    def stopped(self, embeddings, tmp_path, url):
        """A run that was killed after some parts."""
        write_jsonl(tmp_path / "in.jsonl", ROWS)
        process = embeddings(*self.OPTIONS, "--url", url, small_parts=True)
        self.wait_for_parts(tmp_path, 2)
        process.kill()
        process.communicate()

    @pytest.mark.usefixtures("stopped")
    def test_other_options_are_refused_and_change_nothing(self, run, tmp_path, url):
        before = self.parts(tmp_path)
        code, _, err = run(*self.OPTIONS, "--url", url, "--prompt-name", "query", small_parts=True)
        assert code == ExitCode.USAGE and "prompt_name was None, now 'query'" in err
        assert self.parts(tmp_path) == before

    @pytest.mark.usefixtures("stopped")
    def test_another_model_or_other_settings_are_refused(self, run, engine, url):
        with serving(make_handler(engine, default_prompt="query")) as other:
            code, _, err = run(*self.OPTIONS, "--url", other, small_parts=True)
        assert code == ExitCode.USAGE and "vector of a test text was" in err

    @pytest.mark.usefixtures("stopped")
    def test_rows_that_changed_meanwhile_are_embedded_anew(self, run, tmp_path, url, one_by_one):
        rows = [row | {"body": "changed"} if row["n"] == 3 else row for row in ROWS] + [ROWS[0] | {"key": "new"}]
        write_jsonl(tmp_path / "in.jsonl", rows)
        assert run(*self.OPTIONS, "--url", url, small_parts=True)[0] == 0
        table = polars.read_parquet(tmp_path / "out.parquet")
        assert table["id"].to_list() == [row["key"] for row in rows]
        assert np.array_equal(np.stack(table["vector"].to_numpy()), one_by_one([row["body"] for row in rows]))

    def test_lines_tell_of_rows_that_an_earlier_run_did(self, capsys, monkeypatch):
        monkeypatch.setattr(progress, "LINE_SECONDS", 0)
        with progress.RowProgress(10, done=5) as shown:
            shown.advance(0)
            shown.advance(1)
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith("5 rows") and second.startswith("6 of 10 rows")

    def test_an_output_that_appears_meanwhile_is_left(self, embeddings, tmp_path, url):
        write_jsonl(tmp_path / "in.jsonl", ROWS)
        process = embeddings(*self.OPTIONS, "--url", url, small_parts=True)
        self.wait_for_parts(tmp_path, 1)
        (tmp_path / "out.parquet").write_text("another's")
        _, err = process.communicate(timeout=60)
        assert process.returncode == ExitCode.FAILED and b"written by another run" in err
        assert (tmp_path / "out.parquet").read_text() == "another's"

    def test_standard_input_continues_as_well(self, embeddings, run, tmp_path, url, one_by_one):
        given = "\n".join(TEXTS)
        options = ("embed", "-", "-o", "out.parquet", "--url", url, "--concurrency", 1)
        process = embeddings(*options, small_parts=True, stdin=subprocess.PIPE)
        process.stdin.write(given.encode())
        process.stdin.close()
        self.wait_for_parts(tmp_path, 2)
        process.kill()
        process.wait()
        assert run(*options, small_parts=True, given=given)[0] == 0
        table = polars.read_parquet(tmp_path / "out.parquet")
        assert table["position"].to_list() == list(range(64))
        assert np.array_equal(np.stack(table["vector"].to_numpy()), one_by_one(TEXTS))

    def test_a_failing_endpoint_leaves_what_the_same_command_continues(self, run, tmp_path, url, scripted):
        write_jsonl(tmp_path / "in.jsonl", ROWS)
        server = scripted(PASS, PASS, PASS, (418, {}, {"error": "a teapot"}))
        code, _, err = run(*self.OPTIONS, "--url", server.url, small_parts=True)
        assert code == ExitCode.FAILED and "418: a teapot; the same command continues" in err
        assert len(self.parts(tmp_path)) == 2
        assert run(*self.OPTIONS, "--url", url, small_parts=True)[0] == 0
        assert len(polars.read_parquet(tmp_path / "out.parquet")) == 64

    def test_a_pipe_tells_where_it_ends(self, run, tmp_path, scripted):
        write_jsonl(tmp_path / "in.jsonl", ROWS)
        server = scripted(PASS, PASS, PASS, (418, {}, {"error": "a teapot"}))
        options = ("--column", "body", "--concurrency", 1, "--url", server.url)
        code, out, err = run("embed", "in.jsonl", "-o", "-", *options, small_parts=True)
        assert code == ExitCode.FAILED and "418: a teapot" in err and "continues" not in err
        assert f"the output ends after {len(out.splitlines())} rows of the input" in err


class TestRowsThatCannotBeEmbedded:
    ROWS = ('{"text":"fine"}', "broken", '{"text":null}', '{"text":5}', '{"no":1}', r'{"text":"\ud800"}')

    @pytest.fixture
    def bad(self, tmp_path) -> None:
        (tmp_path / "in.jsonl").write_text("\n".join([*self.ROWS, json.dumps({"text": LONG}), '{"text":"ok"}']))

    @pytest.mark.usefixtures("bad")
    def test_are_in_the_errors_file(self, run, tmp_path, url, one_by_one):
        code, _, err = run("embed", "in.jsonl", "-o", "out.parquet", "--url", url, "--long-texts", "error")
        assert code == ExitCode.ROWS_REFUSED
        assert "6 of 8 rows cannot be embedded; out.parquet.errors.jsonl" in err
        table = polars.read_parquet(tmp_path / "out.parquet")
        assert table["position"].to_list() == [0, 7]
        assert np.array_equal(np.stack(table["vector"].to_numpy()), one_by_one(["fine", "ok"]))
        errors = [json.loads(line) for line in (tmp_path / "out.parquet.errors.jsonl").read_text().splitlines()]
        assert [error["position"] for error in errors] == [1, 2, 3, 4, 5, 6]
        assert "not JSON" in errors[0]["reason"] and "512 tokens" in errors[5]["reason"]

    @pytest.mark.usefixtures("bad")
    def test_are_nan_in_an_array_whose_rows_have_no_names(self, run, tmp_path, url):
        assert run("embed", "in.jsonl", "-o", "out.npy", "--url", url)[0] == ExitCode.ROWS_REFUSED
        missing = np.isnan(np.load(tmp_path / "out.npy")).all(axis=1)
        assert missing.tolist() == [False, True, True, True, True, True, False, False]

    @pytest.mark.usefixtures("bad")
    def test_are_on_stderr_beside_a_pipe(self, run, url):
        code, out, err = run("embed", "in.jsonl", "-o", "-", "--url", url)
        assert code == ExitCode.ROWS_REFUSED
        assert [json.loads(line)["position"] for line in out.splitlines()] == [0, 6, 7]
        assert [json.loads(line)["position"] for line in err.splitlines() if line[0] == "{"] == [1, 2, 3, 4, 5]

    def test_a_row_of_a_csv_with_too_few_fields(self, run, tmp_path, url):
        (tmp_path / "in.csv").write_text("id,text\n1\n2,fine\n")
        assert run("embed", "in.csv", "-o", "out.jsonl", "--url", url)[0] == ExitCode.ROWS_REFUSED
        assert "1 fields, the header 2" in (tmp_path / "out.jsonl.errors.jsonl").read_text()

    def test_an_empty_text(self, run, tmp_path, url):
        write_jsonl(tmp_path / "in.jsonl", [{"text": "a"}, {"text": ""}])
        code, _, err = run("embed", "in.jsonl", "-o", "out.jsonl", "--url", url)
        assert code == ExitCode.ROWS_REFUSED and "out.jsonl has 1 row\n" in err
        assert err.endswith("in.jsonl, position 1: the text cannot be empty\n")

    @pytest.mark.parametrize("name", ["in.jsonl", "in.parquet", "in.csv"])
    def test_rows_without_an_id(self, run, tmp_path, url, name):
        frame = polars.DataFrame({"key": ["a", None, "", "d"], "text": ["w", "x", "y", "z"]})
        if name == "in.parquet":
            frame.write_parquet(tmp_path / name)
        else:
            (tmp_path / name).write_text(frame.write_csv() if name == "in.csv" else frame.write_ndjson())
        code, _, err = run("embed", name, "-o", "out.jsonl", "--id", "key", "--url", url)
        assert code == ExitCode.ROWS_REFUSED and "2 of 4 rows" in err
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [row["id"] for row in rows] == ["a", "d"]
        errors = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()]
        assert [error["position"] for error in errors] == [1, 2]
        assert all(error["reason"] == "there is no id in column 'key'" for error in errors)

    def test_repeated_ids_are_counted(self, run, tmp_path, url):
        polars.DataFrame({"n": [-1, -2, 3, 3, 3], "text": list("abcde")}).write_parquet(tmp_path / "in.parquet")
        for output in ("out.parquet", "-"):
            code, _, err = run("embed", "in.parquet", "-o", output, "--id", "n", "--url", url)
            assert code == 0 and "2 rows have the id of an earlier row" in err


class TestWhatIsWrongBeforeAnythingIsSent:
    @pytest.mark.parametrize(
        ("files", "arguments", "message"),
        [
            ({}, ["nix.txt", "-o", "o.npy"], "there is no file nix.txt"),
            ({"a.txt": b""}, ["a.txt", "-o", "o.npy"], "there are no rows"),
            ({"a.txt": b"caf\xe9"}, ["a.txt", "-o", "o.npy"], "a.txt, line 1, is not in UTF-8"),
            ({"a.csv": b"text\ncaf\xe9\n"}, ["a.csv", "-o", "o.npy"], "a.csv is not in UTF-8"),
            ({"a.md": b"x"}, ["a.md", "-o", "o.npy"], "--format"),
            ({"a.jsonl": b'{"body":"x"}'}, ["a.jsonl", "-o", "o.npy"], "no column 'text'; it has 'body'"),
            ({"a.csv": b"body,id\nx,1\n"}, ["a.csv", "-o", "o.npy"], "no column 'text'; it has 'body', 'id'"),
            ({"a.parquet": b"PAR1"}, ["a.parquet", "-o", "o.npy"], "a.parquet cannot be read as parquet"),
            ({"a.txt": b"x"}, ["a.txt", "-o", "o.tsv"], ".parquet, .jsonl, .npy"),
            ({"a.txt": b"x"}, ["a.txt", "-o", "nix/o.npy"], "there is no folder nix"),
            ({"a.txt": b"x", "o.npy": b"precious"}, ["a.txt", "-o", "o.npy"], "o.npy exists"),
            ({"a.txt": b"x"}, ["a.txt", "a.txt", "-o", "o.npy"], "given twice"),
            ({"a.txt": b"x"}, ["a.txt", "./a.txt", "-o", "o.npy"], "given twice"),
            ({"a.csv": b"text,text\nx,y\n"}, ["a.csv", "-o", "o.npy"], "more than one column 'text'"),
            ({"a.txt": b"x"}, ["a.txt", "-o", "o.npy", "--copy", "vector"], "'vector'"),
            ({"a.txt": b"x"}, ["a.txt", "-o", "o.npy", "--function", "f"], "either --url or --function"),
            ({"a.txt": b"x"}, ["a.txt"], "'--output' / '-o'"),
        ],
    )
    def test_is_told(self, run, tmp_path, files, arguments, message):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        code, out, err = run("embed", *arguments, "--url", "http://127.0.0.1:9")
        assert (code, out) == (ExitCode.USAGE, "") and message in err and "Traceback" not in err
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files

    @pytest.mark.parametrize("kind", ["list", "int"])
    def test_a_column_of_parquet_that_holds_no_strings(self, run, tmp_path, kind):
        values = [["a"]] if kind == "list" else [1]
        polars.DataFrame({"text": values}).write_parquet(tmp_path / "a.parquet")
        code, _, err = run("embed", "a.parquet", "-o", "o.npy", "--url", "http://127.0.0.1:9")
        assert code == ExitCode.USAGE and "texts are strings" in err

    def test_two_columns_of_parquet_with_the_name(self, run, tmp_path):
        table = pyarrow.table([["a"], ["b"], ["c"]], names=["text", "text", "other"])
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        code, _, err = run("embed", "a.parquet", "-o", "o.npy", "--url", "http://127.0.0.1:9")
        assert code == ExitCode.USAGE and "more than one column 'text'" in err

    @pytest.mark.parametrize("output", ["o.jsonl", "-"])
    @pytest.mark.parametrize(
        "values",
        [
            pyarrow.array([1], pyarrow.timestamp("ns")),
            pyarrow.array([1], pyarrow.duration("ns")),
            pyarrow.array([b"\0"]),
            pyarrow.array([{"x": [b"\0"]}]),
        ],
        ids=lambda values: str(values.type),
    )
    def test_columns_that_json_cannot_hold(self, run, tmp_path, values, output):
        pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "c": values}), tmp_path / "a.parquet")
        code, out, err = run("embed", "a.parquet", "-o", output, "--copy", "c", "--url", "http://127.0.0.1:9")
        assert (code, out) == (ExitCode.USAGE, "") and "JSON cannot hold column 'c'" in err

    def test_ids_of_parquet_that_are_no_names(self, run, tmp_path):
        polars.DataFrame({"text": ["a"], "key": [b"\0"]}).write_parquet(tmp_path / "a.parquet")
        code, _, err = run("embed", "a.parquet", "-o", "o.parquet", "--id", "key", "--url", "http://127.0.0.1:9")
        assert code == ExitCode.USAGE and "ids are strings or integers" in err

    @pytest.mark.parametrize(
        ("closed", "arguments", "message"),
        [(0, ("-", "-o", "o.npy"), "standard input is closed"), (1, ("a.txt", "-o", "-"), "standard output is closed")],
    )
    def test_pipes_that_are_closed(self, run, tmp_path, closed, arguments, message):
        (tmp_path / "a.txt").write_text("x")
        pipes = {"preexec_fn": lambda: os.close(closed)}
        code, _, err = run("embed", *arguments, "--url", "http://127.0.0.1:9", **pipes)
        assert code == ExitCode.USAGE and message in err and "Traceback" not in err

    @pytest.mark.parametrize("url", ["http://localhost:99999", "http://localhost:port", "localhost"])
    def test_addresses_that_cannot_be(self, run, tmp_path, url):
        (tmp_path / "a.txt").write_text("x")
        code, _, err = run("embed", "a.txt", "-o", "o.npy", "--url", url)
        assert code == ExitCode.USAGE and url in err and "Traceback" not in err

    @pytest.mark.parametrize("key", ["secret\n", "sécret"])
    def test_keys_that_cannot_be(self, run, tmp_path, key):
        (tmp_path / "a.txt").write_text("x")
        command = ("embed", "a.txt", "-o", "o.npy", "--url", "http://127.0.0.1:9")
        code, _, err = run(*command, env={"EMBEDDINGS_API_KEY": key})
        assert code == ExitCode.USAGE and "printable ASCII" in err and "cret" not in err

    def test_files_whose_copied_columns_do_not_fit(self, run, tmp_path):
        polars.DataFrame({"text": ["a"], "n": [1]}).write_parquet(tmp_path / "a.parquet")
        (tmp_path / "b.csv").write_text("text,n\nb,2\n")
        command = ("embed", "a.parquet", "b.csv", "-o", "o.parquet", "--copy", "n", "--url", "http://127.0.0.1:9")
        code, _, err = run(*command)
        assert code == ExitCode.USAGE and "n: int64" in err and "n: string" in err

    def test_options_that_the_endpoint_refuses(self, run, tmp_path, url):
        (tmp_path / "a.txt").write_text("x")
        code, _, err = run("embed", "a.txt", "-o", "o.npy", "--url", url, "--prompt-name", "nix")
        assert code == ExitCode.USAGE and "`query`, `passage`" in err
        assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]

    def test_an_endpoint_that_is_not_there(self, run, tmp_path):
        (tmp_path / "a.txt").write_text("x")
        code, _, err = run("embed", "a.txt", "-o", "o.npy", "--url", "http://127.0.0.1:9")
        assert code == ExitCode.FAILED and "cannot be reached" in err


class TestTerminal:
    def test_a_bar_with_rate_and_time_left(self, embeddings, tmp_path, url):
        write(tmp_path, "in.txt")
        terminal, theirs = pty.openpty()
        process = embeddings("embed", "in.txt", "-o", "out.npy", "--url", url, stderr=theirs, env={"TERM": "xterm"})
        os.close(theirs)
        shown = io.BytesIO()
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not data:
                break
            shown.write(data)
        os.close(terminal)
        assert process.wait(30) == 0
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue().decode())
        assert re.search(r"64/64 rows +\d+ rows/s \d:\d\d:\d\d left", text), text

    def test_help_teaches(self, run):
        code, out, _ = run("embed", "--help")
        assert code == 0
        assert "embeddings embed texts.txt -o vectors.npy --url" in out and "Exit codes: 0 done" in out

    @pytest.mark.parametrize("module", ["pyarrow", "numpy", "httpx", "botocore", "rich.progress"])
    def test_help_needs_no_heavy_module(self, module):
        code = f"import sys; sys.modules[{module!r}] = None; sys.argv[1:] = ['embed', '--help']; "
        code += "from serverless_embeddings_client.cli import run; run()"
        env = os.environ | {"PYTHONPATH": str(PROJECT / "client" / "src")}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_the_shell_completes_commands_and_options(self, run):
        for words, expected in (("embeddings em", "embed"), ("embeddings embed --long-texts w", "window")):
            env = {"_EMBEDDINGS_COMPLETE": "complete_bash", "COMP_WORDS": words}
            env["COMP_CWORD"] = str(len(words.split()) - 1)
            assert run(env=env)[1].split() == [expected]

    def test_ctrl_c_while_the_command_starts(self):
        code = """if 1:
            import os, signal, sys
            class Finder:
                def find_spec(name, *_):
                    if name == "typer":
                        os.kill(os.getpid(), signal.SIGINT)
            sys.meta_path.insert(0, Finder)
            from serverless_embeddings_client.cli import run; run()"""
        env = os.environ | {"PYTHONPATH": str(PROJECT / "client" / "src")}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (ExitCode.STOPPED, "")

    def test_what_is_missing_is_named(self):
        code = "import sys; sys.modules['typer'] = None; from serverless_embeddings_client.cli import run; run()"
        env = os.environ | {"PYTHONPATH": str(PROJECT / "client" / "src")}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert done.returncode == 1 and "pip install 'serverless-embeddings-client[cli]'" in done.stderr


def test_the_command_that_the_demo_ends_with(run, tmp_path, url):
    (command,) = [line.strip() for line in NEXT.splitlines() if line.strip().startswith(".venv")]
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/embeddings"
    (tmp_path / "build").mkdir()
    (tmp_path / "README.md").write_bytes((PROJECT / "README.md").read_bytes())
    assert arguments[-1] == "http://localhost:9000"
    assert run(*arguments[:-1], url)[0] == 0
    assert len(polars.read_parquet(tmp_path / "build" / "vectors.parquet")) > 50


def test_the_readme_s_python_and_exit_codes(url):
    readme = (PROJECT / "client" / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    names: dict = {}
    exec(code.replace("http://localhost:9000", url), names)
    assert names["vectors"].shape == (2, 384)
    for exit_code in ExitCode:
        text = exit_code.text.replace("command again", "command")
        assert f"| {exit_code.value} | {text} |" in readme
