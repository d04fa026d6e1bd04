"""Templates of all cases, synthesized once: in one app, with cdk-nag in it, from an artifact of a few bytes."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from configuration import PROJECT
from configuration.context import parse_configuration
from runtime.engine.manifest import (
    FORMAT,
    GOLDEN_FILE,
    MANIFEST_FILE,
    Fidelity,
    FileInfo,
    Golden,
    GraphInfo,
    Manifest,
    Memory,
    ModelInfo,
    TokenizerInfo,
)

from .cases import CASES

# jsii warns of the Node release that it finds; its lines would hide the output of a test.
os.environ["JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION"] = "1"
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "1"

Template = Mapping[str, Any]

FILES = ("model.onnx", "model.bin", "tokenizer.json", "tokenizer.kit")

MEMORY = Memory(longest_text_mb=193, worst_text_mb=548, another_text_mb=50)
"""Peaks in MiB that were measured with multilingual-e5-small."""


def write_artifact(folder: Path, memory: Memory | None = MEMORY) -> Path:
    """Write an artifact with empty files. Infrastructure reads its manifest and its golden vectors only."""
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).touch()
    manifest = Manifest(
        format=FORMAT,
        key=folder.name,
        model=ModelInfo(
            id="intfloat/multilingual-e5-small",
            source="embedded",
            revision=None,
            architecture="BertModel",
            model_type="bert",
            weights="checkpoint",
        ),
        precision="balanced",
        task="embed",
        dimensions=2,
        matryoshka_dimensions=[],
        similarity="cosine",
        hidden=384,
        max_tokens=512,
        pooling=["mean"],
        labels=[],
        activation="identity",
        normalize=True,
        prompts={"query": "query: ", "passage": "passage: "},
        default_prompt=None,
        tokenizer=TokenizerInfo(
            kind="kitoken", prefix=[0], suffix=[2], pair=None, special_tokens=[], blank=None, differences=None
        ),
        graph=GraphInfo(inputs=["input_ids"], outputs=["token_vectors"]),
        fidelity=Fidelity(texts=1, cosine_mean=1, cosine_p1=1, cosine_min=1, threshold=0.9),
        memory=memory,
        versions={},
        files={name: FileInfo(sha256="0" * 64, bytes=0) for name in FILES},
    )
    golden = [Golden(text="First text", vector=[0.6, 0.8]), Golden(text="query: how far?", vector=[1.0, 0.0])]
    (folder / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    (folder / GOLDEN_FILE).write_bytes(msgspec.json.encode(golden))
    return folder


@pytest.fixture(scope="session")
def build_context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that an image could be built from, with an artifact ``build/model/small``."""
    context = tmp_path_factory.mktemp("context")
    (context / "runtime").mkdir()
    (context / "bulk").mkdir()
    shutil.copy(PROJECT / "runtime" / "Dockerfile", context / "runtime")
    shutil.copy(PROJECT / ".dockerignore", context)
    write_artifact(context / "build" / "model" / "small")
    return context


@pytest.fixture(scope="session")
def small_artifact(build_context: Path) -> Path:
    """The artifact in ``build_context``."""
    return build_context / "build" / "model" / "small"


@pytest.fixture(scope="session")
def feature_flags() -> dict[str, Any]:
    """The CDK's feature flags in cdk.json."""
    context = json.loads((PROJECT / "cdk.json").read_text())["context"]
    return {key: value for key, value in context.items() if "/" in key}


@pytest.fixture(scope="session")
def assembly(
    build_context: Path, small_artifact: Path, feature_flags: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The cloud assembly with one stack for each case. cdk-nag looks at them while they are synthesized."""
    from aws_cdk import App, Validations
    from cdk_nag import AwsSolutionsChecks

    from infra.stack import EmbeddingsStack

    folder = tmp_path_factory.mktemp("assembly")
    app = App(outdir=str(folder), context=feature_flags)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    for name, overrides in CASES.items():
        configuration = parse_configuration(overrides | {"stack_name": name})
        EmbeddingsStack(app, configuration, None if configuration.image.image else small_artifact, build_context)
    app.synth()
    return folder


@pytest.fixture(scope="session")
def templates(assembly: Path) -> dict[str, Template]:
    """The template of each case by its name, with the sources of its images as the section ``Images``."""
    return {name: _read(assembly, name, overrides) for name, overrides in CASES.items()}


def _read(assembly: Path, name: str, overrides: Mapping[str, Any]) -> Template:
    stack = "-".join([name, *([overrides["stage"]] if "stage" in overrides else [])])
    template = json.loads((assembly / f"{stack}.template.json").read_text())
    assets = json.loads((assembly / f"{stack}.assets.json").read_text())
    return template | {"Images": [image["source"] for image in assets["dockerImages"].values()]}


def resources(template: Template, kind: str, prefix: str = "") -> dict[str, Any]:
    """The resources of a CloudFormation type whose logical ids start with ``prefix``, by id."""
    return {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind and name.startswith(prefix)
    }


def properties(template: Template, kind: str, prefix: str = "") -> list[dict[str, Any]]:
    """The properties of ``resources``."""
    return [resource["Properties"] for resource in resources(template, kind, prefix).values()]
