"""Calls of reserves at their edges, by hand: midnight, empty stores, emergencies, two at once.

The 7 MW site of `finance/test_energy_costs.py`, which sells 5 MW at 8 USD/MW/h unless said
otherwise; runs begin at midnight in Chicago, and the first day is not sold.
"""

from pathlib import Path
from typing import Any

import pytest

import sim
from sim.scenario import Scenario
from tests.builders.events import events
from tests.builders.one_site import column, one_site
from tests.builders.reserves import RRS, SPIKE, Sells, sold_mw, world

HOUR = 5 * 8.0  # USD that an hour of 5 MW earns


def called(start: str, hours: float, **more: Any) -> dict[str, Any]:
    return {**RRS, "calls": [{"start_utc": start, "hours": hours}], **more}


def emergency(start: str, hours: float, left: float) -> dict[str, Any]:
    return {
        "kind": "emergency", "sites": ["site"], "start_utc": start, "hours": hours, "alert_h": 0,
        "left_fraction": left,
    }  # fmt: skip


def stored(rrs: dict[str, Any]) -> Scenario:
    """The site with 2 MWh of store behind 2 MW, for two days; it may export."""
    battery = {"site": "site", "power_mw": 2, "energy_mwh": 2, "round_trip_efficiency": 1.0,
               "initial_fraction": 1.0}  # fmt: skip
    tables = {"horizon": {"days": 2}, "programmes": {"rrs": rrs}}
    return one_site(tables, {"export_mw": 5}, batteries=[battery])


def test_a_call_that_goes_on_over_midnight_is_a_matter_of_both_days() -> None:
    """Ignored from 23:00 to 1:00: neither day is paid; the third is."""
    rrs = called("2026-01-03T05:00:00Z", 2, response="manual")
    result = sim.run(world(days=4, rrs=rrs), Sells(5))
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * HOUR)
    half = Sells(5, share={47: (7 - 2.5) / 7})  # half of the first hour is delivered
    result = sim.run(world(days=4, rrs=rrs), half)
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * HOUR * (0.5 + 0 + 1))


def test_a_day_is_one_of_the_market_s_clock_whenever_the_run_begins() -> None:
    """From noon on: sold are the third, the fourth and half of the fifth; of the third nothing is
    paid, for its call was ignored at ten."""
    rrs = called("2026-01-03T16:00:00Z", 1, response="manual")
    tables = {"horizon": {"start_utc": "2026-01-01T18:00:00Z", "days": 4}}
    result = sim.run(one_site({**tables, "programmes": {"rrs": rrs}}), Sells(5))
    assert result.kpis["grid_services_usd"] == pytest.approx(36 * HOUR)


def test_a_store_that_a_call_has_emptied_holds_nothing() -> None:
    """2 MW for an hour out of 2 MWh; called for four: three hours and all that follow are short.

    A quarter of what is owed is delivered, so the hours that were held are paid by a quarter.
    """
    off = dict.fromkeys(range(48), 0.0)
    rrs = called("2026-01-02T12:00:00Z", 4)
    result = sim.run(stored(rrs), Sells(2, share=off))
    assert column(result, "meter_mw")[29:33] == pytest.approx([0.0, -2.0, 0.0, 0.0])
    assert column(result, "reserved_mw")[29:36] == pytest.approx([2.0, 2.0] + [0.0] * 5)
    assert events(result, "call over")[0]["detail"].startswith("2.000 of 8.000 MWh")
    assert result.kpis["penalties_usd"] == pytest.approx(17 * 2 * 8)
    held_usd = 7 * 2 * 8
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * 2 * 8 - 0.75 * held_usd)


def test_what_a_manual_seller_could_still_let_go_stands_by() -> None:
    """A call that is ignored: the load is there, so it is held; performance is what it costs."""
    rrs = called("2026-01-02T12:00:00Z", 2, response="manual")
    result = sim.run(world(rrs=rrs), Sells(5))
    assert column(result, "reserved_mw")[24:] == pytest.approx(5.0)
    assert result.kpis["penalties_usd"] is None
    assert not result.kpis["grid_services_usd"]
    early = Sells(5, share={29: 2 / 7, 30: 2 / 7, 31: 2 / 7})  # let go an hour before it is due
    result = sim.run(world(rrs={**rrs, "notice_s": 3600}), early)
    assert column(result, "reserved_mw")[24:] == pytest.approx(5.0)
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * HOUR)


