"""The cost model against AWS's worked example and the claim of the proof of concept (TEI in Lambda)."""

import json
import re

import pytest

from benchmarks import basis, cost, worst_day
from containers.tools import PROJECT
from infra.watch.prices import COMPUTE, USD_PER_REQUEST
from runtime.aws.telemetry import Telemetry
from runtime.http.messages import Response
from runtime.settings import VCPU_MB


def seconds_at(memory_mb: int, seconds: float) -> basis.Times:
    """Return the times of a request that takes this long at this memory size, below one vCPU."""
    return basis.Times(one_thread=seconds * memory_mb / VCPU_MB, two_threads=1, init=0, tokens=1_000_000)


def test_the_worked_example_of_aws():
    """3 million requests of 1 s at 512 MB: $18.34 for compute and $0.40 for requests, beyond the free tier
    (https://aws.amazon.com/lambda/pricing/, for years the page's first example)."""
    priced = cost.price(seconds_at(512, 1.0).at(512), "x86_64", cold_share=0)
    requests = 3_000_000
    list_price = priced.usd_per_million_tokens * requests  # a million tokens is one request here
    free = cost.FREE_GB_SECONDS * COMPUTE["x86_64"].on_demand + cost.FREE_REQUESTS * USD_PER_REQUEST
    assert list_price - free == pytest.approx(18.34 + 0.40, abs=0.01)
    assert priced.free_million_tokens == pytest.approx(400_000 / 0.5)


def test_the_claim_of_the_proof_of_concept():
    priced = cost.price(cost.PROOF_OF_CONCEPT.at(cost.PROOF_OF_CONCEPT_MB), "x86_64")
    assert priced.warm_ms == pytest.approx(300) and priced.init_ms == pytest.approx(3700)
    assert priced.usd_per_million_tokens == pytest.approx(0.03, abs=0.001)


def test_more_cold_starts_cost_more_and_more_memory_is_faster():
    times = basis.Times(one_thread=0.1, two_threads=0.06, init=0.3, tokens=512)
    assert times.serial_share == pytest.approx(0.2)
    rare, often = (cost.price(times.at(1769), "x86_64", cold).usd_per_million_tokens for cold in (0.01, 0.5))
    assert rare < often
    warm = [times.at(size).warm for size in basis.MEMORY_SIZES]
    assert warm == sorted(warm, reverse=True)


def test_a_batch_that_two_cpus_halve_costs_the_same_up_to_the_largest_memory():
    times = basis.Times(one_thread=0.44, two_threads=0.22, init=0.3, tokens=4224)
    prices = [cost.price(times.at(size), "x86_64", cold_share=0).usd_per_million_tokens for size in basis.MEMORY_SIZES]
    assert max(prices) == pytest.approx(min(prices), rel=0.02)  # whole milliseconds are billed


def measured(**changes) -> dict:
    """A file of `embeddings measure`: a text alone at two memory sizes, a batch at the larger."""

    def warm(load: str, tokens: int, texts: int, billed: float) -> dict:
        return {"load": load, "tokens": tokens, "texts": texts, "count": 50, "billed_ms": {"p50": billed, "p95": None}}

    def cold(billed: float) -> dict:
        return {"count": 5, "billed_ms": {"p50": billed, "p95": 500.0, "p99": None}}

    function = {"function": "arn:aws:lambda:eu-west-1:123456789012:function:embeddings", "region": "eu-west-1"}
    return {
        **{"format": 1, "date": "2026-11-26T03:00:00+00:00", **function, "architecture": "arm64"},
        **{"model": "intfloat/multilingual-e5-small", "emulated": False},
        "sizes": [
            {
                "memory_mb": 3008,
                "cold": cold(460),
                "warm": [warm("512", 512, 1, 60), warm("16", 16, 1, 3), warm("batch", 4224, 24, 270)],
            },
            {"memory_mb": 1769, "cold": cold(500), "warm": [warm("512", 512, 1, 100)], "peak_memory_mb": 193},
        ],
        **changes,
    }


def run(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["cost", *arguments])
    return cost.main(), *capsys.readouterr()


def test_what_was_measured_at_a_function_is_priced_as_it_was_billed(tmp_path, monkeypatch, capsys):
    file = tmp_path / "measured.json"
    file.write_text(json.dumps(measured()))
    status, out, _ = run(monkeypatch, capsys, "--measured", str(file))

    usd = (1769 / 1024 * (0.1 + 0.1 * 0.4) * COMPUTE["arm64"].on_demand + USD_PER_REQUEST) / 512 * 1e6
    batch = (3008 / 1024 * (0.27 + 0.1 * 0.4) * COMPUTE["arm64"].on_demand + USD_PER_REQUEST) / 4224 * 1e6
    rows = [line for line in out.splitlines() if re.match(r"\| \**\d,", line)]
    assert status == 0
    assert len(rows) == 2 and f"| 400 | 100 | {usd:.4f} |" in rows[0] and f"| 270 | {batch:.4f} |" in rows[1]
    assert "whatever the memory" not in out
    assert "embeddings in eu-west-1" in out and "| batch of 24 (ms) |" in out and "emulator" not in out


def test_the_prices_are_those_of_the_report_beside_the_file(monkeypatch, capsys):
    file = PROJECT / "docs" / "measured.json"
    _, out, _ = run(monkeypatch, capsys, "--measured", str(file))
    summary = re.findall(
        r"^\| ([\d,]+) MB \| [\d,.]+ \| [\d,.]+ \| ([\d.]+) \| (\d+) \|$",
        (PROJECT / "docs" / "measuring.md").read_text(),
        re.M,
    )
    priced = re.findall(r"^\| \**([\d,]+)\** \| (?:[\d.,]+ \| ){3}([\d.]+) \| (\d+) \|", out, re.M)
    assert len(summary) == 2 and priced == summary


