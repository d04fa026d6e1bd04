"""The second step of a run, once for each split: rows to a part of the output."""

from collections.abc import Callable
from tempfile import TemporaryFile
from time import perf_counter

import msgspec
import pyarrow as pa

from runtime.service.service import Service

from .embedding import Embedded, embed_texts
from .errors import JobError
from .inputs.reader import read_pieces
from .inputs.rows import Rows
from .job import Job
from .ledger import errors_key, part_key
from .parts import Counts, PartWriter, read_counts, vector_array
from .split import Split, job_id, make_split
from .storage import open_input, open_storage


def embed_split(split: Split, job: Job, service: Service, on_rows: Callable[[int], None] = lambda rows: None) -> Counts:
    """Embed the rows of ``split`` and write its part, unless it exists.

    Args:
        job: The job as the plan returned it.
        on_rows: Called with the number of rows that were embedded since the last call.

    Raises:
        JobError: the service has another model or other defaults than the plan had.
        InputError: an object cannot be read, or changed since the plan.
    """
    start = perf_counter()
    identity = job_id(job, service)
    if make_split(identity, split.pieces).part != split.part:
        raise JobError("the model or its settings are not those that the split was planned for; start the job again")
    output = open_storage(job.output)
    key = part_key(split.part)
    if done := output.find(key):
        return read_counts(output, key, done.size)
    storage, _ = open_input(job.input)
    counts, errors = Counts(), []
    with TemporaryFile() as file, PartWriter(file) as writer:
        for source, rows in read_pieces(storage, split.pieces, job):
            embedded = embed_texts(rows.texts, job, service)
            writer.add(_batch(source, rows, embedded, job))
            errors += [_error(source, rows, index, problem) for index, problem in embedded.problems.items()]
            counts += Counts(
                rows=len(embedded.good),
                errors=len(embedded.problems),
                tokens=sum(embedded.tokens),
                truncated=embedded.truncated,
            )
            on_rows(len(rows.texts))
        counts += Counts(seconds=round(perf_counter() - start, 3))
        manifest = service.manifest
        maker = {"job": identity, "model": manifest.model.id, "revision": manifest.model.revision}
        writer.finish(maker | {"artifact": manifest.key}, counts)
        file.seek(0)
        # The part comes last: whoever sees it can rely on the errors.
        if errors:
            output.put_if_absent(errors_key(split.part), b"".join(msgspec.json.encode(each) + b"\n" for each in errors))
        output.put_if_absent(key, file)
    return counts


def _batch(source: str, rows: Rows, embedded: Embedded, job: Job) -> pa.RecordBatch:
    """The output's rows: the id, or the place, the copied columns, the tokens and the vector of each text that has one."""
    batch = rows.columns.take(pa.array(embedded.good, pa.int32()))
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    if job.id is None:
        place = {
            "source": pa.array([source] * len(batch), pa.string()),
            "position": pa.array([rows.positions[index] for index in embedded.good], pa.int64()),
        }
        arrays = place | arrays
    arrays |= {"tokens": pa.array(embedded.tokens, pa.int32()), "vector": vector_array(embedded.vectors)}
    return pa.RecordBatch.from_pydict(arrays)


def _error(source: str, rows: Rows, index: int, problem: str) -> dict:
    """A line of the errors: the place of a row, its id if it has one, and the reason."""
    row = rows.columns.slice(index, 1).to_pylist()[0]
    known = {"id": row["id"]} if row.get("id") is not None else {}
    return {"source": source, "position": rows.positions[index]} | known | {"reason": str(problem)}
