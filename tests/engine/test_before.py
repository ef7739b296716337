"""What is dated before the run: it neither happens again nor is it forgotten."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sim.results.result import RunResult
from sim.scenario import Scenario
from tests.builders.firms import BOUGHT, GPU_PROJECT, HOST, S21, firm, posted, told
from tests.builders.quiet import column, events, quiet

Build = Callable[..., Scenario]
LIFE_DAYS = 3 * 365.25  # of ASICs
FIRE = {"kind": "fire", "sites": ["alpha"], "destroyed_fraction": 0.4}
BOOKS = {"firm": {"asic_usd_per_th": 10}}  # 100 machines of 200 TH/s: 200,000 USD


def hit(build: Build, *incidents: dict[str, Any], **tables: Any) -> RunResult:
    faults = {"enabled": False, "incidents": list(incidents)}
    return firm(build, {**BOOKS, **tables, "faults": faults})


def deployed(result: RunResult, site: int) -> Any:
    return result.table("sites")["deployed_phs"].to_numpy().reshape(-1, 2)[:, site]


# Price spikes.


def spike(hours: float, start: str = "2026-01-01T06:00:00Z", usd: float = 4000) -> dict[str, Any]:
    return {
        "kind": "price-spike",
        "zones": ["zone"],
        "start_utc": start,
        "hours": hours,
        "usd_per_mwh": usd,
    }


@pytest.mark.parametrize("step_s", [300, 900, 3600, 21_600])
def test_a_spike_costs_the_same_whatever_the_control_step(build: Build, step_s: int) -> None:
    """A quarter of an hour at 4,000 in place of 30 USD/MWh: the fleet's power times 992.50."""
    horizon = {"days": 2, "step_s": step_s, "record_s": 21_600, "start_utc": "2026-01-01T00:00:00Z"}
    calm = quiet(build, tables={"horizon": horizon})
    lifted = quiet(build, spike(0.25, "2026-01-01T07:00:00Z"), tables={"horizon": horizon})
    mw = sum(float(column(calm, s, "meter_mw")[1]) for s in ("alpha", "bravo"))
    more_usd = (lifted.kpis["power_cost_usd"] or 0.0) - (calm.kpis["power_cost_usd"] or 0.0)
    assert more_usd == pytest.approx(mw * 0.25 * (4000 - 30), rel=1e-3)


def test_of_spikes_at_once_the_highest_holds(build: Build) -> None:
    """06:00 to 06:30 at 100, 06:15 to 06:45 at 400, of an hour at 30."""
    result = quiet(
        build,
        spike(0.5, usd=100),
        spike(0.5, "2026-01-01T06:15:00Z", usd=400),
        tables={
            "horizon": {"days": 2, "step_s": 3600, "start_utc": "2026-01-01T00:00:00Z"},
        },
    )
    price = column(result, "alpha", "price_usd_per_mwh")
    assert price[6] == pytest.approx(100 * 0.25 + 400 * 0.5 + 30 * 0.25)
    assert (np.delete(price, 6) == 30.0).all()


def test_a_spike_below_the_price_lifts_nothing(build: Build) -> None:
    assert (column(quiet(build, spike(3, usd=20)), "alpha", "price_usd_per_mwh") == 30.0).all()


def test_of_a_spike_of_before_the_run_the_rest_is_paid(build: Build) -> None:
    price = column(quiet(build, spike(3.5, "2025-12-31T22:00:00Z")), "alpha", "price_usd_per_mwh")
    assert price[:3].tolist() == [4000.0, pytest.approx(0.5 * 4000 + 0.5 * 30), 30.0]


def test_a_power_contract_holds_from_its_instant(build: Build) -> None:
    """A block of 1 MW from 06:15 on covers three quarters of the step from 06:00."""
    contract = {
        "site": "alpha",
        "kind": "ppa",
        "mw": 1,
        "strike_usd_per_mwh": 10,
        "start_utc": "2026-01-01T06:15:00Z",
        "end_utc": "2026-01-01T08:30:00Z",
    }
    horizon = {"days": 2, "step_s": 3600, "start_utc": "2026-01-01T00:00:00Z"}
    result = quiet(build, tables={"horizon": horizon}, power_contracts=[contract])
    gained = -column(result, "alpha", "contract_usd")
    assert gained[5:10].tolist() == pytest.approx([0.0, 15.0, 20.0, 10.0, 0.0])


