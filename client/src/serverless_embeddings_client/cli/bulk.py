"""`embeddings bulk`: a corpus in S3, or in a folder, becomes Parquet files of vectors, by a job."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import batches
from . import jobs, local_jobs, reports
from .dialogue import ask, say
from .errors import CommandError, ExitCode
from .places import S3, Place
from .watching import Display

POLL_SECONDS = 2.0
"""DescribeMapRun may be called once a second."""

app = typer.Typer(
    help="""Embed a corpus in S3, on many functions at a time, or in a folder, on the CPUs of this machine.

A job reads JSON Lines, CSV or Parquet (also .gz and .zst) and writes Parquet with a column of vectors. Whatever stops it, the same
command again continues, and embeds only what is missing or new.""",
    no_args_is_help=True,
)

Input = Annotated[
    str,
    typer.Argument(
        metavar="IN", help="`s3://bucket/prefix`, `s3://bucket/key`, a folder or a file.", show_default=False
    ),
]
Output = Annotated[
    str,
    typer.Argument(metavar="OUT", help="`s3://bucket/prefix` or a folder; it belongs to one job.", show_default=False),
]
Written = Annotated[
    str,
    typer.Argument(metavar="OUT", help="The job's output, or the ARN of its execution.", show_default=False),
]
Column = Annotated[str, typer.Option(help="Column with the texts.")]
Id = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Column with ids. By default a row is named by its object and its place in it."
    ),
]
Copy = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="A column to copy to the output; may be repeated.")
]
Format = Annotated[Literal["jsonl", "csv", "parquet"] | None, typer.Option(help="By default by the names' endings.")]
PromptName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The prompt before each text: for E5 `passage` for texts to search in. By default the deployment's.",
    ),
]
LongTexts = Annotated[
    batches.LongTexts | None,
    typer.Option(help="What happens to a text that is longer than the model reads. By default as the deployment says."),
]
Dimensions = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Length of the vectors, if the model is trained for fewer.")
]
Normalize = Annotated[bool, typer.Option(help="Vectors of length 1.")]
Precision = Annotated[Literal["float32", "int8"], typer.Option(help="Numbers of the vectors.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Embed the first rows only, to an output of their own.")
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Most splits at a time. By default the deployment's bulk_concurrency; on folders one process a CPU.",
    ),
]
ModelDir = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="For folders: what `make model` made, such as build/model/latest."),
]
DeploymentName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="EMBEDDINGS_DEPLOYMENT",
        help="For S3: the stack's name, its ssm_prefix, or its state machine's ARN.",
    ),
]

# Typer hands the arguments of `run` and `estimate`, which are the same, to the context, too.
FIELDS = {name: name for name in ("input", "output", "id", "copy", "format", "prompt_name", "long_texts", "dimensions")}
FIELDS |= {name: name for name in ("normalize", "precision", "limit", "concurrency")} | {"column": "text"}
"""Fields of a job (docs/bulk.md), by the arguments of `run` and `estimate`."""


def _job(context: typer.Context) -> dict:
    """The job in the arguments of `run` and `estimate`; the deployment, or the local engine, reads and checks it."""
    job = {field: context.params[name] for name, field in FIELDS.items() if context.params[name] not in (None, [])}
    if job["input"].startswith(S3) != job["output"].startswith(S3):
        raise CommandError(f"IN and OUT are both on S3 or both folders; given are {job['input']} and {job['output']}")
    return job


@app.command()
def run(
    context: typer.Context,
    input: Input,
    output: Output,
    column: Column = "text",
    id: Id = None,
    copy: Copy = None,
    format: Format = None,
    prompt_name: PromptName = None,
    long_texts: LongTexts = None,
    dimensions: Dimensions = None,
    normalize: Normalize = True,
    precision: Precision = "float32",
    limit: Limit = None,
    concurrency: Concurrency = None,
    deployment: DeploymentName = jobs.DEPLOYMENT,
    model_dir: ModelDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job, print its ARN and leave it alone.")] = False,
) -> None:
    r"""Embed a corpus: an estimate first, then a question, progress, and a bill.

    The same command again continues a job that failed or was stopped, and takes in new objects. Ctrl-C leaves a job on S3 running.

    ```
    embeddings bulk run s3://corpus/texts s3://vectors/first --column body \
        --id id --prompt-name passage

    # try it out, without a question
    embeddings bulk run s3://corpus/texts s3://vectors/trial --column body \
        --limit 1000 --yes

    # on this machine, in the project's checkout
    embeddings bulk run ./texts ./vectors --column body \
        --model-dir build/model/latest
    ```
    """
    job = _job(context)
    if not input.startswith(S3):
        if detach:
            raise CommandError("--detach is for jobs on S3: one on folders runs in this command")
        if Place(output).last_run():
            say(f"{output}: continues, with what earlier runs have not embedded")
        start = time.monotonic()
        _end(local_jobs.run(job, model_dir), output, time.monotonic() - start)
        return
    found = jobs.find_deployment(deployment)
    forecast = _estimate(found, job)
    if not yes and forecast["splits"]:
        ask()
    execution = found.start(job)
    say(f"started {execution}")
    if detach:
        say(_how_to_look(output))
        print(execution)
        return
    _follow(jobs.Execution(execution))


@app.command()
def estimate(
    context: typer.Context,
    input: Input,
    output: Output,
    column: Column = "text",
    id: Id = None,
    copy: Copy = None,
    format: Format = None,
    prompt_name: PromptName = None,
    long_texts: LongTexts = None,
    dimensions: Dimensions = None,
    normalize: Normalize = True,
    precision: Precision = "float32",
    limit: Limit = None,
    concurrency: Concurrency = None,
    deployment: DeploymentName = jobs.DEPLOYMENT,
    model_dir: ModelDir = None,
) -> None:
    """Say what `run` with the same arguments would take: rows, tokens, hours and dollars. Nothing is written.

    1,000 rows are embedded where the job would run, for at most a minute.
    """
    job = _job(context)
    if input.startswith(S3):
        _estimate(jobs.find_deployment(deployment), job)
    else:
        print(reports.estimate(*local_jobs.estimate(job, model_dir)))


@app.command()
def status(
    job: Written,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the job is over.")] = False,
    deployment: DeploymentName = jobs.DEPLOYMENT,
) -> None:
    """Say how far the last job of an output is, or what it has made and why it failed."""
    if not job.startswith((S3, "arn:")):
        _local_status(Place(job))
        return
    execution = jobs.Execution(jobs.find_execution(job, deployment))
    if watch:
        _follow(execution)
        return
    now = execution.look()
    if now.is_over:
        _conclude(now)
        return
    print(f"{execution.arn}\nis {_step(now)}, since {now.started:%Y-%m-%d %H:%M:%S %Z}")
    if progress := _progress(now):
        print(progress.text)


@app.command()
def errors(job: Written) -> None:
    """List the rows that could not be embedded, and the splits of the last run that failed: JSON Lines with the reasons.

    ```
    embeddings bulk errors s3://vectors/first | jq -r .reason | sort | uniq -c
    ```
    """
    is_execution = job.startswith("arn:")
    place = Place(jobs.Execution(jobs.check_execution(job)).look().output if is_execution else job)
    if place.last_run() is None:
        raise CommandError(f"{place.url}: {jobs.NO_JOB}")
    rows = splits = 0
    for each in place.row_errors():
        rows += 1
        print(json.dumps(each, ensure_ascii=False))
    for each in place.split_errors():
        splits += 1
        print(json.dumps(each, ensure_ascii=False))
    say(f"{rows:,} rows could not be embedded, {splits:,} splits failed in the last run")


@app.command()
def cancel(job: Written, deployment: DeploymentName = jobs.DEPLOYMENT) -> None:
    """Stop the job that writes an output. What is embedded stays; `run` with the same arguments continues it."""
    if not job.startswith((S3, "arn:")):
        raise CommandError("a job on folders is stopped by Ctrl-C, where it runs")
    execution = jobs.Execution(jobs.find_execution(job, deployment))
    now = execution.look()
    if now.is_over:
        raise CommandError(f"{execution.arn} is over: it has {now.status.lower().replace('_', ' ')}")
    execution.stop()
    say(f"stopped {execution.arn}; the same `embeddings bulk run` continues it")


def _estimate(deployment: jobs.Deployment, job: dict) -> dict:
    """Print the estimate of a job on S3, and return it."""
    with Display() as display:
        display.show("estimating: the deployment lists the input and times rows of it")
        forecast = deployment.estimate(job)
    room = deployment.room(forecast["concurrency"])
    print(reports.estimate(forecast, room.at_once, room.account), flush=True)
    if forecast["splits"] and room.at_once == 0:
        raise CommandError("the account lets no function of a job run: its concurrency is used up or set to 0")
    return forecast


def _how_to_look(output: str) -> str:
    return f"look at it: embeddings bulk status {output}\nstop it:    embeddings bulk cancel {output}"


def _follow(execution: jobs.Execution) -> None:
    """Show an execution until it is over, then its bill. Ctrl-C, or an error of AWS's, leaves it running."""
    output = execution.arn
    try:
        with Display() as display:
            while True:
                now = execution.look()
                output = now.output
                display.show(_step(now), _progress(now))
                if now.is_over:
                    break
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        say(f"the job runs on\n{_how_to_look(output)}")
        raise typer.Exit(ExitCode.STOPPED) from None
    except CommandError as error:
        raise CommandError(f"{error}\nthe job may run on\n{_how_to_look(output)}", error.exit_code) from None
    _conclude(now)


