"""What the end of an invocation's log says: Lambda's report, and the line of JSON that the function itself writes.

Lambda returns the last 4 KB of the log with the answer of an invocation that asks for it. Its report is a line of text or of JSON, by
the function's log format:
https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report
"""

import json
import re
from dataclasses import dataclass
from typing import Any

_FIELD = re.compile(r"([A-Z][A-Za-z ]*): ([0-9.]+) (?:ms|MB)")
_TEXT = {
    "Duration": "duration_ms",
    "Billed Duration": "billed_ms",
    "Max Memory Used": "peak_mb",
    "Init Duration": "init_ms",
}
_JSON = {
    "durationMs": "duration_ms",
    "billedDurationMs": "billed_ms",
    "maxMemoryUsedMB": "peak_mb",
    "initDurationMs": "init_ms",
}


@dataclass(frozen=True)
class Report:
    """Lambda's report of an invocation: milliseconds, and the environment's peak memory in MB."""

    duration_ms: float
    billed_ms: float
    """With the init phase, if there was one."""
    peak_mb: float
    init_ms: float | None = None
    """The init phase; only the first invocation of an environment has it."""


def read_report(log: str, request_id: str) -> Report | None:
    """Lambda's report of the request; None if it is not in ``log``."""
    for line in reversed(log.splitlines()):
        if line.startswith(f"REPORT RequestId: {request_id}\t"):
            return _report(dict(_FIELD.findall(line)), _TEXT)
        event = _json(line)
        if event.get("type") == "platform.report" and event["record"]["requestId"] == request_id:
            return _report(event["record"].get("metrics", {}), _JSON)
    return None


def read_line(log: str, request_id: str) -> dict[str, Any]:
    """The function's own line about the request; empty if it is not in ``log``."""
    for line in reversed(log.splitlines()):
        event = _json(line)
        if event.get("request_id") == request_id and "Latency" in event:
            return event
    return {}


def _report(found: dict[str, Any], names: dict[str, str]) -> Report | None:
    fields = {field: float(found[name]) for name, field in names.items() if name in found}
    return Report(**fields) if fields.keys() >= {"duration_ms", "billed_ms", "peak_mb"} else None


def _json(line: str) -> dict[str, Any]:
    """The object in a line; empty if there is none, as where the 4 KB begin in the middle of a line."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
