"""Reads a checkpoint's description of itself: task, pooling, normalization, length, prompts, labels.

The files are those that sentence-transformers writes (``modules.json`` and the files that it names) and transformers'
``config.json``. Where a checkpoint says nothing, sentence-transformers' own defaults hold, and a line of progress says so. All that
can be refused without its weights is refused here.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from runtime.engine.manifest import PAIR_TASKS

from .checkpoint import CONFIG_FILE, PUBLISHED_FILE, TOKENIZER_CONFIG_FILE, Checkpoint, is_exported, is_known, read_json
from .errors import CheckpointError, UnsupportedModelError
from .modules import Layer, Modules, read_modules, transformer_config
from .progress import say

CARD_PROMPTS: list[tuple[str, dict[str, str]]] = [
    (
        r"(^|/)(multilingual-)?e5-(small|base|large)(-v2)?(-unsupervised)?$",
        {"query": "query: ", "passage": "passage: "},
    ),
    (
        r"(^|/)bge-(small|base|large)-en(-v1\.5)?$",
        {"query": "Represent this sentence for searching relevant passages: "},
    ),
]
"""Prompts that a model's card asks for but its checkpoint does not name: https://huggingface.co/intfloat/multilingual-e5-small
and https://huggingface.co/BAAI/bge-small-en-v1.5. A request asks for one by its name; by default none is used."""

NO_LENGTH = 100_000
"""transformers writes a huge ``model_max_length`` for a tokenizer that has none."""
LEAST_LENGTH = 8
"""As the configuration's ``max_tokens``: a text needs room besides the special tokens."""

Size = Annotated[int, msgspec.Meta(ge=1)]


class _Config(msgspec.Struct):
    """transformers' ``config.json``."""

    model_type: str
    architectures: list[str] | None = None
    hidden_size: Size | None = None
    dim: Size | None = None
    d_model: Size | None = None
    n_embd: Size | None = None
    max_position_embeddings: int | None = None
    n_positions: int | None = None
    vocab_size: Size | None = None
    pad_token_id: int | None = 1
    id2label: dict[Annotated[str, msgspec.Meta(pattern=r"^\d{1,9}$")], str] | None = None
    num_labels: int | None = None
    problem_type: str | None = None
    matryoshka_dimensions: list[Size] | None = None
    is_causal: bool | None = None
    auto_map: Any = None


class _TokenizerConfig(msgspec.Struct):
    """transformers' ``tokenizer_config.json``."""

    model_max_length: int | float | None = None
    auto_map: Any = None


class _SentenceConfig(msgspec.Struct):
    """sentence-transformers' ``config_sentence_transformers.json``."""

    prompts: dict[str, str] | None = None
    default_prompt_name: str | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None
    similarity_fn_name: str | None = None
    truncate_dim: Size | None = None


NAMED_CHARACTERS = 200
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
"""sentence-transformers' ``SimilarityFunction``."""


@dataclass(frozen=True)
class Description:
    """A checkpoint's description of itself."""

    task: str
    """As in the manifest."""
    body: str
    """The folder with transformers' files, below the checkpoint's."""
    layers: list[Layer]
    """Those with weights behind the token vectors or the pooling, in order."""
    static: bool
    """Whether token vectors are looked up in a table and nothing more."""
    published: bool
    """Whether the ONNX file that the repository publishes takes the place of the weights."""
    architecture: str
    model_type: str
    hidden: int
    """Length of a token vector of the body."""
    pooling: list[str]
    normalize: bool
    max_tokens: int
    prompts: dict[str, str]
    own_prompts: dict[str, str]
    """Those that the checkpoint itself names."""
    default_prompt: str | None
    labels: list[str]
    activation: str
    dimensions: int
    """As in the manifest."""
    matryoshka_dimensions: list[int]
    similarity: str


