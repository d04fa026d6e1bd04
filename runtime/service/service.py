"""The service: texts or token ids in, vectors out, as a request's options say. It knows nothing of HTTP.

A request is answered in two steps, so that one which is refused costs no inference: :meth:`Service.encode` applies prompts,
limits and the handling of long texts, :meth:`Service.embed` or :meth:`Service.token_vectors` compute.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ..engine.heads.pooling import normalize
from ..http.metrics import Metrics
from ..settings import LongTexts, Settings, SettingsError
from .errors import EmptyInput, InvalidInput, NoInputs, NotTokenizable, OutOfTime, TooManyInputs
from .options import Direction, EmbedOptions, Encoded, EncodeOptions, Usage

if TYPE_CHECKING:
    from ..engine.engine import Engine

MAX_CHARACTERS_PER_TOKEN = 250
"""A text with more than this times the tokens that the model reads is too long, whatever its tokens are (TEI's limit): some
megabytes of text would otherwise take some gigabytes to tokenize."""
MAX_CHARACTERS_PER_WINDOWED_TOKEN = 16
"""The same for a text that is read in windows, by the tokens that a request may have. Text has 3 to 5."""
WINDOW_OVERLAP = 64
"""Tokens that neighbouring windows share by default, where they are long enough."""
ANSWER_SECONDS = 0.5
"""Time that is left for the answer when the last vector is computed: 6 MB of JSON, compressed, took 0.2 s."""
HALF_A_PAIR = "a text holds half of a surrogate pair, which is not valid Unicode"


class Service:
    """One loaded model with the settings that it is served with.

    Raises:
        SettingsError: the settings do not fit the model.
    """

    def __init__(self, engine: "Engine", settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self.manifest = engine.manifest
        self.metrics = Metrics()
        """What was asked of this service so far."""
        self.deadline = float("inf")
        """When the request at hand has to be answered, by ``perf_counter``. The application sets it for each."""
        self.default_prompt = settings.default_prompt or self.manifest.default_prompt
        if self.default_prompt and self.default_prompt not in self.manifest.prompts:
            names = ", ".join(self.manifest.prompts) or "none"
            raise SettingsError(f"EMBEDDINGS_DEFAULT_PROMPT={self.default_prompt!r} is no prompt of the model: {names}")
        self._room = self.manifest.max_tokens - engine.num_special_tokens
        """Tokens of a text that the model reads besides the special tokens."""
        self.window_overlap = settings.window_overlap
        if self.window_overlap is None:
            self.window_overlap = min(WINDOW_OVERLAP, self._room // 2)
        self._check_overlap(self.window_overlap, SettingsError)

    def encode(self, inputs: Sequence[str | list[int]], options: EncodeOptions) -> Encoded:
        """Turn inputs (texts, or token ids with their special tokens) into what the model reads.

        Raises:
            EmptyInput, InvalidInput, NotTokenizable: nothing was computed.
        """
        start = perf_counter()
        self.check_count(len(inputs))
        prompt = self.prompt(options.prompt_name)
        windows, tokens = [], 0
        for value in inputs:
            windows.append(self._windows(value, prompt, options))
            tokens += sum(map(len, windows[-1]))
            self.check_tokens(tokens, len(windows), len(inputs))
        return Encoded(windows, tokens, sum(map(len, inputs)), perf_counter() - start)

    def embed(self, encoded: Encoded, options: EmbedOptions) -> tuple[np.ndarray, Usage]:
        """Vectors of the encoded inputs: [inputs, dimensions] float32, or as ``options.precision`` says.

        Raises:
            OutOfTime: they would not be done before ``deadline``.
        """
        start = perf_counter()
        computed = self._compute(lambda window: self.engine.embed(window, False), encoded)
        pooled = [_mean(vectors, windows) for vectors, windows in zip(computed, encoded.windows, strict=True)]
        vectors = np.stack(pooled)[:, : options.dimensions]
        vectors = normalize(vectors) if options.normalize else np.ascontiguousarray(vectors)
        if options.precision != "float32":
            from .quantization import quantize

            vectors = quantize(vectors, options.precision)
        return vectors, _usage(encoded, perf_counter() - start)

    def token_vectors(self, encoded: Encoded) -> tuple[list[np.ndarray], Usage]:
        """For each encoded input the vectors of its tokens, float32 [tokens, hidden], special tokens included.

        Raises:
            OutOfTime: they would not be done before ``deadline``.
        """
        start = perf_counter()
        vectors = [windows[0] for windows in self._compute(self.engine.token_vectors, encoded)]
        return vectors, _usage(encoded, perf_counter() - start)

    def _compute(self, compute: Callable[[list[int]], np.ndarray], encoded: Encoded) -> list[list[np.ndarray]]:
        """What ``compute`` makes of each window of each input.

        A request that runs into Lambda's timeout takes the execution environment with it and tells its caller nothing, so the
        next window is begun only if one as slow as the slowest so far would be done in time.
        """
        results, slowest, now = [], 0.0, perf_counter()
        start = now
        for windows in encoded.windows:
            results.append([])
            for window in windows:
                if slowest and now + slowest + ANSWER_SECONDS > self.deadline:
                    raise OutOfTime(
                        f"the request takes longer than the function may: {_progress(results, encoded)} "
                        f"in {now - start:.1f} s; send less in one request",
                        param="inputs",
                    )
                results[-1].append(compute(window))
                slowest, now = max(slowest, perf_counter() - now), perf_counter()
        return results

    def reference_encoding(self, text: str, add_special_tokens: bool):
        """The tokens of ``text`` with their offsets in characters, as a ``tokenizers.Encoding``."""
        text = self._limited(text, "error", "right")
        try:
            return self.engine.reference_tokenizer.encode(text, add_special_tokens=add_special_tokens)
        except UnicodeEncodeError:
            raise NotTokenizable(HALF_A_PAIR, param="inputs") from None

    def check_count(self, count: int, name: str = "inputs") -> None:
        """Raise if a request has no texts or more than are allowed."""
        if count == 0:
            raise NoInputs(f"`{name}` cannot be empty", param=name)
        if count > self.settings.max_texts:
            limit = self.settings.max_texts
            raise TooManyInputs(f"batch size {count} > maximum allowed batch size {limit}", param=name)

    def check_tokens(self, tokens: int, texts: int, all_texts: int) -> None:
        """Raise if the first ``texts`` of ``all_texts`` in a request have more tokens than it may have."""
        if tokens > self.settings.max_tokens:
            raise InvalidInput(
                f"`inputs` have more than the {self.settings.max_tokens} tokens that a request may have: "
                f"{texts} of {all_texts} texts have {tokens}; send less in one request",
                param="inputs",
            )

    def check_options(self, options: EmbedOptions) -> int:
        """The length of the vectors that ``options`` ask for.

        Raises:
            InvalidInput: the model does not have as many dimensions, or they do not fit the precision.
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
        return options.dimensions

    def prompt(self, name: str | None) -> str:
        """The text to put before an input for a request that names this prompt; the empty name is that of no prompt."""
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

    def _windows(self, value: str | list[int], prompt: str, options: EncodeOptions) -> list[list[int]]:
        """What the model reads for one input: one sequence of tokens, or several for a long text that is windowed."""
        if not value:
            raise EmptyInput("`inputs` cannot be empty", param="inputs")
        if prompt and not isinstance(value, str):
            # Ids have no place for a prompt, so they go back to text first, as TEI does it.
            value = self.engine.reference_tokenizer.decode(self._known(value), skip_special_tokens=True)
        mode = options.long_texts or self.settings.long_texts
        if isinstance(value, str):
            text = self._limited(value, mode, options.truncation_direction)
            content, frame = self._tokenize(prompt + text), self.engine.with_special_tokens
            room = self._room
        else:
            content, frame, room = self._known(value), list, self.manifest.max_tokens
        if len(content) <= room:
            return [frame(content)]
        if mode == "truncate":
            return [frame(content[:room] if options.truncation_direction == "right" else content[-room:])]
        if mode == "window":
            return [frame(window) for window in self._split(content, prompt, room, options.window_overlap)]
        raise InvalidInput(
            f"`inputs` must have less than {self.manifest.max_tokens} tokens. "
            f"Given: {len(content) + self.manifest.max_tokens - room}",
            param="inputs",
        )

    def _limited(self, text: str, mode: LongTexts, direction: Direction) -> str:
        """``text``, or as many of its characters as are tokenized at most where the rest would be cut off anyway."""
        limit = MAX_CHARACTERS_PER_TOKEN * self.manifest.max_tokens
        if mode == "window":
            limit = max(limit, MAX_CHARACTERS_PER_WINDOWED_TOKEN * self.settings.max_tokens)
        if len(text) <= limit:
            return text
        if mode == "truncate":
            return text[:limit] if direction == "right" else text[-limit:]
        raise InvalidInput(f"`inputs` must have less than {limit} characters. Given: {len(text)}", param="inputs")

    def _split(self, content: list[int], prompt: str, room: int, overlap: int | None) -> list[list[int]]:
        """Windows over ``content``, each starting with the prompt's tokens and sharing ``overlap`` with the one before."""
        overlap = self.window_overlap if overlap is None else overlap
        self._check_overlap(overlap, InvalidInput)
        # The prompt's last token may be another with a text after it than alone, so only what both start with is its own.
        pairs = zip(self._tokenize(prompt), content, strict=False)
        head = [ours for ours, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        rest, size = content[len(head) :], room - len(head)
        if overlap >= size:
            raise InvalidInput(
                f"`window_overlap` must be less than the {size} tokens of a window. Given: {overlap}",
                param="window_overlap",
            )
        starts = range(0, len(rest) - overlap, size - overlap)
        # Before they are made: a large overlap makes very many of them.
        self.check_tokens(len(starts) * self.manifest.max_tokens - size, 1, 1)
        return [head + rest[start : start + size] for start in starts]

    def _check_overlap(self, overlap: int, error: type[Exception]) -> None:
        if not 0 <= overlap < self._room:
            raise error(
                f"the overlap of windows must be at least 0 and less than {self._room} tokens. Given: {overlap}"
            )

    def _tokenize(self, text: str) -> list[int]:
        try:
            return self.engine.tokenize(text)
        except UnicodeEncodeError:
            raise NotTokenizable(HALF_A_PAIR, param="inputs") from None

    def _known(self, ids: list[int]) -> list[int]:
        if not self.engine.tokenizer.is_vocabulary(ids):
            raise NotTokenizable("a token id is not in the model's vocabulary", param="inputs")
        return ids


def _mean(vectors: list[np.ndarray], windows: list[list[int]]) -> np.ndarray:
    """The vector of one input: the mean of its windows' vectors, weighted by the windows' lengths."""
    if len(vectors) == 1:
        return vectors[0]
    return np.average(vectors, axis=0, weights=[len(window) for window in windows]).astype(np.float32)


def _progress(results: list[list[np.ndarray]], encoded: Encoded) -> str:
    if len(encoded.windows) == 1:
        return f"{len(results[0])} of {len(encoded.windows[0])} windows of the text were embedded"
    return f"{len(results) - 1} of {len(encoded.windows)} texts were embedded"


def _usage(encoded: Encoded, inference_seconds: float) -> Usage:
    return Usage(len(encoded.windows), encoded.tokens, encoded.characters, encoded.seconds, inference_seconds)
