"""What each policy does at a price, worked out by hand: who stops, who charges, who is shed first.

One site: 100 machines of one mode that draw 1 MW and earn 80 USD/MWh; ten reserved nodes of 10 kW
that earn 5 USD an hour (500 USD/MWh) and ten batch nodes that earn 1.20 USD an hour (120 USD/MWh).
The meter reads what machines draw: nothing is lost and cooling is free.
"""

from typing import Any

import numpy as np
import pytest

from sim.policies import BUILTIN
from sim.policy import (
    Decision,
    DemandView,
    Observation,
    load_policy,
)
from tests.builders.observations import THS_PER_MACHINE, seen


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


def test_policies_that_are_decided_by_hand_are_built_in() -> None:
    assert set(BY_PRICE) <= set(BUILTIN)


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


def test_an_emergency_programme_that_pays_is_offered_what_runs_and_makes_it_cheaper() -> None:
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


# Batteries under merit-order: one site, day-ahead prices of the hours to come.

BATTERY = {
    "battery_site": np.array([0]),
    "battery": np.array([[1e6, 3.6e9, 0.9, 0.0]]),
    "stored_j": np.array([1.8e9]),
}


def planned(
    price: float, next_usd: list[float], name: str = "merit-order", **more: Any
) -> Decision:
    """What a policy decides at a price when the next hours are published."""
    told: dict[str, Any] = {
        **BATTERY,
        "day_ahead_usd_per_mwh": np.array([price]),
        "day_ahead_next_usd_per_mwh": np.array(next_usd)[:, None],
        **more,
    }
    decision: Decision = load_policy(name, {}, BUILTIN).decide(seen(price, **told))
    return decision


@pytest.mark.parametrize("name", ["merit-order", "look-ahead"])
def test_a_battery_follows_the_published_prices(name: str) -> None:
    """Half full: full at 20 before 70, given at 70 before 20; both ways lose a tenth."""
    charging = planned(20.0, [70.0] * 34, name).battery_w
    giving = planned(70.0, [20.0] * 34, name).battery_w
    assert charging is not None
    assert giving is not None
    assert charging == pytest.approx([0.5e6 / 0.9])
    assert giving == pytest.approx([-0.45e6])


def test_machines_run_on_the_battery_where_the_grid_is_too_dear() -> None:
    """At 100 USD/MWh machines would be off and nodes on, which take 0.2 MW; 0.45 MW are given."""
    decision = planned(100.0, [20.0] * 34)
    assert decision.battery_w == pytest.approx([-0.45e6])
    assert decision.asic_share[0, 0] == pytest.approx(0.25)


def test_charging_has_its_room_before_machines_that_earn_less() -> None:
    """1.2 MW of room for as much load; the next hours export for 500 what is stored now."""
    sold: dict[str, Any] = {"export_w": np.array([1e6])}
    observation = seen(40.0, room_mw=1.2, **BATTERY, **sold)
    energy = observation.energy._replace(
        day_ahead_usd_per_mwh=np.array([40.0]),
        day_ahead_next_usd_per_mwh=np.full((34, 1), 500.0),
    )
    decision = load_policy("merit-order", {}, BUILTIN).decide(observation._replace(energy=energy))
    assert decision.battery_w == pytest.approx([0.5e6 / 0.9])
    assert decision.asic_share[0, 0] == pytest.approx(1.0 - 0.5 / 0.9)


def test_a_battery_does_not_raise_the_peak_of_the_month_for_one_cycle() -> None:
    """1.2 MW are drawn in any case; the peak so far is that, or leaves 0.3 MW."""
    for peak_w, power_w in ((1.2e6, 0.0), (1.5e6, 0.3e6)):
        decision = planned(20.0, [70.0] * 34, demand=charge(peak_w, np.ones(168)))
        assert decision.battery_w == pytest.approx([power_w], abs=1.0)


def charge(peak_w: float, measured: Any) -> DemandView:
    """9,000 USD a MW above `peak_w`, in some hours of the week to come."""
    return DemandView(
        site=np.zeros(1, dtype=np.int64),
        usd_per_mw=np.array([9_000.0]),
        peak_w=np.array([peak_w]),
        left_s=np.array([2e6]),
        later=np.zeros(1, dtype=np.bool_),
        measured=np.asarray(measured, dtype=np.bool_)[:, None],
    )


def test_a_battery_charges_outside_the_hours_of_a_demand_charge() -> None:
    """The same prices; now is measured, or the hours from 14 on are."""
    now, later = np.arange(168) < 2, np.arange(168) % 24 >= 14
    for measured, charges in ((now, False), (later, True)):
        power_w = planned(20.0, [70.0] * 34, demand=charge(1.2e6, measured)).battery_w
        assert power_w is not None
        assert (power_w[0] > 0.4e6) == charges


def test_a_battery_is_paid_for_charging_at_a_price_below_zero() -> None:
    power_w = planned(-10.0, [-5.0] * 34).battery_w  # the store takes no more than it has room for
    assert power_w is not None
    assert power_w[0] > 0.999 * 0.5e6 / 0.9


def test_a_block_dearer_than_the_grid_does_not_turn_the_order() -> None:
    """Two firmware modes of 0.5 MW each in a block of 0.5 MW at 35 beside a grid at -40, with room
    for 0.6 MW beside the nodes: the first mode comes first, and shares stay shares."""
    observation = seen(-40.0, 0.8, block_w=np.array([0.7e6]), block_usd_per_mwh=np.array([35.0]))
    modes = observation.asic._replace(
        mode_ths=np.array([[0.6, 1.0]]) * THS_PER_MACHINE,
        mode_w=np.array([[5_000.0, 10_000.0]]),
        default_share=np.array([[0.0, 1.0]]),
        share=np.array([[0.0, 1.0]]),
    )
    decision = load_policy("merit-order", {}, BUILTIN).decide(observation._replace(asic=modes))
    assert decision.asic_share.sum() <= 1.0
    assert decision.asic_share[0] == pytest.approx([0.8, 0.2])  # 0.6 MW for machines
