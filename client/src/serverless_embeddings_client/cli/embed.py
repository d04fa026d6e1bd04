"""`embeddings embed`: the texts of files become vectors, through an endpoint."""

import hashlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..batches import LongTexts
from .errors import CommandError, ExitCode

if TYPE_CHECKING:
    import pyarrow as pa

    from ..client import Client
    from .inputs import Input
    from .outputs import Errors, Parts

CHUNK = 512
"""Rows of a part: what is lost of the work when a run is killed, times the requests under way."""
PIPE = "-"

Format = Literal["txt", "jsonl", "csv", "parquet"]


def embed(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files with texts: `.txt` (one a line), `.jsonl`, `.csv`, `.parquet`, the first three also `.gz`, `.zst` or `.bz2`; "
            "`-` is standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the vectors go: `.parquet`, `.jsonl` or `.npy`; `-` is standard output, in JSONL.",
            show_default=False,
        ),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            help="Address of the endpoint. A key is read from the variable EMBEDDINGS_API_KEY; without one, requests to AWS are signed."
        ),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="In place of --url: the Lambda function's name or ARN, of which the alias `live` is called unless it names another.",
        ),
    ] = None,
    column: Annotated[str, typer.Option(help="Column with the texts.")] = "text",
    id: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column with ids, written as `id`. By default a row is named by `source` and `position`, its line or row from 0.",
        ),
    ] = None,
    copy: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column to copy to the output; may be repeated.")
    ] = None,
    prompt_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The prompt before each text: for E5 `passage` for texts to search in, `query` for texts to search with. By default the deployment's.",
        ),
    ] = None,
    dimensions: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Length of the vectors, if the model is trained for fewer. By default all."
        ),
    ] = None,
    long_texts: Annotated[
        LongTexts | None,
        typer.Option(
            help="What happens to a text that is longer than the model reads. By default as the deployment says."
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="Format of the input. By default by the files' names; of standard input `txt`."),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            max=1000,
            metavar="N",
            help="Most requests at a time; no more than the deployment's reserved_concurrency.",
        ),
    ] = 8,
) -> None:
    r"""Embed the texts of files through an endpoint.

    The texts go out in batches, several at a time, and are tried again when the endpoint is busy. A row that cannot be embedded does
    not stop the others: it is in OUTPUT.errors.jsonl with its place and the reason.

    A run that was stopped is continued by the same command: what is done is in the folder OUTPUT.parts.

    ```
    embeddings embed texts.txt -o vectors.npy --url http://localhost:9000

    # two columns more in the output, the prompt of E5, a function by its name
    embeddings embed a.jsonl b.jsonl --column body --id url --copy title \
        --prompt-name passage --function my-function -o vectors.parquet

    zcat texts.gz | embeddings embed - -o - --url "$URL" | head -n 3
    ```
    """
    from .inputs import STDIN, Columns, find_inputs

    if (url is None) == (function is None):
        raise CommandError("say where the endpoint is: either --url or --function")
    to_json = output == PIPE or Path(output).suffix == ".jsonl"
    inputs = find_inputs(files, format, Columns(column, id, tuple(copy or ())), to_json)
    options = {"prompt_name": prompt_name, "dimensions": dimensions, "long_texts": long_texts}
    run = _Run(inputs, options, id is not None, concurrency)
    if output == PIPE:
        if sys.stdout is None:
            raise CommandError("standard output is closed")
        with closing(_client(url, function, concurrency)) as client:
            run.to_stdout(client)
        return
    run.to_file(Path(output), lambda: _client(url, function, concurrency), countable=STDIN not in files)


def _client(url: str | None, function: str | None, concurrency: int) -> "Client":
    from botocore.exceptions import BotoCoreError

    from ..client import Client

    key = os.environ.get("EMBEDDINGS_API_KEY")
    try:
        return Client(url, function=function, api_key=key, concurrency=concurrency)
    except (ValueError, BotoCoreError) as error:
        raise CommandError(str(error)) from None


def _say_repeats(errors: "Errors") -> None:
    if count := errors.repeated_ids:
        print(f"{count:,} {'row has' if count == 1 else 'rows have'} the id of an earlier row", file=sys.stderr)


