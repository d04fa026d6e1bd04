"""Requests and responses of every route, as JSON.

Names and defaults are those of Text Embeddings Inference and of OpenAI's embeddings; fields that only this project has say so.
msgspec validates requests against these types, and ``/openapi.json`` is made from them.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..service.errors import NoInputs
from ..service.options import LongTexts, OutputPrecision

TokenId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Vector = list[float]

_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}}
_TEXT_OR_IDS = {"anyOf": [{"type": "string"}, _IDS]}
_LISTS = {"type": "array", "minItems": 1}
_SEQUENCE = {**_LISTS, "maxItems": 2, "items": {"type": "string"}}

NARROWED = "x-narrowed"
"""Key of a schema that replaces the one around it in the description. msgspec does not allow unions of array types, so some
types here are wider than meant; ``inputs.as_batch`` checks the rest."""
Input = Annotated[
    str | list[str | TokenId | list[TokenId]],
    Meta(
        description="A text, the token ids of a text (special tokens included), or a list of these.",
        examples=["What is Deep Learning?"],
        extra_json_schema={NARROWED: {"anyOf": [*_TEXT_OR_IDS["anyOf"], {"type": "array", "items": _TEXT_OR_IDS}]}},
    ),
]
OpenAIInput = Annotated[
    Input,
    Meta(
        description="A text, the token ids of a text, or a list of these. Ids have to stand between the special tokens that "
        "the model expects, which shows that they are its own and not those of another model."
    ),
]
TokenizeInput = Annotated[
    str | list[str], Meta(description="A text or a list of texts.", examples=["What is Deep Learning?"])
]
InputIds = Annotated[
    list[TokenId | list[TokenId]],
    Meta(
        description="The token ids of a text, or a list of these.",
        examples=[[0, 35378, 8999, 2]],
        extra_json_schema={NARROWED: {"anyOf": [_IDS, {"type": "array", "items": _IDS}]}},
    ),
]
PredictInput = Annotated[
    str | list[str | list[str]],
    Meta(
        description="A text, a pair of texts, or a list of texts and pairs, each wrapped in a list.",
        examples=["What is Deep Learning?"],
        extra_json_schema={NARROWED: {"anyOf": [{"type": "string"}, _SEQUENCE, {**_LISTS, "items": _SEQUENCE}]}},
    ),
]

PromptName = Annotated[
    str | None,
    Meta(
        description="Name of the prompt to put before every input, one of the model's `prompts` as `/info` lists them: for E5 "
        "`query` for what is searched for, `passage` for what is searched in. By default the deployment's default prompt; an empty name for none."
    ),
]
Truncate = Annotated[
    bool | None,
    Meta(
        description="Whether a text that is longer than the model reads is cut off. If not, it is an error; by default "
        "the deployment decides."
    ),
]
TruncationDirection = Annotated[
    Literal["Left", "Right", "left", "right"],
    Meta(description="The side of a long text that is cut off."),
]
Dimensions = Annotated[
    int | None,
    Meta(
        description="Length of the vectors: the first so many of the model's numbers, normalized again if `normalize`. "
        "For models trained for it (Matryoshka). By default all."
    ),
]
PrecisionOption = Annotated[
    OutputPrecision,
    Meta(
        description="Our own: how the numbers are quantized, as by sentence-transformers' `quantize_embeddings`. `int8` and "
        "`uint8` have one number for each dimension, `binary` (int8) and `ubinary` (uint8) one for every eight."
    ),
]
LongTextsOption = Annotated[
    LongTexts | None,
    Meta(
        description="Our own: what happens to a text longer than the model reads: `error`, `truncate`, or `window` (its "
        "vector is the mean of those of overlapping windows, weighted by their lengths). By default as `truncate` says, "
        "or else the deployment."
    ),
]
WindowOverlap = Annotated[
    Annotated[int, Meta(ge=0)] | None,
    Meta(
        description="Our own: tokens that neighbouring windows share; by default 64, or half a window of a model that "
        "reads less than 128 tokens."
    ),
]
ErrorType = Annotated[
    Literal[
        "Unhealthy",
        "Backend",
        "Overloaded",
        "Validation",
        "Tokenizer",
        "Empty",
        "Unauthorized",
        "NotFound",
        "MethodNotAllowed",
        "Internal",
    ],
    Meta(
        description="The first six are TEI's; where TEI answers with nothing, as 401, 404 and 405, ours have a type too."
    ),
]


class Truncation(Struct, kw_only=True):
    """How inputs are read, by TEI's options."""

    truncate: Truncate = None
    truncation_direction: TruncationDirection = "Right"
    prompt_name: PromptName = None


