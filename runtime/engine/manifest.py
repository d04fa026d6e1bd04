"""The manifest of an artifact: everything that the runtime knows of the model that it serves.

``model_export`` writes it, the runtime reads it. This contract lives on the reader's side, because the runtime may not import
``model_export``.
"""

import hashlib
from pathlib import Path

import msgspec

FORMAT = 4
MANIFEST_FILE = "manifest.json"
PAIR_TASKS = ("classify", "rerank")
"""Tasks whose models read pairs of texts, and score them."""
GOLDEN_FILE = "golden.json"
MARGIN_PERCENT = 10
"""Added to measured peaks of memory, for differences between machines, and for Lambda's runtime client, which was not measured."""


class ArtifactError(Exception):
    """The artifact cannot be served; the message names the file and says what is wrong with it."""


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
    weights: str
    """``checkpoint``: the weights that its own classes load; ``onnx``: the ONNX file that the repository publishes beside them."""


class Differences(Struct):
    """Signs that kitoken may encode a text differently from ``tokenizers``."""

    characters: list[int]
    """Ranges of code points, sorted: the first of each range, then the first after it. None is ASCII."""
    tokens: list[int]
    """Ids that kitoken may return where ``tokenizers`` does not."""
    pairs: list[tuple[int, int]]
    """Neighbouring ids with the same meaning."""
    spaces: int | None = None
    """The most white-space characters in a row that kitoken may be given; None for any number."""
    longest: int | None = None
    """The most characters of a text that kitoken may be given; None for any number."""


class PairInfo(Struct):
    """Ids put around two texts that are read together."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]
    second_type: int
    """Token type of the second text and of the suffix; that of all before it is 0."""


class TokenizerInfo(Struct):
    """How a text becomes token ids."""

    kind: str
    """``kitoken`` if it is known for which texts its ids may differ from those of ``tokenizers``, else ``tokenizers``."""
    prefix: list[int]
    """Ids put before every text, such as ``[CLS]``."""
    suffix: list[int]
    """Ids put after every text, such as ``[SEP]``."""
    pair: PairInfo | None
    """How two texts become one sequence; None for a tokenizer that puts nothing around a pair."""
    special_tokens: list[str]
    """Strings that the tokenizer turns into a special token where a text contains them."""
    blank: int | None
    """The id that kitoken returns for a text of white space only, where ``tokenizers`` returns none."""
    differences: Differences | None
    """Texts for which ``tokenizers`` is used nevertheless; None if it always is."""


class GraphInfo(Struct):
    """Inputs and outputs of the ONNX graph."""

    inputs: list[str]
    """Names of its inputs, each int64 of shape [1, tokens]; ``input_ids`` is always one of them."""
    outputs: list[str]
    """Names of its outputs, each float32. The names have a meaning:

    - ``token_vectors`` [1, tokens, hidden];
    - ``vector`` [1, dimensions]: of the text, of a model whose vectors pass through other layers after pooling;
    - ``logits`` [1, labels]: of a classifier or reranker;
    - ``weights`` [1, vocabulary]: of a sparse model, the largest of all tokens' log(1 + relu(logit)) for each word.
    """


class Fidelity(Struct, tag="vectors"):
    """Cosines between the vectors of the artifact and of the fp32 model, over a fixed multilingual set of texts. Of a model with a
    vector for each token, a text's cosine is the mean of its tokens'."""

    texts: int
    cosine_mean: float
    cosine_p1: float
    """First percentile."""
    cosine_min: float
    threshold: float
    """The lowest ``cosine_min`` with which the artifact may ship."""


class SparseFidelity(Fidelity, tag="weights"):
    """The same between the weights of a sparse model's words, and how many of the words with the largest weights are the same."""

    words_mean: float
    """The part of a text's words with the largest weights that artifact and fp32 model share: the mean over the texts."""
    words_min: float
    """The least of any text."""


