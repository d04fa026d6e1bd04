"""OpenAI's routes for embeddings (https://platform.openai.com/docs/api-reference/embeddings)."""

import binascii

import numpy as np

from ..service.errors import InvalidInput
from ..service.options import EmbedOptions
from . import sizes
from .answers import json_answer, numbers_answer
from .errors import HttpError
from .inputs import as_batch, encode_options, with_prompt
from .messages import Response
from .route import Call
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
    sizes.check_vectors(len(inputs), service.check_options(options), options.precision, base64)
    vectors, usage = service.embed(call.encode(inputs, encoding), options, call.deadline)
    return numbers_answer(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _base64(vector) if base64 else vector}
                for index, vector in enumerate(vectors)
            ],
            "model": model_names(call)[0],
            "usage": {"prompt_tokens": usage.tokens, "total_tokens": usage.tokens},
        },
        usage,
    )


def _base64(vector: np.ndarray) -> str:
    return binascii.b2a_base64(vector.astype("<f4", copy=False).tobytes(), newline=False).decode()


def models(call: Call) -> Response:
    """The model, and the model with each of its prompts."""
    return json_answer(OpenAIModels([_model(name) for name in _listed(call)]))


def model(call: Call, name: str) -> Response:
    """One of the names that a request may use as its ``model``."""
    from urllib.parse import unquote

    name = unquote(name)
    prompt_of(call, name)
    return json_answer(_model(name))


def model_names(call: Call) -> list[str]:
    """The names of the model: first the one that the deployment chose, if any, then the model's id."""
    names = [call.served_model_name, call.service.manifest.model.id]
    return list(dict.fromkeys(name for name in names if name))


def prompt_of(call: Call, name: str | None) -> str | None:
    """The prompt in the model's name ``name``, or None if it has none.

    Raises:
        HttpError: no model has this name (404).
    """
    if name is None or name in model_names(call):
        return None
    base, _, prompt = name.rpartition(PROMPT_SEPARATOR)
    if base in model_names(call) and prompt in call.service.manifest.prompts:
        return prompt
    known = ", ".join(f"`{known}`" for known in _listed(call))
    raise HttpError(
        404,
        f"The model `{name}` does not exist; served are {known}",
        error_type="NotFound",
        code="model_not_found",
        param="model",
    )


def _listed(call: Call) -> list[str]:
    names = model_names(call)
    return names + [name + PROMPT_SEPARATOR + prompt for name in names for prompt in call.service.manifest.prompts]


def _model(name: str) -> OpenAIModel:
    return OpenAIModel(id=name, created=0, owned_by="serverless-text-embeddings")
