"""Token ids of texts, equal to those of the checkpoint's tokenizer.

kitoken loads ten times as fast as ``tokenizers`` and returns the same ids for almost all texts. The others are recognised and
encoded by ``tokenizers``:

- texts that contain a special token;
- texts with a character that the two libraries handle differently, most of them unassigned (``Differences.characters``);
- texts whose ids contain a token or a pair of tokens for which the libraries may disagree (``Differences.tokens``, ``.pairs``);
- texts with a long run of white space, where kitoken's expression for words looks ahead (``Differences.spaces``);
- long texts of WordPiece, for which kitoken takes time with the square of the length (``Differences.longest``).

``model_export.differences`` explains why these are enough, and the one case that is not recognised: a string repeated three times
without a space that has two segmentations of equal score. A text of white space only has no tokens.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

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
            self._characters = np.array(info.differences.characters, np.uint32)
            self._tokens = frozenset(info.differences.tokens)
            self._pairs = frozenset(info.differences.pairs)
            spaces = info.differences.spaces
            self._longest = info.differences.longest
            # Looking behind, the search tries each run of white space once.
            self._long_space = re.compile(rf"(?<!\s)\s{{{spaces + 1}}}") if spaces else None

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
        ids = self.encode_fast(text)
        return self.reference.encode(text, add_special_tokens=False).ids if ids is None else ids

    def encode_fast(self, text: str) -> list[int] | None:
        """As :meth:`encode`, by kitoken; None where its ids may differ from those of ``tokenizers``."""
        if self._kitoken is None or self._needs_reference(text):
            return None
        ids = self._kitoken.encode(text, False)
        if ids == [self.info.blank]:
            return []
        return ids if self._tokens.isdisjoint(ids) and self._pairs.isdisjoint(pairwise(ids)) else None

    def _needs_reference(self, text: str) -> bool:
        """True if ``text`` is too long, or has a special token, a character that kitoken may handle differently, or too much white
        space."""
        if self._longest and len(text) > self._longest:
            return True
        if any(token in text for token in self.info.special_tokens):
            return True
        if self._long_space and self._long_space.search(text):
            return True
        if text.isascii():
            return False
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        # Behind an odd number of bounds is inside a range.
        return bool((np.searchsorted(self._characters, codes, side="right") & 1).any())

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """``ids`` between the special tokens that the model expects around a text."""
        return [*self.info.prefix, *ids, *self.info.suffix]

    def pair(self, first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
        """Ids of two texts, between the special tokens that the model expects around a pair; and the type of each token."""
        around = self.info.pair
        before = [*around.prefix, *first, *around.middle]
        behind = [*second, *around.suffix]
        return before + behind, [0] * len(before) + [around.second_type] * len(behind)

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

    @property
    def num_special_tokens_of_pair(self) -> int:
        """How many tokens :meth:`pair` adds."""
        around = self.info.pair
        return len(around.prefix) + len(around.middle) + len(around.suffix)
