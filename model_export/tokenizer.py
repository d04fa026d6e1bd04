"""The artifact's tokenizer: the checkpoint's own, and kitoken's faster form of it if both give the same ids."""

import json
from pathlib import Path
from typing import Any

import msgspec

from runtime.engine.manifest import PairInfo, TokenizerInfo
from runtime.engine.tokenizer import KITOKEN_FILE, TOKENIZERS_FILE, Tokenizer

from .checkpoint import CONFIG_FILE, read_json
from .differences import IncompatibleError, find_differences
from .errors import CheckpointError, UnsupportedModelError
from .progress import say, step
from .random_texts import random_texts
from .texts import LONG_TEXTS, ODD_TEXTS, TEXTS

RANDOM_TEXTS = 4000
"""Random texts to compare the two libraries on, besides the fixed ones."""


def export_tokenizer(source: Path, folder: Path, task: str = "embed") -> TokenizerInfo:
    """Write the files of the tokenizer in the checkpoint's folder ``source``, whose model has this ``task``, into ``folder``.

    Raises:
        CheckpointError: the checkpoint has no tokenizer that transformers can load as a fast one, or it cannot encode a text.
        UnsupportedModelError: it keeps the end of a long text, a reranker's puts nothing between two texts, or its ids go beyond the
            model's table of embeddings.
    """
    try:
        backend = _load(source)
        backend.no_truncation()
        backend.no_padding()
        backend = _embedded_only(backend, source)
        prefix, suffix = _around(backend)
        pair = _around_pair(backend)
        for text in (*TEXTS, *ODD_TEXTS):
            backend.encode(text)
    except (KeyboardInterrupt, SystemExit, UnsupportedModelError):
        raise
    except (
        BaseException
    ) as error:  # transformers raises whatever its parts raise, and a panic in tokenizers is no Exception
        raise CheckpointError(f"{source}: its tokenizer cannot be loaded or used ({error})") from error
    if task == "rerank" and pair is None:
        raise UnsupportedModelError(
            f"{source}: is a reranker whose tokenizer puts nothing around and between the two texts of a pair; what its model reads is "
            "made by code of its own, which is not run"
        )
    backend.save(str(folder / TOKENIZERS_FILE))
    info = TokenizerInfo(
        kind="tokenizers",
        prefix=prefix,
        suffix=suffix,
        pair=pair,
        special_tokens=sorted(token.content for token in backend.get_added_tokens_decoder().values()),
        blank=None,
        differences=None,
    )
    try:
        return _with_kitoken(folder, info)
    except IncompatibleError as error:
        say(f"  kitoken {error}; tokenizers is shipped, which loads more slowly")
        (folder / KITOKEN_FILE).unlink(missing_ok=True)
        return info


def _load(source: Path):
    """The checkpoint's ``tokenizers.Tokenizer``: transformers' fast one, or the bare file of a static model.

    Raises:
        UnsupportedModelError: it keeps the end of a long text; the runtime keeps the beginning.
    """
    if not (source / CONFIG_FILE).exists():
        from tokenizers import Tokenizer as HuggingFaceTokenizer

        backend = HuggingFaceTokenizer.from_file(str(source / TOKENIZERS_FILE))
        side = (backend.truncation or {"direction": "right"})["direction"]
    else:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False)
        backend, side = tokenizer.backend_tokenizer, tokenizer.truncation_side
    if side != "right":
        raise UnsupportedModelError(
            f"{source}: its tokenizer cuts long texts off at the {side} (truncation_side); only right is supported"
        )
    return backend


def _embedded_only(backend, source: Path):
    """``backend`` without the added tokens that the model in ``source`` has no embedding for, such as EmbeddingGemma's for images: the
    model fails at them, and without them they are words as any other.

    Raises:
        UnsupportedModelError: other tokens have none either.
    """
    size = read_json(source, CONFIG_FILE, dict[str, Any], {}).get("vocab_size")
    if not isinstance(size, int) or max(backend.get_vocab().values()) < size:
        return backend
    content = json.loads(backend.to_str())
    added = [token["content"] for token in content["added_tokens"] if token["id"] >= size]
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < size]
    kept = type(backend).from_str(json.dumps(content))
    largest = max([*kept.get_vocab().values(), *kept.encode("text").ids, *kept.encode("text", "other").ids])
    if largest >= size:
        raise UnsupportedModelError(
            f"{source}: its tokenizer gives ids up to {largest}, and its model has embeddings for {size} only"
        )
    say(f"  tokens that the model has no embedding for are left out: {', '.join(map(repr, added[:5]))}")
    return kept


def _around(backend) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a text.

    Raises:
        ValueError: it changes the text's own tokens when it adds special ones.
    """
    plain = backend.encode("text", add_special_tokens=False).ids
    whole = backend.encode("text", add_special_tokens=True).ids
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise ValueError("it changes a text's own tokens when it adds special ones")


def _around_pair(backend) -> PairInfo | None:
    """The ids that the tokenizer puts around two texts that are read together; None if it puts none between or around them."""
    first, second = (backend.encode(text, add_special_tokens=False).ids for text in ("text", "other"))
    whole = backend.encode("text", "other", add_special_tokens=True)
    for start in range(len(whole.ids)):
        for middle in range(start + len(first), len(whole.ids) - len(second) + 1):
            if whole.ids[start : start + len(first)] == first and whole.ids[middle : middle + len(second)] == second:
                end = middle + len(second)
                pair = PairInfo(
                    prefix=whole.ids[:start],
                    middle=whole.ids[start + len(first) : middle],
                    suffix=whole.ids[end:],
                    second_type=whole.type_ids[middle],
                )
                return pair if pair.prefix or pair.middle or pair.suffix else None
    return None


def _with_kitoken(folder: Path, info: TokenizerInfo) -> TokenizerInfo:
    """Write kitoken's file and return its description.

    Raises:
        IncompatibleError: its ids would differ from those of ``tokenizers``.
    """
    from kitoken import Kitoken

    reference = Tokenizer(folder, info)
    definition = (folder / TOKENIZERS_FILE).read_bytes()
    try:
        kitoken = Kitoken.from_tokenizers(definition)
    except Exception as error:  # kitoken raises plain exceptions for options that it cannot represent
        raise IncompatibleError(f"cannot read this tokenizer ({error})") from error
    with step("comparing kitoken with tokenizers"):
        differences = find_differences(json.loads(definition), reference.reference, kitoken)
        kitoken.to_file(str(folder / KITOKEN_FILE))
        blank = kitoken.encode(" ", False)
        if reference.encode(" "):
            blank = []
        candidate = msgspec.structs.replace(
            info, kind="kitoken", blank=blank[0] if blank else None, differences=differences
        )
        fast = Tokenizer(folder, candidate)
        left = sum(fast.encode_fast(text) is None for text in TEXTS)
        if left > len(TEXTS) // 2:
            raise IncompatibleError(f"would leave {left} of {len(TEXTS)} plain texts to tokenizers")
        for text in (*TEXTS, *ODD_TEXTS, *LONG_TEXTS, *random_texts(reference.reference, RANDOM_TEXTS, seed=1)):
            if fast.encode(text) != reference.encode(text):
                raise IncompatibleError(f"encodes {text[:40]!r} differently")
    return candidate
