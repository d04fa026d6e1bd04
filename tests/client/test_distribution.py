"""The client as its users install it: from the folder and from the repository, into an environment with nothing else."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from containers.tools import PROJECT

CLIENT = PROJECT / "client"
PACKAGE = "serverless_embeddings_client"
PROBE = """
import importlib.metadata, importlib.resources, json, pathlib, sys
import serverless_embeddings_client as client
import botocore.credentials
client.SigV4Auth("us-east-1", credentials=botocore.credentials.Credentials("AKIDEXAMPLE", "secret"))
print(json.dumps({
    "file": client.__file__,
    "version": importlib.metadata.version("serverless-embeddings-client"),
    "license": importlib.metadata.metadata("serverless-embeddings-client")["License-Expression"],
    "typed": importlib.resources.files(client).joinpath("py.typed").is_file(),
    "modules": sorted(sys.modules),
}))
"""


def run(*command: object, **options) -> str:
    # PYTHONPATH is left out, and the commands run outside the checkout, so that only what is installed can be imported.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit_of_the_client(folder: Path) -> str:
    """A repository with the client as it is on disk, and its URL for pip."""
    run("git", "init", "--quiet", folder)
    run("cp", "-R", CLIENT, folder / "client")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    run("git", "add", "--all", cwd=folder)
    run("git", *author, "commit", "--quiet", "--message=client", cwd=folder)
    return f"git+{folder.as_uri()}#subdirectory=client"


@pytest.mark.slow
@pytest.mark.parametrize("source", ["folder", "repository"])
def test_it_installs_alone_and_imports_without_an_http_client(tmp_path, source):
    requirement = CLIENT if source == "folder" else commit_of_the_client(tmp_path / "repository")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", requirement, cwd=tmp_path)
    found = json.loads(run(python, "-c", PROBE, cwd=tmp_path))
    assert Path(found["file"]).is_relative_to(tmp_path / "venv")
    assert found["version"] == tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["version"]
    assert found["license"] == "Apache-2.0"
    assert found["typed"]
    assert not {"httpx", "httpx2", "numpy", "boto3", "requests"}.intersection(found["modules"])


def test_importing_it_imports_no_http_client_even_where_one_is_installed():
    code = f"import sys; sys.path.insert(0, {str(CLIENT / 'src')!r}); from {PACKAGE} import SigV4Auth; print(*sys.modules, sep='\\n')"
    modules = run(sys.executable, "-c", code).split()
    assert PACKAGE in modules
    assert not {"httpx", "httpx2", "numpy"}.intersection(modules)


def test_its_licence_is_the_project_s():
    assert (CLIENT / "LICENSE").read_bytes() == (PROJECT / "LICENSE").read_bytes()
