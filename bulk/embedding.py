"""Texts to vectors by the service, as the endpoint makes them; a text that cannot be embedded does not stop the others."""

import msgspec
import numpy as np

from runtime.service.errors import RequestError
from runtime.service.options import EmbedOptions, Encoded, EncodeOptions
from runtime.service.service import Service

from .inputs.rows import Problem
from .job import Job


class Embedded(msgspec.Struct, frozen=True):
    """The vectors of some texts."""

    good: list[int]
    """Indices of the texts that have one."""
    vectors: np.ndarray
    """float32 or int8 [good texts, dimensions]."""
    tokens: list[int]
    """Of each good text, prompt and special tokens included, and of all its windows."""
    truncated: int
    """Good texts that were cut off."""
    problems: dict[int, Problem]
    """Why the others have none, by index."""


def encode_options(job: Job) -> EncodeOptions:
    """The options of ``job`` for turning texts into tokens."""
    return EncodeOptions(prompt_name=job.prompt_name, long_texts=job.long_texts)


def embed_options(job: Job) -> EmbedOptions:
    """The options of ``job`` for vectors."""
    return EmbedOptions(normalize=job.normalize, dimensions=job.dimensions, precision=job.precision)


def embed_texts(texts: list[str | Problem], job: Job, service: Service) -> Embedded:
    """Embed ``texts``; the problems among them stay problems."""
    encoded: dict[int, Encoded] = {}
    problems: dict[int, Problem] = {}
    for index, text in enumerate(texts):
        if isinstance(text, Problem):
            problems[index] = text
            continue
        try:
            encoded[index] = service.encode([text], encode_options(job))
        except RequestError as error:
            problems[index] = Problem(error.message.replace("`inputs`", "the text"))
    tokens = [each.tokens for each in encoded.values()]
    truncated = sum(each.truncated for each in encoded.values())
    if encoded:
        windows = [each.windows[0] for each in encoded.values()]
        vectors, _ = service.embed(Encoded(windows, sum(tokens), 0, truncated, 0.0), embed_options(job))
    else:
        numbers = np.int8 if job.precision == "int8" else np.float32
        vectors = np.empty((0, service.check_options(embed_options(job))), numbers)
    return Embedded(list(encoded), vectors, tokens, truncated, problems)
