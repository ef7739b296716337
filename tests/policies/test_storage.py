"""Plans of batteries by hand: the linear programme, and the recursion where nothing is charged."""

from typing import Any

import numpy as np
import pytest

from sim.engine import Engine
from sim.kernels import flows
from sim.kernels.storage import Expected, Store, battery_now
from sim.policies.look_ahead import LookAhead
from sim.policies.merit_order import MeritOrder
from sim.policies.storage import Site, StoragePlan
from tests.builders.one_site import one_site

FLAT = {"one_way": 1.0, "wear_usd_per_mwh": 0.0, "energy_mwh": 1.0, "loss": 0.0}


def now_mw(prices: list[float], *, battery: dict[str, float] | None = None, **more: Any) -> float:
    """Power of now of a battery of 1 MW beside 2 MW of machines that earn 50 USD/MWh."""
    made = {**FLAT, **(battery or {})}
    hours, charges = len(prices), len(more.get("charge_usd_per_mw", ()))
    price = np.array(prices)
    site = Site(
        period_h=1.0,
        price=price,
        export_price=price,
        item_mw=np.array([2.0]),
        item_least_mw=np.zeros((hours, 1)),
        item_usd_per_mwh=np.array([50.0]),
        room_mw=np.full(hours, 10.0),
        export_mw=0.0,
        overhead_mw=0.0,
        own_mw=0.0,
        own_usd_per_mwh=0.0,
        block_mw=0.0,
        block_saves_usd_per_mwh=np.zeros(hours),
        stored_mwh=0.0,
        charge_usd_per_mw=np.zeros(charges),
        charge_peak_mw=np.zeros(charges),
        charge_load_mw=np.zeros(charges),
        charge_shaved_usd_per_mw=np.zeros(charges),
        charge_counts=np.ones((hours, charges), dtype=np.bool_),
        hold_mw=np.zeros(hours),
        hold_h=0.0,
        hold_usd_per_mw_h=np.zeros(hours),
    )._replace(**more)
    plan = StoragePlan(
        hours,
        np.array(
            [1e6, made["energy_mwh"] * 3.6e9, made["one_way"], made["wear_usd_per_mwh"] / 3.6e9]
        ),
        made["loss"],
        1,
        charges,
        sells="hold_mw" in more,
    )
    planned = plan.solve(site)
    if not charges and not site.block_mw:  # blocks are weighed before the programme
        assert by_recursion(site, made) == pytest.approx(planned, abs=1e-6)
    return planned


def by_recursion(site: Site, made: dict[str, float]) -> float:
    """The same, without a solver."""
    hours = len(site.price)
    store = Store(
        power_mw=made.get("power_mw", 1.0),
        energy_mwh=made["energy_mwh"],
        one_way=made["one_way"],
        wear_usd_per_mwh=made["wear_usd_per_mwh"],
        at_meter=1.0 / (1.0 - made["loss"]),
        stored_mwh=site.stored_mwh,
        first_h=site.period_h,
        room_now_mw=float(site.room_mw[0] - site.overhead_mw),
        room_mw=float(site.room_mw[-1] - site.overhead_mw),
        overhead_mw=site.overhead_mw,
        export_mw=site.export_mw,
        block_mw=0.0,
        block_usd_per_mwh=0.0,
        own_usd_per_mwh=site.own_usd_per_mwh,
        hold_h=site.hold_h,
    )
    own_mw = np.broadcast_to(site.own_mw, hours).astype(np.float64)
    earning = (np.where(site.item_usd_per_mwh > site.price[:, None], site.item_mw, 0.0)).sum(axis=1)
    earning_mw = np.minimum(earning, site.room_mw - site.overhead_mw)
    hold_mw = site.hold_mw + earning_mw * (site.hold_mw > 0.0)  # what load holds comes off
    expected = Expected(
        site.price, site.export_price, own_mw, hold_mw, site.hold_usd_per_mw_h,
        site.item_mw, site.item_usd_per_mwh,
    )  # fmt: skip
    return float(battery_now(store, expected))


