"""The routes of Text Embeddings Inference (https://github.com/huggingface/text-embeddings-inference, ``router/src``)."""

from itertools import accumulate
from typing import NoReturn

from ..service.errors import EmptyInput, InvalidInput, NoInputs, Unsupported
from ..service.options import EmbedOptions, EncodeOptions
from ..service.service import Service
from . import VERSION, sizes
from .answers import json_answer, numbers_answer, text_answer
from .errors import HttpError
from .messages import Response
from .types import (
    DecodeRequest,
    EmbedAllRequest,
    EmbeddingModel,
    EmbedRequest,
    EmbedSparseRequest,
    Info,
    Input,
    ModelType,
    PredictRequest,
    Reading,
    RerankRequest,
    SimilarityParameters,
    SimilarityRequest,
    SimpleToken,
    TokenizeRequest,
)


def health(service: Service) -> Response:
    """Whether the model is loaded. It is: that happens before the first request comes."""
    return text_answer("")


def info(service: Service) -> Response:
    """The model and the limits of this deployment."""
    manifest, settings = service.manifest, service.settings
    return json_answer(
        Info(
            model_id=manifest.model.id,
            model_sha=manifest.model.revision,
            model_dtype="float32" if manifest.precision == "exact" else "int8",
            served_model_name=settings.served_model_name or manifest.model.id,
            model_type=ModelType(EmbeddingModel("+".join(manifest.pooling))),
            max_concurrent_requests=1,
            max_input_length=manifest.max_tokens,
            max_batch_tokens=settings.max_tokens,
            max_batch_requests=1,
            max_client_batch_size=settings.max_texts,
            auto_truncate=settings.long_texts == "truncate",
            tokenization_workers=1,
            version=VERSION,
            sha=None,
            docker_label=None,
            dimensions=manifest.dimensions,
            prompts=manifest.prompts,
            default_prompt=service.default_prompt,
            long_texts=settings.long_texts,
        )
    )


def embed(service: Service, request: EmbedRequest) -> Response:
    """Vectors of texts."""
    inputs = as_batch(request.inputs)
    options = EmbedOptions(normalize=request.normalize, dimensions=request.dimensions, precision=request.precision)
    service.check_count(len(inputs))
    sizes.check_vectors(len(inputs), service.check_options(options), options.precision)
    encoded = service.encode(inputs, encode_options(request))
    vectors, usage = service.embed(encoded, options)
    return numbers_answer(vectors, usage)


def embed_all(service: Service, request: EmbedAllRequest) -> Response:
    """Vectors of the tokens of texts."""
    # Windows have vectors of their own, so there is no mean of them to speak of.
    truncate = service.settings.long_texts == "truncate" if request.truncate is None else request.truncate
    options = EncodeOptions(
        prompt_name=request.prompt_name,
        long_texts="truncate" if truncate else "error",
        truncation_direction=request.truncation_direction.lower(),
    )
    encoded = service.encode(as_batch(request.inputs), options)
    sizes.check_token_vectors([len(windows[0]) for windows in encoded.windows], service.manifest.hidden)
    vectors, usage = service.token_vectors(encoded)
    return numbers_answer(vectors, usage)


def similarity(service: Service, request: SimilarityRequest) -> Response:
    """The cosine of a text with each of others."""
    service.check_count(len(request.inputs.sentences), "inputs.sentences")
    inputs = [request.inputs.source_sentence, *request.inputs.sentences]
    encoded = service.encode(inputs, encode_options(request.parameters or SimilarityParameters()))
    vectors, usage = service.embed(encoded, EmbedOptions())
    return numbers_answer(vectors[1:] @ vectors[0], usage)


def tokenize(service: Service, request: TokenizeRequest) -> Response:
    """The tokens of texts, with their places in the text."""
    inputs = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    service.check_count(len(inputs))
    prompt, answer = service.prompt(request.prompt_name), []
    for text in inputs:
        answer.append(_tokens(service, prompt, text, request.add_special_tokens))
        service.check_tokens(sum(map(len, answer)), len(answer), len(inputs))
    return json_answer(answer)


def _tokens(service: Service, prompt: str, text: str, add_special_tokens: bool) -> list[SimpleToken]:
    if not text:
        raise EmptyInput("`inputs` cannot be empty", param="inputs")
    text = prompt + text
    encoding = service.reference_encoding(text, add_special_tokens)
    byte_offsets = list(accumulate((len(character.encode()) for character in text), initial=0))
    return [
        SimpleToken(token_id, token, True, None, None)
        if special
        else SimpleToken(token_id, text[start:stop], False, byte_offsets[start], byte_offsets[stop])
        for token_id, token, special, (start, stop) in zip(
            encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True
        )
    ]


def decode(service: Service, request: DecodeRequest) -> Response:
    """The texts of token ids."""
    batch = as_batch(request.ids, "input_ids")
    service.check_count(len(batch), "ids")
    service.check_tokens(sum(map(len, batch)), len(batch), len(batch))
    if not all(batch):
        raise EmptyInput("`input_ids` cannot be empty", param="ids")
    decode_ids = service.engine.reference_tokenizer.decode
    return json_answer([decode_ids(ids, skip_special_tokens=request.skip_special_tokens) for ids in batch])


def embed_sparse(service: Service, request: EmbedSparseRequest) -> NoReturn:
    """Sparse vectors, for models with a SPLADE head."""
    raise Unsupported("Model is not an embedding model with SPLADE pooling")


def predict(service: Service, request: PredictRequest) -> NoReturn:
    """Classes of texts, for models with a classification head."""
    raise Unsupported("Model is not a classifier model")


def rerank(service: Service, request: RerankRequest) -> NoReturn:
    """Texts by their relevance to a query, for models with a re-ranking head."""
    if not request.texts:
        raise NoInputs("`texts` cannot be empty", param="texts")
    raise Unsupported("model is not a re-ranker model")


def as_batch(inputs: Input, name: str = "inputs") -> list[str | list[int]]:
    """The inputs of a request as a list of texts and lists of token ids, however many it has.

    Raises:
        EmptyInput: there are none; ``name`` is what the message calls them.
        HttpError: token ids stand beside texts or beside lists of token ids.
    """
    if isinstance(inputs, str):
        return [inputs]
    if not inputs:
        raise EmptyInput(f"`{name}` cannot be empty", param=name)
    ids = sum(isinstance(value, int) for value in inputs)
    if ids == 0:
        return inputs
    if ids < len(inputs):
        raise HttpError(422, "inputs are a list of texts and lists of token ids, or the token ids of one text")
    return [inputs]


def encode_options(request: Reading) -> EncodeOptions:
    """How a request wants its inputs encoded. ``truncate`` is TEI's, ``long_texts`` ours for the same and more.

    Raises:
        InvalidInput: the two contradict one another.
    """
    long_texts = request.long_texts
    if request.truncate is not None:
        as_truncate_says = "truncate" if request.truncate else "error"
        if long_texts not in (None, as_truncate_says):
            raise InvalidInput(
                f"`truncate` and `long_texts` contradict one another: {request.truncate} and `{long_texts}`",
                param="long_texts",
            )
        long_texts = as_truncate_says
    return EncodeOptions(
        prompt_name=request.prompt_name,
        long_texts=long_texts,
        truncation_direction=request.truncation_direction.lower(),
        window_overlap=request.window_overlap,
    )
