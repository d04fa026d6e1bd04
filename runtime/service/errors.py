"""What can be wrong with a request, by TEI's ``error_type``; how each is told over HTTP is the business of ``runtime.http``."""

MAX_MESSAGE_CHARACTERS = 1000


def writable(text: str) -> str:
    """``text`` with halves of surrogate pairs spelled out, which no encoding of Unicode has."""
    return text.encode(errors="backslashreplace").decode()


class RequestError(Exception):
    """A request that is not answered as asked; the message says what is wrong and what is allowed."""

    error_type = "Validation"
    prefix = ""
    """What TEI puts before the message."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        # What is quoted of a request may be anything, and as long as anything.
        self.message = writable(message)[:MAX_MESSAGE_CHARACTERS]
        super().__init__(self.message)
        self.param = param
        """The field of the request that is wrong, where it is one."""


class InvalidInput(RequestError):
    """An input or option is outside of what is allowed: too long, unknown, out of range."""

    prefix = "Input validation error: "


class TooManyInputs(RequestError):
    """There are more inputs than a request may have."""


class OutOfTime(RequestError):
    """There is more to compute than there is time for."""


class EmptyInput(RequestError):
    """An input has nothing to work on."""

    error_type = "Empty"
    prefix = "Input validation error: "


class NoInputs(RequestError):
    """There are no inputs."""

    error_type = "Empty"


class NotTokenizable(RequestError):
    """An input cannot become tokens of the model."""

    error_type = "Tokenizer"
    prefix = "tokenizer error "


class Unsupported(RequestError):
    """The model cannot do what was asked."""

    error_type = "Backend"
    prefix = "Backend error: "
