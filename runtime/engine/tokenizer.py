"""Token ids of texts, equal to those of the checkpoint's tokenizer.

kitoken loads ten times as fast as ``tokenizers``. Its ids differ for two kinds of text: for one that contains a special token,
``tokenizers`` is used; one of white space only has no tokens.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from .manifest import TokenizerInfo

KITOKEN_FILE = "tokenizer.kit"
TOKENIZERS_FILE = "tokenizer.json"


class Tokenizer:
    """The tokenizer of an artifact."""

    def __init__(self, folder: Path, info: TokenizerInfo) -> None:
        self.info = info
        self._folder = folder
        self._kitoken = None
        if info.kind == "kitoken":
            from kitoken import Kitoken

            self._kitoken = Kitoken.from_file(str(folder / KITOKEN_FILE))

    @cached_property
    def reference(self):
        """The checkpoint's tokenizer (``tokenizers.Tokenizer``), slow to load: for offsets, decoding and rare texts."""
        from tokenizers import Tokenizer as HuggingFaceTokenizer

        tokenizer = HuggingFaceTokenizer.from_file(str(self._folder / TOKENIZERS_FILE))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, without the special tokens around it."""
        if self._kitoken is None or any(token in text for token in self.info.special_tokens):
            return self.reference.encode(text, add_special_tokens=False).ids
        ids = self._kitoken.encode(text, False)
        return [] if ids == [self.info.blank] else ids

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """``ids`` between the special tokens that the model expects around a text."""
        return [*self.info.prefix, *ids, *self.info.suffix]

    def is_vocabulary(self, ids: Sequence[int]) -> bool:
        """Whether all of ``ids`` are tokens. Uses kitoken if it is loaded."""
        if self._kitoken is None:
            return max(ids, default=0) < self.reference.get_vocab_size()
        try:
            self._kitoken.decode(list(ids))
        except ValueError:  # "invalid token 250010"
            return False
        return True

    @property
    def num_special_tokens(self) -> int:
        """How many tokens :meth:`with_special_tokens` adds."""
        return len(self.info.prefix) + len(self.info.suffix)
