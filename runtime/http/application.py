"""Answers HTTP requests with one service, from the request to the response, top to bottom."""

from collections.abc import Callable
from typing import Any

from ..service.errors import RequestError, Unsupported
from ..service.service import Service
from . import routes, sizes, tei
from .auth import Authenticator
from .decoding import convert_fields, decode_body
from .errors import HttpError, openai_error, tei_error
from .messages import Request, Response, finish
from .metrics import Metrics
from .route import Call, Route, is_openai
from .types import EmbedRequest

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
        served_model_name: str | None = None,
    ) -> None:
        self.service = service
        self.metrics = Metrics()
        self._authenticator = authenticator
        self._report = report
        self._served_model_name = served_model_name

    def answer(self, request: Request, deadline: float = float("inf")) -> tuple[str, Response]:
        """The label of the route that answered ``request``, for logs, and the response.

        ``deadline`` is the time by ``perf_counter``, in seconds, when the request has to be answered.
        """
        label, key = UNMATCHED, None
        try:
            methods, parameter = routes.find(request.path)
            route = methods.get("GET" if request.method == "HEAD" else request.method)
            if route is None or not route.open:
                key = self._authenticator.check(request, deadline)
            if not methods:
                raise routes.not_found(request.path)
            if request.method == "OPTIONS":
                response = Response(status=204, headers={"allow": routes.allowed_methods(methods)})
            elif route is None:
                raise routes.not_allowed(request.method, request.path, methods)
            else:
                label = route.path
                response = self._call(route, request, parameter, deadline)
                sizes.check_body(response.body)
        except Exception as error:
            to_response = openai_error if is_openai(request.path) else tei_error
            response = to_response(self._request_error(error, request.id))
        response.key = key
        finish(response, request)
        return label, response

    def embed(self, fields: Any, request_id: str = "", deadline: float = float("inf")) -> Response:
        """Answer a call that has the fields of ``POST /embed`` but is not an HTTP request."""
        try:
            response = tei.embed(self._context(deadline), convert_fields(fields, EmbedRequest))
            sizes.check_body(response.body)
        except Exception as error:
            response = tei_error(self._request_error(error, request_id))
        return response

    def _call(self, route: Route, request: Request, parameter: str | None, deadline: float) -> Response:
        arguments = [] if parameter is None else [parameter]
        if route.request is not None:
            arguments.append(decode_body(request, route.request))
        if route.task is not None and route.task != self.service.manifest.task:
            raise Unsupported(routes.UNSUPPORTED[route.task])
        return route.function(self._context(deadline), *arguments)

    def _context(self, deadline: float) -> Call:
        return Call(
            service=self.service,
            routes=routes.ROUTES,
            metrics=self.metrics,
            served_model_name=self._served_model_name,
            needs_key=self._authenticator.needs_key,
            deadline=deadline,
        )

    def _request_error(self, error: Exception, request_id: str) -> RequestError:
        """``error``; an unexpected one is reported and replaced, since its message may hold parts of other requests."""
        if isinstance(error, RequestError):
            return error
        self._report(error, request_id)
        return HttpError(
            500, f"internal error; the log has it under the request id {request_id}", error_type="Internal"
        )
