"""The clients: texts in, float32 vectors out. The synchronous one runs the asynchronous one in a thread."""

import asyncio
import base64
import itertools
import json
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

import httpx
import numpy as np

from . import batches, retries
from .errors import EndpointError, TextRefused
from .sigv4 import AWS_HOST, SigV4Auth

Result = TypeVar("Result")
REFUSALS = (400, 413, 422)
"""Statuses of a request that can never succeed as it is: a text or an option is wrong, or there is too much of it."""
REQUEST_BYTES = 6 * 1024 * 1024
"""Most bytes of a request that Lambda lets through."""
SHORT_TEXT = "a"
"""Can be embedded by every model: if the endpoint refuses it, the request's options are wrong."""
ADVICE = {
    401: "the key is `api_key` in Python, the variable EMBEDDINGS_API_KEY for the command",
    403: "the caller's AWS credentials need the permission to invoke this function or its URL",
    404: "is this the address of an embeddings endpoint, with nothing after the host, or the function's name and region?",
}


class EmbedOptions(TypedDict, total=False):
    """The options of ``embed``."""

    prompt_name: str | None
    """The prompt before every text; by default the deployment's, the empty name for none."""
    dimensions: int | None
    """Length of the vectors; by default all that the model has."""
    long_texts: batches.LongTexts | None
    """What happens to a text that is longer than the model reads; by default as the deployment says."""
    on_refused: Callable[[int, str], None]
    """Called with the index of a text that cannot be embedded and the reason; its vector is NaN. By default this raises
    ``TextRefused``."""
    on_done: Callable[[int], None]
    """Called with the number of texts that are done since the last call."""


