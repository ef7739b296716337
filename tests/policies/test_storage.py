"""Plans of batteries by hand, and what policies make of them."""

from typing import Any

import numpy as np
import pytest

from sim.policies.storage import Site, StoragePlan

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
    return plan.solve(site)


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
