"""The configuration imports pydantic and the standard library only."""

import subprocess
import sys

from configuration import PROJECT

PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
"""Pydantic, and the packages that it requires."""
COMMAND = """
import sys
before = set(sys.modules)
import configuration.context, configuration.reference
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))
"""


def test_only_pydantic_and_the_standard_library_are_loaded() -> None:
    run = subprocess.run([sys.executable, "-c", COMMAND], cwd=PROJECT, capture_output=True, text=True, check=True)

    # `_sysconfigdata_…` belongs to the standard library, but its list of names does not have it.
    loaded = {name for name in run.stdout.split() if not name.startswith("_sysconfigdata")}
    assert loaded == {"configuration"} | loaded & PYDANTIC