class ScoreFidelity(Struct, tag="scores"):
    """Differences between the scores of the artifact and of the fp32 model, over a fixed multilingual set of pairs of texts, and of
    texts for a classifier."""

    texts: int
    """Texts and pairs."""
    largest_difference: float
    """Of any label's score, after the model's activation."""
    kendall_tau: float | None
    """Kendall's tau-b of the rankings of texts for a query by the logit, the mean over the queries: 1 if they are the same. None for a
    classifier, which ranks nothing."""
    threshold: float
    """The highest ``largest_difference`` with which the artifact may ship."""


class Memory(Struct):
    """Peak memory of a process that serves this artifact, in MiB, measured when the artifact was made."""

    longest_text_mb: int
    """Embedding a text of ``max_tokens`` tokens."""
    worst_text_mb: int
    """Tokenizing the allowed text that needs most memory."""
    another_text_mb: int
    """What is added by a second text of ``max_tokens`` tokens that is embedded at the same time, the graph's session of one thread
    included. A third adds less."""

    def texts_at_a_time(self, cpus: int, memory_mb: float) -> int:
        """How many texts of ``max_tokens`` tokens to embed at a time in ``memory_mb`` MiB: one for each of ``cpus`` CPUs if there is
        room, since each has one thread; else 1, which has a thread for each CPU."""
        needed = max(self.longest_text_mb, self.worst_text_mb) + (cpus - 1) * self.another_text_mb
        return cpus if needed * (100 + MARGIN_PERCENT) / 100 <= memory_mb else 1


class FileInfo(Struct):
    """Hash and size of a file of the artifact."""

    sha256: str
    bytes: int


class Golden(Struct):
    """An entry of ``golden.json``: a text (without prompt) and what this artifact computes for it."""

    text: str
    vector: list[float]
    """The unit vector; the vectors of all tokens, one after the other; logits; or the weights of ``words``."""
    other: str | None = None
    """The second text of a pair."""
    words: list[int] | None = None
    """Ids of a sparse model's words."""


class Manifest(Struct):
    """Everything that the runtime knows of the model."""

    format: int
    key: str
    """Hash of the artifact's ingredients; also the name of its folder."""
    model: ModelInfo
    precision: str
    """``fast``, ``balanced`` or ``exact``."""
    task: str
    """``embed``: a text becomes a vector. ``runtime.engine.heads`` lists the tasks."""
    dimensions: int
    """Length of the vectors that are served: all of a pooled vector, or the first so many (``truncate_dim``). The number of labels
    of a classifier, 1 for a reranker, the size of the vocabulary for a sparse model."""
    matryoshka_dimensions: list[int]
    """Shorter vectors that the model was trained for; empty if its checkpoint names none."""
    similarity: str
    """The function that the model's vectors are compared by: ``cosine``, ``dot``, ``euclidean`` or ``manhattan``."""
    hidden: int
    """Length of a token vector."""
    max_tokens: int
    """Most tokens that the model reads of a text, special tokens included."""
    pooling: list[str]
    """Pooling modes by sentence-transformers' names; their vectors are concatenated in this order."""
    labels: list[str]
    """Names of a classifier's labels, in the order of its logits; empty for other tasks."""
    activation: str
    """Makes scores of a classifier's or reranker's logits: ``sigmoid``, ``softmax`` or ``identity``."""
    normalize: bool
    """Whether the model's own vectors are scaled to unit length."""
    prompts: dict[str, str]
    """Texts that can be put before an input, by name."""
    default_prompt: str | None
    """Name of the prompt that the checkpoint puts before every input, if it does."""
    tokenizer: TokenizerInfo
    graph: GraphInfo
    fidelity: Fidelity | ScoreFidelity | SparseFidelity | None
    """None only while the artifact is being made."""
    memory: Memory | None
    """None only while the artifact is being made."""
    versions: dict[str, str]
    """Versions of the tools that made the artifact."""
    files: dict[str, FileInfo]


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the artifact in ``folder``.

    Raises:
        ArtifactError: it is missing, cannot be parsed, or has a format that this runtime does not read.
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
