"""Reranking in the shape of Cohere's (https://docs.cohere.com/reference/rerank) and Jina's API (https://jina.ai/reranker)."""

from ..service.errors import InvalidInput
from .answers import json_answer
from .messages import Response
from .openai import prompt_of
from .route import Call
from .tei import rank
from .types import (
    CohereBilledUnits,
    CohereDocument,
    CohereMeta,
    CohereRerankRequest,
    CohereRerankResponse,
    CohereResult,
    CohereUsage,
)


def rerank(call: Call, request: CohereRerankRequest) -> Response:
    """Texts by their relevance to a query, the most relevant first."""
    if prompt_of(call, request.model):
        raise InvalidInput("a reranker has no prompts; leave it out of `model`", param="model")
    texts = [each if isinstance(each, str) else each.text for each in request.documents]
    ranks, usage = rank(call, request.query, texts, request, "documents")
    results = [
        CohereResult(each.index, each.score, CohereDocument(texts[each.index]) if request.return_documents else None)
        for each in ranks[: request.top_n]
    ]
    answer = CohereRerankResponse(
        id="",
        model=call.model_names[0],
        results=results,
        meta=CohereMeta(CohereBilledUnits()),
        usage=CohereUsage(usage.tokens, usage.tokens),
    )
    return json_answer(answer, usage)
