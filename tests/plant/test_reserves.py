"""Reserves sold the day before, by hand: the 7 MW site of `finance/test_energy_costs.py`.

Runs begin at midnight in Chicago: the first day is not sold, the second is, at the first's gate.
"""

from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine
from sim.plant.day_ahead import ReserveMarket, take
from sim.policies.merit_order import MeritOrder
from sim.policy import (
    Decision,
    Observation,
    PolicyError,
    ReserveOffers,
)
from sim.scenario.energy import ReserveProgramme
from sim.types import Floats, Ints
from tests.builders.events import events
from tests.builders.one_site import column, one_site
from tests.builders.reserves import RRS, SPIKE, Sells, sold_mw, world


def test_what_is_offered_until_ten_binds_the_next_day_and_no_other() -> None:
    policy = Sells(5)
    result = sim.run(world(), policy)
    assert policy.asked == [(10, 24)]  # tomorrow's tomorrow is beyond the run
    assert sold_mw(result) == pytest.approx([0.0] * 24 + [5.0] * 24)
    assert column(result, "reserved_mw") == pytest.approx([0.0] * 24 + [5.0] * 24)
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * 5 * 8)
    assert result.kpis["reserve_sold_mw"] == pytest.approx(2.5)
    assert result.kpis["penalties_usd"] is None


def test_who_offers_nothing_sells_nothing() -> None:
    for policy in ("static", MeritOrder(reserves=False)):
        kpis = sim.run(world(), policy).kpis
        assert kpis["reserve_sold_mw"] is None
        assert kpis["grid_services_usd"] is None


def test_of_a_policy_without_hours_the_wish_at_the_gate_counts() -> None:
    """5 MW until ten, 2 MW afterwards: the day is sold at 5."""

    class Wishes:
        def decide(self, observation: Observation) -> Decision:
            mw = 5e6 if observation.t_s <= 10 * 3600 else 2e6
            return Decision(observation.asic.default_share, np.ones(0), offer_w=np.array([[mw]]))

    assert sold_mw(sim.run(world(), Wishes()))[24:] == pytest.approx(5.0)


def test_hours_are_sold_one_by_one() -> None:
    by_hour = np.arange(24.0)[:, None, None] / 4
    assert sold_mw(sim.run(world(), Sells(by_hour)))[24:] == pytest.approx(np.arange(24) / 4)


def test_what_is_not_held_costs_the_price_that_it_was_sold_at() -> None:
    """At 40 % of 7 MW, 2.8 of 5 MW are held for two hours; the price of the day is 8."""
    result = sim.run(world(), Sells(5, share={30: 0.4, 31: 0.4}))
    assert column(result, "reserved_mw")[29:33] == pytest.approx([5.0, 2.8, 2.8, 5.0])
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * 5 * 8)
    assert result.kpis["penalties_usd"] == pytest.approx(2 * 2.2 * 8)
    assert result.kpis["reserve_shortfalls_usd"] == pytest.approx(2 * 2.2 * 8)


def test_in_a_dear_hour_it_costs_what_capacity_is_worth_in_real_time() -> None:
    """Energy at 300 for 40 the day before: a reserve bought at 8 is worth 268."""
    result = sim.run(world(incidents=[SPIKE]), Sells(5, share={31: 0.0}))
    assert result.kpis["penalties_usd"] == pytest.approx(5 * 268)
    cheap = sim.run(world(incidents=[SPIKE]), Sells(5, share={40: 0.0}))
    assert cheap.kpis["penalties_usd"] == pytest.approx(5 * 8)


def test_a_step_cut_by_an_event_is_held_by_time() -> None:
    """A site that is dark for a quarter of an hour within steps holds nothing for as long."""
    dark = {"kind": "outage", "start_utc": "2026-01-02T12:05:00Z", "hours": 0.25, "sites": ["site"]}
    result = sim.run(world(incidents=[dark]), Sells(5))
    assert column(result, "reserved_mw")[30] == pytest.approx(0.75 * 5)
    assert result.kpis["penalties_usd"] == pytest.approx(0.25 * 5 * 8)


