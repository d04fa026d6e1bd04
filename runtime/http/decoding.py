"""From a request's body to the type that its route takes."""

from typing import Any, Literal, get_args, get_origin

import msgspec
import orjson

from .errors import HttpError
from .messages import BodyError, Request, read_body
from .sizes import LAMBDA_PAYLOAD_BYTES


def decode_body(request: Request, kind: type) -> Any:
    """The body of ``request`` as a ``kind``.

    Raises:
        HttpError: it is not JSON (400, 415), too long (413), or does not have the fields of ``kind`` (422).
        RequestError: ``kind`` refuses the values.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise HttpError(
            415,
            f"Expected request with `Content-Type: application/json`. Given: `{content_type}`",
            error_type="Validation",
        )
    try:
        body = read_body(request, LAMBDA_PAYLOAD_BYTES)
    except BodyError as error:
        raise HttpError(error.status, f"Failed to buffer the request body: {error.message}") from None
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _wrong_type(error, kind) from None
    except msgspec.DecodeError as error:
        raise HttpError(400, f"Failed to parse the request body as JSON: {_syntax_error(body) or error}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"Failed to parse the request body as JSON: {error}") from None


def convert_fields(fields: Any, kind: type) -> Any:
    """A request that is already parsed, as a ``kind``.

    Raises:
        HttpError: it does not have the fields of ``kind`` (422), or is not JSON (400).
        RequestError: ``kind`` refuses the values.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _wrong_type(error, kind) from None
    except (RecursionError, UnicodeEncodeError) as error:
        raise HttpError(400, f"Failed to read the event: {error}") from None


def _syntax_error(body: bytes) -> str | None:
    """The fault of ``body`` and its place in orjson's words, None if orjson finds none. msgspec says of half of a surrogate pair
    that the body is cut off."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return str(error)
    return None


def _wrong_type(error: msgspec.ValidationError, kind: type) -> HttpError:
    message = str(error)
    path = message.rpartition(" - at `$.")[2].partition("`")[0] if " - at `$." in message else ""
    param = path.partition("[")[0] or None
    if message.startswith("Invalid enum value"):
        message += f"; allowed are {', '.join(f'`{choice}`' for choice in _choices(kind, path.split('.')))}"
    return HttpError(422, f"Failed to deserialize the JSON body into the target type: {message}", param=param)


def _choices(kind: Any, path: list[str]) -> tuple[str, ...]:
    """The words that the field at ``path`` of ``kind`` accepts."""
    if get_origin(kind) is Literal and not path:
        return get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _choices(next(field.type for field in msgspec.structs.fields(kind) if field.name == path[0]), path[1:])
    return next(filter(None, (_choices(part, path) for part in get_args(kind))), ())
