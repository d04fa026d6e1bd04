"""OpenAI's routes for embeddings (https://platform.openai.com/docs/api-reference/embeddings)."""

import binascii

import msgspec
import numpy as np

from ..service.errors import InvalidInput
from ..service.options import EmbedOptions, EncodeOptions
from ..service.service import Service
from . import sizes
from .answers import json_answer, numbers_answer
from .errors import HttpError
from .messages import Response
from .tei import as_batch, encode_options
from .types import OpenAIEmbeddingsRequest, OpenAIModel, OpenAIModels

PROMPT_SEPARATOR = ":"
"""Between the model's name and that of a prompt, so that a client which can only say ``model`` can choose a prompt."""


def embeddings(service: Service, request: OpenAIEmbeddingsRequest) -> Response:
    """Vectors of texts."""
    inputs = as_batch(request.input)
    base64 = request.encoding_format == "base64"
    if base64 and request.precision != "float32":
        # OpenAI's clients ask for base64 by themselves and read float32 out of it.
        raise InvalidInput(f"`precision` {request.precision} needs `encoding_format` float", param="encoding_format")
    encoding = encode_options(request)
    prompt_name = prompt_of(service, request.model)
    if prompt_name is not None:
        encoding = with_prompt(encoding, prompt_name)
    options = EmbedOptions(dimensions=request.dimensions, precision=request.precision)
    service.check_count(len(inputs))
    sizes.check_vectors(len(inputs), service.check_options(options), options.precision, base64)
    vectors, usage = service.embed(service.encode(inputs, encoding), options)
    return numbers_answer(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _base64(vector) if base64 else vector}
                for index, vector in enumerate(vectors)
            ],
            "model": model_names(service)[0],
            "usage": {"prompt_tokens": usage.tokens, "total_tokens": usage.tokens},
        },
        usage,
    )


def _base64(vector: np.ndarray) -> str:
    return binascii.b2a_base64(vector.astype("<f4", copy=False).tobytes(), newline=False).decode()


def models(service: Service) -> Response:
    """The model, and the model with each of its prompts."""
    return json_answer(OpenAIModels([_model(name) for name in _listed(service)]))


def model(service: Service, name: str) -> Response:
    """One of the names that a request may use as its ``model``."""
    from urllib.parse import unquote

    name = unquote(name)
    prompt_of(service, name)
    return json_answer(_model(name))


def model_names(service: Service) -> list[str]:
    """What the model may be called: the name that is served first, then its own."""
    names = [service.settings.served_model_name, service.manifest.model.id]
    return list(dict.fromkeys(name for name in names if name))


def prompt_of(service: Service, name: str | None) -> str | None:
    """The prompt that a model's name asks for, if it does.

    Raises:
        HttpError: 404, no model has this name.
    """
    if name is None or name in model_names(service):
        return None
    base, _, prompt = name.rpartition(PROMPT_SEPARATOR)
    if base in model_names(service) and prompt in service.manifest.prompts:
        return prompt
    known = ", ".join(f"`{known}`" for known in _listed(service))
    raise HttpError(
        404,
        f"The model `{name}` does not exist; served are {known}",
        error_type="NotFound",
        code="model_not_found",
        param="model",
    )


def with_prompt(options: EncodeOptions, prompt_name: str) -> EncodeOptions:
    """``options`` with the prompt that the model's name asks for.

    Raises:
        InvalidInput: they ask for another one.
    """
    if options.prompt_name not in (None, prompt_name):
        raise InvalidInput(
            f"`model` asks for the prompt `{prompt_name}`, `prompt_name` for `{options.prompt_name}`",
            param="prompt_name",
        )
    return msgspec.structs.replace(options, prompt_name=prompt_name)


def _listed(service: Service) -> list[str]:
    names = model_names(service)
    return names + [name + PROMPT_SEPARATOR + prompt for name in names for prompt in service.manifest.prompts]


def _model(name: str) -> OpenAIModel:
    return OpenAIModel(id=name, created=0, owned_by="serverless-text-embeddings")
