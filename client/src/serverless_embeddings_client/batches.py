"""Which texts go together in a request. The endpoint embeds one text after the other, so a batch only saves overhead: it is as
large as this takes, and no larger, so that several requests share the work and none takes long."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

LongTexts = Literal["truncate", "window", "error"]
"""What happens to a text that is longer than the model reads."""
BATCH_TEXTS = 256
BATCH_TOKENS = 8192
"""Half a second to two seconds of work on Lambda's CPUs."""
BATCH_BYTES = 4 << 20
"""Lambda takes 6 MiB, and an event escapes quotes and line breaks."""
BYTES_PER_TOKEN = 4
"""Of UTF-8, about; a little less in English, a little more in Chinese. A batch that turns out too large is split."""
FRAME_TOKENS = 8
"""A prompt and special tokens, about."""


class Limits(NamedTuple):
    """What a request may hold."""

    texts: int
    tokens: int
    text_tokens: int | None
    """Tokens that are read of a text; None if all are, in windows."""

    @classmethod
    def from_info(cls, info: Mapping[str, Any], long_texts: LongTexts | None) -> "Limits":
        """The limits that ``/info`` tells, with the request's option ``long_texts``."""
        windows = (long_texts or info["long_texts"]) == "window"
        return cls(
            texts=min(BATCH_TEXTS, info["max_client_batch_size"]),
            tokens=min(BATCH_TOKENS, info["max_batch_tokens"]),
            text_tokens=None if windows else info["max_input_length"],
        )


def split(texts: Iterable[str], limits: Limits) -> Iterator[slice]:
    """The batches, one after the other; a text that exceeds the limits by itself is a batch of one."""
    start = end = tokens = size = 0
    for text in texts:
        length = len(text.encode(errors="surrogatepass"))
        estimate = FRAME_TOKENS + length // BYTES_PER_TOKEN
        if limits.text_tokens is not None:
            estimate = min(estimate, limits.text_tokens)
        full = end - start >= limits.texts or tokens + estimate > limits.tokens or size + length > BATCH_BYTES
        if full and end > start:
            yield slice(start, end)
            start, tokens, size = end, 0, 0
        end, tokens, size = end + 1, tokens + estimate, size + length
    if end > start:
        yield slice(start, end)
