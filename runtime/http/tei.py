"""The routes of Text Embeddings Inference (https://github.com/huggingface/text-embeddings-inference, ``router/src``)."""

from itertools import accumulate

from ..service.options import EmbedOptions, EncodeOptions
from . import VERSION, sizes
from .answers import json_answer, numbers_answer, text_answer
from .inputs import as_batch, encode_options
from .messages import Response
from .route import Call
from .types import (
    DecodeRequest,
    EmbedAllRequest,
    EmbeddingModel,
    EmbedRequest,
    Info,
    ModelType,
    SimilarityParameters,
    SimilarityRequest,
    SimpleToken,
    TokenizeRequest,
)


def health(call: Call) -> Response:
    """Whether the model is loaded. It always is: loading ends before the first request."""
    return text_answer("")


def info(call: Call) -> Response:
    """The model and the limits of this deployment."""
    service, manifest = call.service, call.service.manifest
    return json_answer(
        Info(
            model_id=manifest.model.id,
            model_sha=manifest.model.revision,
            model_dtype="float32" if manifest.precision == "exact" else "int8",
            served_model_name=call.model_names[0],
            model_type=ModelType(EmbeddingModel("+".join(manifest.pooling))),
            max_concurrent_requests=1,
            max_input_length=manifest.max_tokens,
            max_batch_tokens=service.limits.max_tokens,
            max_batch_requests=1,
            max_client_batch_size=min(service.limits.max_texts, sizes.fitting_vectors(manifest.dimensions, "float32")),
            auto_truncate=service.config.long_texts == "truncate",
            tokenization_workers=1,
            version=VERSION,
            sha=None,
            docker_label=None,
            dimensions=manifest.dimensions,
            prompts=manifest.prompts,
            default_prompt=service.default_prompt,
            long_texts=service.config.long_texts,
        )
    )


def embed(call: Call, request: EmbedRequest) -> Response:
    """Vectors of texts."""
    service, inputs = call.service, as_batch(request.inputs)
    options = EmbedOptions(normalize=request.normalize, dimensions=request.dimensions, precision=request.precision)
    service.limits.check_count(len(inputs))
    sizes.check_vectors(len(inputs), service.check_options(options), options.precision, gzip=call.gzip)
    encoded = call.encode(inputs, encode_options(request))
    vectors, usage = service.embed(encoded, options, call.deadline)
    return numbers_answer(vectors, usage)


def embed_all(call: Call, request: EmbedAllRequest) -> Response:
    """Vectors of the tokens of texts."""
    service, inputs = call.service, as_batch(request.inputs)
    service.limits.check_count(len(inputs))
    # A token that is in two windows has two vectors, so long texts are not read in windows.
    truncate = service.config.long_texts == "truncate" if request.truncate is None else request.truncate
    options = EncodeOptions(
        prompt_name=request.prompt_name,
        long_texts="truncate" if truncate else "error",
        truncation_direction=request.truncation_direction.lower(),
    )
    encoded = call.encode(inputs, options)
    lengths = [len(windows[0]) for windows in encoded.windows]
    sizes.check_token_vectors(lengths, service.manifest.hidden, gzip=call.gzip)
    vectors, usage = service.token_vectors(encoded, call.deadline)
    return numbers_answer(vectors, usage)


def similarity(call: Call, request: SimilarityRequest) -> Response:
    """The cosine of a text with each of others."""
    service = call.service
    service.limits.check_count(len(request.inputs.sentences), "inputs.sentences")
    inputs = [request.inputs.source_sentence, *request.inputs.sentences]
    encoded = call.encode(inputs, encode_options(request.parameters or SimilarityParameters()))
    vectors, usage = service.embed(encoded, EmbedOptions(), call.deadline)
    return numbers_answer(vectors[1:] @ vectors[0], usage)


def tokenize(call: Call, request: TokenizeRequest) -> Response:
    """The tokens of texts, with their places in the text."""
    service = call.service
    inputs = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    service.limits.check_count(len(inputs))
    encodings = service.tokenize(inputs, request.prompt_name, request.add_special_tokens, call.deadline)
    return json_answer([_tokens(text, encoding) for text, encoding in encodings])


def _tokens(text: str, encoding) -> list[SimpleToken]:
    byte_offsets = list(accumulate((len(character.encode()) for character in text), initial=0))
    return [
        SimpleToken(token_id, token, True, None, None)
        if special
        else SimpleToken(token_id, text[start:stop], False, byte_offsets[start], byte_offsets[stop])
        for token_id, token, special, (start, stop) in zip(
            encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True
        )
    ]


def decode(call: Call, request: DecodeRequest) -> Response:
    """The texts of token ids."""
    batch = as_batch(request.ids, "input_ids")
    call.service.limits.check_count(len(batch), "ids")
    return json_answer(call.service.decode(batch, request.skip_special_tokens, call.deadline))