def test_the_market_takes_no_more_than_it_needs_and_pays_less_for_more() -> None:
    capped = sim.run(world(rrs={**RRS, "market_mw": 3}), Sells(5))
    assert sold_mw(capped)[24:] == pytest.approx(3.0)
    fallen = sim.run(world(rrs={**RRS, "market_mw": 10, "price_response": 0.5}), Sells(5))
    assert fallen.kpis["grid_services_usd"] == pytest.approx(24 * 5 * 8 * 0.75)
    per_site = sim.run(world(rrs={**RRS, "max_mw": 2}), Sells(5))
    assert sold_mw(per_site)[24:] == pytest.approx(2.0)


def test_an_offer_is_not_taken_below_what_it_asks_for() -> None:
    assert sold_mw(sim.run(world(), Sells(5, least=8.01))).max() == 0.0
    assert sold_mw(sim.run(world(), Sells(5, least=8.0)))[24:] == pytest.approx(5.0)
    result = sim.run(world(rrs={**RRS, "market_mw": 14, "price_response": 1}), Sells(5, least=7.0))
    assert sold_mw(result)[24:] == pytest.approx(1.75)  # 8 (1 - 1.75 / 14) is 7
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * 1.75 * 7)


def test_offers_of_one_price_share_what_is_taken_and_cheaper_ones_come_first() -> None:
    spec = ReserveProgramme(usd_per_mw_h=8.0, market_mw=6.0)
    offered, least = np.array([4e6, 4e6, 2e6, 0.0]), np.array([3.0, 3.0, 1.0, 0.0])
    taken, price = take(offered, least, 8.0, spec)
    assert taken == pytest.approx([2e6, 2e6, 2e6, 0.0])
    assert price == 8.0
    for no_market in (np.nan, -5.0):
        assert take(offered, least, no_market, spec)[0].sum() == 0.0
    assert take(offered, np.zeros(4), 0.0, spec)[0].sum() == pytest.approx(6e6)


def test_a_site_sells_no_more_than_it_can_drop() -> None:
    """2,000 machines draw up to 3,980 W each; a connection of 4 MW lets go of 4."""
    assert sold_mw(sim.run(world(), Sells(50)))[24:] == pytest.approx(7.96)
    tables = {"horizon": {"days": 2}, "programmes": {"rrs": RRS}}
    small = sim.run(one_site(tables, {"power_limit_mw": 4}), Sells(50))
    assert sold_mw(small)[24:] == pytest.approx(4.0)


def test_a_megawatt_is_sold_once_and_to_the_product_that_pays_more() -> None:
    two = {"cheap": RRS, "dear": {**RRS, "usd_per_mw_h": 11}}
    policy = Sells(5)
    result = sim.run(world(**two), policy)
    assert sold_mw(result)[24:] == pytest.approx(7.96)
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * (5 * 11 + 2.96 * 8))
    assert policy.seen[-1].energy.hold_w[:, 0] == pytest.approx([2.96e6, 5e6])
    # 7 MW run: they hold the first of the programmes in full, the second but for 0.96
    assert result.kpis["penalties_usd"] == pytest.approx(24 * 0.96 * 11)
    linked = Sells(5)
    linked.most_mw = 5
    assert sold_mw(sim.run(world(**two), linked))[24:] == pytest.approx(5.0)
    later = {"early": RRS, "late": {**RRS, "usd_per_mw_h": 11, "gate_closure_h": 12}}
    late = sim.run(world(**later), Sells(5))
    assert late.kpis["grid_services_usd"] == pytest.approx(24 * (5 * 8 + 2.96 * 11))


def test_what_is_sold_does_not_stand_by_for_emergencies_too() -> None:
    ers = {"model": "emergency", "usd_per_mw_h": 1, "offer_fraction": 1.0}
    result = sim.run(world(ers=ers, rrs=RRS), Sells(5))
    assert column(result, "reserved_mw") == pytest.approx(7.0)
    assert result.kpis["grid_services_usd"] == pytest.approx(24 * 7 + 24 * (5 * 8 + 2))


def test_scarcity_deploys_and_what_is_let_go_counts_as_held() -> None:
    """At 300 the reserve is worth 268: it is called ten minutes after, for an hour at most."""
    rrs = {**RRS, "deploy_above_usd_per_mw_h": 200, "call_h": 1}
    result = sim.run(world(incidents=[SPIKE], rrs=rrs), Sells(5))
    due = [e["t_s"] for e in events(result, "response due")]
    assert due == [30 * 3600 + 600]
    assert [e["t_s"] for e in events(result, "call over")] == [31 * 3600 + 600]
    assert column(result, "meter_mw")[30:32] == pytest.approx([7 - 5 * 5 / 6, 7 - 5 / 6])
    assert result.kpis["penalties_usd"] is None
    assert column(result, "reserved_mw")[24:] == pytest.approx(5.0)
    assert not events(sim.run(world(rrs=rrs), Sells(5)), "call")
    dearer = {**rrs, "deploy_above_usd_per_mw_h": 269}
    assert not events(sim.run(world(incidents=[SPIKE], rrs=dearer), Sells(5)), "call")


