"""The artifact's tokenizer: the checkpoint's own, and kitoken's faster form of it if both give the same ids."""

from pathlib import Path

from runtime.engine.manifest import TokenizerInfo
from runtime.engine.tokenizer import KITOKEN_FILE, TOKENIZERS_FILE, Tokenizer

from .checkpoint import Checkpoint
from .errors import CheckpointError
from .progress import say
from .texts import ODD_TEXTS, TEXTS


def export_tokenizer(checkpoint: Checkpoint, folder: Path) -> TokenizerInfo:
    """Write the tokenizer's files into ``folder``.

    Raises:
        CheckpointError: the checkpoint has no tokenizer that transformers can load as a fast one.
    """
    from transformers import AutoTokenizer

    try:
        original = AutoTokenizer.from_pretrained(checkpoint.folder, use_fast=True, trust_remote_code=False)
        backend = original.backend_tokenizer
    except Exception as error:  # transformers raises whatever its parts raise
        raise CheckpointError(f"{checkpoint.folder}: its tokenizer cannot be loaded ({error})") from error
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(folder / TOKENIZERS_FILE))
    prefix, suffix = _around(backend)
    info = TokenizerInfo(
        kind="tokenizers",
        prefix=prefix,
        suffix=suffix,
        special_tokens=sorted(token.content for token in backend.get_added_tokens_decoder().values()),
        blank=None,
    )
    return _with_kitoken(folder, info) or info


def _around(backend) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a text.

    Raises:
        CheckpointError: it changes the text's own tokens when it adds special ones.
    """
    plain = backend.encode("text", add_special_tokens=False).ids
    whole = backend.encode("text", add_special_tokens=True).ids
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise CheckpointError("the tokenizer changes a text's own tokens when it adds special ones")


def _with_kitoken(folder: Path, info: TokenizerInfo) -> TokenizerInfo | None:
    """Write kitoken's file and return its description; None if its ids differ from those of ``tokenizers`` on any text."""
    from kitoken import Kitoken

    try:
        kitoken = Kitoken.from_tokenizers_file(str(folder / TOKENIZERS_FILE))
    except Exception as error:  # kitoken raises plain exceptions for what it cannot represent
        say(f"  kitoken cannot read this tokenizer ({error}); tokenizers is shipped, which loads more slowly")
        return None
    kitoken.to_file(str(folder / KITOKEN_FILE))
    blank = kitoken.encode(" ", False)
    candidate = TokenizerInfo(
        kind="kitoken",
        prefix=info.prefix,
        suffix=info.suffix,
        special_tokens=info.special_tokens,
        blank=blank[0] if blank else None,
    )
    reference, fast = Tokenizer(folder, info), Tokenizer(folder, candidate)
    for text in TEXTS + ODD_TEXTS:
        if reference.encode(text) != fast.encode(text):
            say(f"  kitoken encodes {text[:40]!r} differently; tokenizers is shipped, which loads more slowly")
            (folder / KITOKEN_FILE).unlink()
            return None
    return candidate
