"""Jobs of a deployment: what its state machine and its plan function are asked for."""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from .aws import client, executions, explained
from .errors import CommandError, ExitCode
from .places import Place, reason

DEPLOYMENT = "ServerlessEmbeddings"
"""Name of the stack, unless the deployment chose another."""
MENDABLE = ("JobError", "OutputError", "InputError")
"""Errors that the person who started the job mends, and for which nothing was embedded."""
OVER = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
NO_JOB = "no job has written there yet; `embeddings bulk run` starts one"
LISTED = 1000
"""Latest executions of a deployment in which that of an output is looked for."""


@dataclass(frozen=True)
class Room:
    """How many functions may embed at a time."""

    at_once: int
    account: int
    """Concurrent executions of the whole account."""


@dataclass(frozen=True)
class Deployment:
    """A deployment's state machine, and the functions that it calls, by ARN."""

    machine: str
    plan: str
    embed: str

    def estimate(self, job: dict) -> dict:
        """What a run of ``job`` would have to do, measured in the account: ``bulk.handlers.plan``'s answer.

        Raises:
            CommandError: the job would be refused, or the function failed.
        """
        request = json.dumps({"job": job, "estimate": True})
        with explained("invoke the deployment's plan function"):
            answer = client("lambda", _region(self.plan)).invoke(FunctionName=self.plan, Payload=request)
            found = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise refusal(found.get("errorType", ""), found.get("errorMessage", ""))
        return found

    def room(self, wanted: int) -> Room:
        """How many of ``wanted`` functions the account lets run at a time."""
        most, account = executions(self.embed.split(":")[6], _region(self.embed))
        return Room(min(wanted, most), account)

    def start(self, job: dict) -> str:
        """Start an execution. Returns its ARN."""
        with explained("start a job"):
            started = _states(self.machine).start_execution(
                stateMachineArn=self.machine, name=_new_name(job["output"]), input=json.dumps(job)
            )
        return started["executionArn"]


def find_deployment(name: str) -> Deployment:
    """The deployment ``name``: a stack, the prefix of its parameters in SSM, or the ARN of its state machine.

    Raises:
        CommandError: there is none, or it has no bulk jobs.
    """
    machine = _find_machine(name)
    with explained("look at the deployment's state machine"):
        definition = json.loads(_states(machine).describe_state_machine(stateMachineArn=machine)["definition"])
    states = definition["States"]
    (embed,) = states["Embed"]["ItemProcessor"]["States"].values()
    return Deployment(machine, *(each["Parameters"]["FunctionName"] for each in (states["Plan"], embed)))


def _find_machine(name: str) -> str:
    if re.fullmatch(r"arn:[^:]+:states:[^:]+:\d+:stateMachine:[^:]+", name):
        return name
    prefix = name if name.startswith("/") else f"/serverless-embeddings/{name}"
    with explained(f"read the parameter {prefix}/bulk-state-machine"):
        ssm = client("ssm")
        try:
            return ssm.get_parameter(Name=f"{prefix}/bulk-state-machine")["Parameter"]["Value"]
        except ssm.exceptions.ParameterNotFound:
            raise CommandError(
                f"no deployment {name} with bulk jobs is in the region {ssm.meta.region_name}: deploy it with "
                "-c bulk_inputs=… -c bulk_outputs=…, or name yours with --deployment"
            ) from None


def refusal(error: str, message: str) -> CommandError:
    """The error of a function as a sentence that says what to do."""
    if output := re.match(r"(\S+?)/?: is written now", message):
        return CommandError(f"{message}; `embeddings bulk status {output[1]}` shows it, `bulk cancel` stops it")
    # botocore's sentence says after the code which role of the deployment asked S3 for what.
    message = re.sub(r"\(An error occurred \((\w+)\).*\)", r"(\1)", message)
    if "AccessDenied" in message or "NoSuchBucket" in message:
        message += "; is the bucket's name right, and is the place in the deployment's bulk_inputs or bulk_outputs?"
    if error in MENDABLE:
        return CommandError(message)
    return CommandError(f"the deployment failed: {error}: {message}", ExitCode.FAILED)


def check_execution(arn: str) -> str:
    """Return ``arn``.

    Raises:
        CommandError: it is not that of an execution.
    """
    if not re.fullmatch(r"arn:[^:]+:states:[^:]+:\d+:execution:[^:]+:[^:]+", arn):
        raise CommandError(f"{arn}: is not the ARN of an execution; name the job's output, such as s3://vectors/first")
    return arn


