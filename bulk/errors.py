"""The errors of a job; each message is a sentence for the person who started it."""


class BulkError(Exception):
    """Base of all errors that a person can mend."""


class JobError(BulkError):
    """The job asks for something that is not allowed, that the model cannot do or that the input does not have."""


class OutputError(BulkError):
    """The output was made by another model or with other options, or another run writes it now."""


class InputError(BulkError):
    """An object of the input cannot be read: it is missing, changed since the plan, or broken as a whole."""


class Incomplete(BulkError):
    """Parts are missing when the run ends. The same job again embeds them."""
