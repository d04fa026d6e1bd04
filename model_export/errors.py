"""What can go wrong while an artifact is made: each error's message says what was wrong and what to do."""


class ExportError(Exception):
    """Base of the errors that end an export with a message and no traceback."""


class CheckpointError(ExportError):
    """The checkpoint cannot be had, is damaged, or says something of itself that cannot be served."""


class UnsupportedModelError(CheckpointError):
    """The model's architecture or one of its modules has no export."""


class FidelityError(ExportError):
    """The quantized model is too far from the fp32 one; the message gives the figures."""


class ArtifactMissingError(ExportError):
    """The artifact for these settings has not been made."""