def test_a_spell_ends_its_deployment_and_one_shorter_than_the_notice_has_none() -> None:
    short = {**SPIKE, "hours": 0.5}
    rrs = {**RRS, "deploy_above_usd_per_mw_h": 100, "call_h": 4}
    result = sim.run(world(incidents=[short], rrs=rrs), Sells(5))
    assert [e["t_s"] for e in events(result, "call over")] == [30 * 3600 + 1800]
    slow = {**rrs, "notice_s": 1800}
    assert not events(sim.run(world(incidents=[short], rrs=slow), Sells(5)), "call")


def test_a_call_owes_no_more_than_is_sold_of_the_hour() -> None:
    """5 MW until seven, 1 MW from then on: the load comes back within the call."""
    by_hour = np.where(np.arange(24) < 7, 5.0, 1.0)[:, None, None]
    rrs = {**RRS, "calls": [{"start_utc": "2026-01-02T12:00:00Z", "hours": 2}]}
    result = sim.run(world(rrs=rrs), Sells(by_hour))
    assert column(result, "meter_mw")[29:33] == pytest.approx([7.0 - 5 / 6 * 0, 2.0, 6.0, 7.0])
    assert events(result, "call over")[0]["detail"].startswith("6.000 of 6.000 MWh")


def test_a_call_reaches_into_hours_that_are_sold_later() -> None:
    """Nothing is sold until seven: what is announced at 6:50 takes the 5 MW of seven to eight.

    They stand by when the hour has begun, and are let go a control step after.
    """
    by_hour = np.where(np.arange(24) < 7, 0.0, 5.0)[:, None, None]
    rrs = {**RRS, "calls": [{"start_utc": "2026-01-02T13:00:00Z", "hours": 1}]}
    result = sim.run(world(rrs=rrs), Sells(by_hour))
    assert column(result, "meter_mw")[30:33] == pytest.approx([7.0, 7.0 - 5.0 * 0.75, 7.0])
    assert events(result, "call over")[0]["detail"].startswith("3.750 of 3.750 MWh")
    assert result.kpis["penalties_usd"] is None


def test_a_battery_stands_by_for_as_long_as_it_could_give() -> None:
    """All machines off: 1 MW is sold for an hour's duration, of a store of 0.5 MWh half is held."""
    half = {"site": "site", "power_mw": 1, "energy_mwh": 1, "round_trip_efficiency": 1.0,
            "initial_fraction": 0.5}  # fmt: skip
    off = dict.fromkeys(range(48), 0.0)
    for duration, held in ((1.0, 0.5), (0.5, 1.0), (2.0, 0.25)):
        rrs = {**RRS, "duration_h": duration, "max_mw": 1}
        scenario = world(rrs=rrs, sheets={"batteries": [half]})
        result = sim.run(scenario, Sells(1, share=off))
        # without load the meter cannot fall: the site must be allowed to feed back
        assert column(result, "reserved_mw")[24:] == pytest.approx(0.0)
        tables = {"horizon": {"days": 2}, "programmes": {"rrs": rrs}}
        result = sim.run(one_site(tables, {"export_mw": 1}, batteries=[half]), Sells(1, share=off))
        assert column(result, "reserved_mw")[24:] == pytest.approx(held)
        assert result.kpis["penalties_usd"] == pytest.approx(24 * (1 - held) * 8 or None)


def test_a_relay_discharges_a_battery_for_what_machines_cannot_give() -> None:
    full = {"site": "site", "power_mw": 2, "energy_mwh": 4, "round_trip_efficiency": 1.0,
            "initial_fraction": 1.0}  # fmt: skip
    rrs = {**RRS, "duration_h": 2, "calls": [{"start_utc": "2026-01-02T12:00:00Z", "hours": 2}]}
    tables = {"horizon": {"days": 2}, "programmes": {"rrs": rrs}}
    result = sim.run(one_site(tables, {"export_mw": 5}, batteries=[full]), Sells(9))
    assert sold_mw(result)[24:] == pytest.approx(9.0)
    assert column(result, "meter_mw")[29:33] == pytest.approx([7.0, -2.0, -2.0, 7.0])
    assert events(result, "call over")[0]["detail"].startswith("18.000 of 18.000 MWh")
    # the store is empty from then on: two of nine megawatts are short until midnight
    assert result.kpis["penalties_usd"] == pytest.approx(16 * 2 * 8)


