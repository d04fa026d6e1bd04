"""The engine of an artifact: its session, its tokenizer and the head of its task.

Each text goes through the graph alone, unpadded, so that a result cannot depend on the texts that came with it.
"""

import os
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from threading import Lock, Thread

import numpy as np

from .heads import make_head
from .manifest import Manifest, check_file, read_manifest
from .session import GRAPH_FILE, WEIGHTS_FILE, Session
from .tokenizer import KITOKEN_FILE, TOKENIZERS_FILE, Tokenizer


def _ignore(step: str) -> None:
    """The default of ``on_step``."""


def count_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load(
    tokenizer: Callable[[], Tokenizer], session: Callable[[], Session], on_step: Callable[[str], None]
) -> tuple[Tokenizer, Session]:
    """Load both: at the same time where there is more than one CPU, since they take about as long and neither holds Python's lock."""
    if count_cpus() == 1:
        loaded = tokenizer()
        on_step("tokenizer")
        return loaded, session()
    outcome: list[Session | BaseException] = []

    def load_session() -> None:
        try:
            outcome.append(session())
        except BaseException as error:  # raised where it is waited for
            outcome.append(error)

    # Not the tokenizer: the allocator in kitoken fails when the thread that imported kitoken has ended. And not by an executor, whose
    # modules take a millisecond and six chunks of a cold start.
    thread = Thread(target=load_session)
    thread.start()
    try:
        loaded = tokenizer()
        on_step("tokenizer")
    finally:
        thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return loaded, outcome[0]


class Engine:
    """A loaded artifact; :meth:`load` makes one from a folder with a manifest, and checks its files.

    ``on_step`` is called with a step's name after each step of loading: ``manifest``, ``tokenizer``, ``session``.

    Raises:
        ArtifactError: the runtime cannot serve what the manifest says, or onnxruntime cannot load the graph.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        threads: int | None = None,
        memory_mb: float = float("inf"),
        on_step: Callable[[str], None] = _ignore,
    ) -> None:
        threads = threads or count_cpus()
        self.folder = folder
        self.manifest = manifest
        memory = manifest.memory
        self.texts_at_a_time = memory.texts_at_a_time(threads, memory_mb) if memory else threads
        """How many texts may be computed at a time, by as many callers of :attr:`of_one_thread`."""
        self.head = make_head(folder, manifest)
        on_step("manifest")
        self.tokenizer, self._session = _load(
            partial(Tokenizer, folder, manifest.tokenizer), partial(Session, folder, manifest.graph, threads), on_step
        )
        on_step("session")
        self._of_one_thread = self if threads == 1 else None
        self._lock = Lock()

    @classmethod
    def load(
        cls,
        folder: Path,
        threads: int | None = None,
        memory_mb: float = float("inf"),
        on_step: Callable[[str], None] = _ignore,
        compare_hashes: bool = True,
    ) -> "Engine":
        """Load the artifact in ``folder``, to compute with ``threads`` threads (by default one a CPU) in ``memory_mb`` MiB.

        The size of each file is compared with the manifest, and with ``compare_hashes`` the content of tokenizer and graph.
        Call it in a thread that lasts as long as the engine is used: kitoken is imported in it (see :func:`_load`).

        Raises:
            ArtifactError: a file is missing, damaged or of another format; the message names it.
        """
        manifest = read_manifest(folder)
        tokenizer_file = KITOKEN_FILE if manifest.tokenizer.kind == "kitoken" else TOKENIZERS_FILE
        check_file(folder, tokenizer_file, manifest, content=compare_hashes)
        check_file(folder, GRAPH_FILE, manifest, content=compare_hashes)
        # The weights are mapped and most of them never read; hashing would read all of them.
        check_file(folder, WEIGHTS_FILE, manifest, content=False)
        return cls(folder, manifest, threads, memory_mb, on_step)

    @property
    def of_one_thread(self) -> "Engine":
        """This engine with a session of one thread, which several callers may use at a time. The session is made when it is first
        asked for, so that a cold start does not wait for it."""
        with self._lock:
            if self._of_one_thread is None:
                other = copy(self)
                other._session = Session(self.folder, self.manifest.graph, threads=1)
                other._of_one_thread = other
                self._of_one_thread = other
            return self._of_one_thread

    def tokenize(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens."""
        return self.tokenizer.encode(text)

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """``ids`` between the special tokens that the model expects around a text."""
        return self.tokenizer.with_special_tokens(ids)

    @property
    def num_special_tokens(self) -> int:
        """How many special tokens are put around a text."""
        return self.tokenizer.num_special_tokens

    @property
    def reference_tokenizer(self):
        """The checkpoint's ``tokenizers.Tokenizer``, loaded when it is first used."""
        return self.tokenizer.reference

    def token_vectors(self, ids: Sequence[int]) -> np.ndarray:
        """Vectors of the tokens ``ids`` (special tokens included, 1 to ``max_tokens``): float32 [tokens, hidden]."""
        return self._session.run("token_vectors", ids)

    def embed(self, ids: Sequence[int], normalize_vector: bool = True) -> np.ndarray:
        """The vector of the text with tokens ``ids`` (special tokens included): float32 [dimensions]."""
        return self.head.vector(self._session.run(self.head.output, ids), normalize_vector)

    def scores(self, ids: Sequence[int], types: Sequence[int]) -> np.ndarray:
        """A classifier's or reranker's logits for a text or a pair with tokens ``ids`` and their ``types``: float32 [labels]."""
        return self._session.run("logits", ids, types)

    def sparse(self, ids: Sequence[int]) -> np.ndarray:
        """A sparse model's weights for a text with tokens ``ids`` (special tokens included): float32 [vocabulary]."""
        return self._session.run("weights", ids)
