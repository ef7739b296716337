"""What each policy does at a price, worked out by hand: who stops, who charges, who is shed first.

One site: 100 machines of one mode that draw 1 MW and earn 80 USD/MWh; ten reserved nodes of 10 kW
that earn 5 USD an hour (500 USD/MWh) and ten batch nodes that earn 1.20 USD an hour (120 USD/MWh).
The meter reads what machines draw: nothing is lost and cooling is free.
"""

from typing import Any

import numpy as np
import pytest

from sim.kernels.arrays import Limits
from sim.policies import BUILTIN
from sim.policies.merit_order import MeritOrder
from sim.policy import NO_SERVING, AsicView, Decision, EnergyView, GpuView, Observation, load_policy

ASIC_USD_PER_MWH = 80.0
THS_PER_MACHINE = 200.0
HOUR, DAY = 3600, 86_400


def seen(price: float, room_mw: float = 10.0, t_s: int = 0, **energy: Any) -> Observation:
    """The site at a price [USD/MWh], with a limit of `room_mw` at its meter."""
    none = np.zeros(0)
    usd_per_th = ASIC_USD_PER_MWH * 0.01 / (THS_PER_MACHINE * HOUR)
    view = EnergyView(
        day_ahead_usd_per_mwh=np.array([np.nan]),
        block_w=np.zeros(1),
        block_usd_per_mwh=np.zeros(1),
        carbon_kg_per_mwh=np.zeros(1),
        peak_risk=0.0,
        peak_usd_per_mw=np.zeros(1),
        month_peak_w=np.zeros(1),
        reserve_usd_per_mw_h=np.zeros((0, 1)),
        called_w=np.full((2, 1), np.inf),
        battery_site=np.zeros(0, dtype=np.int64),
        battery=np.zeros((0, 4)),
        stored_j=none,
        generator_site=np.zeros(0, dtype=np.int64),
        available_w=none,
        generator_usd_per_mwh=none,
        day_ahead_next_usd_per_mwh=np.full((0, 1), np.nan),
        demand_usd_per_mw=np.zeros(1),
        month_left_s=np.zeros(1),
        export_usd_per_mwh=np.array([price]),
        export_w=np.zeros(1),
        overhead_w=np.zeros(1),
    )
    return Observation(
        t_s=t_s,
        step_s=HOUR,
        price_usd_per_mwh=np.array([price]),
        ambient_c=np.array([20.0]),
        usd_per_btc=90_000.0,
        difficulty=1.4e14,
        hashprice_usd_per_ph_day=usd_per_th * 1000 * DAY,
        asic=AsicView(
            site=np.array([0]),
            available=np.array([100.0]),
            heat=np.ones(1),
            meter_factor=np.ones(1),
            mode_ths=np.array([[THS_PER_MACHINE]]),
            mode_w=np.array([[10_000.0]]),
            default_share=np.ones((1, 1)),
            share=np.ones((1, 1)),
        ),
        gpu=GpuView(
            site=np.array([0, 0]),
            available=np.array([10.0, 10.0]),
            node_w=np.array([10_000.0, 10_000.0]),
            meter_factor=np.ones(2),
            usd_per_h=np.array([5.0, 1.2]),
            credit_usd_per_h=np.zeros(2),
            contracted=np.array([1.0, 0.0]),
            share=np.ones(2),
        ),
        limits=Limits(
            path=np.array([[0]]),
            room_w=np.array([room_mw * 1e6]),
            local_w=np.zeros(1),
            cap_w=np.array([np.inf]),
        ),
        energy=view._replace(**energy),
        serving=NO_SERVING,
    )


def shares(name: str, observation: Observation, **parameters: Any) -> list[float]:
    """Share of the machines, of the reserved and of the batch nodes that a policy wants."""
    decision = load_policy(name, parameters, BUILTIN).decide(observation)
    return [float(decision.asic_share[0, 0]), *map(float, decision.gpu_share)]