def test_awards_are_told_when_they_are_published() -> None:
    policy = Sells(5)
    sim.run(world(), policy)
    told = {o.t_s: o.energy.sold_next_w for o in policy.seen}
    assert len(told[13 * 3600]) == 0
    out = told[int(13.5 * 3600)]
    assert len(out) == 34  # from 14:00 to the midnight after next
    assert out[:10].max() == 0.0
    assert out[10:, 0, 0] == pytest.approx(5e6)
    last = policy.seen[-1].energy
    assert last.hold_w == pytest.approx(5e6)
    assert last.shortfall_usd_per_mw_h == pytest.approx(8.0)


def test_a_day_has_as_many_hours_as_its_clock() -> None:
    """Clocks go forward on 8 March 2026, back on 1 November; the gate closes at ten by them."""
    for start, hours, closes_h in (
        ("2026-03-07T06:00:00Z", 23, 10),
        ("2026-03-08T06:00:00Z", 24, 9),  # midnight in winter time, ten in summer time
        ("2026-10-31T05:00:00Z", 25, 10),
    ):
        tables = {"horizon": {"start_utc": start, "days": 3}, "programmes": {"rrs": RRS}}
        policy = Sells(5)
        sim.run(one_site(tables), policy)
        assert policy.asked[0] == (closes_h, hours)


def test_a_clock_half_an_hour_off_is_met_by_the_mean_of_its_hours() -> None:
    by_hour = (np.arange(24.0) % 2)[:, None, None] * 4
    rrs = {**RRS, "timezone": "Asia/Kolkata"}  # midnight there is 18:30 UTC, 12.5 h after the start
    scenario = one_site({"horizon": {"days": 3, "step_s": 3600}, "programmes": {"rrs": rrs}})
    sold = sold_mw(sim.run(scenario, Sells(by_hour)))
    first = int(np.flatnonzero(sold)[0])
    assert first == 37  # half of its hour before is of the hour that sells nothing
    assert sold[first : first + 20] == pytest.approx(2.0)


def test_a_run_that_begins_after_the_gate_sells_the_day_after_the_next() -> None:
    tables = {"horizon": {"start_utc": "2026-01-01T17:00:00Z", "days": 3},
              "programmes": {"rrs": RRS}}  # fmt: skip
    sold = sold_mw(sim.run(one_site(tables), Sells(5)))
    assert sold[:37].max() == 0.0  # 11:00 to midnight, and a day
    assert sold[37:] == pytest.approx(5.0)
    tables["horizon"]["start_utc"] = "2026-01-01T16:00:00Z"  # as the gate closes
    assert sold_mw(sim.run(one_site(tables), Sells(5)))[14:38] == pytest.approx(5.0)


def test_offers_that_make_no_sense_are_refused_by_name() -> None:
    class Wrong(Sells):
        make: Any

        def offer(self, observation: Observation, begins_s: Ints) -> Any:
            return self.make(super().offer(observation, begins_s))

    def shape(o: ReserveOffers) -> Any:
        return o._replace(power_w=o.power_w[0])

    def nan(o: ReserveOffers) -> Any:
        return o._replace(power_w=o.power_w * np.nan)

    def below(o: ReserveOffers) -> Any:
        return o._replace(power_w=-o.power_w)

    for make, told in (
        (shape, r"power_w has shape \(1, 1\); it must be \(24, 1, 1\)"),
        (nan, r"power_w is NaN, infinite or below 0 at index \(0, 0, 0\)"),
        (below, "power_w is NaN, infinite or below 0"),
        (lambda o: None, "offer returned NoneType; it must return a sim.policy.ReserveOffers"),
        (lambda o: o._replace(at_most_w=o.at_most_w * np.nan), "at_most_w is NaN"),
    ):
        policy = Wrong(5)
        policy.make = make
        with pytest.raises(PolicyError, match=told):
            sim.run(world(), policy)


