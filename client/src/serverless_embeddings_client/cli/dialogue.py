"""What commands say beside their output, and the question before money is spent."""

import sys

import typer

from .errors import CommandError


def say(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def ask() -> None:
    """Ask whether to start.

    Raises:
        CommandError: the answer is no, or nobody can answer.
    """
    if not sys.stdin.isatty():
        raise CommandError("nothing was started, since nobody can answer here: add --yes")
    if not typer.confirm("Start it?", err=True):
        raise CommandError("nothing was started")
