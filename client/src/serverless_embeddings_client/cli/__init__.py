"""The command `embeddings`: a module for each subcommand."""

import sys

from .errors import ExitCode


def run() -> None:
    """Run the command. Without the packages of the extra ``cli``, say how to install them."""
    try:
        try:
            from .main import main
        except ModuleNotFoundError as error:
            sys.exit(
                f"error: {error.name} is missing; the command needs: pip install 'serverless-embeddings-client[cli]'"
            )
        main()
    except KeyboardInterrupt:
        sys.exit(ExitCode.STOPPED)
