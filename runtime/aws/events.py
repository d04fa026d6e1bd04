"""From a Lambda event to its result."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import orjson

from ..http.application import Application
from ..http.messages import Request, Response
from . import http_events
from .telemetry import Telemetry

INVOKE = "invoke"
"""Route label of direct invocations in logs and metrics."""
GOLDEN_CHECK = {"golden_check": True}
"""Event of the deployment: does this version return the vectors that its artifact records?"""
KEEP_ACTIVE = {"keep_active": True}
"""Event of the daily schedule. Lambda sets a function inactive that was not invoked for weeks; any invocation prevents it."""


class EventHandler:
    """Answers direct invocations and the events of a Function URL or API Gateway, and logs each. It never raises: an error becomes an answer.

    ``GOLDEN_CHECK`` and ``KEEP_ACTIVE`` are not callers' requests, and neither logged nor counted. A fault in the golden check is
    raised, so that Lambda answers with it.
    """

    def __init__(self, application: Application, telemetry: Telemetry) -> None:
        self.application = application
        self._telemetry = telemetry

    def __call__(self, event: Any, context: Any = None) -> Any:
        """Answer one event; Lambda calls this. Without a ``context`` there is no deadline."""
        start = perf_counter()
        deadline = start + context.get_remaining_time_in_millis() / 1000 if context else float("inf")
        request_id = getattr(context, "aws_request_id", "")
        if http_events.is_http(event):
            if http_events.is_gateway(event):
                deadline = min(deadline, start + http_events.GATEWAY_SECONDS)
            return http_events.answer(self.answer(http_events.parse(event, request_id), deadline, start))
        if event == KEEP_ACTIVE:
            return {"active": True}
        if event == GOLDEN_CHECK:
            from . import golden

            return golden.check(self.application.service, deadline)
        response = self.application.invoke(event, request_id, deadline)
        result = orjson.loads(response.body)
        self._record(INVOKE, response, request_id, start)
        return result

    def answer(self, request: Request, deadline: float = float("inf"), start: float | None = None) -> Response:
        """Answer one HTTP request.

        ``deadline`` is the time by ``perf_counter``, in seconds, when the request has to be answered; ``start`` is the time
        when it arrived, by default now.
        """
        start = perf_counter() if start is None else start
        route, response = self.application.answer(request, deadline)
        response.headers |= {"x-request-id": request.id} | _compute_headers(response, perf_counter() - start)
        self._record(route, response, request.id, start, request.caller)
        return response

    def _record(
        self, route: str, response: Response, request_id: str, start: float, caller: Mapping[str, str] | None = None
    ) -> None:
        self._telemetry.record(route, response, request_id, perf_counter() - start, caller)


def _compute_headers(response: Response, seconds: float) -> dict[str, str]:
    """TEI's headers about the work behind an answer, in characters, tokens and milliseconds, rounded down; and how many
    texts were cut off or read in windows, if any.

    Of tokenization and inference TEI has the mean over a request's inputs, each with the time of the batch that it was in. The
    inputs of a request are one batch here, so that mean is the time of all.
    """
    usage = response.usage
    if usage is None:
        return {}
    total = str(int(seconds * 1000))
    long_texts = {"x-truncated-texts": usage.truncated, "x-windowed-texts": usage.windowed}
    return {name: str(count) for name, count in long_texts.items() if count} | {
        "x-compute-type": "cpu",
        "x-compute-time": total,
        "x-compute-characters": str(usage.characters),
        "x-compute-tokens": str(usage.tokens),
        "x-total-time": total,
        "x-tokenization-time": str(int(usage.tokenization_seconds * 1000)),
        "x-queue-time": "0",
        "x-inference-time": str(int(usage.inference_seconds * 1000)),
    }
