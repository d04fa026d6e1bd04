"""From the fields that TEI's and OpenAI's requests share to the service's inputs and options."""

import msgspec

from ..service.errors import EmptyInput, InvalidInput
from ..service.options import EncodeOptions
from ..service.service import Service
from .errors import HttpError
from .types import Input, OpenAIEmbeddingsRequest, PairTruncation, PredictInput, PredictRequest, Reading, Truncation


def as_batch(inputs: Input, name: str = "inputs") -> list[str | list[int]]:
    """The inputs of a request as a list of texts and lists of token ids, also if there is only one.

    Raises:
        EmptyInput: there are none; the message calls them ``name``.
        HttpError: token ids are mixed with texts or with lists of token ids (422).
    """
    if isinstance(inputs, str):
        return [inputs]
    if not inputs:
        raise EmptyInput(f"`{name}` cannot be empty", param=name)
    ids = sum(isinstance(value, int) for value in inputs)
    if ids == 0:
        return inputs
    if ids < len(inputs):
        raise HttpError(
            422,
            "Failed to deserialize the JSON body into the target type: "
            f"`{name}` are a list of texts and lists of token ids, or the token ids of one text",
        )
    return [inputs]


def as_sequences(inputs: PredictInput) -> tuple[list[str | tuple[str, str]], bool]:
    """The inputs of a request to ``/predict`` as texts and pairs of texts, and whether there is one that is not in a list.

    Raises:
        EmptyInput: there are none.
        HttpError: they are neither one or two texts nor a list of lists of one or two texts (422).
    """
    if isinstance(inputs, str):
        return [inputs], True
    if not inputs:
        raise EmptyInput("`inputs` cannot be empty", param="inputs")
    single = all(isinstance(value, str) for value in inputs)
    lists = [inputs] if single else inputs
    if not all(isinstance(each, list) and len(each) in (1, 2) for each in lists):
        raise HttpError(
            422,
            "Failed to deserialize the JSON body into the target type: "
            "`inputs` are a text, a pair of texts, or a list of lists of one or two texts",
        )
    return [each[0] if len(each) == 1 else tuple(each) for each in lists], single


def truncation_options(service: Service, request: Truncation | PairTruncation) -> EncodeOptions:
    """The options for encoding the inputs of a ``request`` that cannot be read in windows."""
    truncate = service.config.long_texts == "truncate" if request.truncate is None else request.truncate
    return EncodeOptions(
        prompt_name=getattr(request, "prompt_name", ""),
        long_texts="truncate" if truncate else "error",
        truncation_direction=request.truncation_direction.lower(),
    )


def is_batch(request: msgspec.Struct) -> bool:
    """Whether the inputs of ``request`` are a list of inputs, even of one; TEI counts such requests apart."""
    inputs = request.input if isinstance(request, OpenAIEmbeddingsRequest) else getattr(request, "inputs", None)
    if isinstance(inputs, str):
        return False
    if not isinstance(inputs, list):
        return True
    # A list may also be one input: token ids, or for /predict a text or a pair of texts.
    part = str if isinstance(request, PredictRequest) else int
    return not all(isinstance(value, part) for value in inputs[:1])


def encode_options(request: Reading) -> EncodeOptions:
    """The options for encoding the inputs of ``request``. ``truncate`` is TEI's option; ``long_texts``, ours, includes it.

    Raises:
        InvalidInput: the two contradict each other.
    """
    long_texts = request.long_texts
    if request.truncate is not None:
        by_truncate = "truncate" if request.truncate else "error"
        if long_texts not in (None, by_truncate):
            raise InvalidInput(
                f"`truncate` and `long_texts` contradict one another: {request.truncate} and `{long_texts}`",
                param="long_texts",
            )
        long_texts = by_truncate
    return EncodeOptions(
        prompt_name=request.prompt_name,
        long_texts=long_texts,
        truncation_direction=request.truncation_direction.lower(),
        window_overlap=request.window_overlap,
    )


def with_prompt(options: EncodeOptions, prompt_name: str) -> EncodeOptions:
    """``options`` with the prompt that the model's name asks for.

    Raises:
        InvalidInput: they name another prompt.
    """
    if options.prompt_name not in (None, prompt_name):
        raise InvalidInput(
            f"`model` asks for the prompt `{prompt_name}`, `prompt_name` for `{options.prompt_name}`",
            param="prompt_name",
        )
    return msgspec.structs.replace(options, prompt_name=prompt_name)