NOBODY, ALL = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]
RESERVED, NODES = [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]
BY_PRICE = {  # at 40, 100, 300 and 3,000 USD/MWh
    "static": (ALL, ALL, ALL, ALL),
    "price-threshold": (ALL, NODES, NODES, NODES),
    "merit-order": (ALL, NODES, RESERVED, NOBODY),
    "look-ahead": (ALL, NODES, RESERVED, NOBODY),
    "slo-guard": (ALL, NODES, RESERVED, RESERVED),
    "autoscale": (ALL, NODES, RESERVED, RESERVED),  # nobody serves tokens: as slo-guard
    "mining-first": (ALL, NODES, RESERVED, NOBODY),
    "gpu-first": (ALL, NODES, RESERVED, NOBODY),
}


@pytest.mark.parametrize("name", BY_PRICE)
def test_who_runs_at_which_price(name: str) -> None:
    for price, expected in zip((40.0, 100.0, 300.0, 3_000.0), BY_PRICE[name], strict=True):
        assert shares(name, seen(price)) == pytest.approx(expected), price


def test_every_policy_but_the_random_one_is_decided_by_hand() -> None:
    assert set(BUILTIN) - {"random"} == set(BY_PRICE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # 0.6 MW for 1 MW of machines and 0.2 MW of nodes, at 40 USD/MWh
        ("merit-order", [0.4, 1.0, 1.0]),
        ("look-ahead", [0.4, 1.0, 1.0]),
        ("gpu-first", [0.4, 1.0, 1.0]),
        ("mining-first", [0.6, 0.0, 0.0]),
        ("slo-guard", [0.388, 1.0, 1.0]),  # 2 % of the limit stays free of machines
    ],
)
def test_who_is_shed_first_where_a_limit_is_short(name: str, expected: list[float]) -> None:
    assert shares(name, seen(40.0, room_mw=0.6)) == pytest.approx(expected, abs=1e-9)


def test_the_order_among_nodes_is_that_of_what_they_earn() -> None:
    for name in ("merit-order", "gpu-first", "look-ahead"):
        assert shares(name, seen(40.0, room_mw=0.15)) == pytest.approx([0.0, 1.0, 0.5]), name


def test_machines_stop_just_above_what_they_earn() -> None:
    for name in ("merit-order", "gpu-first", "mining-first", "slo-guard"):
        assert shares(name, seen(79.9))[0] == 1.0, name
        assert shares(name, seen(80.1))[0] == 0.0, name
    for limit in (40.0, 60.0):
        at, above = seen(limit), seen(limit + 0.01)
        assert shares("price-threshold", at, max_usd_per_mwh=limit) == ALL
        assert shares("price-threshold", above, max_usd_per_mwh=limit) == NODES


def test_a_negative_price_runs_everything() -> None:
    for name in BY_PRICE:
        assert shares(name, seen(-50.0)) == pytest.approx(ALL), name


def test_a_call_in_force_takes_machines_before_nodes() -> None:
    """A cap of 0.3 MW by a call that no relay sees to; static and its like look at no call."""
    called = np.array([[0.3e6], [np.inf]])
    paid = np.zeros((1, 1))
    for name, expected in (
        ("merit-order", [0.1, 1.0, 1.0]),
        ("look-ahead", [0.1, 1.0, 1.0]),
        ("gpu-first", [0.1, 1.0, 1.0]),
        ("mining-first", [0.3, 0.0, 0.0]),
        ("slo-guard", [0.1, 1.0, 1.0]),
        ("static", ALL),
    ):
        observation = seen(40.0, called_w=called, reserve_usd_per_mw_h=paid)
        assert shares(name, observation) == pytest.approx(expected), name


def test_a_reserve_that_pays_is_offered_what_runs_and_makes_it_cheaper() -> None:
    """At 90 USD/MWh machines lose 10; standing by for 15 an hour they earn 5."""
    paid = np.array([[0.0], [15.0]])
    for name in ("merit-order", "slo-guard", "look-ahead"):
        decision = load_policy(name, {}, BUILTIN).decide(seen(90.0, reserve_usd_per_mw_h=paid))
        assert decision.asic_share[0, 0] == 1.0, name
        assert decision.offer_w is not None
        np.testing.assert_allclose(decision.offer_w, [[0.0], [1e6]])
    alone = load_policy("merit-order", {"reserves": False}, BUILTIN)
    decision = alone.decide(seen(90.0, reserve_usd_per_mw_h=paid))
    assert decision.asic_share[0, 0] == 0.0
    assert decision.offer_w is None