class _Run:
    """The rows of ``inputs``, embedded with ``options``."""

    def __init__(self, inputs: "list[Input]", options: dict[str, Any], has_id: bool, concurrency: int) -> None:
        from .inputs import chunks

        self._inputs, self._options, self._has_id = inputs, options, has_id
        self._ahead = 2 * concurrency
        """Chunks under way: a chunk is at least a request."""
        self._chunks: Callable[[], Iterator[pa.Table]] = lambda: chunks(inputs, CHUNK)

    def to_stdout(self, client: "Client") -> None:
        """Write JSONL to standard output, in the order of the rows, and the rows that cannot be embedded to stderr."""
        from ..errors import EndpointError
        from .outputs import Errors, JsonlWriter, without_problems
        from .progress import RowProgress

        self._probe(client)
        errors, writer = Errors(sys.stderr.buffer), JsonlWriter(sys.stdout.buffer)
        try:
            with RowProgress(None) as progress:
                for part in self._in_order(
                    lambda chunk: self._part(chunk, client, progress.advance), client, self._chunks()
                ):
                    errors.add(part)
                    writer.add(without_problems(part, self._has_id, keep_refused=False))
        except EndpointError as error:
            raise CommandError(
                f"{error}; the output ends after {errors.rows:,} rows of the input", ExitCode.FAILED
            ) from None
        _say_repeats(errors)
        if errors.count:
            raise CommandError(
                f"{errors.count:,} of {errors.rows:,} rows cannot be embedded: see above", ExitCode.ROWS_REFUSED
            )

    def to_file(self, output: Path, connect: "Callable[[], Client]", countable: bool) -> None:
        """Write the file ``output``; ``countable`` inputs are read twice, and so checked and counted before anything is sent."""
        from ..errors import EndpointError
        from .outputs import WRITERS, Parts, errors_of, join

        if output.suffix not in WRITERS:
            raise CommandError(f"{output}: the name has to end with one of {', '.join(WRITERS)}")
        if not output.parent.is_dir():
            raise CommandError(f"there is no folder {output.parent}")
        parts = Parts(output)
        if output.exists():
            raise CommandError(f"{output} exists; remove it, or name another output")
        total, done = self._count(parts) if countable else (None, 0)
        if total == 0:
            raise CommandError("there are no rows in the input")
        paths: list[Path] = []
        try:
            with closing(connect()) as client:
                job = self._job(client)
                parts.begin(job)
                self._embed_parts(parts, client, total, done, paths)
                if self._job(client) != job:
                    raise CommandError(
                        f"the endpoint's model or settings changed during the run; remove {parts.folder} and start again",
                        ExitCode.FAILED,
                    )
            if not paths:
                parts.remove()
                raise CommandError("there are no rows in the input")
            rows, errors = join(output, paths, self._has_id)
        except EndpointError as error:
            raise CommandError(f"{error}; the same command continues", ExitCode.FAILED) from None
        except KeyboardInterrupt:
            rows = parts.rows(paths)
            raise CommandError(
                f"stopped; {rows:,} rows are done, the same command continues", ExitCode.STOPPED
            ) from None
        parts.remove()
        print(f"{output} has {rows:,} {'row' if rows == 1 else 'rows'}", file=sys.stderr)
        _say_repeats(errors)
        if errors.count:
            raise CommandError(
                f"{errors.count:,} of {errors.rows:,} rows cannot be embedded; {errors_of(output)} says why, the first: {errors.first}",
                ExitCode.ROWS_REFUSED,
            )

    def _count(self, parts: "Parts") -> tuple[int, int]:
        """How many rows there are, and how many of them are in parts. This reads all of the input."""
        total = done = 0
        for index, chunk in enumerate(self._chunks()):
            total += len(chunk)
            done += len(chunk) if parts.path(index, chunk).exists() else 0
        return total, done

    def _embed_parts(self, parts: "Parts", client: "Client", total: int | None, done: int, paths: list[Path]) -> None:
        """Write the parts that are missing, and add the paths of all to ``paths``."""
        from .progress import RowProgress

        def missing() -> "Iterator[tuple[Path, pa.Table]]":
            for index, chunk in enumerate(self._chunks()):
                path = parts.path(index, chunk)
                paths.append(path)
                if not path.exists():
                    yield path, chunk
                elif total is None:
                    progress.skip(len(chunk))

        def embed_part(work: "tuple[Path, pa.Table]") -> None:
            path, chunk = work
            parts.save(path, self._part(chunk, client, progress.advance))

        with RowProgress(total, done) as progress:
            for _ in self._in_order(embed_part, client, missing()):
                pass

    def _in_order(self, function: Callable, client: "Client", items: Iterator) -> Iterator:
        """The results of ``function`` for ``items``, in their order, computed in threads some items ahead."""
        waiting: deque[Future] = deque()
        with ThreadPoolExecutor(self._ahead) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(function, item))
                    if len(waiting) >= self._ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            except BaseException:
                # Otherwise the pool would wait until all that it was given is done.
                pool.shutdown(wait=False, cancel_futures=True)
                client.close()
                raise

    def _part(self, chunk: "pa.Table", client: "Client", on_done: Callable[[int], None]) -> "pa.Table":
        """A chunk with its vectors and problems."""
        import numpy as np

        from .inputs import PROBLEM, TEXT
        from .outputs import make_part

        texts, problems = chunk.column(TEXT).to_pylist(), chunk.column(PROBLEM).to_pylist()
        good = [index for index, problem in enumerate(problems) if problem is None]
        on_done(len(texts) - len(good))

        def on_refused(index: int, reason: str) -> None:
            problems[good[index]] = reason.replace("`input`", "the text")

        found = client.embed([texts[index] for index in good], on_refused=on_refused, on_done=on_done, **self._options)
        vectors = np.full((len(texts), found.shape[1]), np.nan, np.float32)
        vectors[good] = found
        return make_part(chunk, vectors, problems)

    def _probe(self, client: "Client") -> str:
        """Embed one short text with the options, to see whether all is right. Returns a hash of its vector.

        Raises:
            CommandError: the endpoint cannot be reached, or refuses the options.
        """
        from ..client import SHORT_TEXT
        from ..errors import EndpointError

        try:
            return hashlib.sha256(client.embed([SHORT_TEXT], **self._options).tobytes()).hexdigest()[:16]
        except EndpointError as error:
            is_wrong = error.status is not None and error.status < 500 and error.status != 429
            raise CommandError(str(error), ExitCode.USAGE if is_wrong else ExitCode.FAILED) from None

    def _job(self, client: "Client") -> dict[str, Any]:
        """What decides on the vectors: the model, its settings, the options. The vector of the probe stands for the rest."""
        probe, info = self._probe(client), client.info()
        long_texts = self._options["long_texts"] or info["long_texts"]
        model = {"model": info["model_id"], "revision": info["model_sha"]}
        return model | self._options | {"long_texts": long_texts, "vector of a test text": probe}
