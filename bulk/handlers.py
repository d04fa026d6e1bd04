"""The steps as Lambda functions of a state machine: events in, the functions of this package, JSON out.

``plan`` takes ``{"job": …, "execution": ARN}`` and returns :class:`bulk.plan.Planned`, the ``concurrency`` of the run,
``usd_per_second``, and ``results``, the key below which the engine may write what became of each split; with ``"estimate": true`` it
writes nothing and returns :class:`bulk.plan.Forecast` with the first two of these. ``embed`` takes ``{"job": …, "split": …}``, with the job that ``plan`` returned, and returns
:class:`bulk.parts.Counts`. ``commit`` takes the ``job`` and the ``run`` that ``plan`` returned, and returns :class:`bulk.commit.Commit`.

The settings are those of :mod:`runtime.settings`, ``EMBEDDINGS_BULK_USD_PER_SECOND``, the price of a second of ``embed``,
``EMBEDDINGS_BULK_CONCURRENCY``, the most splits that are embedded at a time, and ``EMBEDDINGS_BULK_SPLIT_SECONDS``, the work of one.
"""

import os
from functools import cache
from pathlib import Path

import msgspec

from runtime.engine.engine import Engine
from runtime.service.service import Service
from runtime.settings import PREFIX, Settings, lambda_memory_mb, lambda_vcpus, make_service

from . import commit as _commit
from . import plan as _plan
from .job import read_job
from .split import Split
from .worker import embed_split


def plan(event: dict, context) -> dict:
    """Plan a run, or say what it would be."""
    job = read_job(event["job"])
    most = int(os.environ.get(f"{PREFIX}BULK_CONCURRENCY", 1))
    terms = {"concurrency": min(job.concurrency or most, most), "usd_per_second": _usd_per_second()}
    split_seconds = float(os.environ.get(f"{PREFIX}BULK_SPLIT_SECONDS", _plan.SPLIT_SECONDS))
    if event.get("estimate"):
        return msgspec.to_builtins(_plan.forecast(job, _service(), _is_running, split_seconds)) | terms
    execution = event["execution"]

    def is_running(owner: str) -> bool:
        # A plan that is tried again belongs to the execution that tried it before.
        return owner != execution and _is_running(owner)

    planned = msgspec.to_builtins(_plan.plan(job, _service(), execution, is_running, split_seconds)) | terms
    planned["results"] = planned["manifest"]["key"].rpartition("/")[0]
    _log({"step": "plan", "execution": execution} | {name: planned[name] for name in ("run", "splits", "done", "todo")})
    return planned


def embed(event: dict, context) -> dict:
    """Embed one split."""
    split = msgspec.convert(event["split"], Split)
    counts = msgspec.to_builtins(embed_split(split, read_job(event["job"]), _service()))
    _log({"step": "embed", "part": split.part} | counts)
    return counts


def commit(event: dict, context) -> dict:
    """End a run."""
    result = _commit.commit(read_job(event["job"]), event["run"], _usd_per_second())
    done = msgspec.to_builtins(result)
    _log({"step": "commit"} | {name: done[name] for name in ("run", "parts", "new", "total", "usd", "repeated_ids")})
    return done


def _usd_per_second() -> float | None:
    price = os.environ.get(f"{PREFIX}BULK_USD_PER_SECOND")
    return float(price) if price else None


@cache
def _service() -> Service:
    settings = Settings.from_environment(os.environ)
    threads, memory_mb = lambda_vcpus(os.environ), lambda_memory_mb(os.environ)
    return make_service(Engine.load(Path(settings.model_dir), threads, memory_mb), settings)


@cache
def _step_functions():
    import botocore.session

    return botocore.session.get_session().create_client("stepfunctions")


def _is_running(execution: str) -> bool:
    """Whether an execution of a state machine is not over; those that are 90 days over are forgotten."""
    client = _step_functions()
    try:
        return client.describe_execution(executionArn=execution)["status"] in ("RUNNING", "PENDING_REDRIVE")
    except client.exceptions.ExecutionDoesNotExist:
        return False


def _log(line: dict) -> None:
    print(msgspec.json.encode(line).decode())
