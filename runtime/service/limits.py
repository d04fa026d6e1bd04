"""The limits of a request, checked before anything is computed."""

import msgspec

from .errors import InvalidInput, NoInputs, TooManyInputs


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a request may hold.

    The limits on characters exist because some megabytes of text would take gigabytes of memory to tokenize. Characters are
    counted as ``runtime.service.characters`` does.
    """

    max_texts: int = 2048
    """Texts of a request."""
    max_tokens: int = 131_072
    """Tokens of a request, special tokens and prompts included."""
    characters_per_token: int = 250
    """A text may have this many characters for each token that the model reads (TEI's limit) ..."""
    characters_per_windowed_token: int = 6
    """... and one that is read in windows this many for each of ``max_tokens``. Real text has 3 to 5."""
    max_characters: int = 786_432
    """No text may have more. ``tokenizers`` takes up to 0.6 KB and 2 µs for a character, so the memory and time for a text are
    bounded before it is encoded: a text without white space has no place where it could be cut with the same tokens."""

    def check_count(self, count: int, name: str = "inputs") -> None:
        """Check how many texts the field ``name`` of a request has.

        Raises:
            NoInputs, TooManyInputs: it has none, or more than ``max_texts``.
        """
        if count == 0:
            raise NoInputs(f"`{name}` cannot be empty", param=name)
        if count > self.max_texts:
            raise TooManyInputs(f"batch size {count} > maximum allowed batch size {self.max_texts}", param=name)

    def check_tokens(self, tokens: int, texts: int, all_texts: int, name: str = "inputs") -> None:
        """Check that the first ``texts`` of the ``all_texts`` texts in the field ``name`` of a request have at most ``max_tokens`` tokens.

        Raises:
            InvalidInput: they have more.
        """
        if tokens > self.max_tokens:
            raise InvalidInput(
                f"`{name}` have more than the {self.max_tokens} tokens that a request may have: "
                f"{texts} of {all_texts} texts have {tokens}; send less in one request",
                param=name,
            )

    def characters(self, model_tokens: int, windowed: bool) -> int:
        """Most characters of a text for a model that reads ``model_tokens`` tokens."""
        limit = self.characters_per_token * model_tokens
        if windowed:
            limit = max(limit, self.characters_per_windowed_token * self.max_tokens)
        return min(limit, self.max_characters)
