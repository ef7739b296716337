"""Failures and repairs against renewal theory and queueing."""

import numpy as np
import pytest

import sim
from sim.scenario.model import Faults
from sim.streams import Streams
from sim.validation.theory import _availability
from sim.world.outages import MachineFailures
from tests.conftest import build_scenario


def test_availability_where_no_queue_forms() -> None:
    assert _availability().ok


def test_failures_arrive_at_their_rate() -> None:
    failures = MachineFailures(Faults(mtbf_h=1000.0), 500, 2.0, "g", Streams(1))
    block = failures.block(0)
    expected = 500 * 720 / 1000
    assert len(block.t_s) == pytest.approx(expected, abs=4 * expected**0.5)
    assert (np.diff(block.t_s) >= 0).all()
    assert block.t_s.max() < 30 * 86_400
    assert block.repair_s.mean() / 3600 == pytest.approx(1.0, rel=0.2)
    assert (block.spare_s > 0).mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.5])
def test_weibull_hazard_by_age(shape: float) -> None:
    """Expected failures from age a to b: n · ((b/scale)^k - (a/scale)^k)."""
    scale_h, machines, age_years = 20_000.0, 4000, 1.5
    group = MachineFailures(
        Faults(mtbf_h=scale_h, weibull_shape=shape), machines, age_years, "g", Streams(3)
    )
    from_h = age_years * 8766
    counted = [len(group.block(day).t_s) for day in range(0, 360, 30)]
    to_h = from_h + 360 * 24
    expected = machines * ((to_h / scale_h) ** shape - (from_h / scale_h) ** shape)
    assert sum(counted) == pytest.approx(expected, abs=4 * expected**0.5)


def test_few_technicians_make_a_queue_and_none_repair_nothing() -> None:
    available = []
    for technicians in (0, 1, 50):
        scenario = build_scenario(
            {
                "horizon": {"days": 10, "step_s": 3600},
                "faults": {"asic": {"mtbf_h": 400, "repair_h": 2, "spare_share": 0}},
            },
            sites=[{"name": "alpha", "technicians": technicians}],
            asics=[{"site": "alpha", "model": "Antminer S21", "count": 300}],
            gpus=[],
        )
        result = sim.run(scenario, "static", 1)
        available.append(result.kpis["asic_availability_pct"] or 0.0)
        assert ("repair" in result.table("events")["event"].to_pylist()) == (technicians > 0)
    assert available[0] < available[1] < available[2]
    assert available[2] == pytest.approx(100 * 400 / 402, abs=0.2)
    # nobody repairs: each machine is lost at its first failure, exponential with 400 h
    expected = 100 * 400 / 240 * (1 - np.exp(-240 / 400))
    assert available[0] == pytest.approx(expected, abs=2.0)