def test_merit_order_offers_what_it_will_draw_and_holds_it_while_that_pays() -> None:
    """Machines run at 40 USD/MWh: all are offered; at 300 in real time they are held, for a
    shortfall would cost 268 and an hour of hashing earns more than the rest."""
    result = sim.run(world(days=3), "merit-order")
    assert sold_mw(result)[24:] == pytest.approx(7.96)
    spiked = sim.run(world(days=3, incidents=[SPIKE]), "merit-order")
    assert column(spiked, "asic_mw")[30:33] == pytest.approx(7.96)
    assert spiked.kpis["penalties_usd"] is None
    alone = sim.run(world(days=3, incidents=[SPIKE]), MeritOrder(reserves=False))
    assert column(alone, "asic_mw")[30:33] == pytest.approx(0.0)


def test_merit_order_lets_an_award_go_where_that_costs_less_than_holding_it() -> None:
    """At 305 with delivery a MWh of hashing loses over 200: what 268 hold, 150 do not."""

    class Told(MeritOrder):
        usd = 0.0

        def decide(self, observation: Observation) -> Decision:
            energy = observation.energy
            short = np.where(energy.hold_w > 0.0, self.usd, 0.0)
            energy = energy._replace(shortfall_usd_per_mw_h=short)
            return super().decide(observation._replace(energy=energy))

    for usd, drawn_mw in ((150.0, 0.0), (268.0, 7.96)):
        policy = Told()
        policy.usd = usd
        result = sim.run(world(incidents=[SPIKE]), policy)
        assert column(result, "asic_mw")[30:33] == pytest.approx(drawn_mw)


def test_merit_order_does_not_offer_what_its_own_supply_feeds() -> None:
    """Of 7.96 MW a generator feeds 3; one that feeds all leaves nothing that a meter would show."""
    for mw, sold in ((3, 4.96), (9, 0.0)):
        gas = {"site": "site", "kind": "gas", "mw": mw, "usd_per_mwh": 1}
        result = sim.run(world(sheets={"generators": [gas]}), "merit-order")
        assert sold_mw(result)[24:] == pytest.approx(sold)
        assert result.kpis["penalties_usd"] is None


def test_merit_order_asks_for_what_holding_has_cost() -> None:
    """Spikes of the first day cost holders more than the 8 of the second: nothing is offered."""
    early = {**SPIKE, "start_utc": "2026-01-01T12:00:00Z"}
    assert sold_mw(sim.run(world(incidents=[early]), "merit-order")).max() == 0.0


def test_the_market_closes_in_the_order_of_its_gates() -> None:
    specs = tuple(
        ReserveProgramme(usd_per_mw_h=8.0, gate_closure_h=h, timezone=zone)
        for h, zone in ((10.0, "America/Chicago"), (8.0, "UTC"), (10.0, "America/Chicago"))
    )
    market = ReserveMarket(world(days=4), specs, np.ones((3, 1)))
    closes = [(g.closes_s / 3600, g.programmes) for g in market.gates]
    assert closes == sorted(closes)
    assert closes[:2] == [(2.0, (1,)), (10.0, (0, 2))]
    assert market.due_s == 2 * 3600


def test_the_engine_keeps_the_store_that_an_award_needs() -> None:
    """Machines are off at 90: the battery's 1 MW is sold; at 800 in the evening it stays stored."""
    battery = {"site": "site", "power_mw": 1, "energy_mwh": 1, "round_trip_efficiency": 1.0,
               "initial_fraction": 1.0, "wear_usd_per_mwh": 0}  # fmt: skip
    evening = {**SPIKE, "start_utc": "2026-01-03T02:00:00Z", "usd_per_mwh": 800}
    kept: dict[float, Floats] = {}
    for usd in (0.0, 900.0):
        programmes = {"rrs": {**RRS, "usd_per_mw_h": usd}} if usd else {}
        tables = {
            "horizon": {"days": 3}, "programmes": programmes,
            "faults": {"enabled": False, "incidents": [evening]},
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 300}}},
        }  # fmt: skip
        engine = Engine(one_site(tables, {"export_mw": 1}, batteries=[battery]), MeritOrder(), 1)
        engine.run()
        kept[usd] = engine.plant.asset.stored_j
    assert kept[0.0] == pytest.approx(0.0)
    assert kept[900.0] == pytest.approx(3.6e9)
