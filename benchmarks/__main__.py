"""``make bench``: measures this project beside its peers, warm and cold, and writes ``benchmarks/results``,
docs/performance.md and the README's figures.

    python -m benchmarks             everything, in under ten minutes
    python -m benchmarks --quick     the main peers, one thread, no container; prints the report and writes no file
    python -m benchmarks --tei URL   a running Text Embeddings Inference, too

The model is the embedded one. Each peer runs in its own process; this one starts them and collects the times.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from containers.tools import PROJECT

from . import MACHINES, RESULTS, cold, report, tei, warm
from .loads import loads
from .machine import machine, name_of
from .peers import PEERS, QUICK, Paths

SCRATCH = PROJECT / "build" / "benchmarks"
MEMORY_MB = 1769
"""Memory of the container in which cold starts are measured; Lambda gives one vCPU with it."""

ROUNDS = 3

_started = time.monotonic()


def say(message: str) -> None:
    """Print a line of progress with the seconds since the start."""
    print(f"{time.monotonic() - _started:5.0f} s  {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Measure and print the report; write it, too, unless ``--quick`` is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="main peers, one thread, no container; writes no file")
    parser.add_argument("--tei", metavar="URL", help="compare with the Text Embeddings Inference that runs there, too")
    options = parser.parse_args()
    quick = options.quick
    python = _environment()
    paths = _make_paths(("balanced",) if quick else ("balanced", "fast", "exact"))
    artifact = paths.artifacts["balanced"]
    image = None
    if not quick:
        say("building the image")
        image = cold.build_image(artifact, say)
    texts = loads(_token_counter(paths))
    peers = QUICK if quick else tuple(PEERS)
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "command": f'make bench BENCH_ARGS="{" ".join(sys.argv[1:])}"' if sys.argv[1:] else "make bench",
        "machine": machine(),
        "warm": {},
    }
    if options.tei:
        say(f"beside TEI at {options.tei}")
        try:
            results["tei"] = tei.measure(options.tei, artifact, texts, ROUNDS, say)
        except tei.TeiError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    for threads in (1,) if quick else (1, 2):
        say(f"warm, {threads} thread{'s'[: threads > 1]}: loading {len(peers)} peers")
        results["warm"][str(threads)] = warm.measure(python, peers, threads, paths, texts, ROUNDS, say)
    say("one CPU and two")
    results["cpus"] = warm.on_cpus(python, paths, texts, 3 * ROUNDS, say)
    say("cold starts")
    results["cold"] = {
        "processes": cold.processes(artifact, _plain_build(paths), 2 if quick else 5, say),
        "container": cold.container(image, MEMORY_MB, 3, say) if image else None,
    }
    print(report.markdown(results))
    if quick:
        return 0
    write(results)
    _draw(python)
    say(f"written: {RESULTS.relative_to(PROJECT)}, docs/performance.md and the README's figures")
    return 0


def write(results: dict) -> None:
    """Write the results, the report, and what is kept of this machine's for the table of machines."""
    MACHINES.mkdir(parents=True, exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "bench.md").write_text(report.markdown(results))
    name = re.sub("[^a-z0-9]+", "-", f"{name_of(results['machine'])} {results['machine']['cpus']} CPUs".lower())
    (MACHINES / f"{name}.json").write_text(json.dumps(report.machine_summary(results), indent=1) + "\n")


def _draw(python: Path) -> None:
    """Draw the plots, which need matplotlib of the peers' environment, and write the documents."""
    script = (
        "import json; from pathlib import Path; from benchmarks import report; "
        "folder = Path('benchmarks/results'); results = json.loads((folder / 'bench.json').read_text()); "
        "report.plot(results, folder / 'latency.svg')"
    )
    subprocess.run([python, "-c", script], cwd=PROJECT, check=True)
    subprocess.run(
        [python, "-m", "benchmarks.cost", "--plot"],
        cwd=PROJECT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    subprocess.run([sys.executable, "-m", "benchmarks.publish"], cwd=PROJECT, check=True)


def _environment() -> Path:
    """Return the Python of the peers' environment, which adds to the project's packages; make it if it is missing or old."""
    folder = SCRATCH / "venv"
    python = folder / "bin" / "python"
    requirements = PROJECT / "benchmarks" / "requirements.txt"
    done = folder / requirements.name
    if not done.exists() or done.read_text() != requirements.read_text():
        say("installing benchmarks/requirements.txt into build/benchmarks/venv")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-qq", "-r", requirements, "-c", "constraints.txt"],
            cwd=PROJECT,
            check=True,
        )
        purelib = next((folder / "lib").glob("python*/site-packages"))
        (purelib / "project.pth").write_text(
            "\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n"
        )
        shutil.copy(requirements, done)
    return python


def _make_paths(precisions: tuple[str, ...]) -> Paths:
    """Make the files that the peers load, in a process that frees its memory and mapped files when it ends."""
    say("making the files that the peers load")
    command = [sys.executable, "-m", "benchmarks.prepare", str(SCRATCH), *precisions]
    values = json.loads(subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE).stdout)
    artifacts = {precision: Path(path) for precision, path in values.pop("artifacts").items()}
    return Paths(**{name: Path(path) for name, path in values.items()}, artifacts=artifacts)


def _token_counter(paths: Paths):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(paths.checkpoint / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text).ids)


def _plain_build(paths: Paths) -> Path:
    """Return a folder with the int8 model in one file and ``tokenizer.json``, as a plain build ships them."""
    shutil.copy(paths.checkpoint / "tokenizer.json", paths.int8 / "tokenizer.json")
    return paths.int8


if __name__ == "__main__":
    sys.exit(main())