# Fires.


def test_a_fire_of_yesterday_neither_burns_again_nor_vanishes(build: Build) -> None:
    """Fourty of a hundred machines burnt at noon; the site stays shut for the rest of two days."""
    burnt = hit(build, {**FIRE, "start_utc": "2025-12-31T12:00:00Z", "hours": 48})
    np.testing.assert_allclose(deployed(burnt, 0), 12.0)  # of 20 PH/s, from the start
    hashing = burnt.table("sites")["hashrate_phs"].to_numpy().reshape(-1, 2)[:, 0]
    assert hashing[:3].tolist() == [0.0, pytest.approx(6.0, rel=0.01), pytest.approx(12.0)]
    assert posted(burnt, "assets:asics", "opening") == [(0, 120_000.0)]
    assert not burnt.kpis["impairment_usd"]
    kinds = [kind for _, kind in told(burnt)]
    assert "machines destroyed" not in kinds
    assert kinds.count("before the run") == 1


def test_a_fire_that_has_no_length_is_not_forgotten(build: Build) -> None:
    burnt = hit(build, {**FIRE, "start_utc": "2025-11-01T00:00:00Z"})
    np.testing.assert_allclose(deployed(burnt, 0), 12.0)
    assert burnt.kpis["uptime_pct"] == pytest.approx(100.0)


def test_the_insurer_owes_what_has_not_fallen_due(build: Build) -> None:
    """80,000 USD of book value burnt 15 days before; due 20 days after, 5 into the run."""
    fire = {**FIRE, "start_utc": "2025-12-17T00:00:00Z"}
    owed = hit(build, fire, insurance={"mutual": {"delay_days": 20, "deductible_usd": 5_000}})
    claims = posted(owed, "assets:insurance-claims", "claim")
    assert claims == [(0, 75_000.0), (5, -75_000.0)]
    assert posted(owed, "income:insurance", "") == []
    assert posted(owed, "equity:opening", "claim") == [(0, -75_000.0)]
    paid = hit(build, fire, insurance={"mutual": {"delay_days": 10}})
    assert posted(paid, "assets:insurance-claims", "") == []


def test_fires_before_and_in_the_run_each_burn_once(build: Build) -> None:
    twice = hit(
        build,
        {**FIRE, "start_utc": "2025-12-17T00:00:00Z"},
        {**FIRE, "start_utc": "2026-01-11T00:00:00Z"},
    )
    np.testing.assert_allclose(deployed(twice, 0), [12.0] * 10 + [7.2] * 21)
    lost = 0.4 * 120_000.0 * (1 - 10 / LIFE_DAYS)
    assert twice.kpis["impairment_usd"] == pytest.approx(lost, abs=0.02)


# Notices and hosts.

NOTICE = {"kind": "termination", "hosts": ["dome"], "start_utc": "2025-12-29T00:00:00Z"}


def test_a_notice_of_before_the_run_runs_out(build: Build) -> None:
    """Five days from 29 December: the machines leave on 3 January, and stand again on the 10th."""
    left = hit(build, NOTICE, hosts={"dome": HOST})
    np.testing.assert_allclose(deployed(left, 0), [20.0] * 2 + [0.0] * 29)
    np.testing.assert_allclose(deployed(left, 1), [0.0] * 9 + [20.0] * 22)
    assert posted(left, "expenses:moving", "") == [(2, 10_000.0)]


def test_a_notice_that_ran_out_before_the_run_is_over(build: Build) -> None:
    """They left on 30 December and stand at the other site on 6 January: moving is paid."""
    notice = {**NOTICE, "start_utc": "2025-12-25T00:00:00Z"}
    deposits = {"bond": {"usd": 50_000, "host": "dome"}}
    left = hit(build, notice, hosts={"dome": HOST}, deposits=deposits)
    np.testing.assert_allclose(deployed(left, 0), 0.0)
    np.testing.assert_allclose(deployed(left, 1), [0.0] * 5 + [20.0] * 26)
    assert posted(left, "expenses:moving", "") == []
    assert posted(left, "assets:deposits", "") == []  # lost with the host: history
    assert posted(left, "expenses:hosting:charges", "machine fee") == []


