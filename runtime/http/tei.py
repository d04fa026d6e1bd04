"""The routes of Text Embeddings Inference (https://github.com/huggingface/text-embeddings-inference, ``router/src``)."""

from itertools import accumulate

from ..engine.manifest import PAIR_TASKS, Manifest
from ..service.options import EmbedOptions, Usage
from . import VERSION, sizes
from .answers import json_answer, numbers_answer, shortest, text_answer, vectors_answer
from .inputs import as_batch, as_sequences, encode_options, truncation_options
from .messages import Response
from .route import Call
from .types import (
    ClassifierModel,
    DecodeRequest,
    EmbedAllRequest,
    EmbeddingModel,
    EmbedRequest,
    EmbedSparseRequest,
    Info,
    ModelType,
    PairTruncation,
    Prediction,
    PredictRequest,
    Rank,
    RerankRequest,
    SimilarityParameters,
    SimilarityRequest,
    SimpleToken,
    SparseValue,
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
            model_type=_model_type(manifest),
            max_concurrent_requests=1,
            max_input_length=manifest.max_tokens,
            max_batch_tokens=service.limits.max_tokens,
            max_batch_requests=1,
            max_client_batch_size=min(service.limits.max_texts, sizes.fitting_texts(manifest)),
            auto_truncate=service.config.long_texts == "truncate",
            tokenization_workers=1,
            version=VERSION,
            sha=None,
            docker_label=None,
            task=manifest.task,
            dimensions=manifest.dimensions,
            matryoshka_dimensions=manifest.matryoshka_dimensions,
            similarity=manifest.similarity,
            weights=manifest.model.weights,
            prompts=manifest.prompts,
            default_prompt=service.default_prompt,
            long_texts=service.config.long_texts,
        )
    )


def _model_type(manifest: Manifest) -> ModelType:
    if manifest.task in PAIR_TASKS:
        labels = _labels(manifest)
        classifier = ClassifierModel(
            id2label={str(index): label for index, label in enumerate(labels)},
            label2id={label: index for index, label in enumerate(labels)},
        )
        return ModelType(classifier=classifier) if manifest.task == "classify" else ModelType(reranker=classifier)
    pooling = "splade" if manifest.task == "sparse" else "+".join(manifest.pooling)
    return ModelType(embedding=EmbeddingModel(pooling))


def _labels(manifest: Manifest) -> list[str]:
    """Names of the scores; transformers' for the only one of a reranker."""
    return manifest.labels or ["LABEL_0"]


def embed(call: Call, request: EmbedRequest) -> Response:
    """Vectors of texts."""
    service, inputs = call.service, as_batch(request.inputs)
    options = EmbedOptions(normalize=request.normalize, dimensions=request.dimensions, precision=request.precision)
    service.limits.check_count(len(inputs))
    sizes.check_vectors(len(inputs), service.check_options(options), options.precision, gzip=call.gzip)
    encoded = call.encode(inputs, encode_options(request))
    vectors, usage = service.embed(encoded, options, call.deadline)
    return vectors_answer(vectors, usage, request.dimensions, call)


def embed_all(call: Call, request: EmbedAllRequest) -> Response:
    """Vectors of the tokens of texts."""
    service, inputs = call.service, as_batch(request.inputs)
    service.limits.check_count(len(inputs))
    # A token that is in two windows has two vectors, so long texts are not read in windows.
    encoded = call.encode(inputs, truncation_options(service, request))
    lengths = [len(windows[0]) for windows in encoded.windows]
    sizes.check_token_vectors(lengths, service.manifest.hidden, gzip=call.gzip)
    vectors, usage = service.token_vectors(encoded, call.deadline)
    return numbers_answer(vectors, usage)


def embed_sparse(call: Call, request: EmbedSparseRequest) -> Response:
    """For each text the words of the vocabulary that have a weight, with their weights."""
    service, inputs = call.service, as_batch(request.inputs)
    service.limits.check_count(len(inputs))
    # A word's weight is its largest one in the text, and its text's windows are not looked at together.
    encoded = call.encode(inputs, truncation_options(service, request))
    results, usage = service.sparse(encoded, call.deadline)
    answer = [
        [SparseValue(index, value) for index, value in zip(words.tolist(), shortest(weights), strict=True)]
        for words, weights in results
    ]
    return json_answer(answer, usage)


def predict(call: Call, request: PredictRequest) -> Response:
    """Labels of texts or of pairs of texts, with their scores, the highest first."""
    service = call.service
    inputs, single = as_sequences(request.inputs)
    service.limits.check_count(len(inputs))
    encoded = call.encode_pairs(inputs, truncation_options(service, request))
    scores, usage = service.scores(encoded, request.raw_scores, call.deadline)
    labels = _labels(service.manifest)
    answer = [_predictions(each, labels) for each in shortest(scores)]
    return json_answer(answer[0] if single else answer, usage)


def _predictions(scores: list[float], labels: list[str]) -> list[Prediction]:
    predictions = [Prediction(score, label) for score, label in zip(scores, labels, strict=True)]
    return sorted(predictions, key=lambda prediction: -prediction.score)


def rerank(call: Call, request: RerankRequest) -> Response:
    """Texts by their relevance to a query, the most relevant first."""
    ranks, usage = rank(call, request.query, request.texts, request, "texts")
    if request.return_text:
        ranks = [Rank(each.index, each.score, request.texts[each.index]) for each in ranks]
    return json_answer(ranks, usage)


def rank(call: Call, query: str, texts: list[str], options: PairTruncation, name: str) -> tuple[list[Rank], Usage]:
    """``texts``, the request's field ``name``, by their relevance to ``query``."""
    service = call.service
    service.limits.check_count(len(texts), name)
    encoded = call.encode_pairs([(query, text) for text in texts], truncation_options(service, options))
    scores, usage = service.scores(encoded, options.raw_scores, call.deadline)
    ranks = [Rank(index, score) for index, score in enumerate(shortest(scores[:, 0]))]
    return sorted(ranks, key=lambda each: -each.score), usage


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