@pytest.mark.parametrize("seed", range(4))
def test_without_charges_the_recursion_is_the_programme(seed: int) -> None:
    """40 drawn sites each: what it does now costs no more than the optimum of the programme.

    At prices below 0 they differ: later hours of the programme charge and discharge at once.
    """
    draw = np.random.Generator(np.random.Philox(key=seed))
    acted = 0
    for _ in range(40):
        hours, items = int(draw.integers(2, 30)), int(draw.integers(1, 7))
        price = np.round(draw.normal(40, 30, hours) + 300 * (draw.random(hours) < 0.1), 1)
        price = np.maximum(price, 0.0)
        power_mw = draw.choice([1.0, 10.0])
        made = {"power_mw": power_mw, "energy_mwh": power_mw * draw.choice([0.5, 2.0, 4.0]),
                "one_way": draw.choice([1.0, 0.92]), "wear_usd_per_mwh": draw.choice([0.0, 20.0]),
                "loss": draw.choice([0.0, 0.05])}  # fmt: skip
        overhead, rooms = draw.choice([0.0, 0.3]), np.full(hours, draw.choice([0.5, 3.0, 20.0]))
        rooms[0] = draw.choice([0.5, 3.0, 20.0])
        gas_mw = draw.choice([0.0, 0.8])
        site = Site(
            period_h=float(draw.choice([1.0, 0.5])), price=price,
            export_price=price - draw.choice([0.0, 6.0]),
            item_mw=draw.uniform(0, power_mw, items), item_least_mw=np.zeros((hours, items)),
            item_usd_per_mwh=np.round(draw.uniform(20, 120, items), 1),
            room_mw=rooms + overhead, export_mw=float(draw.choice([0.0, 1.0, 5.0])),
            overhead_mw=float(overhead), own_mw=np.where(price >= 38.0, gas_mw, 0.0),
            own_usd_per_mwh=38.0, block_mw=0.0, block_saves_usd_per_mwh=np.zeros(hours),
            stored_mwh=float(draw.choice([0.0, 0.5, 1.0]) * made["energy_mwh"]),
            charge_usd_per_mw=np.zeros(0), charge_peak_mw=np.zeros(0), charge_load_mw=np.zeros(0),
            charge_shaved_usd_per_mw=np.zeros(0), charge_counts=np.zeros((hours, 0), np.bool_),
            hold_mw=np.zeros(hours), hold_h=0.0, hold_usd_per_mw_h=np.zeros(hours),
        )  # fmt: skip
        battery = [power_mw * 1e6, made["energy_mwh"] * 3.6e9, made["one_way"],
                   made["wear_usd_per_mwh"] / 3.6e9]  # fmt: skip
        plan = StoragePlan(hours, np.array(battery), made["loss"], items, 0)
        power = by_recursion(site, made)
        cost, low, high = plan._columns(site)
        best = plan._optimum(site, cost, low, high)[0]
        for column, mw in ((plan.charge[0], power), (plan.discharge[0], -power)):
            low[column] = high[column] = max(mw, 0.0)
        assert plan._optimum(site, cost, low, high)[0] == pytest.approx(best, rel=1e-7, abs=1e-5)
        acted += abs(power) > 1e-6
    assert acted > 10


def test_it_fills_before_a_dear_hour_and_feeds_the_load_in_it() -> None:
    assert now_mw([10.0, 49.0]) == pytest.approx(1.0)
    assert now_mw([49.0, 10.0], stored_mwh=0.8) == pytest.approx(-0.8)
    assert now_mw([49.0, 49.0]) == pytest.approx(0.0)


def test_machines_that_would_stop_run_on_what_was_stored() -> None:
    """At 3,000 USD/MWh nobody draws; a stored MWh is worth the 50 that machines make of it."""
    assert now_mw([3_000.0, 20.0], stored_mwh=1.0) == pytest.approx(-1.0)
    assert now_mw([49.0, 3_000.0]) == pytest.approx(1.0)
    assert now_mw([51.0, 3_000.0]) == pytest.approx(0.0)


def test_losses_and_wear_must_be_earned() -> None:
    """0.8 each way and 5 for wear: what is bought at 16 costs 25 + 5 where it is used."""
    worn = {"one_way": 0.8, "wear_usd_per_mwh": 5.0}
    assert now_mw([16.0, 29.9], battery=worn) == pytest.approx(0.0)
    assert now_mw([16.0, 30.1], battery=worn) == pytest.approx(1.0)
    lost = {**worn, "loss": 0.5}  # on the way: half of what is billed is used, half of wear paid
    assert now_mw([16.0, 27.4], battery=lost) == pytest.approx(0.0)
    assert now_mw([16.0, 27.6], battery=lost) == pytest.approx(1.0)