def find_execution(reference: str, deployment: str) -> str:
    """The ARN of an execution: ``reference`` itself, or the last one that writes to the output ``reference``.

    An execution that has not begun to write is found by its name, one that another tool started by what it has written.

    Raises:
        CommandError: there is none.
    """
    if reference.startswith("arn:"):
        return check_execution(reference)
    run = Place(reference).last_run()
    machine = _machine_of(run["owner"]) if run else _find_machine(deployment)
    ending = _digest(reference)
    with explained("list the deployment's jobs"):
        listed = _states(machine).list_executions(stateMachineArn=machine, maxResults=LISTED)["executions"]
    for each in sorted(listed, key=lambda each: each["startDate"], reverse=True):
        if f"-{ending}-" in each["name"] and not (run and each["startDate"] < datetime.fromisoformat(run["started"])):
            return each["executionArn"]
    if run is None:
        raise CommandError(f"{reference}: {NO_JOB}")
    return run["owner"]


def _states(arn: str):
    return client("stepfunctions", _region(arn))


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _machine_of(execution: str) -> str:
    return ":".join(execution.split(":")[:7]).replace(":execution:", ":stateMachine:")


def _new_name(output: str) -> str:
    """A name for an execution, unique for the 90 days that it has to be, from which the output can be recognised."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", output.rstrip("/").rpartition("/")[2])[:30]
    return f"{word}-{_digest(output)}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def _digest(output: str) -> str:
    return hashlib.sha256(output.rstrip("/").encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Snapshot:
    """An execution at a moment."""

    status: str
    output: str
    """Where it writes."""
    started: datetime
    planned: dict | None
    """``bulk.handlers.plan``'s answer, when the plan is made."""
    splits: dict | None
    """How many splits are ``succeeded``, ``failed``, ``running``, … and ``total``, when the first has started."""
    embedding_since: datetime | None
    stopped: datetime | None
    commit: dict | None
    """``bulk.handlers.commit``'s answer, when the execution has succeeded."""
    reason: str
    """Why it has failed, if it has."""
    error: str

    @property
    def is_over(self) -> bool:
        return self.status in OVER


class Execution:
    """A job that was started."""

    def __init__(self, arn: str) -> None:
        self.arn = arn
        self._planned: dict | None = None
        self._map_run: dict | None = None

    def look(self) -> Snapshot:
        """How it is now.

        Raises:
            CommandError: there is no such execution, or AWS refuses to tell.
        """
        states = _states(self.arn)
        with explained(f"look at {self.arn}"):
            try:
                found = states.describe_execution(executionArn=self.arn)
            except states.exceptions.ExecutionDoesNotExist:
                raise CommandError(
                    f"{self.arn}: there is no such job; Step Functions forgets it after 90 days"
                ) from None
            self._planned = self._planned or self._read_plan()
            if self._planned and self._map_run is None:
                runs = states.list_map_runs(executionArn=self.arn)["mapRuns"]
                self._map_run = runs[0] if runs else None
            counts = None
            if self._map_run:
                counts = states.describe_map_run(mapRunArn=self._map_run["mapRunArn"])["itemCounts"]
        has_failed = found["status"] in OVER and found["status"] != "SUCCEEDED"
        return Snapshot(
            status=found["status"],
            output=json.loads(found["input"])["output"],
            started=found["startDate"],
            planned=self._planned,
            splits=counts,
            embedding_since=self._map_run and self._map_run["startDate"],
            stopped=found.get("stopDate"),
            commit=json.loads(found["output"]) if found["status"] == "SUCCEEDED" else None,
            reason=reason(found) if has_failed else "",
            error=found.get("error", ""),
        )

    def _read_plan(self) -> dict | None:
        """The result of the first state."""
        events = _states(self.arn).get_execution_history(executionArn=self.arn, maxResults=200)["events"]
        for event in events:
            left = event.get("stateExitedEventDetails", {})
            if left.get("name") == "Plan":
                return json.loads(left["output"])
        return None

    def stop(self) -> None:
        """Stop it. Splits that a function is embedding at this moment may still be written."""
        with explained(f"stop {self.arn}"):
            _states(self.arn).stop_execution(executionArn=self.arn, error="Cancelled", cause="embeddings bulk cancel")
