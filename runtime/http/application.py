"""Answers HTTP requests with one service, from the request to the response, top to bottom."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from ..engine.manifest import PAIR_TASKS
from ..service.errors import RequestError, Unsupported
from ..service.service import Service
from . import routes, sizes
from .auth import Authenticator
from .decoding import convert_fields, decode_body
from .errors import HttpError, error_answer, tei_error
from .inputs import is_batch
from .messages import Request, Response, accepts_gzip, finish
from .metrics import Metrics
from .route import Call, Route

UNMATCHED = "unknown"
"""Route label of a request that no route answered."""


class Application:
    """A service behind the routes. It never raises: an error becomes an answer.

    ``report`` is called with an unexpected error and the request's id; the answer does not show the error to the caller.
    """

    def __init__(
        self,
        service: Service,
        authenticator: Authenticator,
        report: Callable[[Exception, str], None],
        served_model_names: tuple[str, ...] = (),
    ) -> None:
        self.service = service
        scored = service.manifest.task in PAIR_TASKS
        self.metrics = Metrics(service.manifest.max_tokens, "predict" if scored else "embed")
        self.authenticator = authenticator
        self._report = report
        self._served_model_names = served_model_names
        self._routes = routes.answerable(service.manifest.task)

    def answer(self, request: Request, deadline: float = float("inf")) -> tuple[str, Response]:
        """The label of the route that answered ``request``, for logs, and the response.

        ``deadline`` is the time by ``perf_counter``, in seconds, when the request has to be answered.
        """
        label, key = UNMATCHED, None
        try:
            methods, parameter = routes.find(request.path, self.service.manifest.task)
            route = methods.get("GET" if request.method == "HEAD" else request.method)
            if route is None or not route.open:
                key = self.authenticator.check(request, deadline)
            if not methods:
                raise routes.not_found(request.path)
            if request.method == "OPTIONS":
                response = Response(status=204, headers={"allow": routes.allowed_methods(methods)})
            elif route is None:
                raise routes.not_allowed(request.method, request.path, methods)
            else:
                label = route.path
                arguments = [] if parameter is None else [parameter]
                if route.request is not None:
                    arguments.append(decode_body(request, route.request))
                gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
                response = self._call(route, arguments, deadline, gzip)
            finish(response, request)
            sizes.check(response)
        except Exception as error:
            response = error_answer(self._request_error(error, request.id), request.path)
            finish(response, request)
        response.key = key
        return label, response

    def invoke(self, fields: Any, request_id: str = "", deadline: float = float("inf")) -> Response:
        """Answer a call that has the fields of a request to the route of the model's task (``POST /embed`` for an embedding model) but
        is not an HTTP request."""
        try:
            route = routes.BY_TASK[self.service.manifest.task]
            response = self._call(route, [convert_fields(fields, route.request)], deadline)
            sizes.check(response)
        except Exception as error:
            response = tei_error(self._request_error(error, request_id))
        return response

    def _call(self, route: Route, arguments: list[Any], deadline: float, gzip: bool | None = None) -> Response:
        call = Call(
            service=self.service,
            routes=self._routes,
            metrics=self.metrics,
            served_model_names=self._served_model_names,
            needs_key=self.authenticator.needs_key,
            gzip=gzip,
            deadline=deadline,
        )
        if not route.tasks:
            return route.function(call, *arguments)
        start, method = perf_counter(), "batch" if is_batch(arguments[-1]) else "single"
        self.metrics.count_request(method)
        if self.service.manifest.task not in route.tasks:
            raise Unsupported(routes.UNSUPPORTED[route.tasks[0]])
        response = route.function(call, *arguments)
        self.metrics.count_success(method, response.usage, perf_counter() - start)
        return response

    def _request_error(self, error: Exception, request_id: str) -> RequestError:
        """``error``; an unexpected one is reported and replaced, since its message may hold parts of other requests."""
        self.metrics.count_failure(error)
        if isinstance(error, RequestError):
            return error
        self._report(error, request_id)
        return HttpError(
            500, f"internal error; the log has it under the request id {request_id}", error_type="Internal"
        )
