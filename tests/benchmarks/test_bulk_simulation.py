"""The simulation of bulk jobs against what can be computed by hand."""

import json

import pytest

from benchmarks import RESULTS
from benchmarks import bulk_simulation as simulation
from infra.watch.prices import COMPUTE

SLOWNESS = (1 + simulation.SLOWEST) / 2


def test_a_large_job_takes_its_work_divided_by_the_functions() -> None:
    job = simulation.simulate(10**8, 100, 0.01)

    assert job.splits == 8334 and job.binds == "functions at once"
    # Slow functions embed fewer splits than fast ones, so that the mean is below that of the CPUs.
    assert 1e6 / 100 < job.seconds < 1.05 * SLOWNESS * 1e6 / 100
    assert job.usd == pytest.approx(1e6 * job.seconds * 100 / 1e6 * 1769 / 1024 * COMPUTE["x86_64"].on_demand, rel=0.1)


def test_a_small_job_takes_one_split_and_the_steps_around_it() -> None:
    job = simulation.simulate(10**6, 10_000, 0.01)
    slowest = simulation.SPLIT_SECONDS * simulation.SLOWEST + simulation.COLD_SECONDS + simulation.PLAN_SECONDS

    assert job.binds == "one split" and simulation.SPLIT_SECONDS < job.seconds < slowest + 5


def test_short_splits_wait_for_their_starts() -> None:
    job = simulation.simulate(10**7, 10_000, 0.01, split_seconds=2)

    assert job.binds == "starts of splits" and job.seconds > job.splits / simulation.STARTS_A_SECOND


def test_the_committed_table_is_that_of_the_committed_measurements() -> None:
    text_seconds = simulation.measured()
    outcomes = [simulation.Outcome(**each) for each in json.loads((RESULTS / "bulk_simulation.json").read_text())]

    assert simulation.report(outcomes, text_seconds) == (RESULTS / "bulk_simulation.md").read_text()
    assert simulation.simulate(10**8, 1000, text_seconds) in outcomes
