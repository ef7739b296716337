"""The policies themselves: what each does that the others do not. The contract: test_policy.py."""

import pickle
from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine
from sim.example_fleets import example
from sim.kernels.dispatch import Hulls
from sim.policies import BUILTIN
from sim.policies.forecast import PriceForecast
from sim.policies.look_ahead import LookAhead, _with_bonus
from sim.policies.merit_order import MeritOrder
from sim.policies.one_first import GpuFirst, MiningFirst
from sim.policies.random import Random
from sim.policies.slo_guard import SloGuard
from sim.policy import Observation, load_policy
from sim.results.kpi import Totals
from sim.results.kpis_fleet import gross_margin_usd
from sim.scenario import Scenario
from tests.builders.known_prices import Known
from tests.builders.plain_sites import plain
from tests.conftest import build_scenario

BATTERY = {"site": "alpha", "power_mw": 1, "energy_mwh": 4, "round_trip_efficiency": 0.9,
           "wear_usd_per_mwh": 2, "initial_fraction": 0}  # fmt: skip


def margin(scenario: Scenario, policy: Any, price: Any = None) -> float:
    """Gross margin of a run, at prices (step,) of one's own."""
    engine = Engine(scenario, policy, 3)
    if price is not None:
        engine.terms.price[:-1] = np.asarray(price)[:, None]
    recorder = engine.run()
    flow = recorder.flow.sum(axis=(0, 2))
    return gross_margin_usd(Totals(flow, 0.0, scenario.horizon.seconds, recorder, engine.firm))


def test_look_ahead_is_merit_order_where_nothing_couples() -> None:
    for feeder_mw in (None, 5.0):
        scenario = plain(feeder_mw=feeder_mw)
        merit, ahead = (margin(scenario, p) for p in (MeritOrder(), LookAhead()))
        assert ahead == pytest.approx(merit, rel=1e-9)


def test_a_battery_earns_on_a_daily_pattern_most_of_what_foresight_would() -> None:
    """Cheap nights, three dear hours: the pattern is learnt in the first two."""
    scenario = plain({"horizon": {"days": 10, "step_s": 3600}}, batteries=[BATTERY])
    bare = scenario.model_copy(update={"batteries": ()})
    hour = np.arange(240) % 24
    price = np.select([hour < 6, (hour >= 18) & (hour < 21)], [15.0, 150.0], 60.0)
    for policy in (MeritOrder, LookAhead):
        idle = margin(bare, policy(), price)
        seer = policy()
        seer._forecast = Known(price, seer.hours)
        value, most = margin(scenario, policy(), price) - idle, margin(scenario, seer, price) - idle
        assert most >= value > 0.75 * most > 1_000.0


def test_look_ahead_does_not_pay_a_demand_charge_that_earns_too_little() -> None:
    """At 12,000 USD a MW and week, machines do not earn their peak within it; nodes do."""
    charge = {"demand_charge_usd_per_mw_month": 12_000.0 * 31 / 7}
    sites = [{"name": "alpha", **charge}, {"name": "bravo", "climate": "massena-ny", **charge}]
    scenario = plain(  # the last week of a month pays its share of the charge
        {"horizon": {"start_utc": "2026-01-25T06:00:00Z", "days": 7, "step_s": 3600}},
        sites=sites,
    )
    merit, ahead = (margin(scenario, p) for p in (MeritOrder(), LookAhead()))
    best = sim.bound(scenario, 3).usd
    assert merit < 0.0 < ahead
    assert ahead == pytest.approx(best, rel=1e-6)


def test_look_ahead_stays_on_through_one_dear_hour_if_a_start_costs_more() -> None:
    tables = {"mining": {"restart_s": 1800}, "horizon": {"days": 4, "step_s": 3600}}
    scenario = plain(tables, gpus=[])
    asic = _fleet_price(scenario)
    price = np.full(96, 0.5 * asic)
    price[5::8] = 1.1 * asic  # a tenth of an hour's revenue lost, or half of one to start again
    merit, ahead = (margin(scenario, p, price) for p in (MeritOrder(), LookAhead(restart_s=1800)))
    assert ahead > merit
    assert margin(scenario, LookAhead(restart_s=0), price) == pytest.approx(merit, rel=1e-9)


def _fleet_price(scenario: Scenario) -> float:
    """USD/MWh at which the most efficient group in its lowest mode breaks even, about."""
    engine = Engine(scenario, MeritOrder(), 3)
    engine.look_at_world()
    engine.observe()
    seen: Observation = engine.observation
    ths, watts = seen.asic.mode_ths, np.where(seen.asic.mode_w > 0, seen.asic.mode_w, np.inf)
    return float((ths / watts).max() * seen.usd_per_th * 3.6e9)


def test_a_forecast_learns_the_hours_of_the_day() -> None:
    forecast = PriceForecast(24, 0.0)
    pattern = 30.0 + 20.0 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    for hour in range(24 * 8):
        seen = _at(hour, pattern[hour % 24])
        expected = forecast.expect(seen)
    np.testing.assert_allclose(expected[:, 0], pattern[(hour + np.arange(24)) % 24])
    surprise = forecast.expect(_at(hour + 1, 500.0))
    assert surprise[0, 0] == 500.0
    np.testing.assert_allclose(surprise[1:, 0], pattern[np.arange(1, 24) % 24])


def test_a_forecast_trusts_the_day_ahead_market_once_it_has_been_right() -> None:
    forecast, draw = PriceForecast(12, 0.5), np.random.default_rng(4)
    price = draw.uniform(0.0, 100.0, 400)  # no pattern: only the market knows
    for hour in range(24 * 10):
        expected = forecast.expect(_at(hour, price[hour] + 8.0, price[hour : hour + 20]))
    np.testing.assert_allclose(expected[:, 0], price[hour : hour + 12] + 8.0)


