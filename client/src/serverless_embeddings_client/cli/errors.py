"""How a command ends: its exit codes, and the error that becomes one sentence and a code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of all commands; the text of each is what ``--help`` says."""

    text: str

    def __new__(cls, value: int, text: str) -> "ExitCode":
        code = int.__new__(cls, value)
        code._value_ = value
        code.text = text
        return code

    DONE = 0, "done"
    FAILED = 1, "the endpoint, AWS or this machine failed; the same command again continues"
    USAGE = 2, "the command or its input is wrong"
    ROWS_REFUSED = 3, "done, but rows that cannot be embedded are in the errors file"
    STOPPED = 130, "stopped by Ctrl-C; the same command again continues"


class CommandError(Exception):
    """Ends a command with a sentence on stderr that says what was wrong and what to do."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
