"""The bound under demand charges and tiers: an upper bound always, exact where nothing is open."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.policies.look_ahead import LookAhead
from sim.policies.merit_order import MeritOrder
from tests.builders.plain_sites import plain

WINDOW = {"from_hour": 14, "to_hour": 20}
CHARGES: dict[str, dict[str, Any]] = {
    "any hour": {},
    "window": WINDOW,
    "longer": {"interval_min": 60, "days": "weekend", "from_hour": 22, "to_hour": 6},
    "shorter": {**WINDOW, "interval_min": 5},
    "ratchet": {"ratchet_fraction": 0.9, "ratchet_months": 2, "peak_before_mw": 1.0, **WINDOW},
    "summer": {"months": [2], "prorate": False},
}


def charged(name: str, usd: float, seed: int, **sheets: Any) -> sim.scenario.Scenario:
    """Six days over a month's end at prices that change, half-hour steps."""
    when = {"start_utc": "2026-01-28T06:00:00Z", "days": 6, "step_s": 1800, "record_s": 3600}
    tables = {
        "horizon": when,
        "prices": {"zones": {"zone": {"model": "seasonal-jump", "profile": "ercot-west"}}},
        "demand_charges": {name: {"usd_per_mw_month": usd, **CHARGES[name]}},
        "faults": {"asic": {"mtbf_h": 400}},
    }
    return plain(tables, **sheets)


@pytest.mark.parametrize("name", CHARGES)
def test_no_policy_is_above_the_bound_of_a_demand_charge(name: str) -> None:
    scenario = charged(name, 15_000.0, 2)
    best = sim.bound(scenario, 2).usd
    for policy in ("static", "merit-order", "look-ahead"):
        usd = sim.run(scenario, policy, 2).kpis["gross_margin_usd"]
        assert usd is not None
        assert usd <= best + 1e-6 * abs(best), policy


def test_it_is_exact_where_the_load_is_worth_its_peak() -> None:
    """Charges of a dollar move nobody: the bound loses what is billed of the same load."""
    for name in ("any hour", "window", "ratchet", "summer"):
        scenario = charged(name, 1.0, 2, gpus=[])
        free = scenario.model_copy(update={"demand_charges": {}})
        lost = sim.bound(free, 2).usd - sim.bound(scenario, 2).usd
        billed = sim.run(scenario, "merit-order", 2).kpis["demand_charges_usd"]
        assert billed is not None
        assert 0.9 * billed < lost <= billed * (1.0 + 1e-6)


def test_a_battery_earns_where_power_is_dear_in_the_evening() -> None:
    """Flat energy; from 17 to 20 h a MW costs 9,000 USD a month, and 2 MW run for more than that.

    The battery gives its 1 MW in all evenings and charges at night: what it saves is its power at
    its meter, less what it loses of 3 MWh a day at 40 USD.
    """
    for policy, shave in ((MeritOrder, True), (LookAhead, True)):
        tables = {
            "horizon": {"start_utc": "2026-02-01T06:00:00Z", "days": 28, "step_s": 3600},
            "demand_charges": {"evening": {"usd_per_mw_month": 9000.0, "from_hour": 17,
                                           "to_hour": 20}},
        }  # fmt: skip
        battery = {"site": "alpha", "power_mw": 1, "energy_mwh": 4, "round_trip_efficiency": 0.81,
                   "wear_usd_per_mwh": 5, "initial_fraction": 0}  # fmt: skip
        gpus = [{"site": "alpha", "gpu": "h100-sxm", "nodes": 200}]
        site = {"name": "alpha", "power_limit_mw": 10, "pue_slope_per_c": 0.0}
        with_it = plain(tables, sites=[site], asics=[], gpus=gpus, batteries=[battery])
        bare = with_it.model_copy(update={"batteries": ()})
        added = [
            sim.run(s, policy(shave=shave), 3).kpis["gross_margin_usd"] for s in (with_it, bare)
        ]
        most = sim.bound(with_it, 3).usd - sim.bound(bare, 3).usd
        value = (added[0] or 0.0) - (added[1] or 0.0)
        # 28 evenings of 3 MWh out of 3.33: 3 / 0.81 MWh in at 40 USD, 3 saved, wear on 3.33
        by_hand = 9000.0 - 28 * (40 * (3 / 0.81 - 3) + 5 * 3)
        assert most == pytest.approx(by_hand, rel=1e-3)
        assert value == pytest.approx(by_hand, rel=0.02)


def test_a_policy_that_sees_the_hours_beats_one_that_pays_them() -> None:
    """Machines that are not worth an evening's peak stop for the evening, and run at night."""
    scenario = charged("window", 40_000.0, 2, gpus=[])
    ahead, merit = (sim.run(scenario, p, 2).kpis for p in (LookAhead(restart_s=0.0), MeritOrder()))
    assert ahead["gross_margin_usd"] > merit["gross_margin_usd"]  # type: ignore[operator]
    table = sim.run(scenario, LookAhead(restart_s=0.0), 2).table("sites")
    mw = np.asarray(table["asic_mw"]).reshape(-1, 24, 2).mean(axis=(0, 2))
    assert mw[14:20].max() < 0.1 * mw[:14].min()
