"""The cost model against AWS's worked example and the claim of the proof of concept (TEI in Lambda)."""

import pytest

from benchmarks import cost
from infra.watch.prices import COMPUTE, USD_PER_REQUEST
from runtime.aws.telemetry import Telemetry
from runtime.http.messages import Response


def seconds_at(memory_mb: int, seconds: float) -> cost.Times:
    """Return the times of a request that takes this long at this memory size, below one vCPU."""
    return cost.Times(one_thread=seconds * memory_mb / cost.VCPU_MB, two_threads=1, init=0, tokens=1_000_000)


def test_the_worked_example_of_aws():
    """3 million requests of 1 s at 512 MB: $18.34 for compute and $0.40 for requests, beyond the free tier
    (https://aws.amazon.com/lambda/pricing/, for years the page's first example)."""
    priced = cost.row(seconds_at(512, 1.0), "x86_64", 512, cold_share=0)
    requests = 3_000_000
    list_price = priced.usd_per_million_tokens * requests  # a million tokens is one request here
    free = cost.FREE_GB_SECONDS * COMPUTE["x86_64"].on_demand + cost.FREE_REQUESTS * USD_PER_REQUEST
    assert list_price - free == pytest.approx(18.34 + 0.40, abs=0.01)
    assert priced.free_million_tokens == pytest.approx(400_000 / 0.5)


def test_the_claim_of_the_proof_of_concept():
    priced = cost.row(cost.PROOF_OF_CONCEPT, "x86_64", cost.PROOF_OF_CONCEPT_MB)
    assert priced.warm_ms == pytest.approx(300) and priced.init_ms == pytest.approx(3700)
    assert priced.usd_per_million_tokens == pytest.approx(0.03, abs=0.001)


def test_more_cold_starts_cost_more_and_more_memory_is_faster():
    times = cost.Times(one_thread=0.1, two_threads=0.06, init=0.3, tokens=512)
    assert times.serial_share == pytest.approx(0.2)
    rare, often = (cost.row(times, "x86_64", 1769, cold).usd_per_million_tokens for cold in (0.01, 0.5))
    assert rare < often
    warm = [one.warm_ms for one in cost.rows(times, 0.1, {"x86_64": 1.0})]
    assert warm == sorted(warm, reverse=True)


def test_the_break_even_is_where_the_bills_are_equal():
    ours = cost.row(cost.Times(one_thread=0.1, two_threads=0.06, init=0.3, tokens=512), "x86_64", 1769)
    volume = cost.break_even(ours, 30)
    assert (volume - ours.free_million_tokens) * ours.usd_per_million_tokens == pytest.approx(30)
    assert cost.break_even(ours, 30, free_tier=False) * ours.usd_per_million_tokens == pytest.approx(30)


def test_the_worst_day_has_all_terms():
    """By hand, from the prices on AWS's pages: 10 environments of 1,769 MB, 100 requests a second, 6 MiB each."""
    day = cost.worst_day(10)

    assert day.compute == pytest.approx(10 * 1769 / 1024 * 86_400 * 0.0000166667)
    assert day.requests == pytest.approx(8.64 * 0.20)
    # 50,625 GB: 10 TB at 0.09, the rest at 0.085.
    assert day.transfer == pytest.approx(921.60 + 40_385 * 0.085)
    assert day.logs == pytest.approx(8.64e6 * 2_000 / 2**30 * 0.5)
    assert day.total == day.compute + day.requests + day.transfer + day.logs
    refused = cost.worst_day(10, refused=True)
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
        assert sum(map(len, lines)) <= cost.LOG_BYTES
        lines.pop()