class Reading(Truncation, kw_only=True):
    """How inputs are read, by TEI's options and ours."""

    long_texts: LongTextsOption = None
    window_overlap: WindowOverlap = None


class EmbedRequest(Reading, kw_only=True):
    """Texts to embed."""

    inputs: Input
    normalize: Annotated[bool, Meta(description="Whether vectors are scaled to unit length.")] = True
    dimensions: Dimensions = None
    precision: PrecisionOption = "float32"


EmbedResponse = Annotated[list[Vector], Meta(description="A vector for each input.", examples=[[[0.0, 1.0, 2.0]]])]


class EmbedAllRequest(Truncation, kw_only=True):
    """Texts whose tokens to embed."""

    inputs: Input


EmbedAllResponse = Annotated[
    list[list[list[float]]],
    Meta(
        description="For each input a vector for each of its tokens, special tokens included.",
        examples=[[[[0.0, 1.0]]]],
    ),
]


class EmbedSparseRequest(Truncation, kw_only=True):
    """Texts to embed sparsely."""

    inputs: Input


class SparseValue(Struct):
    index: int
    value: float


EmbedSparseResponse = list[list[SparseValue]]


class SimilarityInput(Struct, kw_only=True):
    """A text, and others to compare with it."""

    source_sentence: Annotated[
        str, Meta(description="The text that the others are compared with.", examples=["What is Deep Learning?"])
    ]
    sentences: Annotated[
        list[str], Meta(description="The texts to compare with it.", examples=[["What is Machine Learning?"]])
    ]


class SimilarityParameters(Reading, kw_only=True):
    """How the texts are read."""


class SimilarityRequest(Struct, kw_only=True):
    """Texts to compare."""

    inputs: SimilarityInput
    parameters: SimilarityParameters | None = None


SimilarityResponse = Annotated[
    list[float], Meta(description="The cosine of each sentence with the source sentence.", examples=[[0.0, 1.0, 0.5]])
]


class TokenizeRequest(Struct, kw_only=True):
    """Texts to split into tokens."""

    inputs: TokenizeInput
    add_special_tokens: bool = True
    prompt_name: PromptName = None


class SimpleToken(Struct):
    """A token of a text."""

    id: int
    text: str
    special: bool
    start: Annotated[
        int | None,
        Meta(
            description="Where the token starts in the text (with its prompt), in bytes of UTF-8; null for a special token."
        ),
    ]
    stop: int | None


TokenizeResponse = list[list[SimpleToken]]


class DecodeRequest(Struct, kw_only=True):
    """Token ids to put together to texts."""

    ids: InputIds
    skip_special_tokens: bool = True


DecodeResponse = Annotated[list[str], Meta(examples=[["test"]])]


class PairTruncation(Struct, kw_only=True):
    """How pairs of texts are read and scored, by TEI's options."""

    truncate: Truncate = None
    truncation_direction: TruncationDirection = "Right"
    raw_scores: Annotated[bool, Meta(description="Whether scores are the model's logits.")] = False


class PredictRequest(PairTruncation, kw_only=True):
    """Texts to classify."""

    inputs: PredictInput


class Prediction(Struct):
    score: float
    label: str


PredictResponse = list[Prediction | list[Prediction]]


class RerankRequest(PairTruncation, kw_only=True):
    """Texts to rank by their relevance to a query."""

    query: Annotated[str, Meta(examples=["What is Deep Learning?"])]
    texts: Annotated[list[str], Meta(examples=[["Deep Learning is ..."]])]
    return_text: bool = False

    def __post_init__(self) -> None:
        if not self.texts:
            raise NoInputs("`texts` cannot be empty", param="texts")


class Rank(Struct, omit_defaults=True):
    index: int
    score: float
    text: str | None = None


RerankResponse = list[Rank]


class CohereDocument(Struct):
    text: str


