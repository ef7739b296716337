"""A battery never lowers the margin: with prices known in no run, with forecasts in no mean."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sim
from sim.engine import Engine
from sim.policies.look_ahead import LookAhead
from sim.policies.merit_order import MeritOrder
from sim.results.kpi import Totals
from sim.results.kpis_fleet import gross_margin_usd
from sim.scenario import Scenario
from tests.builders.known_prices import Known
from tests.builders.plain_sites import plain

HOURS = 5 * 24


def margin(scenario: Scenario, policy: Any, price: np.ndarray[Any, Any], delivery: float) -> float:
    """Gross margin of a run at prices (hour,) of one's own at the meter."""
    policy._forecast = Known(price, policy.hours)
    policy._zones = Known(price - delivery, policy.hours)
    engine = Engine(scenario, policy, 3)
    engine.terms.price[: len(price)] = price[:, None]
    engine.terms.step_inputs.zone_price[: len(price)] = price[:, None] - delivery
    recorder = engine.run()
    flow = recorder.flow.sum(axis=(0, 2))
    return gross_margin_usd(Totals(flow, 0.0, scenario.horizon.seconds, recorder, engine.firm))


fleets = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "mean": st.sampled_from([45.0, -20.0]),
        "limit_mw": st.sampled_from([2.0, 5.0]),
        "export_mw": st.sampled_from([0.0, 1.0]),
        "charge": st.sampled_from([0.0, 2_000.0, 12_000.0]),
        "hours": st.sampled_from([(0.0, 24.0), (14.0, 19.0), (22.0, 6.0)]),
        "ratchet": st.sampled_from([0.0, 0.8]),
        "energy_mwh": st.sampled_from([0.5, 4.0]),
        "wear": st.sampled_from([0.0, 15.0]),
        "block_mw": st.sampled_from([0.0, 1.5]),
        "gas": st.booleans(),
        "start": st.sampled_from(["2026-01-01T06:00:00Z", "2026-01-29T06:00:00Z"]),
    }
)


EVENING: dict[str, Any] = {  # what a battery feeds in dear hours must not count as a peak
    "seed": 1, "mean": 45.0, "limit_mw": 5.0, "export_mw": 0.0, "charge": 12_000.0,
    "hours": (14.0, 19.0), "ratchet": 0.0, "energy_mwh": 4.0, "wear": 0.0, "block_mw": 0.0,
    "gas": False, "start": "2026-01-01T06:00:00Z",
}  # fmt: skip


FREE: dict[str, Any] = {  # the grid pays, and charging displaces hashing to the end of the run
    "seed": 8624, "mean": -20.0, "limit_mw": 2.0, "export_mw": 0.0, "charge": 2_000.0,
    "hours": (22.0, 6.0), "ratchet": 0.0, "energy_mwh": 4.0, "wear": 15.0, "block_mw": 0.0,
    "gas": True, "start": "2026-01-01T06:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize("policy", [MeritOrder, LookAhead])
@given(fleets)
@example(EVENING)
@example(FREE)
@settings(max_examples=6)
def test_with_prices_known_a_battery_never_lowers_the_margin(
    policy: type, values: dict[str, Any]
) -> None:
    draw = np.random.Generator(np.random.Philox(key=values["seed"]))
    price = draw.normal(values["mean"], 30.0, HOURS) + draw.exponential(400.0, HOURS) * (
        draw.random(HOURS) < 0.05
    )
    site = {"name": "alpha", "power_limit_mw": values["limit_mw"], "adder_usd_per_mwh": 6.0,
            "export_mw": values["export_mw"]}  # fmt: skip
    charge = {"usd_per_mw_month": values["charge"], "from_hour": values["hours"][0],
              "to_hour": values["hours"][1], "ratchet_fraction": values["ratchet"]}  # fmt: skip
    gas = [{"site": "alpha", "kind": "gas", "mw": 0.8, "usd_per_mwh": 38}] if values["gas"] else []
    block = {"site": "alpha", "kind": "ppa", "mw": values["block_mw"], "strike_usd_per_mwh": 25,
             "resell": False}  # fmt: skip
    battery = {"site": "alpha", "power_mw": 1, "energy_mwh": values["energy_mwh"],
               "round_trip_efficiency": 0.85, "wear_usd_per_mwh": values["wear"],
               "initial_fraction": 0}  # fmt: skip
    whole = plain(
        {"horizon": {"start_utc": values["start"], "days": 5, "step_s": 3600},
         "demand_charges": {"d": charge}},
        sites=[site], batteries=[battery], generators=gas,
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 300},
               {"site": "alpha", "model": "Antminer S19j Pro 104T", "count": 500}],
        gpus=[{"site": "alpha", "gpu": "h100-sxm", "nodes": 20, "state": "batch"}],
        power_contracts=[block] if values["block_mw"] else [],
    )  # fmt: skip
    bare = whole.model_copy(update={"batteries": ()})
    made = {"restart_s": 0.0} if policy is LookAhead else {}
    with_it, without = (margin(s, policy(**made), price, 6.0) for s in (whole, bare))
    # prices are known, what hashes will earn and the heat are not: USD of 5 days
    assert with_it >= without - 15.0


