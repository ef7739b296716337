"""Machines that fail when they are switched on after a pause: who, when, and what it costs."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.policy import Decision, Observation
from sim.results.result import RunResult
from sim.streams import Streams
from sim.world.outages import MachineFailures, RestartLuck
from tests.conftest import build_scenario

HOUR = 3600
MACHINES, FRACTION = 100, 0.1


class ByHour:
    """ASICs run at a share of each hour; what is not named runs."""

    def __init__(self, **shares: float) -> None:
        self.shares = {int(hour[1:]): share for hour, share in shares.items()}

    def decide(self, observation: Observation) -> Decision:
        share = self.shares.get(round(observation.t_s) // HOUR, 1.0)
        asic = observation.asic
        return Decision(asic.default_share * share, np.ones_like(observation.gpu.available))


def run(policy: ByHour, days: float = 0.5, seed: int = 1, **changes: Any) -> RunResult:
    """A hundred S21 that nobody repairs and that fail by nothing else."""
    faults = {
        "restart_failure_fraction": FRACTION, "asic": {"mtbf_h": 1e12},
        **changes.pop("faults", {}),
    }  # fmt: skip
    scenario = build_scenario(
        {
            "horizon": {
                "days": days, "step_s": HOUR, "record_s": HOUR,
                "start_utc": "2026-01-01T00:00:00Z",
            },
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 30}}},
            "weather": {"climates": {"cool": {"model": "seasonal", "climate": "reykjavik-is"}}},
            "faults": faults,
        },
        sites=[
            {"name": "alpha", "climate": "cool", "technicians": changes.pop("technicians", 0)},
            {"name": "bravo", "climate": "cool"},
        ],
        asics=[{"site": "alpha", "model": "Antminer S21", "count": MACHINES, **changes}],
        gpus=[],
    )  # fmt: skip
    return sim.run(scenario, policy, seed)


def failed(result: RunResult) -> list[tuple[int, int]]:
    """Hour and number of each machine that failed at a restart."""
    rows = result.table("events").to_pylist()
    assert all(r["detail"].endswith(", at a restart") for r in rows if r["event"] == "failure")
    return [
        (r["t_s"] // HOUR, int(r["detail"].split("machine ")[1].split(",")[0]))
        for r in rows
        if r["event"] == "failure"
    ]


def drawn(restart: int, seed: int = 1) -> list[int]:
    """Who is out of luck at a restart, straight from the named stream."""
    draw = Streams(seed).generator("restart", "asic/alpha/Antminer S21/0", restart)
    return np.flatnonzero(draw.random(MACHINES) < FRACTION).tolist()


def test_who_was_off_and_is_switched_on_may_fail() -> None:
    result = run(ByHour(h2=0.0, h3=0.0))
    assert failed(result) == [(4, machine) for machine in drawn(0)]
    assert 3 < len(drawn(0)) < 20
    assert result.kpis["restart_failures"] == result.kpis["asic_failures"] == len(drawn(0))
    phs = result.table("sites")["hashrate_phs"].to_numpy()[::2]
    well = 0.2 * (MACHINES - len(drawn(0)))
    np.testing.assert_allclose(phs[5:], well)
    np.testing.assert_allclose(phs[4], well * (1.0 - 300 / HOUR))  # five minutes to boot
    np.testing.assert_allclose(phs[[0, 1]], 0.2 * MACHINES)


def test_who_never_pauses_never_restarts() -> None:
    result = run(ByHour())
    assert failed(result) == []
    assert result.kpis["restart_failures"] == result.kpis["restart_failures_usd"] == 0.0


def test_luck_is_the_machines_not_the_hours() -> None:
    """Whichever policy, whenever: the same machines fail at their first restart."""
    early, late = run(ByHour(h1=0.0)), run(ByHour(h7=0.0, h8=0.0))
    assert [m for _, m in failed(early)] == [m for _, m in failed(late)] == drawn(0)
    other = run(ByHour(h1=0.0), seed=2)
    assert [m for _, m in failed(other)] == drawn(0, seed=2) != drawn(0)


def test_only_those_that_were_off_restart() -> None:
    """Forty stay on, the numbers 40 to 99 pause."""
    result = run(ByHour(h2=0.4))
    assert [m for _, m in failed(result)] == [m for m in drawn(0) if m >= 40]


def test_a_second_restart_is_drawn_anew() -> None:
    result = run(ByHour(h2=0.0, h5=0.0))
    second = [m for m in drawn(1) if m not in drawn(0)]
    assert failed(result) == [(3, m) for m in drawn(0)] + [(6, m) for m in second]


def test_a_rise_by_halves_restarts_each_machine_once() -> None:
    result = run(ByHour(h2=0.0, h3=0.5))
    assert [m for h, m in failed(result) if h == 3] == [m for m in drawn(0) if m < 50]
    assert {m for _, m in failed(result)} <= set(drawn(0))
    # What is half of fewer machines keeps those on that are: of the others nobody starts before.
    assert {m for h, m in failed(result) if h == 4} == {m for m in drawn(0) if m >= 50}


def test_what_it_costs_by_hand() -> None:
    """Mined value less the pool's fee and energy at the meter, for each hour after the restart."""
    result = run(ByHour(h2=0.0))
    out, hours = len(drawn(0)), 12 - 3
    fleet = result.table("fleet").to_pylist()
    per_ph_hour = fleet[-1]["hashprice_usd_per_ph_day"] / 24 * (1 - 0.0)
    fee = result.scenario.pool.fee_fraction
    sites = [r for r in result.table("sites").to_pylist() if r["site"] == "alpha"]
    cooling = sites[-1]["cooling_mw"] / sites[-1]["asic_mw"]
    loss = sites[-1]["loss_mw"] / sites[-1]["meter_mw"]
    spent = 0.0035 * (1 + cooling) / (1 - loss) * 30
    expected = out * hours * (0.2 * per_ph_hour * (1 - fee) - spent)
    assert result.kpis["restart_failures_usd"] == pytest.approx(expected, rel=1e-6)
    assert expected > 0.0
    # The same out of two runs: with failures and without, hours after the boot.
    none = run(ByHour(h2=0.0), faults={"restart_failure_fraction": 0.0})
    k, k0 = result.kpis, none.kpis
    booting = out * 0.2 * per_ph_hour * (1 - fee) * 300 / HOUR  # what nobody hashes at the start
    lost = (k0["gross_margin_usd"] or 0.0) - (k["gross_margin_usd"] or 0.0)
    assert lost == pytest.approx(expected - booting, rel=1e-3)