def test_charging_displaces_hashing_where_more_is_earned_later() -> None:
    """2 MW of room for 2 MW of machines that earn 40 beyond their energy; export pays 500."""
    short: dict[str, Any] = {"room_mw": np.full(2, 2.0), "export_mw": 1.0}
    sold = {"export_price": np.array([10.0, 500.0])}
    assert now_mw([10.0, 500.0], **short, **sold) == pytest.approx(1.0)
    assert now_mw([10.0, 10.0], **short) == pytest.approx(0.0)
    best = {"item_usd_per_mwh": np.array([600.0])}
    assert now_mw([10.0, 10.0], **short, **sold, **best) == pytest.approx(0.0)


def charged(usd_per_mw: float, peak_mw: float) -> dict[str, Any]:
    return {
        "charge_usd_per_mw": np.array([usd_per_mw]),
        "charge_peak_mw": np.array([peak_mw]),
        "charge_load_mw": np.array([2.0]),
        "item_least_mw": np.full((2, 1), 2.0),
    }


def test_what_is_added_to_the_peak_of_the_month_is_charged_in_full() -> None:
    """A cycle earns 39 USD; a MW above the peak so far costs the month's charge, not its share."""
    assert now_mw([10.0, 49.0], **charged(40.0, 2.0)) == pytest.approx(0.0)
    assert now_mw([10.0, 49.0], **charged(38.0, 2.0)) == pytest.approx(1.0)
    assert now_mw([10.0, 49.0], **charged(9_000.0, 2.4)) == pytest.approx(0.4)
    assert now_mw([10.0, 49.0], **charged(9_000.0, 3.0)) == pytest.approx(1.0)


def test_it_shaves_the_measured_hours_only_for_what_that_is_said_to_be_worth() -> None:
    """Now is dear and not measured, the next hour cheap and measured, with a peak of the load."""
    window = {**charged(9_000.0, 0.0), "charge_counts": np.array([[False], [True]])}
    dear: dict[str, Any] = {"stored_mwh": 1.0, **window}
    assert now_mw([49.0, 10.0], **dear) == pytest.approx(-1.0)
    for worth, power_mw in ((38.0, -1.0), (40.0, 0.0)):
        dear["charge_shaved_usd_per_mw"] = np.array([worth])
        assert now_mw([49.0, 10.0], **dear) == pytest.approx(power_mw)


def test_own_supply_and_blocks_are_cheaper_than_the_grid() -> None:
    """Own supply of 4 MW at 5 USD/MWh leaves nothing to be saved in the dear hour."""
    assert now_mw([10.0, 49.0], own_mw=4.0, own_usd_per_mwh=5.0) == pytest.approx(0.0)
    block = {"block_mw": 4.0, "block_saves_usd_per_mwh": np.array([0.0, 30.0])}
    assert now_mw([20.0, 49.0], **block) == pytest.approx(0.0)  # 19 in the block
    assert now_mw([10.0, 49.0], **block) == pytest.approx(1.0)


def test_the_first_period_may_be_part_of_an_hour() -> None:
    """Half an hour at 1 MW stores half a MWh; what is stored may be given in it at once."""
    assert now_mw([49.0, 10.0], period_h=0.5, stored_mwh=0.3) == pytest.approx(-0.6)
    assert now_mw([10.0, 49.0], period_h=0.5) == pytest.approx(1.0)


def test_where_losses_are_paid_for_it_does_one_thing_at_a_time() -> None:
    """At -30 it would charge and discharge at once: half full, it is filled."""
    worn = {"one_way": 0.9, "wear_usd_per_mwh": 5.0, "energy_mwh": 2.0}
    for charged_too in ({}, charged(0.0, 9.0)):
        found = now_mw([-30.0, -30.0], battery=worn, stored_mwh=1.0, **charged_too)
        assert found == pytest.approx(1.0)


def test_room_for_an_hour_that_pays_is_worth_no_more_than_doing_both_ways_in_it() -> None:
    """Full, before an hour at -100: room for a MWh earns 111 then, but a full store earns too, half
    of the hour given and half of it filled. So room is bought for 81 USD, not for 104."""
    full = {"one_way": 0.9, "wear_usd_per_mwh": 0.0, "energy_mwh": 1.0}
    assert now_mw([-90.0, -100.0], battery=full, stored_mwh=1.0) == pytest.approx(-0.81)
    assert now_mw([-116.0, -100.0], battery=full, stored_mwh=1.0) == pytest.approx(0.0)


def test_what_is_sold_has_its_losses_on_the_way_and_is_not_put_off() -> None:
    """100 USD/MWh at the meter are 90 at the terminals, where a tenth is lost: 95 of wear, 80."""
    for charged_too in ({}, charged(0.0, 9.0)):
        sold: dict[str, Any] = {"stored_mwh": 1.0, "export_mw": 2.0, "item_mw": np.zeros(1)}
        sold |= charged_too | {"item_least_mw": np.zeros((6, 1))}
        for wear, power_mw in ((95.0, 0.0), (80.0, -1.0)):
            worn = {"wear_usd_per_mwh": wear, "loss": 0.1}
            assert now_mw([100.0] * 6, battery=worn, **sold) == pytest.approx(power_mw)


