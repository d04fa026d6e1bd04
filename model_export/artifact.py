"""The artifact: a folder named by a hash of its inputs, which is complete whenever it exists."""

import errno
import gc
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from configuration import PROJECT
from configuration.groups import ModelSettings, is_folder
from runtime.engine.manifest import FORMAT

from . import checkpoint as checkpoints
from .errors import ArtifactMissingError, ExportError
from .files import make_folder
from .progress import say, step

if TYPE_CHECKING:
    from .describe import Description

ARTIFACTS = PROJECT / "build" / "model"
LATEST = ARTIFACTS / "latest"
"""A link to the artifact that ``python -m model_export`` made or found last. Nothing else moves it."""

RECIPE = 4
"""Raise it whenever the export gives other vectors or other files: it is part of every artifact's key."""

TOOLS = (
    "torch",
    "transformers",
    "sentence-transformers",
    "optimum",
    "optimum-onnx",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "kitoken",
    "numpy",
)


def key(settings: ModelSettings) -> str:
    """The name of the artifact for ``settings``: a hash of them, of the checkpoint, of the tools, of :data:`RECIPE` and of the
    manifest's format.

    Raises:
        CheckpointError: the local folder holds no checkpoint.
    """
    return _key(settings, checkpoints.fingerprint(settings))


def _key(settings: ModelSettings, fingerprint: str) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    digest.update(fingerprint.encode())
    digest.update(json.dumps({tool: version(tool) for tool in TOOLS}).encode())
    digest.update(f"{RECIPE} {FORMAT}".encode())
    return digest.hexdigest()[:16]


def locate(settings: ModelSettings, root: Path = ARTIFACTS) -> Path:
    """The folder of the artifact for ``settings`` below ``root``.

    Raises:
        ArtifactMissingError: it has not been made.
    """
    folder = root / key(settings) if _may_exist(settings, root) else None
    if folder is None or not folder.exists():
        raise ArtifactMissingError(
            f"the artifact for model {settings.model!r} at precision {settings.precision!r} has not been made: run "
            f"`python3 -m model_export -c model={settings.model} -c precision={settings.precision}` (cdk does it by itself)"
        )
    return folder


def _may_exist(settings: ModelSettings, root: Path) -> bool:
    """Whether ``root`` may have the artifact for ``settings``: of a local folder, whose files take long to hash, only if it has one for
    a folder of the same name."""
    if not is_folder(settings.model):
        return True
    from runtime.engine.manifest import MANIFEST_FILE, ArtifactError, read_manifest

    name = Path(settings.model).expanduser().resolve().name
    for path in root.glob(f"*/{MANIFEST_FILE}"):
        try:
            model = read_manifest(path.parent).model
        except ArtifactError:  # of another format, which has another key
            continue
        if (model.source, model.id) == ("folder", name):
            return True
    return False


def build(settings: ModelSettings, root: Path = ARTIFACTS) -> Path:
    """Make the artifact for ``settings`` below ``root`` unless it exists, and return its folder.

    Raises:
        ExportError: it cannot be made; nothing is left of it.
    """
    try:
        folder = locate(settings, root)
    except ArtifactMissingError:
        folder = _make(settings, root)
        say(f"· artifact {folder.name} is made")
    else:
        say(f"· artifact {folder.name} is there")
    return folder


def _make(settings: ModelSettings, root: Path) -> Path:
    """Make the artifact for ``settings`` below ``root`` and return its folder. A checkpoint is refused before its files are hashed,
    which takes longer than to read its descriptions and headers.

    Raises:
        ExportError: it cannot be made; nothing is left of it.
    """
    from .describe import describe
    from .originals import check_original

    try:
        checkpoint = checkpoints.fetch(settings)
        description = describe(checkpoint, settings.max_tokens, settings.prompts)
        check_original(checkpoint, description)
        fingerprint = checkpoints.fingerprint(settings)
        if checkpoint.revision is None:
            checkpoint = replace(checkpoint, revision=f"sha256:{fingerprint[:16]}")
        folder = root / _key(settings, fingerprint)
        make_folder(folder, lambda partial: _fill(partial, folder.name, settings, checkpoint, description))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(f"the disk of {root} is full; nothing is left of the unfinished artifact") from error
        raise
    return folder