def test_where_energy_is_paid_for_a_battery_is_filled_and_not_only_wished_to_burn() -> None:
    """At -30 USD/MWh losses pay: a plan that charges and discharges at once would do neither.

    4 of 8 MWh are free, of what is drawn 90 % gets there, and 4.44 MWh earn 133.33 USD.
    """
    zones = {"zones": {"zone": {"model": "fixed", "usd_per_mwh": -30}}}
    battery = {"site": "alpha", "power_mw": 4, "energy_mwh": 8, "initial_fraction": 0.5,
               "round_trip_efficiency": 0.81, "wear_usd_per_mwh": 5}  # fmt: skip
    whole = plain({"prices": zones, "horizon": {"days": 1, "step_s": 3600}},
                  sites=[{"name": "alpha", "power_limit_mw": 20, "overhead_mw": 0}],
                  batteries=[battery], asics=[], gpus=[])  # fmt: skip
    bare = whole.model_copy(update={"batteries": ()})
    with_it, without = (sim.run(s, "merit-order") for s in (whole, bare))
    added = [r.kpis["gross_margin_usd"] or 0.0 for r in (with_it, without)]
    assert added[0] - added[1] == pytest.approx(4 / 0.9 * 30)
    stored = np.asarray(with_it.table("fleet")["stored_mwh"])
    assert stored[:3] == pytest.approx([7.6, 8.0, 8.0])


@pytest.mark.parametrize(("wear", "usd"), [(80.0, 36.0), (95.0, 0.0)])
def test_what_flows_back_is_less_by_its_own_losses_and_is_not_put_off(
    wear: float, usd: float
) -> None:
    """At 100 USD/MWh all day, any hour is as good, and 10 % is lost on the way out.

    3.6 MWh leave a store of 4 and bring 90 USD/MWh at the meter: with a wear of 95 nothing is
    earned. What a load would have saved, 111 USD/MWh, is not what is sold.
    """
    zones = {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 100}}}
    battery = {"site": "alpha", "power_mw": 4, "energy_mwh": 8, "initial_fraction": 0.5,
               "round_trip_efficiency": 0.81, "wear_usd_per_mwh": wear}  # fmt: skip
    grid = {"grid_nodes": [{"name": "zone", "kind": "zone"}, {"name": "end", "kind": "feeder"}],
            "grid_links": [{"from_node": "zone", "to_node": "end", "capacity_mw": 9,
                            "loss_fraction": 0.1}]}  # fmt: skip
    site = {
        "name": "alpha",
        "power_limit_mw": 20,
        "grid_node": "end",
        "export_mw": 2,
        "overhead_mw": 0,
    }
    scenario = plain({"prices": zones, "horizon": {"days": 1, "step_s": 3600}}, sites=[site],
                     batteries=[battery], asics=[], gpus=[], grid=grid)  # fmt: skip
    result = sim.run(scenario, "merit-order")
    assert result.kpis["gross_margin_usd"] == pytest.approx(usd, abs=1e-9)
    discharged = np.asarray(result.table("sites")["discharged_mw"])
    assert discharged[:3] == pytest.approx([1.8, 1.8, 0.0] if usd else [0.0] * 3)


@pytest.mark.parametrize("policy", ["merit-order", "look-ahead"])
def test_with_forecasts_a_battery_does_not_lower_the_margin_in_the_mean(policy: str) -> None:
    """30 seeds of prices that nobody knows: the mean of what it adds is above its own error."""
    tables = {
        "prices": {"zones": {"zone": {"model": "seasonal-jump", "profile": "ercot-west"}}},
        "horizon": {"days": 3, "step_s": 3600},
    }
    battery = {"site": "alpha", "power_mw": 1, "energy_mwh": 2, "initial_fraction": 0}
    whole = plain(tables, batteries=[battery])
    bare = whole.model_copy(update={"batteries": ()})
    added = []
    for seed in range(30):
        with_it, without = (
            sim.run(s, policy, seed).kpis["gross_margin_usd"] for s in (whole, bare)
        )
        added.append((with_it or 0.0) - (without or 0.0))
    assert np.mean(added) > 2.0 * np.std(added) / np.sqrt(len(added))
