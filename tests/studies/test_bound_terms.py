"""Each term of the clairvoyant bound by a closed form, and more to choose from never costs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import sim
from sim.scenario import Scenario
from tests.builders import energy_fleets
from tests.builders.plain_sites import PLAIN, plain

HOURS, PRICE = 48, 40.0
PURE = {"cooling": "line", "pue_base": 1.0, "pue_slope_per_c": 0.0, "overhead_mw": 0.0}


def site(tables: dict[str, Any] | None = None, *, nodes: int = 100, **more: Any) -> Scenario:
    """One site of reserved nodes that earn 16 USD/h each, far above the price, unless told so."""
    row = {"name": "alpha", **PURE, **more.pop("site", {})}
    gpus = [{"site": "alpha", "gpu": "h100-sxm", "nodes": nodes, "usd_per_gpu_h": 2.0}]
    return plain(tables, sites=[row], asics=[], gpus=gpus, **more)


def bound(*arguments: Any, **more: Any) -> float:
    return sim.bound(site(*arguments, **more), 3).usd


def load_mw() -> float:
    """What the nodes draw."""
    return float(sim.run(site(), "static", 3).table("sites")["meter_mw"].to_numpy().mean())


def test_nodes_earn_their_hours_less_their_energy() -> None:
    assert load_mw() > 0.4
    assert bound() == pytest.approx(HOURS * (100 * 16.0 - load_mw() * PRICE), rel=1e-9)


def test_overhead_is_paid_at_the_price() -> None:
    more = bound(site={"overhead_mw": 0.25})
    assert more - bound() == pytest.approx(-HOURS * 0.25 * PRICE, rel=1e-9)


def test_delivery_is_paid_on_every_mwh() -> None:
    dear = bound(site={"adder_usd_per_mwh": 7.0})
    assert dear - bound() == pytest.approx(-HOURS * load_mw() * 7.0, rel=1e-9)


def test_nodes_that_cannot_run_cost_their_credits() -> None:
    assert bound(site={"power_limit_mw": 0.0}) < 0.0
    credit = -bound(site={"power_limit_mw": 0.0})
    kpis = sim.run(site(site={"power_limit_mw": 0.0}), "static", 3).kpis
    assert credit == pytest.approx(-(kpis["gross_margin_usd"] or 0.0), rel=1e-9)
    half = bound(site={"power_limit_mw": load_mw() / 2})
    assert half == pytest.approx((bound() - credit) / 2, rel=1e-9)


def test_nodes_are_let_at_the_prices_and_the_cost_of_the_day() -> None:
    """A policy that turns off what nobody has taken earns all that a clairvoyant could."""
    row = {"name": "alpha", **PURE}
    path = {"model": "decay", "usd_per_gpu_h": 2.0, "change_per_year": -0.9, "occupancy": 0.6}
    tables: dict[str, Any] = {
        "gpu_market": {"gpus": {"h100-sxm": path}},
        "gpu_contracts": {"day": {"term_days": 1, "gap_days": 3, "take_or_pay_fraction": 0.5,
                                  "taken_fraction": 0.3}},
    }  # fmt: skip
    node = {"site": "alpha", "gpu": "h100-sxm", "opex_usd_per_gpu_h": 0.3,
            "opex_usd_per_node_month": 200.0}  # fmt: skip
    gpus = [{**node, "nodes": 60, "state": "batch"}, {**node, "nodes": 40, "contract": "day"}]
    scenario = plain(tables, sites=[row], asics=[], gpus=gpus)
    found = sim.run(scenario, "merit-order", 3)
    assert found.kpis["unsold_gpu_h"] == pytest.approx(8 * (60 * 48 * 0.4 + 40 * (24 + 24 * 0.7)))
    assert found.kpis["gpu_opex_usd"] is not None
    assert sim.bound(scenario, 3).usd == pytest.approx(found.kpis["gross_margin_usd"], rel=1e-9)


def test_a_generator_saves_the_price_less_its_fuel() -> None:
    gas = {"site": "alpha", "kind": "gas", "mw": 0.3, "usd_per_mwh": 25}
    assert bound(generators=[gas]) - bound() == pytest.approx(HOURS * 0.3 * 15.0, rel=1e-9)
    dear = {**gas, "usd_per_mwh": 41}
    assert bound(generators=[dear]) == pytest.approx(bound(), rel=1e-9)
    flare = {"site": "alpha", "kind": "flare", "mw": 0.2, "availability": 0.5, "usd_per_mwh": 0}
    assert bound(generators=[flare]) - bound() == pytest.approx(HOURS * 0.1 * PRICE, rel=1e-9)


def test_export_is_paid_at_the_price_up_to_its_limit() -> None:
    gas = {"site": "alpha", "kind": "gas", "mw": 5.0, "usd_per_mwh": 25}
    alone = bound(nodes=0, generators=[gas], site={"export_mw": 2.0})
    assert alone == pytest.approx(HOURS * 2.0 * 15.0, rel=1e-9)
    assert bound(nodes=0, generators=[gas]) == pytest.approx(0.0, abs=1e-9)
    delivered = {"export_mw": 2.0, "adder_usd_per_mwh": 9.0}
    sold = bound(nodes=0, generators=[gas], site=delivered)
    assert sold == pytest.approx(alone, rel=1e-9)  # delivery is paid by who draws


def test_blocks_save_what_they_are_below_the_price() -> None:
    block = {"site": "alpha", "kind": "ppa", "mw": 0.2, "strike_usd_per_mwh": 31, "resell": False}
    assert bound(power_contracts=[block]) - bound() == pytest.approx(HOURS * 0.2 * 9.0, rel=1e-9)
    resold = {**block, "resell": True, "mw": 3.0}  # more than is drawn: the rest is sold
    assert bound(power_contracts=[resold]) - bound() == pytest.approx(HOURS * 3.0 * 9.0, rel=1e-9)
    short = {**resold, "end_utc": "2026-01-02T00:00:00Z"}  # 18 hours
    assert bound(power_contracts=[short]) - bound() == pytest.approx(18 * 3.0 * 9.0, rel=1e-9)


def test_take_or_pay_is_owed_for_what_nobody_takes() -> None:
    block = {"site": "alpha", "kind": "ppa", "mw": 2.0, "strike_usd_per_mwh": 31, "resell": False,
             "take_or_pay_fraction": 0.9}  # fmt: skip
    owed_mwh = HOURS * (0.9 * 2.0 - load_mw())
    gain = HOURS * load_mw() * 9.0 - owed_mwh * 31
    assert bound(power_contracts=[block]) - bound() == pytest.approx(gain, rel=1e-9)


def test_each_contract_owes_for_itself() -> None:
    """The first of two in turn owes for its 18 hours alone, whatever the second leaves."""
    block = {"site": "alpha", "kind": "ppa", "mw": 2.0, "strike_usd_per_mwh": 31, "resell": False,
             "take_or_pay_fraction": 0.9, "end_utc": "2026-01-02T00:00:00Z"}  # fmt: skip
    then = {**block, "take_or_pay_fraction": 0.0, "start_utc": block["end_utc"], "end_utc": None}
    owed_mwh = 18 * (0.9 * 2.0 - load_mw())
    for contracts, hours in (([block], 18), ([block, then], HOURS)):
        gain = hours * load_mw() * 9.0 - owed_mwh * 31
        assert bound(power_contracts=contracts) - bound() == pytest.approx(gain, rel=1e-9)


def test_a_demand_charge_is_on_the_highest_step_of_each_month() -> None:
    charged = {"demand_charge_usd_per_mw_month": 310.0 * 31 / 2}  # of two days
    assert bound() - bound(site=charged) == pytest.approx(310.0 * load_mw(), rel=1e-9)
    turn = {"horizon": {**PLAIN["horizon"], "start_utc": "2026-01-31T06:00:00Z"}}  # two months
    usd = 310.0 / 2 + 310.0 * 31 / 2 / 28
    assert bound(turn) - bound(turn, site=charged) == pytest.approx(usd * load_mw(), rel=1e-9)


def test_standing_by_is_paid_by_the_hour_and_the_mw() -> None:
    """Nodes draw more than the 0.3 MW that a programme takes; nobody calls.

    Of the first day a reserve is not sold: its gate closed before the run began.
    """
    pays = {"model": "reserve", "usd_per_mw_h": 6.0, "calls_per_year": 0, "max_mw": 0.3}
    ready = bound({"programmes": {"rrs": pays}})
    assert ready - bound() == pytest.approx((HOURS - 24) * 0.3 * 6.0, rel=1e-6)
    emergency = {**pays, "model": "emergency", "usd_per_mw_h": 5.0}
    assert bound({"programmes": {"ers": emergency}}) - bound() == pytest.approx(
        HOURS * 0.3 * 5.0, rel=1e-6
    )


@given(energy_fleets.fleets)
@settings(max_examples=3)
def test_more_to_choose_from_never_lowers_the_bound(values: dict[str, Any]) -> None:
    """Batteries, generators, machines, nodes and room: each may be left alone."""
    whole = energy_fleets.fleet({**values, "export_mw": 0.4})
    best = sim.bound(whole, values["seed"]).usd
    wider = tuple(s.model_copy(update={"power_limit_mw": 20.0}) for s in whole.sites)
    shut = tuple(s.model_copy(update={"export_mw": 0.0}) for s in whole.sites)
    room = sim.bound(whole.model_copy(update={"sites": wider}), values["seed"]).usd
    assert room >= best - 1e-6 * abs(best)
    fewer = {
        "batteries": (),
        "generators": (),
        "asics": whole.asics[:-1],
        "sites": shut,
    }
    lost = []
    for name, rows in fewer.items():
        less = sim.bound(whole.model_copy(update={name: rows}), values["seed"]).usd
        assert less <= best + 1e-6 * abs(best), name
        lost.append(best - less)
    assert max(lost) > 1.0
    assert np.isfinite(lost).all()
    assert PLAIN["horizon"]["days"] * 24 == HOURS
