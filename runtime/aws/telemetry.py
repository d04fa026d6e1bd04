"""One line of JSON for each request on standard output, with the request's log and its metrics.

CloudWatch extracts the metrics from the line (embedded metric format, EMF), so they cost no second line and no API call:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
A line never contains texts, vectors or keys.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from resource import RUSAGE_SELF, getrusage
from typing import Any

import orjson

from ..http.messages import Response

_IMPORTED = time.monotonic()
PROCESS_FILE = "/proc/self/stat"
NAMESPACE = "ServerlessEmbeddings"
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
UNITS = {
    "Requests": "Count",
    "Texts": "Count",
    "Tokens": "Count",
    "TruncatedTexts": "Count",
    "WindowedTexts": "Count",
    "Errors": "Count",
    "Failures": "Count",
    "Latency": "Milliseconds",
    "ColdStarts": "Count",
    "InitDuration": "Milliseconds",
    "MemoryUsed": "Megabytes",
}
BY_DIMENSION = {"ErrorType": ("Errors",), "Key": ("Requests", "Tokens"), "Version": ("Failures",)}
"""The metrics that are written by one more dimension, where a record has it. CloudWatch charges for each, so there are few: by key
to see who uses the service, by version to judge a gradual deployment."""


class Telemetry:
    """Writes the lines of one process."""

    def __init__(
        self,
        function_name: str | None,
        level: str,
        init_seconds: float,
        write: Callable[[str], Any] | None = None,
        provisioned: bool = False,
        function_version: str = "$LATEST",
        log_caller: bool = False,
    ) -> None:
        self._function_name = function_name
        """None outside of Lambda, where nothing extracts metrics from the lines."""
        self._function_version = function_version
        self._log_caller = log_caller
        """Whether lines name the caller of a request, where its event does."""
        self._level = LEVELS[level]
        self._init_seconds = init_seconds
        self._first = True
        """True until the first request is answered."""
        self._provisioned = provisioned
        """Whether Lambda started the process ahead of requests (provisioned concurrency), so that none waited for it."""
        self._write = write or _write_line

    def record(
        self, route: str, response: Response, request_id: str, seconds: float, caller: Mapping[str, str] | None = None
    ) -> None:
        """Write the line of one request. ``caller`` is named in it only if the deployment asked for that."""
        usage, failed = response.usage, response.status >= 400
        values = {
            "Requests": 1,
            "Texts": usage.texts if usage else 0,
            "Tokens": usage.tokens if usage else 0,
            "Errors": int(failed),
            "Latency": round(seconds * 1000, 3),
            "MemoryUsed": memory_megabytes(),
        }
        line = {
            "request_id": request_id,
            "route": route,
            "status": response.status,
            "texts": values["Texts"],
            "tokens": values["Tokens"],
            "memory_mb": values["MemoryUsed"],
            "ms": _steps(response, seconds),
        }
        if usage and usage.truncated:
            line["truncated_texts"] = values["TruncatedTexts"] = usage.truncated
        if usage and usage.windowed:
            line["windowed_texts"] = values["WindowedTexts"] = usage.windowed
        if failed:
            line["error_type"] = response.error_type
        if caller and self._log_caller:
            line["caller"] = caller
        if response.key is not None:
            line["key"] = response.key
        level = "ERROR" if response.status >= 500 else "WARNING" if failed else "INFO"
        self._emit(level, "request", line, values)

    def record_failure(self, error: Exception, request_id: str = "", reason: str | None = None) -> None:
        """Log where an unexpected error was raised. Its message is left out, because it may contain a caller's text; ``reason``
        is a message that does not."""
        frames, trace = [], error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_qualname}")
            trace = trace.tb_next
        line = {"request_id": request_id, "exception": type(error).__qualname__, "trace": frames}
        if reason:
            line["reason"] = reason
        self._emit("ERROR", "failure", line, {})

    def _is_cold(self) -> bool:
        return self._first and not self._provisioned

    def _emit(self, level: str, message: str, line: dict[str, Any], values: dict[str, float]) -> None:
        line["cold_start"] = self._is_cold()
        if values and self._first:
            values |= {"ColdStarts": int(self._is_cold()), "InitDuration": round(self._init_seconds * 1000, 3)}
            self._first = False
        record: dict[str, Any] = {}
        if LEVELS[level] >= self._level:
            record = {"level": level, "message": message, **line}
        if self._function_name and values:
            record |= values | {"FunctionName": self._function_name}
            if values.get("Errors"):
                record["ErrorType"] = line["error_type"]
            if "key" in line:
                record["Key"] = line["key"]
            if level == "ERROR":
                record |= {"Failures": 1, "Version": self._function_version}
            record["_aws"] = _directive(values, record)
        if record:
            self._write(orjson.dumps(record).decode())


def _directive(values: dict[str, float], record: dict[str, Any]) -> dict[str, Any]:
    directives = [_metrics(values, "FunctionName")]
    directives += [
        _metrics(names, "FunctionName", dimension) for dimension, names in BY_DIMENSION.items() if dimension in record
    ]
    return {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": directives}


def _metrics(names: Iterable[str], *dimensions: str) -> dict[str, Any]:
    """The metrics ``names`` by ``dimensions``; each value of a dimension is a metric that costs 0.30 $ a month."""
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in names]
    return {"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics}


def _steps(response: Response, seconds: float) -> dict[str, float]:
    """Milliseconds by step; the rest of the total is reading the request and writing the answer."""
    steps = {"total": seconds}
    if response.usage:
        steps |= {
            "tokenization": response.usage.tokenization_seconds,
            "inference": response.usage.inference_seconds,
        }
    return {name: round(value * 1000, 3) for name, value in steps.items()}


def memory_megabytes() -> float:
    """Peak resident memory of the process in MiB, as in Lambda's ``Max Memory Used``."""
    # getrusage(2): kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(getrusage(RUSAGE_SELF).ru_maxrss / unit, 1)


def process_seconds() -> float:
    """Seconds since the process was started; without ``/proc`` (macOS), since this module was imported."""
    try:
        with open(PROCESS_FILE) as file:
            # The second field, the name in parentheses, may hold spaces; the start time is the 22nd (proc(5)).
            started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return time.monotonic() - _IMPORTED
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _write_line(line: str) -> None:
    # One write, so that lines of processes that share the output do not mix.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
