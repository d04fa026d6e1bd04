"""The packages import each other as the contracts in pyproject.toml allow, and no module imports itself through others."""

import os
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from containers.tools import PROJECT

PACKAGES = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]


def test_the_contracts_are_kept():
    """Imports inside functions and under TYPE_CHECKING count too."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    env = os.environ | {"PYTHONPATH": "client/src"}
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_has_a_contract():
    folders = [folder for parent in (PROJECT, PROJECT / "client" / "src") for folder in parent.iterdir()]
    assert {folder.name for folder in folders if (folder / "__init__.py").exists()} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_through_others(package):
    """The contract on circles compares siblings; this also finds a circle through a package's ``__init__``."""
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))
