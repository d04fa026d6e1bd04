"""Requests to one version of a function, one after the other or several at a time, and what is known of each answer."""

import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from ...client import ADVICE
from ...function import THROTTLED, failure, to_event, to_response
from ..aws import client, explained
from ..errors import CommandError, ExitCode
from .lines import Report, read_line, read_report

REFUSED_SECONDS = 0.1
"""How long a caller waits that was refused."""
START_SECONDS = 60
"""How long Lambda may take for a new environment before the function's time counts."""
TRIES = 100
"""How often a request is sent that is refused."""


class Refused(CommandError):
    """Lambda had no free environment for a request, or the connection failed."""


@dataclass(frozen=True)
class Answer:
    """What is known of an answer."""

    tokens: int
    """As the endpoint counts them."""
    end_to_end_ms: float
    """From here to the function and back."""
    report: Report | None
    """None if the log's end had none."""
    line: dict[str, Any]
    """The function's own line, empty if the log's end had none."""
    refused: int = 0
    """How often the request was refused before."""

    @property
    def is_cold(self) -> bool:
        """Whether it is the first of its environment."""
        return bool(self.line.get("cold_start", self.report and self.report.init_ms))


@dataclass(frozen=True)
class Throughput:
    """What ``concurrency`` callers got, each of whom sends the next request when it has an answer."""

    concurrency: int
    requests: int
    """That were answered."""
    refused: int
    """For want of a free environment, or of a connection."""
    seconds: float
    """Of the caller whose last answer came last."""
    texts_per_second: float
    """The sum of the callers' rates, each by its own time: a caller who has ended is not counted as idle."""
    tokens_per_second: float


class Caller:
    """Sends requests to ``version`` of a function, as its URL would.

    Args:
        connections: Most requests at a time.
        timeout: Seconds that the function may take for a request.
        api_key: The key of a deployment with ``auth=api_key``.
    """

    def __init__(
        self, function: str, version: str, region: str | None, connections: int, timeout: int, api_key: str | None
    ) -> None:
        self._target = {"FunctionName": function, "Qualifier": version}
        # A call that is tried again would count as one that took long.
        self._lambda = client("lambda", region, attempts=1, connections=connections, seconds=timeout + START_SECONDS)
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    def info(self) -> dict[str, Any]:
        """What the endpoint says of itself.

        Raises:
            CommandError: it does not answer, or serves no embedding model.
        """
        response, *_ = self._send("GET", "info")
        with self._understood():
            found = response.json()
            dimensions = found["dimensions"]
        if dimensions is None:
            raise CommandError(f"{self._target['FunctionName']} does not serve an embedding model")
        return found

    def embed(self, texts: list[str]) -> Answer:
        """Have ``texts`` embedded. A request that is refused is sent again; the last time counts.

        Raises:
            CommandError: the function failed, or refuses the request.
            Refused: all tries were refused.
        """
        for refused in range(TRIES - 1):
            with suppress(Refused):
                return replace(self._embed(texts), refused=refused)
            time.sleep(REFUSED_SECONDS)
        return replace(self._embed(texts), refused=TRIES - 1)

    def _embed(self, texts: list[str]) -> Answer:
        body = {"input": texts, "encoding_format": "base64", "long_texts": "truncate"}
        response, log, seconds = self._send("POST", "v1/embeddings", body)
        request_id = response.headers["x-request-id"]
        return Answer(
            tokens=int(response.headers["x-compute-tokens"]),
            end_to_end_ms=seconds * 1000,
            report=read_report(log, request_id),
            line=read_line(log, request_id),
        )

    def at_once(self, texts: list[str], count: int) -> list[Answer]:
        """The answers to ``count`` requests at a time."""
        with ThreadPoolExecutor(count) as pool:
            return _all(pool, lambda: self.embed(texts), count)

    def throughput(self, texts: list[str], concurrency: int, seconds: float) -> Throughput:
        """What ``concurrency`` callers get who send requests for ``seconds``. Environments are started before."""

        def warm_up() -> None:
            with suppress(Refused):
                self._embed(texts)

        def call() -> tuple[list[int], int, float]:
            tokens, refused, start = [], 0, time.perf_counter()
            while (took := time.perf_counter() - start) < seconds:
                try:
                    tokens.append(self._embed(texts).tokens)
                except Refused:
                    refused += 1
                    time.sleep(REFUSED_SECONDS)
            return tokens, refused, took

        with ThreadPoolExecutor(concurrency) as pool:
            _all(pool, warm_up, concurrency)
            found = _all(pool, call, concurrency)
        return Throughput(
            concurrency=concurrency,
            requests=sum(len(tokens) for tokens, *_ in found),
            refused=sum(refused for _, refused, _ in found),
            seconds=max(took for *_, took in found),
            texts_per_second=sum(len(tokens) * len(texts) / took for tokens, _, took in found),
            tokens_per_second=sum(sum(tokens) / took for tokens, _, took in found),
        )

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[httpx.Response, str, float]:
        """The answer to a request, the end of its log, and the seconds that it took."""
        request = httpx.Request(method, f"https://function/{path}", json=body, headers=self._headers)
        payload = json.dumps(to_event(request, request.read()))
        start = time.perf_counter()
        with explained(f"invoke {':'.join(self._target.values())}"):
            try:
                answer = self._lambda.invoke(**self._target, Payload=payload, LogType="Tail")
                result = answer["Payload"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in THROTTLED:
                    raise Refused("Lambda had no free environment", ExitCode.FAILED) from None
                raise
            except (ConnectionClosedError, EndpointConnectionError) as error:
                raise Refused(f"cannot invoke the function: {error}", ExitCode.FAILED) from None
        took = time.perf_counter() - start
        if "FunctionError" in answer:
            raise CommandError(f"the function failed: {failure(result)}", ExitCode.FAILED)
        with self._understood():
            response = to_response(json.loads(result))
        if response.status_code != 200:
            advice = f"; {ADVICE[response.status_code]}" if response.status_code in ADVICE else ""
            raise CommandError(
                f"the function answers with status {response.status_code}: {response.text[:300]}{advice}"
            )
        return response, b64decode(answer.get("LogResult", "")).decode(errors="replace"), took

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Refuse an answer whose reading fails here."""
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError):
            name = self._target["FunctionName"]
            raise CommandError(f"{name} does not answer as an embeddings endpoint") from None


def _all(pool: ThreadPoolExecutor, function: Callable[[], Any], count: int) -> list[Any]:
    return [each.result() for each in [pool.submit(function) for _ in range(count)]]