def test_load_that_comes_back_in_a_call_is_owed_against_its_meter_of_then() -> None:
    """Dark until 13:00 in an emergency, called from 12:00 to 14:00: 5 MW from 13:15, of 7."""
    rrs = called("2026-01-02T12:00:00Z", 2, penalty_usd_per_mwh=1000)
    dark = emergency("2026-01-02T11:00:00Z", 2, 0.0)
    result = sim.run(world(rrs=rrs, incidents=[dark]), Sells(5))
    assert column(result, "meter_mw")[28:33] == pytest.approx([7, 0, 0, 7 - 5 * 0.75, 7])
    assert events(result, "call over")[0]["detail"].startswith("3.750 of 3.750 MWh")
    assert result.kpis["penalties_usd"] == pytest.approx(2 * HOUR)
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * HOUR)


@pytest.mark.parametrize("begins", ["12:00", "12:30"])
def test_of_two_calls_the_one_that_goes_on_takes_its_own_part(begins: str) -> None:
    """2 MW each: 3 MW are left while both last, 5 MW when the first is over."""
    products = {
        "short": called("2026-01-02T12:00:00Z", 1),
        "long": called(f"2026-01-02T{begins}:00Z", 2),
    }
    result = sim.run(world(**products), Sells(2))
    both = {"12:00": [7, 3, 5, 7], "12:30": [7, 4, 5, 6]}
    assert column(result, "meter_mw")[29:33] == pytest.approx(both[begins])
    told = [e["detail"].partition(" MWh")[0] for e in events(result, "call over")]
    assert told == ["2.000 of 2.000", "4.000 of 4.000"]


def test_a_standing_offer_is_sold_whatever_a_policy_asks_for_more() -> None:
    """2 of 7 MW stand by contract; 5 MW are bid at 9, and the price is 8."""
    standing = {**RRS, "offer_fraction": 2 / 7}
    assert sold_mw(sim.run(world(rrs=standing), Sells(5, least=9.0)))[24:] == pytest.approx(2.0)
    assert sold_mw(sim.run(world(rrs=standing), Sells(5, least=8.0)))[24:] == pytest.approx(5.0)
    capped = {**standing, "max_mw": 1.5}
    assert sold_mw(sim.run(world(rrs=capped), Sells(5, least=9.0)))[24:] == pytest.approx(1.5)


def test_gates_that_close_in_one_step_close_at_it() -> None:
    """By the hour: 10:00, 10:30 and 10:00 in Denver, an hour later, twice in a day."""
    products = {
        "a": RRS, "b": {**RRS, "gate_closure_h": 10.5}, "c": {**RRS, "timezone": "America/Denver"},
        "d": {**RRS, "gate_closure_h": 11.25},
    }  # fmt: skip
    policy = Sells(1)
    tables = {"horizon": {"days": 3, "step_s": 3600}, "programmes": products}
    result = sim.run(one_site(tables), policy)
    assert [hour for hour, _ in policy.asked] == [10, 10, 11, 11, 34, 34, 35, 35]
    assert sold_mw(result)[25:] == pytest.approx(4.0)


def test_an_emergency_is_unpaid_and_what_it_takes_of_an_award_is_short() -> None:
    """10 % of 20 MW left for three hours: 2 MW are held, 3 MW settled at 8, at 268 in scarcity."""
    shed = emergency("2026-01-02T12:00:00Z", 3, 0.1)
    result = sim.run(world(incidents=[shed]), Sells(5))
    assert column(result, "reserved_mw")[29:34] == pytest.approx([5, 2, 2, 2, 5])
    assert result.kpis["penalties_usd"] == pytest.approx(3 * 3 * 8)
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * HOUR)
    dear = sim.run(world(incidents=[shed, SPIKE]), Sells(5))
    assert dear.kpis["penalties_usd"] == pytest.approx(3 * 3 * 268)


