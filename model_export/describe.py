"""Reads a checkpoint's description of itself: task, pooling, normalization, length, prompts.

The files are those that sentence-transformers writes (``modules.json`` and the files that it names) and transformers'
``config.json``. Where a checkpoint says nothing, sentence-transformers' own defaults hold, and a line of progress says so.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from .checkpoint import CONFIG_FILE, TOKENIZER_CONFIG_FILE, Checkpoint, check_path, read_json
from .errors import CheckpointError, UnsupportedModelError
from .progress import say

POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""sentence-transformers' keys, in the order in which it concatenates several modes."""

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
    max_position_embeddings: int | None = None
    n_positions: int | None = None
    pad_token_id: int | None = 1
    auto_map: Any = None


class _TokenizerConfig(msgspec.Struct):
    """transformers' ``tokenizer_config.json``."""

    model_max_length: int | float | None = None
    auto_map: Any = None


class _Module(msgspec.Struct):
    """An entry of sentence-transformers' ``modules.json``."""

    type: str
    path: str


class _TransformerConfig(msgspec.Struct):
    """sentence-transformers' ``sentence_bert_config.json``."""

    max_seq_length: int | None = None
    do_lower_case: bool | None = None


class _SentenceConfig(msgspec.Struct):
    """sentence-transformers' ``config_sentence_transformers.json``."""

    prompts: dict[str, str] | None = None
    default_prompt_name: str | None = None


class _PoolingConfig(msgspec.Struct):
    """sentence-transformers' configuration of pooling: its newer versions write ``pooling_mode``, older ones the other keys."""

    pooling_mode: str | list[str] | None = None
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False
    include_prompt: bool = True


@dataclass(frozen=True)
class Description:
    """A checkpoint's description of itself."""

    task: str
    """As in the manifest."""
    architecture: str
    model_type: str
    hidden: int
    pooling: list[str]
    normalize: bool
    max_tokens: int
    prompts: dict[str, str]
    default_prompt: str | None

    @property
    def dimensions(self) -> int:
        """Length of a pooled vector."""
        return self.hidden * len(self.pooling)


def describe(checkpoint: Checkpoint, max_tokens: int | None, prompts: dict[str, str] | None) -> Description:
    """Read the description of ``checkpoint``; ``max_tokens`` may lower its length, ``prompts`` replaces its prompts.

    Raises:
        CheckpointError: a file is missing or damaged, or ``max_tokens`` is more than the model reads.
        UnsupportedModelError: it has modules that the runtime does not serve.
    """
    folder = checkpoint.folder
    config = read_json(folder, CONFIG_FILE, _Config)
    tokenizer = read_json(folder, TOKENIZER_CONFIG_FILE, _TokenizerConfig, _TokenizerConfig())
    if config.auto_map or tokenizer.auto_map:
        say("  the checkpoint names Python code (auto_map), which is not run: transformers' own classes are used")
    pooling, normalize = _modules(folder)
    own = read_json(folder, "config_sentence_transformers.json", _SentenceConfig, _SentenceConfig())
    if prompts is None:
        prompts = own.prompts or _card_prompts(checkpoint.id)
    default_prompt = own.default_prompt_name
    if default_prompt is not None and default_prompt not in prompts:
        raise CheckpointError(f"{folder}: its default prompt {default_prompt!r} is none of {sorted(prompts)}")
    hidden = config.hidden_size or config.dim or config.d_model
    if hidden is None:
        raise CheckpointError(f"{folder / CONFIG_FILE}: has none of hidden_size, dim, d_model")
    return Description(
        task="embed",
        architecture=(config.architectures or ["unknown"])[0],
        model_type=config.model_type,
        hidden=hidden,
        pooling=pooling,
        normalize=normalize,
        max_tokens=_length(folder, config, tokenizer, max_tokens),
        prompts=prompts,
        default_prompt=default_prompt,
    )


def _modules(folder: Path) -> tuple[list[str], bool]:
    """Pooling modes, and whether vectors are normalized."""
    file = folder / "modules.json"
    if not file.exists():
        say("  the checkpoint says nothing of pooling: mean, not normalized, as sentence-transformers does")
        return ["mean"], False
    pooling, normalize = None, False
    for module in read_json(folder, file.name, list[_Module]):
        kind = module.type.rsplit(".", 1)[-1]
        path = folder / check_path(module.path, file)
        if kind == "Transformer" and pooling is None:
            if _transformer(path).do_lower_case:
                raise UnsupportedModelError(f"{folder}: lower-cases texts before its tokenizer, which is not supported")
        elif kind == "Pooling" and pooling is None:
            pooling = _pooling(path)
        elif kind == "Normalize":
            normalize = True
        else:
            raise UnsupportedModelError(
                f"{folder}: has the module {module.type}; supported are Transformer, Pooling and Normalize"
            )
    if pooling is None:
        raise UnsupportedModelError(f"{folder}: its modules.json names no Pooling, so it gives no vector for a text")
    return pooling, normalize


def _transformer(folder: Path) -> _TransformerConfig:
    return read_json(folder, "sentence_bert_config.json", _TransformerConfig, _TransformerConfig())


def _pooling(folder: Path) -> list[str]:
    path = folder / CONFIG_FILE
    config = read_json(folder, CONFIG_FILE, _PoolingConfig)
    if config.include_prompt is False:
        raise UnsupportedModelError(f"{path}: leaves the prompt out of pooling, which is not supported")
    stated = config.pooling_mode
    if stated is None:
        return [mode for key, mode in POOLING_KEYS.items() if getattr(config, key)] or ["mean"]
    modes = [stated] if isinstance(stated, str) else stated
    unknown = [mode for mode in modes if mode not in POOLING_KEYS.values()]
    if unknown or not modes:
        raise UnsupportedModelError(f"{path}: pools by {modes}; supported are {list(POOLING_KEYS.values())}")
    return modes


def _length(folder: Path, config: _Config, tokenizer: _TokenizerConfig, asked: int | None) -> int:
    """The most tokens read of a text: by sentence-transformers' configuration, else the tokenizer's, at most the model's."""
    positions = config.max_position_embeddings or config.n_positions or NO_LENGTH
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        # Their positions start behind the padding token's id.
        if config.pad_token_id is None:
            raise CheckpointError(f"{folder / CONFIG_FILE}: has no pad_token_id, which {config.model_type} needs")
        positions -= config.pad_token_id + 1
    stated = _transformer(folder).max_seq_length or tokenizer.model_max_length or NO_LENGTH
    length = min(stated, positions, NO_LENGTH)
    if length == NO_LENGTH and not asked:
        raise CheckpointError(f"{folder}: says nothing of its maximum length; set max_tokens")
    if not length >= LEAST_LENGTH:  # also if it is NaN
        raise CheckpointError(f"{folder}: reads only {length} tokens of a text; at least {LEAST_LENGTH} are needed")
    if asked and asked > length:
        raise CheckpointError(f"max_tokens: {asked} is not allowed: the model reads at most {length} tokens")
    return asked or int(length)


def _card_prompts(model_id: str) -> dict[str, str]:
    return next((dict(prompts) for pattern, prompts in CARD_PROMPTS if re.search(pattern, model_id)), {})
