"""The subcommands, and what becomes of their errors."""

import sys

import typer

from . import bulk, embed, measure
from .errors import CommandError, ExitCode

EXIT_CODES = "Exit codes: " + "; ".join(f"{code.value} {code.text}" for code in ExitCode) + "."

app = typer.Typer(
    help="Turn texts into vectors with a serverless-embeddings endpoint.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command(epilog=EXIT_CODES)(embed.embed)
app.command(epilog=EXIT_CODES)(measure.measure)
app.add_typer(bulk.app, name="bulk", epilog=EXIT_CODES)


def main() -> None:
    """Run a subcommand and leave the process with its exit code."""
    try:
        app(prog_name="embeddings")
    except (CommandError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, CommandError) else ExitCode.FAILED)