def _at(hour: int, price: float, day_ahead: Any = None) -> Observation:
    seen = example(0)
    known = np.full((1, 3), np.nan) if day_ahead is None else np.repeat(day_ahead[:, None], 3, 1)
    energy = seen.energy._replace(
        day_ahead_usd_per_mwh=known[0], day_ahead_next_usd_per_mwh=known[1:]
    )
    return seen._replace(t_s=hour * 3600, price_usd_per_mwh=np.full(3, price), energy=energy)


def test_the_workload_that_comes_first_gets_the_room() -> None:
    scenario = build_scenario(
        {"prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 20}}},
         "faults": {"enabled": False}, "horizon": {"days": 1}},
        feeder_mw=2.0,
        gpus=[{"site": "alpha", "gpu": "h100-sxm", "nodes": 300, "state": "batch"}],
    )  # fmt: skip
    nodes, hashes = {}, {}
    for policy in (MiningFirst(), GpuFirst()):
        kpis = sim.run(scenario, policy, 1).kpis
        nodes[type(policy)] = kpis["gpu_delivered_pct"] or 0.0
        hashes[type(policy)] = kpis["operating_ehs"] or 0.0
    assert nodes[GpuFirst] > 50.0 > 1.0 > nodes[MiningFirst]
    assert hashes[MiningFirst] > 0.0
    assert hashes[MiningFirst] > 10 * hashes[GpuFirst]


def test_slo_guard_keeps_its_promises_at_any_price_and_merit_order_does_not() -> None:
    seen = example(1)
    bare = seen.energy._replace(block_w=np.zeros(3), stored_j=np.zeros(1))
    grid = seen.limits._replace(local_w=np.zeros(3))  # own supply would feed ASICs at any price
    dear = seen._replace(price_usd_per_mwh=np.full(3, 5_000.0), energy=bare, limits=grid)
    guard, merit = SloGuard().decide(dear), MeritOrder().decide(dear)
    assert guard.gpu_share.tolist() == [1.0, 0.0]  # reserved, batch
    assert merit.gpu_share.tolist() == [0.0, 0.0]
    assert guard.asic_share.sum() == merit.asic_share.sum() == 0.0
    full = seen._replace(price_usd_per_mwh=np.zeros(3))
    assert SloGuard(0.5).decide(full).asic_share.sum() < SloGuard(0.0).decide(full).asic_share.sum()


def test_random_is_the_same_for_the_same_seed_whatever_was_asked_before() -> None:
    seen, later = example(1), example(2)
    once, again = Random(4), pickle.loads(pickle.dumps(Random(4)))
    again.decide(later)
    first, second = once.decide(seen), again.decide(seen)
    np.testing.assert_array_equal(first.asic_share, second.asic_share)
    np.testing.assert_array_equal(first.offer_w, second.offer_w)
    assert (first.asic_share != Random(5).decide(seen).asic_share).any()


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("merit-order", {"reserves": "False"}, "reserves = 'False': must be true or false"),
        ("merit-order", {"reserves": 0.5}, "reserves = 0.5: must be true or false"),
        ("price-threshold", {"max_usd_per_mwh": "abc"}, "= 'abc': must be a number"),
        ("price-threshold", {"max_usd_per_mwh": True}, "= True: must be a number"),
        ("price-threshold", {"max_usd_per_mwh": [40]}, "= [40]: must be a number"),
        ("look-ahead", {"hours": "24 h"}, "hours = '24 h': must be a whole number"),
        ("look-ahead", {"hours": 1.5}, "hours = 1.5: must be a whole number"),
    ],
)
def test_a_parameter_of_another_kind_is_refused(
    name: str, parameters: dict[str, Any], words: str
) -> None:
    """A text is true to Python: reserves=False on the command line would have left them on."""
    with pytest.raises(sim.PolicyError) as refused:
        load_policy(name, parameters, BUILTIN)
    assert words in str(refused.value)


def test_parameters_of_the_kinds_that_numbers_have_are_taken() -> None:
    load_policy("price-threshold", {"max_usd_per_mwh": 40}, BUILTIN)
    load_policy("price-threshold", {"max_usd_per_mwh": np.float64(40)}, BUILTIN)
    load_policy("look-ahead", {"hours": np.int64(24), "reserves": False}, BUILTIN)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("look-ahead", {"hours": 1}, "hours is 1; allowed: 2 to 168"),
        ("look-ahead", {"persistence": 2.0}, "persistence is 2.0"),
        ("look-ahead", {"restart_s": -1.0}, "restart_s is -1.0"),
        ("slo-guard", {"headroom": 1.0}, "headroom is 1.0"),
        ("random", {"seed": -1}, "seed is -1"),
    ],
)
def test_parameters_out_of_range(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(sim.PolicyError, match=message):
        load_policy(name, parameters, BUILTIN)


def test_hulls_with_a_start_to_pay_still_fall_and_sum_to_the_same() -> None:
    draw = np.random.default_rng(8)
    watts = draw.uniform(100.0, 1000.0, (50, 4)) * (np.arange(4) < draw.integers(1, 5, (50, 1)))
    slope = np.sort(draw.uniform(0.01, 0.1, (50, 4)), axis=1)[:, ::-1]
    more = draw.normal(0.0, 30.0, 50)
    none = np.zeros(watts.shape, np.int64)
    made = _with_bonus(Hulls(none, slope * watts, watts), more)
    for g in range(50):
        on = watts[g] > 0.0
        assert (np.diff(made[g][on] / watts[g][on]) <= 0.0).all()
        total = (slope * watts)[g].sum() + more[g]
        assert made[g].sum() == pytest.approx(total, rel=1e-6, abs=1e-6)