def test_own_supply_costs_what_it_would_earn_as_export() -> None:
    """Free supply of 0.5 MW where the grid costs 100 and the zone pays 85: machines earn 80."""
    own: dict[str, Any] = {
        "generator_site": np.array([0]),
        "available_w": np.array([0.5e6]),
        "generator_usd_per_mwh": np.zeros(1),
        "export_usd_per_mwh": np.array([85.0]),
    }

    def asics(**energy: Any) -> float:
        told: dict[str, Any] = {**own, **energy}
        observation = seen(100.0, **told)
        supplied = observation.limits._replace(local_w=np.array([0.5e6]))
        return shares("merit-order", observation._replace(limits=supplied))[0]

    assert asics() == pytest.approx(0.3)  # nodes take 0.2 MW; what is left cannot be sold
    assert asics(export_w=np.array([1e6])) == 0.0  # sold at 85
    assert asics(export_w=np.array([1e6]), export_usd_per_mwh=np.array([75.0])) == pytest.approx(
        0.3
    )
    assert asics(generator_usd_per_mwh=np.array([90.0])) == 0.0  # fuel is saved


def test_the_chance_of_a_peak_is_a_price() -> None:
    """1 % of 8,000 USD/MW in an hour is 80 USD/MWh: with 40 for energy, machines stop."""
    risky: dict[str, Any] = {"peak_risk": 0.01, "peak_usd_per_mw": np.array([8_000.0])}
    for name in ("merit-order", "slo-guard", "look-ahead"):
        assert shares(name, seen(40.0, **risky))[0] == 0.0, name
    assert shares("merit-order", seen(40.0, **risky), avoid_peaks=False)[0] == 1.0
    assert shares("gpu-first", seen(40.0, **risky))[0] == 1.0  # one rule, and not that one
    half = {"peak_risk": 0.0049, "peak_usd_per_mw": np.array([8_000.0])}
    assert shares("merit-order", seen(40.0, **half))[0] == 1.0


# Batteries under merit-order: a week of prices 1, 2, …, 168, then one price.

BATTERY = {
    "battery_site": np.array([0]),
    "battery": np.array([[1e6, 3.6e9, 0.9, 0.0]]),
    "stored_j": np.array([1.8e9]),
}


def after_a_week(price: float, cheap: float = 0.25, step: float = 1.0, **battery: Any) -> float:
    """Power [W] of the battery at a price after hours at `step`, 2 `step`, …"""
    policy = MeritOrder(cheap=cheap)
    given = BATTERY | battery
    for hour in range(168):
        policy.decide(seen(step * (hour + 1), t_s=hour * HOUR, **given))
    # the band is drawn anew at midnight, with the price of that hour in place of the oldest
    policy.decide(seen(step, t_s=168 * HOUR, **given))
    decision: Decision = policy.decide(seen(price, t_s=168 * HOUR + 900, **given))
    assert decision.battery_w is not None
    return float(decision.battery_w[0])


@pytest.mark.parametrize("cheap", [0.25, 0.1])
def test_a_battery_charges_in_the_cheap_hours_and_discharges_in_the_dear_ones(
    cheap: float,
) -> None:
    low, high = 1 + 167 * cheap, 168 - 167 * cheap  # the quantiles of 1, 2, …, 168
    assert after_a_week(low - 0.01, cheap) == 1e6
    assert after_a_week(low + 0.01, cheap) == 0.0
    assert after_a_week(high - 0.01, cheap) == 0.0
    assert after_a_week(high + 0.01, cheap) == -1e6


def test_a_battery_waits_until_the_band_pays_for_losses_and_wear() -> None:
    """Low 42.75: 0.9 each way makes 52.78; wear of 100 USD/MWh more: 152.78, above 126.25."""
    worn = {"battery": np.array([[1e6, 3.6e9, 0.9, 100 / 3.6e9]])}
    worth = 42.75 / 0.81 + 100.0
    assert after_a_week(worth - 0.01, **worn) == 0.0
    assert after_a_week(worth + 0.01, **worn) == -1e6
    low = 1 + 167 * 0.25
    assert after_a_week(low - 0.01, **worn) == 1e6


def test_a_battery_charges_at_a_price_below_zero_however_flat() -> None:
    decision = MeritOrder().decide(seen(-10.0, **BATTERY))
    assert decision.battery_w is not None
    assert decision.battery_w.tolist() == [1e6]
