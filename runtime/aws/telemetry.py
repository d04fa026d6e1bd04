"""One line of JSON a request on standard output: the log, and in the same line its metrics.

CloudWatch makes metrics of the line by itself (embedded metric format, EMF), so neither a second line nor a call is paid for:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
Texts, vectors and keys are never part of it.
"""

import os
import sys
import time
from collections.abc import Callable
from resource import RUSAGE_SELF, getrusage
from typing import Any

import orjson

from ..http.messages import Response
from ..http.metrics import Metrics

NAMESPACE = "ServerlessEmbeddings"
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
UNITS = {
    "Requests": "Count",
    "Texts": "Count",
    "Tokens": "Count",
    "Errors": "Count",
    "Latency": "Milliseconds",
    "ColdStarts": "Count",
    "InitDuration": "Milliseconds",
    "MemoryUsed": "Megabytes",
}


class Telemetry:
    """Writes the lines of one process, and counts what ``/metrics`` tells."""

    def __init__(
        self,
        function_name: str | None,
        level: str,
        init_seconds: float,
        metrics: Metrics,
        write: Callable[[str], Any] | None = None,
        provisioned: bool = False,
    ) -> None:
        self._metrics = metrics
        self._function_name = function_name
        """None outside of Lambda, where nothing makes metrics of a line."""
        self._level = LEVELS[level]
        self._init_seconds = init_seconds
        self._first = True
        """Whether nothing was answered so far."""
        self._provisioned = provisioned
        """Whether Lambda initialized the process before anybody called (provisioned concurrency): no request waited for it."""
        self._write = write or _write_line

    def record(self, route: str, response: Response, request_id: str, seconds: float) -> None:
        """Log and count one request."""
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
        if failed:
            line["error_type"] = response.error_type
        level = "ERROR" if response.status >= 500 else "WARNING" if failed else "INFO"
        self._emit(level, "request", line, values)
        self._metrics.observe(response, seconds)

    def record_warm_up(self, request_id: str) -> bool:
        """Log an invocation that only kept the process warm. Returns whether it was the process's first."""
        was_cold = self._is_cold()
        self._emit("INFO", "warm-up", {"request_id": request_id}, {"MemoryUsed": memory_megabytes()})
        return was_cold

    def record_failure(self, error: Exception, request_id: str = "", reason: str | None = None) -> None:
        """Log where an error of ours was raised, without its message, which may hold what a caller sent. ``reason`` is one that
        does not."""
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
            record |= values | {"FunctionName": self._function_name, "_aws": _directive(values)}
            if values.get("Errors"):
                record["ErrorType"] = line["error_type"]
        if record:
            self._write(orjson.dumps(record).decode())


def _directive(values: dict[str, float]) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in values]
    directives = [{"Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": metrics}]
    if values.get("Errors"):
        by_type = [{"Name": "Errors", "Unit": UNITS["Errors"]}]
        directives.append({"Namespace": NAMESPACE, "Dimensions": [["FunctionName", "ErrorType"]], "Metrics": by_type})
    return {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": directives}


def _steps(response: Response, seconds: float) -> dict[str, float]:
    """Milliseconds by step; what is left of the total is reading the request and writing the answer."""
    steps = {"total": seconds}
    if response.usage:
        steps |= {
            "tokenization": response.usage.tokenization_seconds,
            "inference": response.usage.inference_seconds,
        }
    return {name: round(value * 1000, 3) for name, value in steps.items()}


def memory_megabytes() -> float:
    """Peak resident memory of the process, as Lambda's ``Max Memory Used`` counts it."""
    return round(getrusage(RUSAGE_SELF).ru_maxrss / 1024, 1)


def process_seconds() -> float:
    """Time since the process was started, the interpreter's own start included."""
    with open("/proc/self/stat") as file:
        # The second field, the name in parentheses, may hold spaces; the start time is the 22nd (proc(5)).
        started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _write_line(line: str) -> None:
    # In one write, so that the lines of two processes that share the output do not mix.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