def describe(checkpoint: Checkpoint, max_tokens: int | None, prompts: dict[str, str] | None) -> Description:
    """Read the description of ``checkpoint``; ``max_tokens`` may lower its length, ``prompts`` replaces its prompts.

    Raises:
        CheckpointError: a file is missing or damaged, or ``max_tokens`` is more than the model reads.
        UnsupportedModelError: it has modules or a head that the runtime does not serve.
    """
    folder = checkpoint.folder
    modules = read_modules(folder)
    body = folder if modules is None else modules.body
    static = modules is not None and modules.static
    config = _Config(model_type="static") if static else read_json(body, CONFIG_FILE, _Config)
    tokenizer = read_json(body, TOKENIZER_CONFIG_FILE, _TokenizerConfig, _TokenizerConfig())
    architecture = (config.architectures or ["unknown"])[0]
    labels = _labels(config)
    task = _task(folder, modules, architecture, labels)
    published = not static and _is_published(folder, body, config, task)
    if published:
        reason = (
            "the checkpoint names Python code (auto_map), which is not run"
            if config.auto_map
            else "Optimum cannot export it"
        )
        say(f"  {reason}: the ONNX file that the repository publishes is used")
    elif config.auto_map and config.is_causal is False:
        raise UnsupportedModelError(
            f"{body / CONFIG_FILE}: wants attention in both directions by Python code of its own (auto_map), which is not run; "
            f"transformers' {config.model_type} would give other vectors"
        )
    elif config.auto_map or tokenizer.auto_map:
        say(
            f"  warning: the checkpoint names Python code (auto_map), which is not run: transformers' classes for {config.model_type!r} "
            f"are used, not {_python_names(config.auto_map, tokenizer.auto_map)}. Where those compute anything else, the vectors differ"
        )
    own = read_json(folder, "config_sentence_transformers.json", _SentenceConfig, _SentenceConfig())
    if prompts is None:
        prompts = own.prompts or (_markers(own) if task == "multi_vector" else _card_prompts(checkpoint.id))
    default_prompt = own.default_prompt_name
    if default_prompt is not None and default_prompt not in prompts:
        raise CheckpointError(f"{folder}: its default prompt {default_prompt!r} is none of {sorted(prompts)}")
    similarity = own.similarity_fn_name or "cosine"
    if similarity not in SIMILARITIES:
        raise CheckpointError(f"{folder}: its similarity_fn_name is {similarity!r}, none of {', '.join(SIMILARITIES)}")
    hidden = _static_width(body) if static else config.hidden_size or config.dim or config.d_model or config.n_embd
    layers = list(modules.layers) if modules else []
    if hidden is None:
        raise CheckpointError(f"{body / CONFIG_FILE}: has none of hidden_size, dim, d_model, n_embd")
    if task in PAIR_TASKS:
        dimensions = len(labels)
    elif task == "sparse":
        dimensions = config.vocab_size or 0
    else:
        dimensions = layers[-1].gives if layers else hidden * (len(modules.pooling) if modules else 1)
    if own.truncate_dim and task == "embed":
        dimensions = min(dimensions, own.truncate_dim)
    return Description(
        task=task,
        body=str(body.relative_to(folder)),
        layers=layers,
        static=static,
        published=published,
        architecture=architecture,
        model_type=config.model_type,
        hidden=hidden,
        pooling=list(modules.pooling) if modules else ["mean"],
        normalize=modules is not None and modules.normalize,
        max_tokens=_length(body, config, tokenizer, max_tokens, static),
        prompts=prompts,
        own_prompts=own.prompts or {},
        default_prompt=default_prompt,
        labels=labels if task == "classify" else [],
        activation=_activation(task, config),
        dimensions=dimensions,
        matryoshka_dimensions=sorted(config.matryoshka_dimensions or []),
        similarity=similarity,
    )


def _task(folder: Path, modules: Modules | None, architecture: str, labels: list[str]) -> str:
    """The task that the modules name, or else the class that the checkpoint was saved as.

    Raises:
        UnsupportedModelError: it has a head that is not served.
    """
    if modules is not None and modules.task != "score":
        return modules.task
    if architecture.endswith("ForSequenceClassification"):
        return "rerank" if len(labels) == 1 else "classify"
    if architecture == "HF_ColBERT":
        return "multi_vector"
    if "For" in architecture or modules is not None:
        raise UnsupportedModelError(
            f"{folder}: is a {architecture}, which gives no vector or score for a text; served are embedding models, "
            "…ForSequenceClassification, and models whose modules.json says how they embed"
        )
    say("  the checkpoint says nothing of pooling: mean, not normalized, as sentence-transformers does")
    return "embed"