class CohereRerankRequest(PairTruncation, kw_only=True):
    """Texts to rank by their relevance to a query, by Cohere's and Jina's options and, for clients that can send more, TEI's."""

    query: Annotated[str, Meta(examples=["What is Deep Learning?"])]
    documents: Annotated[list[str | CohereDocument], Meta(examples=[["Deep Learning is ..."]])]
    model: Annotated[str | None, Meta(description="A name of the model as `/v1/models` lists them.")] = None
    top_n: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="How many to answer with. By default all.")
    ] = None
    return_documents: Annotated[bool, Meta(description="Whether the answer has the texts.")] = False
    max_tokens_per_doc: Annotated[
        int | None, Meta(description="Accepted, not used: a pair is cut where the model's length ends.")
    ] = None


class CohereResult(Struct, omit_defaults=True):
    index: int
    relevance_score: float
    document: CohereDocument | None = None


class CohereBilledUnits(Struct):
    search_units: int = 1


class CohereMeta(Struct):
    billed_units: CohereBilledUnits


class CohereUsage(Struct):
    prompt_tokens: int
    total_tokens: int


class CohereRerankResponse(Struct):
    id: str
    model: str
    results: list[CohereResult]
    meta: CohereMeta
    usage: CohereUsage


class EmbeddingModel(Struct):
    pooling: str


class ClassifierModel(Struct):
    id2label: dict[str, str]
    label2id: dict[str, int]


class ModelType(Struct, omit_defaults=True):
    """What the model gives; one of the three."""

    embedding: EmbeddingModel | None = None
    classifier: ClassifierModel | None = None
    reranker: ClassifierModel | None = None


class Info(Struct, kw_only=True):
    """The model and the limits of a deployment."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: ModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: Annotated[int, Meta(description="The most tokens that a request may have.")]
    max_batch_requests: int | None
    max_client_batch_size: Annotated[
        int,
        Meta(
            description="The most texts whose vectors, as numbers, fit in an answer to any client. More fit with gzip, base64, "
            "fewer dimensions or a lower precision."
        ),
    ]
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None
    task: Annotated[
        Literal["embed", "multi_vector", "sparse", "classify", "rerank"],
        Meta(description="Our own: what the model does; `multi_vector` is a ColBERT's."),
    ]
    dimensions: Annotated[int, Meta(description="Our own: length of the vectors.")]
    matryoshka_dimensions: Annotated[
        list[int], Meta(description="Our own: shorter vectors that the model was trained for; empty if it names none.")
    ]
    similarity: Annotated[
        Literal["cosine", "dot", "euclidean", "manhattan"],
        Meta(description="Our own: the function that the model's vectors are meant to be compared by."),
    ]
    weights: Annotated[
        Literal["checkpoint", "onnx"],
        Meta(
            description="Our own: `onnx` if the ONNX file that the model's repository publishes took the place of its weights."
        ),
    ]
    prompts: Annotated[dict[str, str], Meta(description="Our own: the model's prompts by name.")]
    default_prompt: Annotated[
        str | None, Meta(description="Our own: name of the prompt that is used when a request names none.")
    ]
    long_texts: Annotated[
        LongTexts, Meta(description="Our own: what happens to a text that is too long when a request does not say.")
    ]


class ErrorResponse(Struct):
    """An error on TEI's routes."""

    error: str
    error_type: ErrorType


class OpenAIEmbeddingsRequest(Reading, kw_only=True):
    """Texts to embed, by OpenAI's options and, for clients that can send more, ours."""

    input: OpenAIInput
    model: Annotated[
        str | None,
        Meta(
            description="A name of the model as `/v1/models` lists them; with `:` and a prompt's name, as in "
            "`intfloat/multilingual-e5-small:query`, that prompt is put before every input."
        ),
    ] = None
    encoding_format: Annotated[
        Literal["float", "base64"],
        Meta(description="`base64` is that of little-endian float32, less than half as long."),
    ] = "float"
    dimensions: Dimensions = None
    user: Annotated[str | None, Meta(description="Accepted, not used, not logged.")] = None
    precision: PrecisionOption = "float32"


class OpenAIEmbedding(Struct):
    object: Literal["embedding"]
    index: int
    embedding: Vector | str


class OpenAIUsage(Struct):
    prompt_tokens: int
    total_tokens: int


class OpenAIEmbeddingsResponse(Struct):
    object: Literal["list"]
    data: list[OpenAIEmbedding]
    model: str
    usage: OpenAIUsage


class OpenAIModel(Struct):
    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"


class OpenAIModels(Struct):
    data: list[OpenAIModel]
    object: Literal["list"] = "list"


class OpenAIError(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorResponse(Struct):
    """An error on OpenAI's routes."""

    error: OpenAIError