def test_a_row_of_its_own_and_none_at_all() -> None:
    assert len(failed(run(ByHour(h2=0.0), restart_failure_fraction=1.0))) == MACHINES
    assert failed(run(ByHour(h2=0.0), restart_failure_fraction=0.0)) == []
    assert failed(run(ByHour(h2=0.0), faults={"enabled": False})) == []
    assert build_scenario().faults.restart_failure_fraction == 0.0


def test_they_are_repaired_and_a_repair_is_no_restart() -> None:
    asic = {"mtbf_h": 1e12, "repair_h": 0.1, "spare_share": 0.0}
    result = run(ByHour(h2=0.0), days=2.0, faults={"asic": asic}, technicians=50)
    assert [m for _, m in failed(result)] == drawn(0)
    events = result.table("events")["event"].to_pylist()
    assert events.count("repair") == len(drawn(0))
    phs = result.table("sites")["hashrate_phs"].to_numpy()[::2]
    np.testing.assert_allclose(phs[12:], 0.2 * MACHINES)
    missed = result.table("fleet")["restart_lost_usd"].to_numpy()
    assert missed[:3].sum() == 0.0
    assert missed[3] > 0.0
    assert missed[12:].sum() == 0.0


def test_an_outage_of_the_site_is_a_pause_too() -> None:
    dark = {"kind": "outage", "sites": ["alpha"], "start_utc": "2026-01-01T02:00:00Z", "hours": 2}
    result = run(ByHour(), faults={"incidents": [dark]})
    assert [m for _, m in failed(result)] == drawn(0)


def test_waits_and_repairs_belong_to_the_machine() -> None:
    faults = build_scenario().faults.asic
    of = MachineFailures(faults, 10_000, 0.0, "asic/x", Streams(3))
    found = RestartLuck(0.1, of).failing(0)
    assert len(found) == pytest.approx(1000, abs=100)  # three standard deviations
    waits = np.array(list(found.values()))
    assert (waits[:, 0] > 0).mean() == pytest.approx(faults.spare_share, abs=0.06)
    assert waits[:, 1].mean() == pytest.approx(faults.repair_h * HOUR, rel=0.15)
    assert RestartLuck(0.1, of).failing(0) == found
    assert set(RestartLuck(0.05, of).failing(0)) < set(found)