def _step(now: jobs.Snapshot) -> str:
    if now.planned is None:
        return "planning"
    done = now.splits and now.splits["succeeded"] + now.splits["failed"]
    if not now.planned["splits"] or (done and done == now.splits["total"]):
        return "counting"
    return "embedding"


def _progress(now: jobs.Snapshot) -> reports.Progress | None:
    """How far the embedding is, if it has begun."""
    if not (now.planned and now.splits and now.splits["total"]):
        return None
    todo, total = now.planned["todo"], now.splits["total"]
    share = now.splits["succeeded"] / total
    price = now.planned.get("usd_per_second")
    until = now.stopped or datetime.now(UTC)
    return reports.Progress(
        rows=round(share * todo["rows"]),
        of_rows=todo["rows"],
        splits=now.splits["succeeded"],
        of_splits=total,
        failed=now.splits["failed"],
        seconds=(until - now.embedding_since).total_seconds(),
        expected_seconds=todo["seconds"] / min(now.planned["concurrency"], total),
        usd=price and share * todo["seconds"] * price,
    )


def _conclude(now: jobs.Snapshot) -> None:
    """Print the bill of an execution that is over, and leave with its exit code."""
    if now.commit:
        _end(now.commit, now.output, (now.stopped - now.started).total_seconds())
        return
    if now.status == "ABORTED":
        raise CommandError(
            f"{now.output}: the job was cancelled; the same `embeddings bulk run` continues it", ExitCode.FAILED
        )
    if now.error in jobs.MENDABLE:
        raise jobs.refusal(now.error, now.reason.removeprefix(f"{now.error}: "))
    raise CommandError(
        f"{now.output}: the job failed: {now.reason}; `embeddings bulk errors {now.output}` lists what failed",
        ExitCode.FAILED,
    )


def _end(commit: dict, output: str, seconds: float | None = None) -> None:
    print(reports.bill(commit, f"embeddings bulk errors {output}", seconds))
    if commit["new"]["errors"]:
        raise typer.Exit(ExitCode.ROWS_REFUSED)


def _local_status(place: Place) -> None:
    if place.last_run() is None:
        raise CommandError(f"{place.url}: {jobs.NO_JOB}")
    progress = place.progress()
    if progress is None:
        print(
            "its run was refused, or stopped while it planned; if no command is at it, the same one again begins anew"
        )
        return
    done, splits = progress
    if done == splits and Path(place.url, "_SUCCESS").exists():
        _end(json.loads(place.read("_SUCCESS")), place.url)
    else:
        print(
            f"{done:,} of the last run's {splits:,} splits are done; if no command is at it, the same one again continues"
        )
