"""Fetching from the Hugging Face Hub: the real client against a small server that answers as the Hub does."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.torch import save

from configuration import PROJECT

COMMIT = "1234567890abcdef1234567890abcdef12345678"
TOKEN = "hf_secret"


class Hub(BaseHTTPRequestHandler):
    """Holds one public and one private model; ``folder`` is set by the fixture."""

    folder: Path

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def _answer(self, with_body):
        path = self.path.split("?")[0]
        if "/private/" in path and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if path.startswith(("/api/models/org/small", "/api/models/private/small")):
            if "/revision/" in path and path.rsplit("/", 1)[1] not in ("main", "v1", COMMIT):
                return self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            files = [
                {"rfilename": str(file.relative_to(self.folder))} for file in self.folder.rglob("*") if file.is_file()
            ]
            body = {"id": "org/small", "sha": COMMIT, "siblings": files, "private": False, "downloads": 0, "tags": []}
            return self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        if f"/resolve/{COMMIT}/" in path:
            body = (self.folder / path.split(f"/resolve/{COMMIT}/")[1]).read_bytes()
            return self._send(
                200, body, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}, with_body
            )
        return self._send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def _send(self, status, body, headers, with_body=True):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serve(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SmallHub", (Hub,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def hub(small_bert, tmp_path_factory):
    folder = shutil.copytree(small_bert, tmp_path_factory.mktemp("hub") / "small")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"another library's")
    with serve(folder) as endpoint:
        yield endpoint


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Runs the export of a Hub id against an endpoint, in a new process, since the client reads the endpoint when it is imported."""

    def run(model, endpoint, **env):
        for name in ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), **env}.items():
            monkeypatch.setenv(name, value)
        command = (
            "import sys; from pathlib import Path; from configuration.groups import ModelSettings; from model_export import artifact, errors\n"
            f"try: print(artifact.build(ModelSettings(model={model!r}), Path({str(tmp_path / 'root')!r})))\n"
            "except errors.ExportError as error: sys.exit(f'error: {error}')"
        )
        return subprocess.run([sys.executable, "-c", command], cwd=PROJECT, capture_output=True, text=True)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("model", ["org/small", "org/small@v1"])
def test_a_model_is_fetched_and_its_commit_recorded(hub, export, model):
    done = export(model, hub)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((Path(done.stdout.strip()) / "manifest.json").read_text())
    assert manifest["model"]["id"] == "org/small"
    assert (manifest["model"]["source"], manifest["model"]["revision"]) == ("hub", COMMIT)


@pytest.mark.slow
def test_a_private_model_needs_the_token_of_the_environment(hub, export):
    assert "if it is private, set HF_TOKEN" in export("private/small", hub).stderr
    assert export("private/small", hub, HF_TOKEN=TOKEN).returncode == 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("org/unknown", "error: org/unknown: the Hub has no such model"),
        ("org/small@nope", "error: org/small: the Hub has no revision 'nope' of it"),
        ("not an id", "error: model: 'not an id' is not a Hub id"),
    ],
)
def test_what_the_hub_does_not_have(hub, export, model, message):
    done = export(model, hub)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_no_network_names_the_two_other_ways(export):
    done = export("org/small", "http://127.0.0.1:9")
    assert done.returncode == 1 and "cannot be reached" in done.stderr
    assert "the path of a folder" in done.stderr and "'embedded', which needs no Hub" in done.stderr


MODULES = {"": "Transformer", "1_Pooling": "Pooling", "projection": "Dense", "3_Normalize": "Normalize"}
TEXTS = ["LICENSE", "NOTICE.txt", "config.json", "modules.json", "1_Pooling/config.json", "projection/config.json"]
LAYER = ["projection/model.safetensors"]
ONNX = ["onnx/model.onnx", "onnx/model.onnx_data"]


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        ({"model_type": "bert"}, ["model.safetensors"]),
        ({"model_type": "own_bert"}, ONNX),
        ({"model_type": "xlm-roberta-xl"}, ONNX),
        ({"model_type": "bert", "auto_map": {"AutoModel": "modeling_own.Own"}}, ["model.safetensors", *ONNX]),
    ],
    ids=["known", "unknown", "not exported by Optimum", "known, with Python of its own"],
)
def test_the_files_of_a_repository_that_are_fetched(tmp_path, config, weights):
    """Weights in one format, those of layers in any folder, licences; no Python, and no other library's weights."""
    folder = tmp_path / "repository"
    others = ["pytorch_model.bin", "modeling_own.py", "custom/__init__.py", "onnx/model_int8.onnx", "onnx/config.json"]
    others += ["other/model.safetensors", "projection/pytorch_model.bin"]
    for name in {*TEXTS, *LAYER, *ONNX, *others, "model.safetensors"}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(save({}) if name.endswith(".safetensors") else b"{}")
    (folder / "config.json").write_text(json.dumps(config))
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for path, kind in MODULES.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    command = (
        "from configuration.groups import ModelSettings; from model_export import checkpoint\n"
        "folder = checkpoint.fetch(ModelSettings(model='org/small')).folder\n"
        "print(*(path.relative_to(folder) for path in folder.rglob('*') if path.is_file()))"
    )
    with serve(folder) as endpoint:
        env = {"PATH": os.environ["PATH"], "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home")}
        done = subprocess.run([sys.executable, "-c", command], cwd=PROJECT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted([*TEXTS, *LAYER, *weights])
