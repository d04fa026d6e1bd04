"""The artifact: a folder named by a hash of its inputs, which is complete whenever it exists."""

import errno
import gc
import hashlib
import json
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from configuration import PROJECT
from configuration.groups import ModelSettings
from runtime.engine.manifest import FORMAT

from . import checkpoint as checkpoints
from .errors import ArtifactMissingError, ExportError
from .files import make_folder
from .progress import say, step

ARTIFACTS = PROJECT / "build" / "model"
LATEST = ARTIFACTS / "latest"
"""A link to the artifact that ``python -m model_export`` made or found last. Nothing else moves it."""

RECIPE = 3
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
    digest = hashlib.sha256(settings.model_dump_json().encode())
    digest.update(checkpoints.fingerprint(settings).encode())
    digest.update(json.dumps({tool: version(tool) for tool in TOOLS}).encode())
    digest.update(f"{RECIPE} {FORMAT}".encode())
    return digest.hexdigest()[:16]


def locate(settings: ModelSettings, root: Path = ARTIFACTS) -> Path:
    """The folder of the artifact for ``settings`` below ``root``.

    Raises:
        ArtifactMissingError: it has not been made.
    """
    folder = root / key(settings)
    if not folder.exists():
        raise ArtifactMissingError(
            f"the artifact for model {settings.model!r} at precision {settings.precision!r} has not been made: run "
            f"`python3 -m model_export -c model={settings.model} -c precision={settings.precision}` (cdk does it by itself)"
        )
    return folder


def build(settings: ModelSettings, root: Path = ARTIFACTS) -> Path:
    """Make the artifact for ``settings`` below ``root`` unless it exists, and return its folder.

    Raises:
        ExportError: it cannot be made; nothing is left of it.
    """
    name = key(settings)
    folder = root / name
    if folder.exists():
        say(f"· artifact {name} is there")
    else:
        try:
            make_folder(folder, lambda partial: _fill(partial, name, settings))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ExportError(f"the disk of {root} is full; nothing is left of the unfinished artifact") from error
            raise
        say(f"· artifact {name} is made")
    return folder


def _fill(folder: Path, name: str, settings: ModelSettings) -> None:
    import msgspec

    from runtime.engine.engine import Engine
    from runtime.engine.manifest import GOLDEN_FILE, PAIR_TASKS, Manifest, ModelInfo
    from runtime.engine.tokenizer import Tokenizer

    from .describe import describe
    from .graph.build import build_graph
    from .memory import measure_memory
    from .originals import check_original, compute, load_original
    from .precision import find_precision
    from .resources import check_resources
    from .samples import choose_samples
    from .texts import CALIBRATION_TEXTS
    from .tokenizer import export_tokenizer
    from .verify import describe_fidelity, golden_results, measure_fidelity

    precision = find_precision(settings.precision)
    checkpoint = checkpoints.fetch(settings)
    description = describe(checkpoint, settings.max_tokens, settings.prompts)
    check_original(checkpoint, description)
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
    """Licences have to accompany the weights wherever those are copied, into an image too."""
    for pattern in ("LICENSE*", "NOTICE*"):
        for path in checkpoint.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def point_latest_at(folder: Path) -> None:
    """Let the link ``latest`` beside the artifact ``folder`` point at it."""
    link = folder.with_name(f".latest-{os.getpid()}")
    link.symlink_to(folder.name)
    link.replace(folder.with_name(LATEST.name))