class AsyncClient:
    """Embeds texts through an endpoint, in batches, several at a time.

    Args:
        url: The endpoint's address. Requests to a Function URL or to API Gateway are signed, unless there is an ``api_key``.
        function: In place of ``url``, a Lambda function's name or ARN (see ``FunctionTransport``).
        api_key: The key of a deployment with ``auth=api_key``.
        auth: How to sign requests, in place of ``SigV4Auth()``: for a domain of your own, or credentials of your own.
        concurrency: Most requests at a time. More than the deployment's ``reserved_concurrency`` only makes requests wait.
        timeout: Seconds to wait for an answer.

    Raises:
        ValueError: both or none of ``url`` and ``function`` are given, the address or the key is malformed, or no AWS
            credentials were found.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        function: str | None = None,
        api_key: str | None = None,
        auth: Callable[[httpx.Request], httpx.Request] | None = None,
        concurrency: int = 8,
        timeout: float = 300,
    ) -> None:
        if (url is None) == (function is None):
            raise ValueError("give either `url` or `function`")
        if url is not None:
            _check_address(url)
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("a key has printable ASCII characters only, without a line break at its end")
        transport = None
        if function is not None:
            from .function import FunctionTransport

            transport, url = FunctionTransport(function, concurrency, timeout), "https://function"
        self._where = function or url
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        if auth is None and not api_key and AWS_HOST.search(httpx.URL(url).host):
            auth = SigV4Auth()
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            auth=auth,
            transport=transport,
            timeout=httpx.Timeout(timeout, connect=30),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=concurrency),
        )
        self._slots = asyncio.Semaphore(concurrency)
        self._info: dict[str, Any] | None = None

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def info(self) -> dict[str, Any]:
        """The model and the limits, as the endpoint's ``/info`` tells; asked for once.

        Raises:
            EndpointError: see there.
        """
        if self._info is None:
            answer = await self._answer("GET", "info")
            if answer.get("dimensions") is None:
                raise EndpointError(f"{self._where} does not serve an embedding model")
            self._info = answer
        return self._info

    async def embed(self, texts: Sequence[str], **options: Unpack[EmbedOptions]) -> np.ndarray:
        """The vectors of ``texts``, in their order: float32 [texts, dimensions]. They are those of one call for each text.

        Raises:
            TextRefused: a text cannot be embedded, and there is no ``on_refused``.
            EndpointError: the endpoint failed too often, or refuses the options.
            TypeError: ``texts`` is one string.
        """
        if isinstance(texts, str):
            raise TypeError("`texts` is a list of texts; for one text pass [text]")
        info = await self.info()
        fields = {name: options.get(name) for name in ("prompt_name", "dimensions", "long_texts")}
        fields = {name: value for name, value in fields.items() if value is not None}
        on_refused = options.get("on_refused", _raise)
        on_done = options.get("on_done", lambda count: None)
        vectors = np.full((len(texts), fields.get("dimensions", info["dimensions"])), np.nan, np.float32)

        async def embed_batch(batch: slice, options_are_right: bool = False) -> None:
            """Embed a batch. One that is refused is halved until the text is found that was the reason, or it is small enough."""
            try:
                vectors[batch] = await self._vectors(texts[batch], fields)
            except _Refused as refused:
                if not options_are_right:
                    await self._check_options(fields)
                middle = (batch.start + batch.stop) // 2
                if middle == batch.start:
                    on_refused(batch.start, str(refused))
                    return
                await embed_batch(slice(batch.start, middle), options_are_right=True)
                await embed_batch(slice(middle, batch.stop), options_are_right=True)

        async def embed_and_count(batch: slice) -> None:
            await embed_batch(batch)
            on_done(batch.stop - batch.start)

        limits = batches.Limits.from_info(info, fields.get("long_texts"))
        await _all(embed_and_count(batch) for batch in batches.split(texts, limits))
        return vectors

    async def _vectors(self, texts: Sequence[str], fields: dict[str, Any]) -> np.ndarray:
        """The answer to one request: float32 [texts, dimensions]."""
        answer = await self._answer(
            "POST", "v1/embeddings", {"input": list(texts), "encoding_format": "base64", **fields}
        )
        data = [base64.b64decode(item["embedding"]) for item in answer["data"]]
        return np.frombuffer(b"".join(data), "<f4").reshape(len(texts), -1)

    async def _check_options(self, fields: dict[str, Any]) -> None:
        """Raise an error if the endpoint refuses these options with any text."""
        try:
            await self._vectors([SHORT_TEXT], fields)
        except _Refused as error:
            raise EndpointError(f"{self._where} refuses the request: {error}", error.status) from None

    async def _answer(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of the endpoint, asked again as :mod:`retries` says.

        Raises:
            _Refused: the status is one of REFUSALS, or the body could not reach the endpoint.
            EndpointError: another error.
        """
        content = None if body is None else _encoded(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        has_answered = self._info is not None
        for attempt in itertools.count(1):
            retry_after = None
            try:
                async with self._slots:
                    response = await self._http.request(method, path, content=content, headers=headers)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise EndpointError(f"{self._where}: {error}") from error
            except httpx.TransportError as error:
                failure = EndpointError(f"{self._where} cannot be reached: {str(error) or type(error).__name__}")
            else:
                has_answered = True
                if response.is_success:
                    return self._decoded(response)
                failure = self._failure(response)
                if not retries.is_transient(response.status_code):
                    raise failure
                retry_after = response.headers.get("retry-after")
            # An address that never answered may be a slip; an endpoint that did will be back.
            attempts = retries.ATTEMPTS if has_answered else retries.FIRST_ATTEMPTS
            wait = retries.wait_seconds(attempt, attempts, retry_after)
            if wait is None:
                asked = f", Retry-After: {retry_after}" if retry_after else ""
                raise EndpointError(f"{failure} (attempts: {attempt}{asked})", failure.status)
            await asyncio.sleep(wait)

    def _decoded(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise EndpointError(f"{self._where} does not answer as an embeddings endpoint; {ADVICE[404]}")
        return answer

    def _failure(self, response: httpx.Response) -> EndpointError:
        status, message = response.status_code, _message(response)
        if status in REFUSALS:
            return _Refused(message, status)
        advice = f"; {ADVICE[status]}" if status in ADVICE else ""
        return EndpointError(f"{self._where} answers with status {status}: {message}{advice}", status)


class Client:
    """The synchronous client: takes what :class:`AsyncClient` takes. Threads may share one."""

    def __init__(self, url: str | None = None, **options: Any) -> None:
        self._client = AsyncClient(url, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the calls of other threads and close the connections."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def info(self) -> dict[str, Any]:
        """See :meth:`AsyncClient.info`."""
        return self._run(self._client.info())

    def embed(self, texts: Sequence[str], **options: Unpack[EmbedOptions]) -> np.ndarray:
        """See :meth:`AsyncClient.embed`. The callbacks are called in another thread."""
        return self._run(self._client.embed(texts, **options))

    def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()


class _Refused(EndpointError):
    """A request that can never succeed as it is; the message is the endpoint's reason."""


def _check_address(url: str) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"an address begins with https:// or http://. Given: {url}")
    try:
        port = httpx.URL(url).port
    except httpx.InvalidURL as error:
        raise ValueError(f"{url} is not a valid address: {error}") from None
    if port is not None and port > 65535:
        raise ValueError(f"{url} is not a valid address: a port is at most 65535")


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        content = json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Refused("it is not valid Unicode: it holds half of a surrogate pair", 400) from None
    if len(content) > REQUEST_BYTES:
        raise _Refused(f"a request may have {REQUEST_BYTES} bytes; with this text alone it has {len(content)}", 413)
    return content


def _raise(index: int, reason: str) -> None:
    raise TextRefused(index, reason)


async def _all(coroutines) -> None:
    """Run all; the first error cancels the others and is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _message(response: httpx.Response) -> str:
    """The endpoint's own words; those of Lambda and of API Gateway are in ``Message`` and ``message``."""
    try:
        answer = response.json()
        error = answer.get("error", answer.get("Message", answer.get("message")))
        return error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, AttributeError, KeyError):
        return response.text[:200] or response.reason_phrase
