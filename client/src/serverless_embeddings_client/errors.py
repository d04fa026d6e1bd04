"""What a call of the endpoint may raise."""


class EndpointError(Exception):
    """The endpoint cannot be reached, or answers with an error; the message says what to do."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of the answer; None if there was no answer."""


class TextRefused(EndpointError):
    """The endpoint cannot embed one of the texts."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"text {index} cannot be embedded: {reason}")
        self.index = index
        self.reason = reason
