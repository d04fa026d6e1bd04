"""The configuration: the context in ``cdk.json``, as typed and immutable groups of options.

``groups`` declares the options, ``context`` reads them, ``reference`` writes their page. This package imports pydantic and
the standard library only, so that the export, the deployment and the tests can all use it.
"""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""Root folder of the project, which holds ``cdk.json``."""
