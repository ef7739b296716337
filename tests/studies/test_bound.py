"""The clairvoyant bound: exact where it can be worked out by hand, and what its prices mean."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.scenario import Scenario
from tests.builders.plain_sites import plain
from tests.conftest import Build


def margin(scenario: Scenario, policy: Any = "merit-order", seed: int = 3) -> float:
    usd = sim.run(scenario, policy, seed).kpis["gross_margin_usd"]
    assert usd is not None
    return usd


def worth(bound: sim.Bound, kind: str, name: str) -> float:
    rows = [r for r in bound.worth.to_pylist() if (r["kind"], r["name"]) == (kind, name)]
    assert len(rows) == 1
    return float(rows[0]["usd_per_unit_year"])


@pytest.mark.parametrize("feeder_mw", [None, 6.0, 2.0])
def test_it_is_what_merit_order_earns_where_nothing_couples(feeder_mw: float | None) -> None:
    """With a feeder that is short, too: greedy is optimal on nested limits."""
    scenario = plain(feeder_mw=feeder_mw)
    bound = sim.bound(scenario, 3)
    assert bound.usd == pytest.approx(margin(scenario), rel=1e-6)
    assert bound.by_day_usd.sum() == pytest.approx(bound.usd, rel=1e-12)
    assert len(bound.by_day_usd) == 2


def test_it_knows_failures_and_changing_prices() -> None:
    tables = {
        "faults": {"asic": {"mtbf_h": 500}},
        "prices": {"zones": {"zone": {"model": "seasonal-jump", "profile": "ercot-west"}}},
    }
    scenario = plain(tables, gpus=[])
    assert sim.bound(scenario, 3).usd == pytest.approx(margin(scenario), rel=1e-6)


def test_it_is_worked_out_by_hand_for_one_site() -> None:
    """One site of one machine type at a fixed price: hours times margin, overhead taken off."""
    scenario = plain(
        sites=[{"name": "alpha", "pue_base": 1.0, "pue_slope_per_c": 0.0, "cooling": "line"}],
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 1000}],
        gpus=[],
    )
    result = sim.run(scenario, "static", 3)
    earned = result.kpis["mining_revenue_usd"] or 0.0
    fees = result.kpis["pool_fees_usd"] or 0.0
    static_mwh = 48 * (1000 * 3500e-6 + 0.05)
    assert result.kpis["gross_margin_usd"] == pytest.approx(earned - fees - 40 * static_mwh)
    bound = sim.bound(scenario, 3)
    assert bound.usd == pytest.approx(margin(scenario), rel=1e-9)  # in the best firmware mode


def test_a_full_battery_is_worth_what_it_saves_less_losses_and_wear() -> None:
    """A MWh stored gives 0.9 MWh back (0.81 both ways), each worth 40 USD less 5 of wear."""
    battery = {"site": "alpha", "power_mw": 1, "energy_mwh": 1, "round_trip_efficiency": 0.81,
               "wear_usd_per_mwh": 5, "initial_fraction": 1}  # fmt: skip
    gain = sim.bound(plain(batteries=[battery]), 3).usd - sim.bound(plain(), 3).usd
    assert gain == pytest.approx(0.9 * (40 - 5), rel=1e-6)
    empty = sim.bound(plain(batteries=[{**battery, "initial_fraction": 0}]), 3).usd
    assert empty == pytest.approx(sim.bound(plain(), 3).usd, rel=1e-9)  # no spread, no gain


def test_a_demand_charge_is_paid_once_on_the_highest_hour() -> None:
    """A month of it costs the highest hour, or what it loses to lower that."""
    charge = 10.0  # too small to slow machines down for
    sites = [
        {"name": "alpha", "demand_charge_usd_per_mw_month": charge * 31 / 2},  # of two days
        {"name": "bravo", "climate": "massena-ny"},
    ]
    scenario, free = plain(sites=sites), plain()
    table = sim.run(scenario, "merit-order", 3).table("sites")
    alpha = np.asarray(table["site"].cast("string")) == "alpha"
    peak_mw = np.asarray(table["meter_mw"])[alpha].max()
    lost = sim.bound(free, 3).usd - sim.bound(scenario, 3).usd
    assert 0.9 * charge * peak_mw < lost <= charge * peak_mw * (1 + 1e-9)
    assert sim.bound(scenario, 3).usd >= margin(scenario) * (1 - 1e-9)


def test_shadow_prices_are_what_a_little_more_earns() -> None:
    """More of a limit, of machines, of nodes: the bound moves as its table said."""
    year = 365.25 / 2
    base = sim.bound(plain(feeder_mw=5.0), 3)
    more = sim.bound(plain(feeder_mw=5.01), 3)
    assert (more.usd - base.usd) * year / 0.01 == pytest.approx(
        worth(base, "limit", "root → feeder"), rel=1e-6
    )
    free = sim.bound(plain(), 3)
    gpus = [
        {"site": "alpha", "gpu": "h100-sxm", "nodes": 5},
        {"site": "bravo", "gpu": "h100-sxm", "nodes": 3, "state": "batch"},
    ]
    assert (sim.bound(plain(gpus=gpus), 3).usd - free.usd) * year == pytest.approx(
        worth(free, "gpu node", "alpha h100-sxm contracted"), rel=1e-6
    )
    assert worth(free, "interconnect", "site alpha") == 0.0


def test_luck_of_pools_is_bounded(build: Build) -> None:
    for model in ("solo", "pplns"):
        scenario = build({"pool": {"model": model, "hashrate_ehs": 50}, "horizon": {"days": 20}})
        assert sim.bound(scenario, 2).usd >= margin(scenario, "static", 2)


def test_a_bound_where_the_fleet_makes_the_price(data: Path) -> None:
    here = {"horizon.days": 1, "data_dir": str(data)}
    scenario = sim.load(Path(__file__).parents[2] / "configs/meshed-118", here)
    assert sim.bound(scenario).usd >= margin(scenario, "merit-order", 1)


def test_the_command(tmp_path: Path) -> None:
    call = ["bound", "tiny", "--days", "1", "--seed", "7"]
    told = CliRunner().invoke(app, [*call, "--json", "--out", str(tmp_path)])
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert document == json.loads((tmp_path / "bound.json").read_text())
    assert document["bound_usd"] == pytest.approx(sum(document["by_day_usd"]))
    told = sim.bound(sim.load("tiny", {"horizon.days": 1}), 7).dearest()
    assert set(told) <= {
        "one more MW of a site's own connection, USD a year",
        "one more MW of a shared limit, USD a year",
        "one more machine, USD a year",
        "one more GPU node, USD a year",
    }
    assert "one more machine, USD a year" in told
    assert {r["kind"] for r in document["worth"]} >= {"limit", "interconnect", "asic", "gpu node"}
    shown = CliRunner().invoke(app, call)
    assert "USD of gross margin" in shown.stdout
