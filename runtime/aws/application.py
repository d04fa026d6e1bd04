"""The application: an event in, a result out, whatever the event is."""

import json
from time import perf_counter, sleep
from typing import Any

import orjson

from ..http import decoding, routes, tei
from ..http.auth import Authenticator
from ..http.errors import HttpError, openai_error, tei_error
from ..http.messages import Request, Response
from ..http.sizes import ANSWER_BYTES, does_not_fit
from ..http.types import EmbedRequest, WarmUpEvent
from ..service.errors import RequestError
from ..service.service import Service
from . import function_url as events
from .telemetry import Telemetry

INVOKE = "invoke"
"""What a direct invocation's route is called in logs and metrics."""
UNKNOWN = "unknown"
"""What the route of a request is called that found none."""
LONGEST_ESCAPE = 6
"""A character of a body becomes at most this many in the JSON that Lambda passes on: ``\\u0000``."""


class Application:
    """Answers events with one service. It never raises: what goes wrong is told in the answer and in the log."""

    def __init__(self, service: Service, authenticator: Authenticator, telemetry: Telemetry) -> None:
        self.service = service
        self.authenticator = authenticator
        self.telemetry = telemetry

    def __call__(self, event: Any, context: Any = None) -> Any:
        """Answer a Function URL event, a direct invocation or a warm-up, as Lambda calls a handler."""
        start = perf_counter()
        request_id = getattr(context, "aws_request_id", "")
        self.service.deadline = start + context.get_remaining_time_in_millis() / 1000 if context else float("inf")
        if events.is_http(event):
            request = events.parse(event)
            request_id = request.id or request_id
            route, response = self._respond(request, request_id)
            response.headers |= {"x-request-id": request_id} | _compute_headers(response, start)
            result = events.answer(response, request)
        elif isinstance(event, dict) and "warm_up" in event:
            return self._warm_up(event, request_id)
        else:
            route, response = INVOKE, self._invoke(event, request_id)
            result = orjson.loads(response.body)
        self.telemetry.record(route, response, request_id, perf_counter() - start)
        return result

    def _respond(self, request: Request, request_id: str) -> tuple[str, Response]:
        """The name of the route that answers ``request``, for the log, and its response."""
        name, to_response = UNKNOWN, openai_error if routes.is_openai(request.path) else tei_error
        try:
            if not routes.is_open(request.method, request.path):
                self.authenticator.check(request)
            if request.method == "OPTIONS":
                return name, Response(status=204, headers={"allow": routes.allowed_methods(request.path)})
            route, parameter = routes.find(request.method, request.path)
            name = route.path
            return name, _fitting(self._call(route, request, parameter))
        except RequestError as error:
            return name, to_response(error)
        except Exception as error:
            return name, to_response(self._internal(error, request_id))

    def _call(self, route: routes.Route, request: Request, parameter: str | None) -> Response:
        if route.request is not None:
            body = decoding.decode_body(request, route.request, self.service.settings.max_body_bytes)
            return route.function(self.service, body)
        if parameter is not None:
            return route.function(self.service, parameter)
        return route.function(self.service)

    def _invoke(self, event: Any, request_id: str) -> Response:
        try:
            return _fitting(tei.embed(self.service, decoding.convert_event(event, EmbedRequest)))
        except RequestError as error:
            return tei_error(error)
        except Exception as error:
            return tei_error(self._internal(error, request_id))

    def _warm_up(self, event: dict, request_id: str) -> dict[str, Any]:
        """Keep this execution environment busy for a moment, so that as many as are warmed up at once exist at once."""
        try:
            warm_up = decoding.convert_event(event, WarmUpEvent).warm_up
        except RequestError as error:
            return orjson.loads(tei_error(error).body)
        sleep(warm_up.hold_ms / 1000)
        return {"cold_start": self.telemetry.record_warm_up(request_id)}

    def _internal(self, error: Exception, request_id: str) -> HttpError:
        """An error of ours: told to the caller without details, which may hold what others sent, and to the log."""
        self.telemetry.record_failure(error, request_id)
        return HttpError(
            500, f"internal error; the log has it under the request id {request_id}", error_type="Internal"
        )


def _compute_headers(response: Response, start: float) -> dict[str, str]:
    """What TEI tells of the work behind an answer, in milliseconds, characters and tokens."""
    usage = response.usage
    if usage is None:
        return {}
    total = str(round((perf_counter() - start) * 1000))
    return {
        "x-compute-type": "cpu",
        "x-compute-time": total,
        "x-compute-characters": str(usage.characters),
        "x-compute-tokens": str(usage.tokens),
        "x-total-time": total,
        "x-tokenization-time": str(round(usage.tokenization_seconds * 1000)),
        "x-queue-time": "0",
        "x-inference-time": str(round(usage.inference_seconds * 1000)),
    }


def _fitting(response: Response) -> Response:
    """``response``, if Lambda lets it through. What can be known before it is computed is refused there."""
    size = len(response.body)
    if size > ANSWER_BYTES // LONGEST_ESCAPE and len(json.dumps(response.body.decode())) > ANSWER_BYTES:
        raise does_not_fit("send less in one request")
    return response
