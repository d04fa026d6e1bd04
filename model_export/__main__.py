"""``python -m model_export``: make the artifact that the configuration asks for, and print its folder."""

import argparse
import sys

from configuration.context import read_configuration
from configuration.errors import ConfigurationError

from . import artifact
from .errors import ExportError


def main() -> int:
    """Exit status 0 with the artifact's folder on standard output; 1 with a message on standard error."""
    parser = argparse.ArgumentParser(prog="python -m model_export", description=__doc__.split("\n")[0])
    parser.add_argument(
        "-c", "--context", action="append", default=[], metavar="KEY=VALUE", help="override a key of cdk.json's context"
    )
    parser.add_argument(
        "--keep-latest", action="store_true", help="do not let build/model/latest point at the artifact"
    )
    arguments = parser.parse_args()
    overrides = {}
    for pair in arguments.context:
        name, separator, value = pair.partition("=")
        if not separator:
            parser.error(f"-c {pair}: must be KEY=VALUE")
        overrides[name] = value
    try:
        folder = artifact.build(read_configuration(overrides).model)
    except (ConfigurationError, ExportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not arguments.keep_latest:
        artifact.point_latest_at(folder)
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