def _is_published(folder: Path, body: Path, config: _Config, task: str) -> bool:
    """Whether the repository's own ONNX file is taken: that of an embedding model which wants Python of its own, as transformers' class
    of the same name may compute something else, or whose architecture cannot be exported.

    Raises:
        UnsupportedModelError: it is needed, and missing, or the model is no embedding model.
    """
    exists = task == "embed" and (folder / PUBLISHED_FILE).exists()
    if exists and (config.auto_map or not is_exported(config.model_type)):
        return True
    if not is_known(config.model_type):
        raise UnsupportedModelError(
            f"{body / CONFIG_FILE}: transformers does not have the architecture {config.model_type!r}, and a checkpoint's own Python "
            f"is not run; only an embedding model with an ONNX file of its own ({PUBLISHED_FILE}) can be served"
        )
    return False


def _labels(config: _Config) -> list[str]:
    """Names of a classifier's labels in the order of its logits; transformers has two by default."""
    if config.id2label:
        return [config.id2label[index] for index in sorted(config.id2label, key=int)]
    return [f"LABEL_{index}" for index in range(config.num_labels or 2)]


def _python_names(*auto_maps: Any) -> str:
    """The classes in ``auto_map``, as ``modeling_x.XModel``; a tokenizer's value is a list of two, the slow one and the fast one."""
    values = [value for each in auto_maps if isinstance(each, dict) for value in each.values()]
    names = {name for value in values for name in (value if isinstance(value, list) else [value]) if name}
    return ", ".join(sorted(map(str, names)))[:NAMED_CHARACTERS] or "what it names"


def _activation(task: str, config: _Config) -> str:
    """What makes scores of logits: for a reranker a sigmoid, as in TEI; for a classifier as in transformers' pipeline."""
    if task == "rerank" or (task == "classify" and config.problem_type == "multi_label_classification"):
        return "sigmoid"
    if task == "classify" and config.problem_type != "regression":
        return "softmax"
    return "identity"


def _static_width(body: Path) -> int:
    """Length of the vectors in a StaticEmbedding's table, from the header of its file.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = body / "model.safetensors"
    try:
        with safe_open(path, "np") as file:
            return next(file.get_slice(name).get_shape()[1] for name in file.keys() if "embedding" in name)  # noqa: SIM118
    except (OSError, SafetensorError, StopIteration, IndexError) as error:
        raise CheckpointError(f"{path}: has no table of embeddings ({error})") from error


def _length(folder: Path, config: _Config, tokenizer: _TokenizerConfig, asked: int | None, static: bool = False) -> int:
    """The most tokens read of a text: by sentence-transformers' configuration, else the tokenizer's, at most the model's."""
    positions = config.max_position_embeddings or config.n_positions or NO_LENGTH
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        # Their positions start behind the padding token's id.
        if config.pad_token_id is None:
            raise CheckpointError(f"{folder / CONFIG_FILE}: has no pad_token_id, which {config.model_type} needs")
        positions -= config.pad_token_id + 1
    if static:
        stated = _static_length(folder)
    else:
        stated = transformer_config(folder).max_seq_length or tokenizer.model_max_length or NO_LENGTH
    length = min(stated, positions, NO_LENGTH)
    if length == NO_LENGTH and not asked and not static:
        raise CheckpointError(f"{folder}: says nothing of its maximum length; set max_tokens")
    if not length >= LEAST_LENGTH:  # also if it is NaN
        raise CheckpointError(f"{folder}: reads only {length} tokens of a text; at least {LEAST_LENGTH} are needed")
    if asked and asked > length:
        raise CheckpointError(f"max_tokens: {asked} is not allowed: the model reads at most {length} tokens")
    return asked or int(length)


def _static_length(folder: Path) -> int:
    """Where the tokenizer of a static model cuts a text off; such a model has no length of its own."""

    class Truncation(msgspec.Struct):
        max_length: Size

    class Tokenizer(msgspec.Struct):
        truncation: Truncation | None = None

    truncation = read_json(folder, "tokenizer.json", Tokenizer).truncation
    return min(truncation.max_length, NO_LENGTH) if truncation else NO_LENGTH


def _markers(own: _SentenceConfig) -> dict[str, str]:
    """The tokens that pylate puts before the text of a query and of a document, which its tokenizer also knows as texts
    (https://github.com/lightonai/pylate, ``pylate/models/colbert.py``)."""
    prefixes = {"query": own.query_prefix, "document": own.document_prefix}
    return {name: prefix for name, prefix in prefixes.items() if prefix}


def _card_prompts(model_id: str) -> dict[str, str]:
    return next((dict(prompts) for pattern, prompts in CARD_PROMPTS if re.search(pattern, model_id)), {})