def _fill(
    folder: Path, name: str, settings: ModelSettings, checkpoint: checkpoints.Checkpoint, description: "Description"
) -> None:
    import msgspec

    from runtime.engine.engine import Engine
    from runtime.engine.manifest import GOLDEN_FILE, PAIR_TASKS, Manifest, ModelInfo
    from runtime.engine.tokenizer import Tokenizer

    from .graph.build import build_graph
    from .memory import measure_memory
    from .originals import compute, load_original
    from .precision import find_precision
    from .resources import check_resources
    from .samples import choose_samples
    from .texts import CALIBRATION_TEXTS
    from .tokenizer import export_tokenizer
    from .verify import describe_fidelity, golden_results, measure_fidelity

    precision = find_precision(settings.precision)
    check_resources(checkpoints.count_parameters(checkpoint.folder), folder)
    _copy_notices(checkpoint.folder, folder)
    with step(f"loading {checkpoint.id}"):
        tokenizer = export_tokenizer(checkpoint.folder / description.body, folder, description.task)
        if description.static:  # it looks up the text's own tokens only
            tokenizer = msgspec.structs.replace(tokenizer, prefix=[], suffix=[])
        original = load_original(checkpoint, description)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        texts = Tokenizer(folder, tokenizer)
        samples = choose_samples(description.task, texts.reference, description.prompts, tokenizer.pair is not None)
        with step("computing what it is compared with"):
            expected, config = compute(original, samples, description.prompts, checkpoint), original.config
        with step("exporting it to ONNX"):
            body, head = original.export(Path(scratch))
        del original
        gc.collect()  # modules of torch refer to each other, and their weights take memory
        with step(f"building the {precision.name} graph"):
            calibration = [texts.with_special_tokens(texts.encode(text)) for text in CALIBRATION_TEXTS]
            pairs = description.task in PAIR_TASKS
            graph = build_graph(body, folder, precision, config, calibration, head, pairs)
    hidden = expected[0].shape[1] if description.task == "multi_vector" else description.hidden
    manifest = Manifest(
        format=FORMAT,
        key=name,
        model=ModelInfo(
            id=checkpoint.id,
            source=checkpoint.source,
            revision=checkpoint.revision,
            architecture=description.architecture,
            model_type=description.model_type,
            weights="onnx" if description.published else "checkpoint",
        ),
        precision=precision.name,
        task=description.task,
        dimensions=hidden if description.task == "multi_vector" else description.dimensions,
        matryoshka_dimensions=description.matryoshka_dimensions,
        similarity=description.similarity,
        hidden=hidden,
        max_tokens=description.max_tokens,
        pooling=description.pooling,
        labels=description.labels,
        activation=description.activation,
        normalize=description.normalize,
        prompts=description.prompts,
        default_prompt=description.default_prompt,
        tokenizer=tokenizer,
        graph=graph,
        fidelity=None,
        memory=None,
        versions={tool: version(tool) for tool in TOOLS},
        files={},
    )
    with step("comparing it with the fp32 model"):
        engine = Engine(folder, manifest)
        fidelity = measure_fidelity(expected, samples, engine, precision)
    say(f"  {describe_fidelity(fidelity)}")
    (folder / GOLDEN_FILE).write_bytes(msgspec.json.encode(golden_results(engine)))
    files = {path.name: _file_info(path) for path in sorted(folder.iterdir())}
    manifest = msgspec.structs.replace(manifest, fidelity=fidelity, files=files)
    _write_manifest(folder, manifest)
    with step("measuring its memory"):
        memory = measure_memory(folder)
    say(
        f"  longest text {memory.longest_text_mb} MiB, another beside it {memory.another_text_mb} MiB, worst text {memory.worst_text_mb} MiB"
    )
    _write_manifest(folder, msgspec.structs.replace(manifest, memory=memory))


def _write_manifest(folder: Path, manifest) -> None:
    import msgspec

    from runtime.engine.manifest import MANIFEST_FILE

    (folder / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def _file_info(path: Path):
    from runtime.engine.manifest import FileInfo, sha256

    return FileInfo(sha256=sha256(path), bytes=path.stat().st_size)


def _copy_notices(checkpoint: Path, folder: Path) -> None:
    """Copy the licences, which go into the image too."""
    for pattern in checkpoints.NOTICES:
        for path in checkpoint.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def point_latest_at(folder: Path) -> None:
    """Let the link ``latest`` beside the artifact ``folder`` point at it."""
    link = folder.with_name(f".latest-{os.getpid()}")
    link.symlink_to(folder.name)
    link.replace(folder.with_name(LATEST.name))
