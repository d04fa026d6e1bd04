"""The errors of a request, with TEI's ``error_type``; ``runtime.http.errors`` turns them into answers."""

MAX_MESSAGE_CHARACTERS = 1000


def writable(text: str) -> str:
    """``text`` with unpaired surrogates escaped, since no Unicode encoding can write them."""
    return text.encode(errors="backslashreplace").decode()


class UnknownPromptError(Exception):
    """The default prompt that a service was given is not one of the model's prompts."""


class RequestError(Exception):
    """A request that cannot be answered; the message says what is wrong and what is allowed."""

    error_type = "Validation"
    prefix = ""
    """TEI writes this before the message."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        # A message may quote any part of a request, of any length.
        self.message = writable(message)[:MAX_MESSAGE_CHARACTERS]
        super().__init__(self.message)
        self.param = param
        """The field of the request that is wrong, if it is one field."""


class InvalidInput(RequestError):
    """An input or option is not allowed: too long, unknown, out of range."""

    prefix = "Input validation error: "


class TooManyInputs(RequestError):
    """The request has more inputs than allowed."""


class OutOfTime(RequestError):
    """The request takes longer than there is time for."""


class EmptyInput(RequestError):
    """An input is empty."""

    error_type = "Empty"
    prefix = "Input validation error: "


class NoInputs(RequestError):
    """The request has no inputs."""

    error_type = "Empty"


class NotTokenizable(RequestError):
    """An input cannot be turned into tokens of the model."""

    error_type = "Tokenizer"
    prefix = "tokenizer error "


class Unsupported(RequestError):
    """The model cannot do what the request asks for."""

    error_type = "Backend"
    prefix = "Backend error: "
