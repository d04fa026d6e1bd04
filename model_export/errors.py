"""The errors of an export. Each message says what is wrong and what to do."""


class ExportError(Exception):
    """Base of the errors that end an export with a message and no traceback."""


class CheckpointError(ExportError):
    """The checkpoint cannot be fetched, is damaged, or describes a model that cannot be served."""


class UnsupportedModelError(CheckpointError):
    """The model's architecture or one of its modules has no export."""


class FidelityError(ExportError):
    """The exported model is too far from the original; the message has the cosines."""


class ArtifactMissingError(ExportError):
    """The artifact for these settings has not been made."""