def test_an_emulator_s_file_is_labelled(tmp_path, monkeypatch, capsys):
    file = tmp_path / "measured.json"
    file.write_text(json.dumps(measured(emulated=True)))
    assert "come from an emulator" in run(monkeypatch, capsys, "--measured", str(file))[1]


def without(*path) -> str:
    """:func:`measured` with null at this place."""
    file = place = json.loads(json.dumps(measured()))
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = None
    return json.dumps(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read: No such file"),
        ("{", r"is not a file of `embeddings measure`"),
        (json.dumps(measured(format=2)), r"is not a file of `embeddings measure`: .*format"),
        (json.dumps(measured(sizes=[])), r"is not a file of `embeddings measure`: .*sizes"),
        (json.dumps(measured(sizes=[{"memory_mb": 1769, "warm": []}])), r"no cold starts at 1769 MB; --cold 0"),
        (without("sizes", 1, "cold"), r"no cold starts at 1769 MB; --cold 0"),
        (without("sizes", 0, "cold", "billed_ms", "p50"), r"no cold starts at 3008 MB"),
        (without("sizes", 0, "warm", 1, "billed_ms"), r"does not say what the load '16' was billed at 3008 MB"),
    ],
)
def test_a_wrong_file_gives_a_sentence(tmp_path, monkeypatch, capsys, content, message):
    file = tmp_path / "measured.json"
    if content is not None:
        file.write_text(content)
    status, out, err = run(monkeypatch, capsys, "--measured", str(file))
    assert (status, out) == (1, "")
    assert re.fullmatch(rf"error: {re.escape(str(file))} (has )?{message}.*\n", err)


def test_warm_requests_are_priced_without_an_init_phase(tmp_path, monkeypatch, capsys):
    file = tmp_path / "measured.json"
    file.write_text(without("sizes", 1, "cold"))
    assert run(monkeypatch, capsys, "--measured", str(file), "--cold", "0")[0] == 0


def test_the_break_even_is_where_the_bills_are_equal():
    ours = cost.price(basis.Times(one_thread=0.1, two_threads=0.06, init=0.3, tokens=512).at(1769), "x86_64")
    volume = cost.break_even(ours, 30)
    assert (volume - ours.free_million_tokens) * ours.usd_per_million_tokens == pytest.approx(30)
    assert cost.break_even(ours, 30, free_tier=False) * ours.usd_per_million_tokens == pytest.approx(30)


def test_the_worst_day_has_all_terms():
    """By hand, from the prices on AWS's pages: 10 environments of 1,769 MB, 100 requests a second, 6 MiB each."""
    day = worst_day.worst_day(10)

    assert day.compute == pytest.approx(10 * 1769 / 1024 * 86_400 * 0.0000166667)
    assert day.requests == pytest.approx(8.64 * 0.20)
    # 50,625 GB: 10 TB at 0.09, the rest at 0.085.
    assert day.transfer == pytest.approx(921.60 + 40_385 * 0.085)
    assert day.logs == pytest.approx(8.64e6 * 2_000 / 2**30 * 0.5)
    assert day.total == day.compute + day.requests + day.transfer + day.logs
    refused = worst_day.worst_day(10, refused=True)
    assert refused.requests == day.requests and refused.logs == day.logs
    assert refused.compute + refused.transfer < 2


def test_the_lines_of_a_request_fit_in_what_the_worst_day_counts():
    """Those of Lambda are the examples in its developer guide, "Log and monitor … in JSON format"."""
    lines = [
        '{"time":"2024-03-13T18:56:24.046Z","type":"platform.start","record":{"requestId":"79b4f56e-95b1-4643-9700-2807f4e68189","version":"$LATEST"}}',
        '{"time":"2024-03-13T18:56:24.046Z","type":"platform.runtimeDone","record":{"requestId":"79b4f56e-95b1-4643-9700-2807f4e68189","status":"success","metrics":{"durationMs":140.123,"producedBytes":6291456}}}',
        '{"time":"2024-03-13T18:56:24.046Z","type":"platform.report","record":{"requestId":"79b4f56e-95b1-4643-9700-2807f4e68189","status":"success","metrics":{"durationMs":140.123,"billedDurationMs":141,"memorySizeMB":1769,"maxMemoryUsedMB":500,"initDurationMs":480.123}}}',
    ]
    telemetry = Telemetry(
        "ServerlessEmbeddings-prod-EmbeddingsFunction9B0F5F82-AbCdEfGhIjKl", "INFO", 0.5, lines.append
    )
    for status, kind in ((401, "Unauthorized"), (200, None)):
        telemetry.record(
            "/v1/embeddings", Response(status=status, error_type=kind), "79b4f56e-95b1-4643-9700-2807f4e68189", 60
        )
        assert sum(map(len, lines)) <= worst_day.LOG_BYTES
        lines.pop()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speed", "0"], "are above 0"),
        (["--arm-speed", "0"], "are above 0"),
        (["--measured", "measured.json", "--speed", "2"], "those of --measured are Lambda's"),
        (["--measured", "measured.json", "--plot"], "--plot"),
        (["--cold", "0.5", "--plot"], "--plot"),
    ],
)
def test_options_that_make_no_sense_are_refused(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run(monkeypatch, capsys, *arguments)
    assert message in capsys.readouterr().err