def test_machines_that_moved_before_the_run_stand_where_they_moved(build: Build) -> None:
    for ended in (
        {"hosts": {"dome": {**HOST, "ends_utc": "2025-12-01T00:00:00Z"}}},
        {"hosts": {"dome": HOST}},
    ):
        notice = {**NOTICE, "start_utc": "2025-11-26T00:00:00Z"}
        incidents = () if "ends_utc" in ended["hosts"]["dome"] else (notice,)
        left = hit(build, *incidents, **ended)
        np.testing.assert_allclose(deployed(left, 0), 0.0)
        np.testing.assert_allclose(deployed(left, 1), 20.0)
        assert posted(left, "assets:asics", "opening") == [(0, 200_000.0)]


# Projects.


def test_a_delivered_project_is_part_of_the_opening_balance(build: Build) -> None:
    """Live on 8 October, 85 days before the run: 1 M USD less 85 days of five years."""
    project = {**GPU_PROJECT, "order_utc": "2025-10-01T00:00:00Z"}
    result = firm(build, {"projects": {"pod": project}}, gpus=BOUGHT)
    opening = 1e6 * (1 - 85 / (5 * 365.25))
    assert posted(result, "assets:gpus", "opening") == [(0, pytest.approx(opening, abs=0.01))]
    assert posted(result, "assets:projects", "") == []
    assert posted(result, "assets:cash", "pod:") == []
    nodes = result.table("sites")["gpu_nodes"].to_numpy().reshape(-1, 2)[:, 0]
    np.testing.assert_allclose(nodes, 4.0)
    assert result.kpis["depreciation_usd"] == pytest.approx(1e6 * 31 / (5 * 365.25), rel=1e-6)
    assert (0.0, "project live") in told(result)


def test_a_project_past_its_life_stands_there_for_nothing(build: Build) -> None:
    project = {**GPU_PROJECT, "order_utc": "2018-10-01T00:00:00Z"}
    result = firm(build, {"projects": {"pod": project}}, gpus=BOUGHT)
    assert posted(result, "assets:gpus", "") == []
    assert result.table("sites")["gpu_nodes"].to_numpy().max() == 4.0


def test_a_delay_of_before_the_run_counts(build: Build) -> None:
    """Ordered on 29 December, to be delivered on 3 January: ten days later, live on the 15th."""
    project = {**GPU_PROJECT, "order_utc": "2025-12-29T00:00:00Z"}
    delay = {
        "kind": "delivery-delay",
        "projects": ["pod"],
        "days": 10,
        "start_utc": "2025-12-30T00:00:00Z",
    }
    faults = {"enabled": False, "incidents": [delay]}
    result = firm(build, {"projects": {"pod": project}, "faults": faults}, gpus=BOUGHT)
    assert (14.0, "project live") in told(result)


def test_what_was_live_burnt_and_moved_before_the_run_in_its_order(build: Build) -> None:
    """Machines of a project that went live after a fire did not burn in it."""
    project = {**GPU_PROJECT, "order_utc": "2025-11-01T00:00:00Z"}  # live on 8 November
    rows = [S21, {**S21, "count": 50, "project": "pod"}]
    for day, phs in (("07", 12.0 + 10.0), ("09", 12.0 + 6.0)):
        fire = {**FIRE, "start_utc": f"2025-11-{day}T00:00:00Z"}
        faults = {"enabled": False, "incidents": [fire]}
        result = firm(build, {"projects": {"pod": project}, "faults": faults}, asics=rows)
        np.testing.assert_allclose(deployed(result, 0), phs)
        worth = 1e6 * (1 - 54 / LIFE_DAYS) * (1.0 if day == "07" else 0.6)
        opened = sum(usd for _, usd in posted(result, "assets:asics", "opening"))
        assert opened == pytest.approx(worth, abs=0.02)


def test_an_outage_of_before_the_run_lasts_its_rest(build: Build) -> None:
    outage = {
        "kind": "outage",
        "sites": ["alpha"],
        "start_utc": "2025-12-31T20:00:00Z",
        "hours": 6,
    }
    result = quiet(build, outage)
    assert not column(result, "alpha", "hashrate_phs")[:2].any()
    assert column(result, "alpha", "hashrate_phs")[3] > 0.0
    assert (2 * 3600, "outage over") in events(result)
