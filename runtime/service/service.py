"""The service: texts or token ids in, vectors out, by a request's options.

A request takes two steps, so that a refused one costs no inference: :meth:`Service.encode` applies prompts, limits and the
handling of long texts (:meth:`Service.encode_pairs` for a classifier or reranker); :meth:`Service.embed`,
:meth:`Service.token_vectors`, :meth:`Service.scores` or :meth:`Service.sparse` compute. A ``deadline`` is the time by
``perf_counter``, in seconds, when the request has to be answered. How many inputs a request has, ``Limits.check_count`` checks
before, because a route knows the name of its field.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..engine.heads.pooling import normalize
from ..engine.manifest import Manifest
from . import windows
from .activations import ACTIVATIONS
from .characters import fitting
from .deadline import Item, Result, in_time, map_in_time
from .errors import EmptyInput, InvalidInput, NotTokenizable, UnknownPromptError
from .limits import Limits
from .options import Direction, EmbedOptions, Encoded, EncodeOptions, LongTexts, ServiceConfig, Usage
from .pairs import shorten_pair

if TYPE_CHECKING:  # to describe the API needs no onnxruntime
    from ..engine.engine import Engine

LONE_SURROGATE = "a text holds half of a surrogate pair, which is not valid Unicode"


class Service(msgspec.Struct, frozen=True, eq=False):
    """A loaded model and how it is served. Immutable, so that one request cannot change the next.

    Raises:
        UnknownPromptError: the default prompt is not one of the model's.
    """

    engine: "Engine"
    config: ServiceConfig = ServiceConfig()

    def __post_init__(self) -> None:
        if self.default_prompt and self.default_prompt not in self.manifest.prompts:
            names = ", ".join(self.manifest.prompts) or "none"
            raise UnknownPromptError(f"{self.default_prompt!r} is not a prompt of the model; its prompts: {names}")

    @property
    def manifest(self) -> Manifest:
        """The model's manifest."""
        return self.engine.manifest

    @property
    def limits(self) -> Limits:
        """The limits of a request."""
        return self.config.limits

    @property
    def default_prompt(self) -> str | None:
        """Name of the prompt for requests that name none."""
        return self.config.default_prompt or self.manifest.default_prompt

    def encode(
        self, inputs: Sequence[str | list[int]], options: EncodeOptions, deadline: float = float("inf")
    ) -> Encoded:
        """Turn inputs (texts, or token ids with their special tokens) into the tokens that the model reads.

        Raises:
            EmptyInput, InvalidInput, NotTokenizable: an input or option is not allowed.
            OutOfTime: the inputs would not be encoded before the deadline.
        """
        start = perf_counter()
        prompt = self.prompt(options.prompt_name)
        encoded, tokens, truncated = [], 0, 0
        for value in in_time(inputs, deadline, "texts were tokenized"):
            parts, cut = self._windows(value, prompt, options)
            encoded.append(parts)
            truncated += cut
            tokens += sum(map(len, parts))
            self.limits.check_tokens(tokens, len(encoded), len(inputs))
        return Encoded(encoded, tokens, sum(map(len, inputs)), truncated, perf_counter() - start)

    def encode_pairs(
        self, inputs: Sequence[str | tuple[str, str]], options: EncodeOptions, deadline: float = float("inf")
    ) -> Encoded:
        """Turn texts and pairs of texts into the tokens that a classifier or reranker reads. Of a pair that is too long, the longer
        text is cut first.

        Raises:
            EmptyInput, InvalidInput, NotTokenizable: an input or option is not allowed, or the tokenizer knows no pairs.
            OutOfTime: the inputs would not be encoded before the deadline.
        """
        start = perf_counter()
        # All pairs of a reranker have the same first text.
        read_first = lru_cache(maxsize=1)(lambda text: self._read(text, options))
        encoded, types, tokens, characters, truncated = [], [], 0, 0, 0
        for value in in_time(inputs, deadline, "texts were tokenized"):
            if isinstance(value, str):
                [ids], cut = self._windows(value, "", options)
                own = [0] * len(ids)
                characters += len(value)
            else:
                ids, own, cut = self._pair(*value, read_first, options)
                characters += sum(map(len, value))
            encoded.append([ids])
            types.append(own)
            truncated += cut
            tokens += len(ids)
            self.limits.check_tokens(tokens, len(encoded), len(inputs))
        return Encoded(encoded, tokens, characters, truncated, perf_counter() - start, types)

    def embed(
        self, encoded: Encoded, options: EmbedOptions, deadline: float = float("inf")
    ) -> tuple[np.ndarray, Usage]:
        """Vectors of the encoded inputs: float32 [inputs, dimensions], or quantized to ``options.precision``.

        Raises:
            OutOfTime: the vectors would not be done before the deadline.
        """
        start = perf_counter()
        computed = iter(self._compute(lambda engine, window: engine.embed(window, False), encoded, deadline))
        pooled = [windows.mean(list(islice(computed, len(each))), each) for each in encoded.windows]
        vectors = np.stack(pooled)[:, : options.dimensions]
        vectors = normalize(vectors) if options.normalize else np.ascontiguousarray(vectors)
        if options.precision != "float32":
            from .quantization import quantize

            vectors = quantize(vectors, options.precision)
        return vectors, _usage(encoded, perf_counter() - start)

    def token_vectors(self, encoded: Encoded, deadline: float = float("inf")) -> tuple[list[np.ndarray], Usage]:
        """For each encoded input the vectors of its tokens, float32 [tokens, hidden], special tokens included.

        Raises:
            OutOfTime: the vectors would not be done before the deadline.
        """
        start = perf_counter()
        vectors = self._compute(lambda engine, window: engine.token_vectors(window), encoded, deadline)
        return vectors, _usage(encoded, perf_counter() - start)

    def scores(self, encoded: Encoded, raw_scores: bool, deadline: float = float("inf")) -> tuple[np.ndarray, Usage]:
        """Scores of the encoded inputs, float32 [inputs, labels]: logits if ``raw_scores``, else by the manifest's ``activation``.

        Raises:
            OutOfTime: the scores would not be done before the deadline.
        """
        start = perf_counter()
        inputs = [(ids, own) for [ids], own in zip(encoded.windows, encoded.types, strict=True)]
        lengths = [len(ids) for ids, _ in inputs]
        logits = self._map(lambda engine, each: engine.scores(*each), inputs, lengths, deadline, "texts were scored")
        activate = ACTIVATIONS["identity" if raw_scores else self.manifest.activation]
        return np.stack([activate(each) for each in logits]), _usage(encoded, perf_counter() - start)

    def sparse(
        self, encoded: Encoded, deadline: float = float("inf")
    ) -> tuple[list[tuple[np.ndarray, np.ndarray]], Usage]:
        """For each encoded input the words that have a weight, int64 [words] in ascending order, and their weights, float32 [words].

        Raises:
            OutOfTime: the weights would not be done before the deadline.
        """
        start = perf_counter()
        results = self._compute(lambda engine, ids: _present(engine.sparse(ids)), encoded, deadline)
        return results, _usage(encoded, perf_counter() - start)

    def tokenize(
        self, texts: Sequence[str], prompt_name: str | None, add_special_tokens: bool, deadline: float = float("inf")
    ) -> Iterator[tuple]:
        """Each text, with its prompt before it, and its tokens with their offsets in characters, a ``tokenizers.Encoding``.

        Raises:
            EmptyInput, InvalidInput, NotTokenizable: a text is empty, too long or not valid Unicode, or an option not allowed.
            OutOfTime: the texts would not be tokenized before the deadline.
        """
        prompt, tokens = self.prompt(prompt_name), 0
        for count, text in enumerate(in_time(texts, deadline, "texts were tokenized"), start=1):
            if not text:
                raise EmptyInput("`inputs` cannot be empty", param="inputs")
            text = prompt + self._limited(text, "error", "right")
            try:
                encoding = self.engine.reference_tokenizer.encode(text, add_special_tokens=add_special_tokens)
            except UnicodeEncodeError:
                raise NotTokenizable(LONE_SURROGATE, param="inputs") from None
            tokens += len(encoding)
            self.limits.check_tokens(tokens, count, len(texts))
            yield text, encoding

    def decode(
        self, batch: Sequence[list[int]], skip_special_tokens: bool, deadline: float = float("inf")
    ) -> list[str]:
        """The texts of token ids.

        Raises:
            EmptyInput, InvalidInput: one of the lists is empty, or all together are too long.
            OutOfTime: the texts would not be done before the deadline.
        """
        if not all(batch):
            raise EmptyInput("`input_ids` cannot be empty", param="ids")
        self.limits.check_tokens(sum(map(len, batch)), len(batch), len(batch), "ids")
        decode = self.engine.reference_tokenizer.decode
        return [
            decode(ids, skip_special_tokens=skip_special_tokens)
            for ids in in_time(batch, deadline, "texts were decoded", "ids")
        ]

    def check_options(self, options: EmbedOptions) -> int:
        """The length of the vectors that ``options`` ask for.

        Raises:
            InvalidInput: the model has fewer dimensions, was trained for others (as vLLM refuses), or the precision needs unit vectors.
        """
        if options.precision.endswith("int8") and not options.normalize:
            raise InvalidInput(f"`precision` {options.precision} needs `normalize`", param="precision")
        if options.dimensions is None:
            return self.manifest.dimensions
        if not 1 <= options.dimensions <= self.manifest.dimensions:
            raise InvalidInput(
                f"`dimensions` should be positive and at most {self.manifest.dimensions}. Given: {options.dimensions}",
                param="dimensions",
            )
        trained = self.manifest.matryoshka_dimensions
        if trained and options.dimensions not in (*trained, self.manifest.dimensions):
            names = ", ".join(map(str, trained))
            raise InvalidInput(
                f"`dimensions` should be one of those that the model was trained for: {names}. Given: {options.dimensions}",
                param="dimensions",
            )
        return options.dimensions

    def prompt(self, name: str | None) -> str:
        """The text of the prompt ``name``: of the default prompt for None, empty for the empty name.

        Raises:
            InvalidInput: the model has no such prompt.
        """
        if name is None:
            name = self.default_prompt
        if not name:
            return ""
        if name not in self.manifest.prompts:
            available = ", ".join(f"`{known}`" for known in self.manifest.prompts) or "none"
            raise InvalidInput(
                f"`{name}` was not found in the prompts of the model. Available prompts: {available}",
                param="prompt_name",
            )
        return self.manifest.prompts[name]

    def _windows(self, value: str | list[int], prompt: str, options: EncodeOptions) -> tuple[list[list[int]], bool]:
        """The token sequences that the model reads for one input, several only for a long text that is windowed; and whether
        the input was cut off."""
        if not value:
            raise EmptyInput("`inputs` cannot be empty", param="inputs")
        if prompt and not isinstance(value, str):
            # A prompt cannot be put before ids, so they are decoded first, as in TEI.
            value = self.engine.reference_tokenizer.decode(self._known(value), skip_special_tokens=True)
        mode, max_tokens = options.long_texts or self.config.long_texts, self.manifest.max_tokens
        text_room = max_tokens - self.engine.num_special_tokens
        cut = False
        if isinstance(value, str):
            # The prompt is not counted: it is the model's own and short, and TEI does not count it either.
            text = self._limited(value, mode, options.truncation_direction)
            cut = len(text) < len(value)
            content, frame = self._tokenize(prompt + text), self.engine.with_special_tokens
            room = text_room
        else:
            content, frame, room = self._known(value), list, max_tokens
        if len(content) <= room:
            ids = frame(content)
            if not ids:  # as of white space, where a tokenizer drops it and puts nothing around a text
                raise EmptyInput("`inputs` has a text without tokens", param="inputs")
            return [ids], cut
        if mode == "truncate":
            return [frame(_cut(content, room, options.truncation_direction))], True
        if mode == "window":
            parts = windows.split(
                content,
                self._tokenize(prompt),
                room,
                windows.choose_overlap(options.window_overlap, text_room),
                model_tokens=max_tokens,
                limits=self.limits,
            )
            return [frame(part) for part in parts], False
        raise _too_long(max_tokens, len(content) + max_tokens - room)

    def _pair(
        self, first: str, second: str, read_first: Callable[[str], tuple[list[int], bool]], options: EncodeOptions
    ) -> tuple[list[int], list[int], bool]:
        """Ids of a pair, their types, and whether one of the texts was cut off. ``read_first``: :meth:`_read` for the first text."""
        if not first and not second:  # one may be empty, as in TEI
            raise EmptyInput("`inputs` cannot be empty", param="inputs")
        tokenizer = self.engine.tokenizer
        if tokenizer.info.pair is None:
            raise InvalidInput("the model's tokenizer knows no pairs of texts", param="inputs")
        mode, max_tokens = options.long_texts or self.config.long_texts, self.manifest.max_tokens
        (first_ids, first_cut), (second_ids, second_cut) = read_first(first), self._read(second, options)
        lengths = len(first_ids), len(second_ids)
        kept = shorten_pair(*lengths, max_tokens - tokenizer.num_special_tokens_of_pair)
        cut = first_cut or second_cut or kept != lengths
        if cut and mode != "truncate":
            raise _too_long(max_tokens, sum(lengths) + tokenizer.num_special_tokens_of_pair)
        parts = (
            _cut(ids, count, options.truncation_direction)
            for ids, count in zip((first_ids, second_ids), kept, strict=True)
        )
        return *tokenizer.pair(*parts), cut

    def _read(self, text: str, options: EncodeOptions) -> tuple[list[int], bool]:
        """Ids of a text of a pair, and whether its characters were cut off before it was tokenized."""
        limited = self._limited(text, options.long_texts or self.config.long_texts, options.truncation_direction)
        return self._tokenize(limited), len(limited) < len(text)

    def _limited(self, text: str, mode: LongTexts, direction: Direction) -> str:
        """``text``, cut to the characters that may be tokenized if it would be truncated anyway."""
        limit = self.limits.characters(self.manifest.max_tokens, mode == "window")
        if mode == "truncate":
            if direction == "right":
                return text[: fitting(text, limit)]
            return text[len(text) - fitting(text[::-1], limit) :]
        if fitting(text, limit) == len(text):
            return text
        given = f"{len(text)}" if len(text) > limit else f"{len(text)}, which Unicode decomposes to more than {limit}"
        raise InvalidInput(f"`inputs` must have less than {limit} characters. Given: {given}", param="inputs")

    def _compute(
        self, compute: Callable[["Engine", list[int]], Result], encoded: Encoded, deadline: float
    ) -> list[Result]:
        """The results of ``compute`` for the windows of all inputs, in their order."""
        flat = [window for each in encoded.windows for window in each]
        unit = "texts" if len(flat) == len(encoded.windows) else "windows of the texts"
        return self._map(compute, flat, list(map(len, flat)), deadline, f"{unit} were embedded")

    def _map(
        self,
        compute: Callable[["Engine", Item], Result],
        items: Sequence[Item],
        lengths: Sequence[int],
        deadline: float,
        done: str,
    ) -> list[Result]:
        """The results of ``compute`` for all ``items``: an item alone has all of the engine's threads, several have one each."""

        def one(item: Item, alone: bool) -> Result:
            return compute(self.engine if alone else self.engine.of_one_thread, item)

        return map_in_time(one, items, lengths, self.engine.texts_at_a_time, deadline, done)

    def _tokenize(self, text: str) -> list[int]:
        try:
            return self.engine.tokenize(text)
        except UnicodeEncodeError:
            raise NotTokenizable(LONE_SURROGATE, param="inputs") from None

    def _known(self, ids: list[int]) -> list[int]:
        if not self.engine.tokenizer.is_vocabulary(ids):
            raise NotTokenizable("a token id is not in the model's vocabulary", param="inputs")
        return ids


def _cut(ids: list[int], count: int, direction: Direction) -> list[int]:
    """The ``count`` ids that stay when ``ids`` are cut off on the side ``direction``."""
    return ids[:count] if direction == "right" else ids[len(ids) - count :]


def _too_long(max_tokens: int, given: int) -> InvalidInput:
    return InvalidInput(f"`inputs` must have less than {max_tokens} tokens. Given: {given}", param="inputs")


def _present(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words that have a weight, and their weights."""
    words = np.flatnonzero(weights)
    return words, weights[words]


def _usage(encoded: Encoded, inference_seconds: float) -> Usage:
    return Usage(
        texts=len(encoded.windows),
        tokens=encoded.tokens,
        characters=encoded.characters,
        truncated=encoded.truncated,
        windowed=sum(len(each) > 1 for each in encoded.windows),
        tokenization_seconds=encoded.seconds,
        inference_seconds=inference_seconds,
    )