@pytest.mark.parametrize("kind", ["emergency", "curtailment", "outage"])
def test_what_the_grid_takes_is_no_economic_curtailment(kind: str) -> None:
    """Of 7 MW the wire carries 2 from 5:07 to 8:07; the firm lets go 1 of them in the last hour.

    Of an outage nothing is paid: the wire carries nothing.
    """
    taken = emergency("2026-01-03T11:07:00Z", 3, 0.1) | {"kind": kind}
    if kind != "emergency":
        del taken["alert_h"]
    if kind == "outage":
        del taken["left_fraction"]
    programme = {"model": "economic", "threshold_usd_per_mwh": 30, "baseline_days": 1}
    scenario = world(days=3, incidents=[taken], dr=programme)
    assert sim.run(scenario, "static").kpis["grid_services_usd"] in (None, pytest.approx(0.0))
    result = sim.run(scenario, Sells(0, share={48 + 6: 1 / 7}))
    paid = 0.0 if kind == "outage" else 40 * 1.0
    assert (result.kpis["grid_services_usd"] or 0.0) == pytest.approx(paid)


def test_the_dear_days_of_a_neighbour_do_not_age_a_baseline() -> None:
    """Half of 7 MW on two days, all of it from then on; prices rise on the fifth, when it is off.

    The neighbour's zone is always dear. The baseline is that of days three and four.
    """
    from tests.conftest import build_scenario

    row = {"overhead_mw": 0, "pue_base": 1.0, "pue_slope_per_c": 0, "power_limit_mw": 20,
           "climate": "reykjavik-is"}  # fmt: skip
    zones = {z: {"model": "fixed", "usd_per_mwh": usd} for z, usd in (("z1", 40), ("z2", 100))}
    spike = {**SPIKE, "zones": ["z1"], "start_utc": "2026-01-05T12:00:00Z", "usd_per_mwh": 200}
    programme = {"model": "economic", "threshold_usd_per_mwh": 60, "baseline_days": 2}
    tables: dict[str, Any] = {
        "horizon": {"start_utc": "2026-01-01T00:00:00Z", "days": 5}, "prices": {"zones": zones},
        "faults": {"enabled": False, "incidents": [spike]},
        "mining": {"restart_s": 0, "min_off_s": 0, "ramp_up_per_min": 100},
    }  # fmt: skip
    share = dict.fromkeys(range(48), 0.5) | dict.fromkeys(range(108, 111), 0.0)
    sites = [{**row, "name": "a", "price_zone": "z1"}, {**row, "name": "b", "price_zone": "z2"}]
    asics = [{"site": "a", "model": "Antminer S21", "count": 2000}]
    for enrolled in (["a"], ["*"]):
        tables["programmes"] = {"dr": {**programme, "sites": enrolled}}
        scenario = build_scenario(tables, sites=sites, asics=asics, gpus=[])
        result = sim.run(scenario, Sells(0, share=share))
        assert result.kpis["grid_services_usd"] == pytest.approx(3 * 7 * 200)


def test_a_firm_that_has_failed_sells_no_more() -> None:
    """It fails at the end of the third day; the fourth was sold and is short, no other is sold."""
    tables = {
        "horizon": {"days": 6}, "programmes": {"rrs": RRS}, "funding": {"steps": []},
        "treasury": {"model": "hold", "opening_usd": 18_000},
    }  # fmt: skip
    result = sim.run(one_site(tables), Sells(5))
    assert result.kpis["insolvent_after_days"] == 3.0
    assert sold_mw(result).reshape(6, 24).mean(axis=1) == pytest.approx([0, 5, 5, 5, 0, 0])
    assert result.kpis["reserve_shortfalls_usd"] == pytest.approx(24 * HOUR)


def test_nothing_is_sold_at_a_price_below_nothing(tmp_path: Path) -> None:
    """At -3 from 12:00 on the second day; a tenth of the load stands by at any price above."""
    rows = [f"2026-01-0{1 + h // 24}T{h % 24:02d}:00:00Z,{-3 if h == 36 else 8}" for h in range(48)]
    (tmp_path / "as.csv").write_text("\n".join(["time_utc,rrs", *rows]))
    (tmp_path / "scenario.toml").write_text(
        'base = "tiny"\n[horizon]\ndays = 2\n[series.as]\nfile = "as.csv"\n[programmes.rrs]\n'
        'model = "reserve"\nseries = "as"\ncolumn = "rrs"\noffer_fraction = 0.1\n'
    )
    result = sim.run(sim.load(tmp_path), "static")
    sold = sold_mw(result).reshape(48, 2)
    assert sold[36] == pytest.approx(0.0)
    assert (sold[[31, 35, 37, 47]] > 0.2).all()
    assert column(result, "reserve_shortfall_usd").reshape(48, 2)[36] == pytest.approx(0.0)
