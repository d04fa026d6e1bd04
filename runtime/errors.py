"""What can be wrong with a request, by TEI's ``error_type``; how each is told over HTTP is the business of ``runtime.api``."""


class RequestError(Exception):
    """A request that is not answered as asked; the message says what is wrong and what is allowed."""

    error_type = "Validation"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The field of the request that is wrong, where it is one."""


class InvalidInput(RequestError):
    """An input or option is outside of what is allowed: too long, too many, unknown, out of range."""


class EmptyInput(RequestError):
    """There is nothing to work on."""

    error_type = "Empty"


class NotTokenizable(RequestError):
    """An input cannot become tokens of the model."""

    error_type = "Tokenizer"


class Unsupported(RequestError):
    """The model cannot do what was asked."""

    error_type = "Backend"
