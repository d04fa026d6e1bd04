"""OpenAI's routes for embeddings (https://platform.openai.com/docs/api-reference/embeddings)."""

import binascii

import numpy as np

from ..service.errors import InvalidInput
from ..service.options import EmbedOptions
from . import sizes
from .answers import json_answer, vectors_answer
from .errors import HttpError
from .inputs import as_batch, encode_options, with_prompt
from .messages import Response
from .route import ANY_NAME, Call
from .types import OpenAIEmbeddingsRequest, OpenAIModel, OpenAIModels

PROMPT_SEPARATOR = ":"
"""Between the names of the model and of a prompt, so that a client that can only set ``model`` can choose a prompt."""


def embeddings(call: Call, request: OpenAIEmbeddingsRequest) -> Response:
    """Vectors of texts."""
    service, inputs = call.service, as_batch(request.input)
    base64 = request.encoding_format == "base64"
    if base64 and request.precision != "float32":
        # OpenAI's clients ask for base64 unless told otherwise, and decode it as float32.
        raise InvalidInput(f"`precision` {request.precision} needs `encoding_format` float", param="encoding_format")
    encoding = encode_options(request)
    prompt_name = prompt_of(call, request.model)
    if prompt_name is not None:
        encoding = with_prompt(encoding, prompt_name)
    options = EmbedOptions(dimensions=request.dimensions, precision=request.precision)
    service.limits.check_count(len(inputs))
    sizes.check_vectors(len(inputs), service.check_options(options), options.precision, gzip=call.gzip, base64=base64)
    _check_ids(call, inputs)
    vectors, usage = service.embed(call.encode(inputs, encoding), options, call.deadline)
    return vectors_answer(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _base64(vector) if base64 else vector}
                for index, vector in enumerate(vectors)
            ],
            "model": call.model_names[0],
            "usage": {"prompt_tokens": usage.tokens, "total_tokens": usage.tokens},
        },
        usage,
        request.dimensions,
        call,
    )


def _check_ids(call: Call, inputs: list[str | list[int]]) -> None:
    """Check that token ids stand between the model's special tokens, as those of its own tokenizer do.

    Some clients send token ids of OpenAI's models, which have no special tokens; here these ids stand for other words.

    Raises:
        InvalidInput: there are other token ids.
    """
    tokenizer = call.service.manifest.tokenizer
    prefix, suffix = tokenizer.prefix, tokenizer.suffix
    if all(isinstance(value, str) or not value or _is_framed(value, prefix, suffix) for value in inputs):
        return
    frame = " and ".join(f"{place} with {ids}" for place, ids in (("start", prefix), ("end", suffix)) if ids)
    reason = (
        f"token ids have to {frame}, the model's special tokens; these may be those of another model"
        if frame
        else "token ids are not accepted: the model has no special tokens that would tell its ids from those of another model"
    )
    raise InvalidInput(
        f"{reason}. Send the texts: LangChain's OpenAIEmbeddings does so with `check_embedding_ctx_length=False`",
        param="inputs",
    )


def _is_framed(ids: list[int], prefix: list[int], suffix: list[int]) -> bool:
    content = ids[len(prefix) : len(ids) - len(suffix)]
    return bool(prefix or suffix) and ids == [*prefix, *content, *suffix]


def _base64(vector: np.ndarray) -> str:
    return binascii.b2a_base64(vector.astype("<f4", copy=False).tobytes(), newline=False).decode()


def models(call: Call) -> Response:
    """The names of the model, each also with each of its prompts."""
    return json_answer(OpenAIModels([_model(name) for name in _listed(call)]))


def model(call: Call, name: str) -> Response:
    """One of the names that a request may use as its ``model``."""
    from urllib.parse import unquote

    name = unquote(name)
    prompt_of(call, name)
    return json_answer(_model(name))


def prompt_of(call: Call, name: str | None) -> str | None:
    """The prompt in the model's name ``name``, or None if it has none.

    Raises:
        HttpError: no model has this name (404).
    """
    if name is None or name in call.model_names:
        return None
    base, _, prompt = name.rpartition(PROMPT_SEPARATOR)
    serves_any = ANY_NAME in call.served_model_names
    if prompt in call.service.manifest.prompts and (serves_any or base in call.model_names):
        return prompt
    # After a name of the model, an unknown prompt is a slip even if any name is served.
    if serves_any and base not in call.model_names:
        return None
    known = ", ".join(f"`{known}`" for known in _listed(call))
    raise HttpError(
        404,
        f"The model `{name}` does not exist; served are {known}",
        error_type="NotFound",
        code="model_not_found",
        param="model",
    )


def _listed(call: Call) -> list[str]:
    names = call.model_names
    return names + [name + PROMPT_SEPARATOR + prompt for name in names for prompt in call.service.manifest.prompts]


def _model(name: str) -> OpenAIModel:
    return OpenAIModel(id=name, created=0, owned_by="serverless-text-embeddings")
