"""The command `embeddings`: a module for each subcommand."""

import sys


def run() -> None:
    """Run the command. Without the packages of the extra ``cli``, say how to install them."""
    try:
        from .main import main
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error.name} is missing; the command needs: pip install 'serverless-embeddings-client[cli]'")
    main()