def test_overhead_can_be_fed_where_nothing_else_runs() -> None:
    idle: dict[str, Any] = {"item_mw": np.zeros(1), "stored_mwh": 1.0}
    assert now_mw([90.0, 10.0], **idle) == pytest.approx(0.0)
    assert now_mw([90.0, 10.0], overhead_mw=0.25, **idle) == pytest.approx(-0.25)


def test_what_stands_by_is_neither_discharged_nor_spent() -> None:
    """A stored MWh is worth 50 now; as reserve of 1 MW for the next two hours 10 or 40 an hour."""
    sold = {"stored_mwh": 1.0, "hold_mw": np.array([1.0, 1.0]), "hold_h": 1.0}
    for usd, power_mw in ((10.0, -1.0), (40.0, 0.0)):
        paid = np.full(2, usd)
        found = now_mw([3_000.0, 20.0], **sold, hold_usd_per_mw_h=paid)
        assert found == pytest.approx(power_mw)
    later = {**sold, "hold_mw": np.array([0.0, 1.0]), "hold_usd_per_mw_h": np.full(2, 60.0)}
    assert now_mw([3_000.0, 2_900.0], **later) == pytest.approx(0.0)  # it could not charge again
    short = {**later, "hold_h": 0.5}
    assert now_mw([3_000.0, 2_900.0], **short) == pytest.approx(-0.5)


def test_power_that_stands_by_is_not_discharged_however_much_is_stored() -> None:
    """4 MWh would last for hours: of 1 MW what is sold stays free, while failing it costs more."""
    full: dict[str, Any] = {"stored_mwh": 4.0, "battery": {"energy_mwh": 4.0}, "hold_h": 1.0}
    for mw, usd, power_mw in ((1.0, 60.0, 0.0), (0.4, 60.0, -0.6), (1.0, 40.0, -1.0)):
        sold = {"hold_mw": np.array([mw, 0.0]), "hold_usd_per_mw_h": np.full(2, usd)}
        assert now_mw([49.0, 20.0], **full, **sold) == pytest.approx(power_mw)


def test_it_charges_for_what_it_has_sold() -> None:
    """A MWh earns 50 and costs 51: only a reserve that is worth 60 makes it charge."""
    sold = {"hold_mw": np.array([0.0, 0.6]), "hold_h": 1.0}
    assert now_mw([51.0, 58.0]) == pytest.approx(0.0)
    for usd, power_mw in ((60.0, 0.6), (40.0, 0.0)):
        paid = np.full(2, usd)
        found = now_mw([51.0, 58.0], **sold, hold_usd_per_mw_h=paid)
        assert found == pytest.approx(power_mw)


@pytest.mark.parametrize("policy", [MeritOrder, LookAhead])
@pytest.mark.parametrize(("machines", "usd"), [(0, -750.0), (2000, 9_552.0)])
def test_a_fixed_price_is_stored_for_the_dear_hours_of_the_zone(
    policy: type, machines: int, usd: float
) -> None:
    """Energy at 50; the zone pays 300 for three hours a day, which is known from the second day.

    3 MWh earn 250 each. Beside 7.96 MW of machines nothing would flow back, and nothing is done.
    """
    battery = {"site": "site", "power_mw": 1, "energy_mwh": 3, "round_trip_efficiency": 1.0,
               "initial_fraction": 0, "wear_usd_per_mwh": 0}  # fmt: skip
    contract = {"contract": "fixed", "energy_usd_per_mwh": 50, "export_mw": 1}
    scenario = one_site(
        {"horizon": {"days": 4}}, {**contract, "adder_usd_per_mwh": 0}, batteries=[battery]
    )
    if not machines:
        scenario = scenario.model_copy(update={"asics": ()})
    engine = Engine(scenario, policy(), 1)
    zone = engine.terms.step_inputs.zone_price
    hour = np.arange(len(zone)) * scenario.horizon.step_s // 3600 % 24
    zone[:] = np.where((hour >= 18) & (hour < 21), 300.0, 20.0)[:, None]
    paid = engine.run().flow[:, flows.ENERGY_USD, 0].reshape(4, 24).sum(axis=1)
    assert paid[1:] == pytest.approx(usd)
