"""The manifest of an artifact: everything that the runtime knows of the model that it serves.

``model_export`` writes it, the runtime reads it. It is the contract between the two, so it lives on the reading side,
which may import nothing of the other.
"""

import hashlib
from pathlib import Path

import msgspec

FORMAT = 2
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.json"


class ArtifactError(Exception):
    """The artifact cannot be served: the message names the file and what is wrong with it."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts of a manifest."""


class ModelInfo(Struct):
    """Where the weights come from."""

    id: str
    """Name of the model, a Hub id where there is one."""
    source: str
    """``hub``, ``folder`` or ``embedded``."""
    revision: str | None
    """Commit on the Hub, version of the package (``embedded``), hash of the files (``folder``)."""
    architecture: str
    """Class in transformers, such as ``BertModel``."""
    model_type: str
    """``model_type`` of the checkpoint's ``config.json``, such as ``bert``."""


class TokenizerInfo(Struct):
    """How a text becomes token ids."""

    kind: str
    """``kitoken`` where its ids were seen to equal those of ``tokenizers``, else ``tokenizers``."""
    prefix: list[int]
    """Ids put before every text, such as ``[CLS]``."""
    suffix: list[int]
    """Ids put after every text, such as ``[SEP]``."""
    special_tokens: list[str]
    """Spellings that the tokenizer takes for a special token when they stand in a text."""
    blank: int | None
    """The id that kitoken gives for a text of nothing but white space, for which ``tokenizers`` gives none."""


class GraphInfo(Struct):
    """How the ONNX graph is called."""

    inputs: list[str]
    """Names of its inputs, each int64 of shape [1, tokens]; ``input_ids`` is always one of them."""
    output: str
    """Name of the output with the token vectors, float32 of shape [1, tokens, hidden]."""


class Fidelity(Struct):
    """The shipped graph against the fp32 model, by the cosine of their vectors over a fixed multilingual set of texts."""

    texts: int
    cosine_mean: float
    cosine_p1: float
    """First percentile."""
    cosine_min: float
    threshold: float
    """The least ``cosine_min`` with which the artifact was allowed to ship."""


class Memory(Struct):
    """Peak memory of a process that serves this artifact, in MiB, measured when the artifact was made."""

    longest_text_mb: int
    """Embedding a text of ``max_tokens`` tokens."""
    worst_text_mb: int
    """Tokenizing the text that needs most memory of those that the limits let through."""


class FileInfo(Struct):
    """What a file of the artifact must be."""

    sha256: str
    bytes: int


class Golden(Struct):
    """An entry of ``golden.json``: a text (without prompt) and its vector, unit length, from this very artifact."""

    text: str
    vector: list[float]


class Manifest(Struct):
    """Everything that the runtime knows of the model."""

    format: int
    key: str
    """Hash of what went into the artifact; also the name of its folder."""
    model: ModelInfo
    precision: str
    """``fast``, ``balanced`` or ``exact``."""
    task: str
    """What the model computes of a text: ``embed``, a vector."""
    dimensions: int
    """Length of a pooled vector."""
    hidden: int
    """Length of a token vector."""
    max_tokens: int
    """The most tokens that the model reads of a text, special tokens included."""
    pooling: list[str]
    """Pooling modes by sentence-transformers' names, their vectors concatenated in this order."""
    normalize: bool
    """Whether the model's own vectors are scaled to unit length."""
    prompts: dict[str, str]
    """Texts that may be put before an input, by name."""
    default_prompt: str | None
    """Name of the prompt that the checkpoint puts before every input, if it does."""
    tokenizer: TokenizerInfo
    graph: GraphInfo
    fidelity: Fidelity | None
    """None only while the artifact is being made."""
    memory: Memory | None
    """None only while the artifact is being made."""
    versions: dict[str, str]
    """Versions of the tools that made the artifact."""
    files: dict[str, FileInfo]


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the artifact in ``folder``.

    Raises:
        ArtifactError: it is missing, is no manifest, or has another format than this runtime reads.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); is {folder} an artifact?") from error
    except msgspec.MsgspecError as error:
        raise ArtifactError(f"{path}: is not a manifest of this runtime ({error})") from error
    if manifest.format != FORMAT:
        raise ArtifactError(f"{path}: has format {manifest.format}, this runtime reads {FORMAT}")
    return manifest


def check_file(folder: Path, name: str, manifest: Manifest, *, content: bool = True) -> None:
    """Compare one file of the artifact with its manifest: its size and, with ``content``, its SHA-256.

    Raises:
        ArtifactError: it is missing or differs; the message names it.
    """
    path, expected = folder / name, manifest.files[name]
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    if size != expected.bytes:
        raise ArtifactError(f"{path}: has {size} bytes, the manifest says {expected.bytes}; build the artifact again")
    if content and sha256(path) != expected.sha256:
        raise ArtifactError(f"{path}: its SHA-256 differs from the manifest's; build the artifact again")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
