"""Requests and how long they take by memory size: computed from the measurements of ``make bench``, or measured at a function.

The model: CPU comes with memory, 1,769 MB is one vCPU. Below that a request takes as much longer as the function has less of a CPU.
Above, its vCPUs share it by Amdahl's law, with the serial share that follows from the measurements with one CPU and with two: what
does not run on both, and what they lose by contention. The init phase uses one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import DecodeError, Meta, Struct
from msgspec.json import decode as json_decode

from runtime.settings import VCPU_MB

from .loads import BATCH, BATCH_LENGTHS, load_name

MEMORY_SIZES = (1024, 1536, 1769, 2048, 2654, 3008, 3538, 5307, 7076, 8845, 10240)


@dataclass(frozen=True)
class Times:
    """Measured times of a request in seconds."""

    one_thread: float
    """A warm request, with one CPU."""
    two_threads: float
    """The same with two."""
    init: float
    """From the start of the process until it can answer, on one CPU."""
    tokens: int
    """Tokens of a request."""

    @property
    def serial_share(self) -> float:
        """The part of a request that more CPUs do not shorten (Amdahl's law), from the times with one and two: 0 to 1."""
        return min(1.0, max(0.0, 2 * self.two_threads / self.one_thread - 1))

    def at(self, memory_mb: int, speed: float = 1.0) -> "Request":
        """Return a request at this memory size, with all times multiplied by ``speed``. The init phase is serial."""
        vcpus = memory_mb / VCPU_MB
        return Request(
            memory_mb=memory_mb,
            tokens=self.tokens,
            warm=self._on(vcpus, self.one_thread, self.serial_share) * speed,
            init=self._on(vcpus, self.init, 1.0) * speed,
        )

    @staticmethod
    def _on(vcpus: float, seconds: float, serial_share: float) -> float:
        if vcpus <= 1:
            return seconds / vcpus
        return seconds * (serial_share + (1 - serial_share) / vcpus)


@dataclass(frozen=True)
class Request:
    """A request at one memory size."""

    memory_mb: int
    tokens: int
    warm: float
    """Seconds of a warm request."""
    init: float
    """Seconds that a cold request is billed for besides: the init phase."""


@dataclass(frozen=True)
class Basis:
    """What prices are computed from."""

    source: str
    """Sentences: where they come from, and what was not measured."""
    explanation: str
    """Sentences: why prices differ by memory, as far as the model tells."""
    requests: dict[str, dict[str, dict[int, Request]]]
    """By load ("16", …, "batch"), architecture and memory size."""
    names: dict[str, str]
    """What documents call the loads."""


def from_bench(bench: dict, speeds: dict[str, float]) -> Basis:
    """Return the requests that follow from ``bench.json`` at all :data:`MEMORY_SIZES`, by the model."""
    one, two = bench["cpus"]["1"], bench["cpus"]["2"]
    times = {
        load: Times(
            one_thread=one[load]["wall_ms"] / 1000,
            two_threads=two[load]["wall_ms"] / 1000,
            init=_init_ms(bench["cold"]) / 1000,
            tokens=sum(BATCH_LENGTHS) if load == BATCH else int(load),
        )
        for load in one
    }
    requests = {
        load: {
            architecture: {size: each.at(size, speed) for size in MEMORY_SIZES}
            for architecture, speed in speeds.items()
        }
        for load, each in times.items()
    }
    shares = ", ".join(
        f"{load_name(load)} {each.serial_share:.0%}" for load, each in times.items() if load in ("512", BATCH)
    )
    source = (
        "The times follow from those of `make bench` with one and two CPUs; `arm64` is priced with the times measured on x86-64, it was "
        f"not timed. Share of a request that more CPUs do not shorten, as measured: {shares}. "
        "More than two vCPUs were not measured, nor a part of a second one (2,048 to 3,008 MB), where a thread that has to wait for its share "
        "costs time. A memory size in which the model does not fit is refused before deployment (`infra/memory.py`)."
    )
    explanation = (
        "Up to one vCPU a token costs the same whatever the memory, since a request takes as much longer as it has less CPU. More memory "
        "answers sooner; a text alone then costs more, since two CPUs do not halve its time, and so does a cold start, which uses one. "
        "Warm requests of many texts use all CPUs."
    )
    return Basis(source, explanation, requests, {load: load_name(load) for load in requests})


def _init_ms(cold: dict) -> float:
    """The init phase: of the image with nothing cached where that was measured, else the CPU time of a process."""
    if container := cold["container"]:
        return container.get("dropped", container["warm"])["init_ms"]
    process = cold["processes"]["ours"]["warm"]
    return process["cpu_ms"] - process["steps"]["first text"]


class Figure(Struct):
    """Percentiles, of which the median is priced."""

    p50: float | None = None


class Cold(Struct):
    """Cold starts, as ``embeddings measure`` writes them."""

    billed_ms: Figure | None = None


class Warm(Struct):
    """Warm requests of one load."""

    load: str
    texts: int
    tokens: Annotated[int, Meta(gt=0)] | None = None
    billed_ms: Figure | None = None


class Size(Struct):
    """What was measured at one memory size."""

    memory_mb: Annotated[int, Meta(gt=0)]
    warm: list[Warm]
    cold: Cold | None = None


class Measured(Struct):
    """The file that ``embeddings measure`` writes: the fields that are used here."""

    format: Literal[1]
    date: str
    function: str
    region: str
    architecture: Literal["x86_64", "arm64"]
    model: str
    emulated: bool
    sizes: Annotated[list[Size], Meta(min_length=1)]


def read_measured(path: Path, cold_share: float) -> Basis:
    """Return the requests that were measured at a deployed function: the medians of what was billed, nothing computed.

    Raises:
        ValueError: it is not a file of ``embeddings measure``, or lacks a figure; the message says which.
    """
    try:
        measured = json_decode(path.read_bytes(), type=Measured)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except DecodeError as error:
        raise ValueError(f"{path} is not a file of `embeddings measure`: {error}") from None
    requests: dict[str, dict[str, dict[int, Request]]] = {}
    names: dict[str, str] = {}
    for size in sorted(measured.sizes, key=lambda size: size.memory_mb):
        cold = _median(size.cold and size.cold.billed_ms)
        if cold is None and cold_share:
            raise ValueError(f"{path} has no cold starts at {size.memory_mb} MB; --cold 0 prices warm requests only")
        for warm in size.warm:
            billed = _median(warm.billed_ms)
            if billed is None or warm.tokens is None:
                raise ValueError(
                    f"{path} does not say what the load {warm.load!r} was billed at {size.memory_mb} MB, and its tokens"
                )
            name = BATCH if warm.load == BATCH else str(warm.tokens)
            names[name] = f"batch of {warm.texts}" if warm.load == BATCH else load_name(name)
            # As the report beside the file has it: the first load was that of the cold requests.
            first = size.warm[0].billed_ms.p50
            init = 0 if cold is None else cold - first
            request = Request(size.memory_mb, warm.tokens, billed / 1000, init / 1000)
            requests.setdefault(name, {measured.architecture: {}})[measured.architecture][size.memory_mb] = request
    if not set(requests) - {BATCH}:
        raise ValueError(f"{path} has no load of one text")
    source = (
        f"Medians of what {measured.function} in {measured.region} was billed on {measured.date[:10]} (`embeddings measure`), "
        f"model {measured.model}."
    )
    if measured.emulated:
        source += " **They come from an emulator, and say nothing about the speed of Lambda.**"
    return Basis(source, "", requests, names)


def _median(figure: Figure | None) -> float | None:
    return figure and figure.p50
