"""What energy costs and what stepping back earns, by hand: one site, constant load, known prices.

The site draws exactly 7 MW (2,000 machines of 3,500 W, PUE 1, no overhead) at 40 USD/MWh and 5
USD/MWh for delivery, unless its policy or a call says otherwise.
"""

from pathlib import Path

import numpy as np
import pytest

import sim
from sim.policy import Decision, Observation
from tests.builders.one_site import Share, coincident, column, one_site, series_folder

DAY_MWH = 7.0 * 24


def test_at_the_market_energy_costs_the_zone_and_delivery() -> None:
    k = sim.run(one_site(), "static").kpis
    assert k["energy_mwh"] == pytest.approx(DAY_MWH)
    assert k["power_cost_usd"] == pytest.approx(DAY_MWH * 45)
    assert k["net_power_cost_usd_per_kwh"] == pytest.approx(0.045)


def test_a_resold_ppa_is_paid_in_any_case_and_what_is_not_used_is_sold() -> None:
    contract = {"site": "site", "kind": "ppa", "mw": 10, "strike_usd_per_mwh": 30}
    k = sim.run(one_site(power_contracts=[contract]), "static").kpis
    # 10 MW at 30, 3 of them sold at 40; delivery on the 7 that are used
    assert k["power_cost_usd"] == pytest.approx(24 * (10 * 30 - 3 * 40 + 7 * 5))
    assert k["resold_usd"] == pytest.approx(24 * 3 * 40)
    assert k["contracts_usd"] == pytest.approx(24 * 10 * (30 - 40))


def test_a_block_that_cannot_be_resold_comes_first_and_the_rest_is_at_the_market() -> None:
    contract = {
        "site": "site", "kind": "ppa", "mw": 4, "strike_usd_per_mwh": 30, "resell": False,
    }  # fmt: skip
    k = sim.run(one_site(power_contracts=[contract]), "static").kpis
    assert k["power_cost_usd"] == pytest.approx(24 * (4 * 35 + 3 * 45))


def test_take_or_pay_bills_what_a_month_fell_short() -> None:
    """Half the machines on: 3.5 of 10 MW used, 60 % must be taken."""
    contract = {
        "site": "site", "kind": "ppa", "mw": 10, "strike_usd_per_mwh": 30, "resell": False,
        "take_or_pay_fraction": 0.6,
    }  # fmt: skip
    k = sim.run(one_site(power_contracts=[contract]), Share(0.5)).kpis
    assert k["demand_charges_usd"] == pytest.approx(24 * (6 - 3.5) * 30)
    assert k["power_cost_usd"] == pytest.approx(24 * (3.5 * 35 + 2.5 * 30))


def test_take_or_pay_of_a_contract_that_ends_is_its_own() -> None:
    """Half the machines on, 3.5 MW. Owed until the third: 10 MW for 48 hours, at 30."""
    first = {
        "site": "site", "kind": "ppa", "mw": 10, "strike_usd_per_mwh": 30, "resell": False,
        "take_or_pay_fraction": 0.6, "end_utc": "2026-01-03T06:00:00Z",
    }  # fmt: skip
    then = first | {
        "start_utc": first["end_utc"], "end_utc": None, "strike_usd_per_mwh": 20,
        "take_or_pay_fraction": 0.0,
    }  # fmt: skip
    days = {"horizon": {"days": 4, "step_s": 3600}}
    usd = 48 * (6 - 3.5) * 30
    for contracts in ([first], [first, then]):
        scenario = one_site(days, power_contracts=contracts)
        k = sim.run(scenario, Share(0.5)).kpis
        assert k["demand_charges_usd"] == pytest.approx(usd)
    both = first | {"strike_usd_per_mwh": 20, "take_or_pay_fraction": 0.4, "mw": 30}
    k = sim.run(one_site(days, power_contracts=[first, both]), Share(0.5)).kpis
    # 3.5 MW at a time when there are 40: a fourth of them counts for the first
    usd = 48 * ((6 - 3.5 / 4) * 30 + (12 - 3.5 * 3 / 4) * 20)
    assert k["demand_charges_usd"] == pytest.approx(usd)


def test_a_contract_holds_between_its_dates() -> None:
    contract = {
        "site": "site", "kind": "ppa", "mw": 7, "strike_usd_per_mwh": 30,
        "start_utc": "2026-01-01T12:00:00Z", "end_utc": "2026-01-01T18:00:00Z",
    }  # fmt: skip
    k = sim.run(one_site(power_contracts=[contract]), "static").kpis
    assert k["contracts_usd"] == pytest.approx(6 * 7 * (30 - 40))


def test_a_day_ahead_position_is_settled_against_real_time(tmp_path: Path) -> None:
    real = [50.0 if h % 2 else 20.0 for h in range(72)]
    file = series_folder(tmp_path, rt=real, da=[30.0] * 72)
    scenario = one_site(
        {
            "prices": {
                "zones": {
                    "zone": {
                        "model": "replay", "series": "p", "column": "rt", "day_ahead_column": "da",
                    }
                }
            },
            "series": {"p": {"file": file}},
        },
        power_contracts=[{"site": "site", "kind": "day-ahead", "mw": 10}],
    )  # fmt: skip
    result = sim.run(scenario, Share(1.0, 0.0))  # off in the dear hours
    # bought 10 MW at 30; in cheap hours 3 MW too much sold at 20, in dear hours all 10 at 50
    assert result.kpis["power_cost_usd"] == pytest.approx(
        12 * (10 * 30 - 3 * 20 + 7 * 5) + 12 * (10 * 30 - 10 * 50)
    )
    assert set(column(result, "day_ahead_usd_per_mwh")) == {30.0}


def test_demand_charges_follow_the_highest_step_of_each_month() -> None:
    scenario = one_site(
        {"horizon": {"start_utc": "2026-01-31T06:00:00Z", "days": 2}},
        {"demand_charge_usd_per_mw_month": 9000},
    )
    result = sim.run(scenario, Share(*[0.5] * 20, *[1.0] * 4, *[0.25] * 24))
    # January (its last day) peaks at 7 MW, February (cut off after a day) at 1.75 MW
    usd = [63_000 / 31, 15_750 / 28]
    assert result.kpis["demand_charges_usd"] == pytest.approx(sum(usd))
    by_day = column(result, "demand_usd").reshape(2, 24).sum(axis=1)
    assert by_day == pytest.approx(usd)


def test_a_coincident_peak_costs_next_year_what_was_drawn_in_it(tmp_path: Path) -> None:
    scenario = one_site(coincident(tmp_path, 31, 40), {"coincident_mw": 2})
    result = sim.run(scenario, "static")
    assert result.kpis["coincident_peaks_usd"] == pytest.approx(7 * 60_000, rel=1e-6)
    ledger = result.table("ledger").to_pylist()
    owed = [r for r in ledger if r["account"] == "liabilities:transmission"]
    assert [(r["t_s"], float(r["amount"])) for r in owed] == [
        (0, -2 * 60_000),  # last year's, owed from the start
        (2 * 86_400, pytest.approx(-7 * 60_000)),  # the peak of this year, when it occurs
        (31 * 86_400, pytest.approx(2 * 60_000 / 12)),  # the first twelfth is paid
    ]


def test_merit_order_steps_back_where_the_peak_is_likely(tmp_path: Path) -> None:
    from sim.policies.merit_order import MeritOrder

    scenario = one_site(coincident(tmp_path, 31, 40))
    avoided = sim.run(scenario, "merit-order")
    assert avoided.kpis["coincident_peaks_usd"] is None
    assert column(avoided, "hashrate_phs")[40] == 0.0
    assert (column(avoided, "hashrate_phs") > 0.0).mean() > 0.95
    blind = sim.run(scenario, MeritOrder(avoid_peaks=False))
    assert (blind.kpis["coincident_peaks_usd"] or 0.0) > 7 * 60_000 * 0.99


def test_the_peak_of_a_month_that_is_cut_off_is_not_billed(tmp_path: Path) -> None:
    result = sim.run(one_site(coincident(tmp_path, 20, 40)), "static")
    assert result.kpis["coincident_peaks_usd"] is None


def test_a_battery_pays_its_wear_and_loses_its_share() -> None:
    class Cycle:
        def decide(self, observation: Observation) -> Decision:
            power_w = np.array([1e6 if observation.t_s < 6 * 3600 else -1e6])
            return Decision(observation.asic.default_share, np.ones(0), battery_w=power_w)

    battery = {
        "site": "site", "power_mw": 2, "energy_mwh": 4, "round_trip_efficiency": 0.81,
        "wear_usd_per_mwh": 10, "initial_fraction": 0,
    }  # fmt: skip
    result = sim.run(one_site(batteries=[battery]), Cycle())
    # 4 MWh stored take 4/0.9 MWh in, and give 4 x 0.9 back
    assert result.kpis["battery_discharged_mwh"] == pytest.approx(3.6)
    assert result.kpis["battery_losses_mwh"] == pytest.approx(4 / 0.9 - 3.6)
    assert result.kpis["battery_wear_usd"] == pytest.approx(36.0)
    assert result.kpis["energy_mwh"] == pytest.approx(DAY_MWH + 4 / 0.9 - 3.6)
    power = column(result, "battery_mw")
    assert power[:4] == pytest.approx(1.0)
    assert power[6:9] == pytest.approx(-1.0)
    assert power[12:] == pytest.approx(0.0)


def test_generation_comes_first_and_its_surplus_may_flow_back() -> None:
    gas = {
        "site": "site", "kind": "gas", "mw": 10, "usd_per_mwh": 20, "kg_per_mwh": 400,
    }  # fmt: skip
    own = sim.run(one_site(generators=[gas]), "static").kpis
    assert own["energy_mwh"] == pytest.approx(0.0, abs=1e-9)
    assert own["generation_mwh"] == pytest.approx(DAY_MWH)
    assert own["power_cost_usd"] == pytest.approx(DAY_MWH * 20)
    assert own["carbon_tco2"] == pytest.approx(DAY_MWH * 0.4)
    sold = sim.run(one_site(site={"export_mw": 2}, generators=[gas]), "static").kpis
    assert sold["energy_mwh"] == pytest.approx(-24 * 2)
    # what flows back earns the zone's 40, not the 45 with delivery
    assert sold["power_cost_usd"] == pytest.approx(24 * (9 * 20 - 2 * 40))


def test_fuel_between_the_zone_and_the_meter_serves_the_site_and_is_not_fed_back() -> None:
    gas = {"site": "site", "kind": "gas", "mw": 10, "usd_per_mwh": 42}
    scenario = one_site(site={"export_mw": 2}, generators=[gas])
    own = sim.run(scenario, "static").kpis
    assert own["energy_mwh"] == pytest.approx(0.0, abs=1e-9)
    assert own["power_cost_usd"] == pytest.approx(DAY_MWH * 42)

    class Export:
        def decide(self, observation: Observation) -> Decision:
            share = observation.asic.default_share
            return Decision(share, np.ones(0), generation_w=np.array([10e6]))

    wished = sim.run(scenario, Export()).kpis  # a policy may lose money
    assert wished["power_cost_usd"] == pytest.approx(24 * (9 * 42 - 2 * 40))


def test_two_generators_one_of_which_is_worth_feeding_back() -> None:
    """7 MW of load, 4 MW at 42 beside 5, 8 and 14 MW at 30: the dear one is never fed back."""
    dear = {"site": "site", "kind": "gas", "mw": 4, "usd_per_mwh": 42}
    good = {"site": "site", "kind": "flare", "mw": 5, "availability": 1, "usd_per_mwh": 30}
    k = sim.run(one_site(site={"export_mw": 5}, generators=[dear, good]), "static").kpis
    assert k["power_cost_usd"] == pytest.approx(24 * (5 * 30 + 2 * 42))
    good = {**good, "mw": 8}  # 1 MW of it flows back, nothing of the dear one is needed
    k = sim.run(one_site(site={"export_mw": 5}, generators=[dear, good]), "static").kpis
    assert k["power_cost_usd"] == pytest.approx(24 * (8 * 30 - 1 * 40))
    good = {**good, "mw": 14}  # more than may flow back
    k = sim.run(one_site(site={"export_mw": 5}, generators=[dear, good]), "static").kpis
    assert k["power_cost_usd"] == pytest.approx(24 * (12 * 30 - 5 * 40))


def test_a_site_with_a_fixed_price_sells_at_its_zone() -> None:
    flare = {"site": "site", "kind": "flare", "mw": 10, "availability": 1, "usd_per_mwh": 0}
    fixed = {"contract": "fixed", "energy_usd_per_mwh": 60, "export_mw": 3, "adder_usd_per_mwh": 0}
    zone = sim.run(one_site(site=fixed, generators=[flare]), "static").kpis
    assert zone["power_cost_usd"] == pytest.approx(-24 * 3 * 40)
    alone = one_site(site={**fixed, "price_zone": ""}, generators=[flare])
    own = sim.run(alone, "static").kpis  # no zone: its own price stands for one
    assert own["power_cost_usd"] == pytest.approx(-24 * 3 * 60)


def test_fuel_dearer_than_the_grid_stays_unburnt() -> None:
    gas = {"site": "site", "kind": "gas", "mw": 10, "usd_per_mwh": 46}
    assert sim.run(one_site(generators=[gas]), "static").kpis["generation_mwh"] is None


@pytest.mark.parametrize("policy", ["static", "merit-order", "look-ahead"])
def test_where_the_grid_pays_for_being_drawn_from_free_power_stays_out(policy: str) -> None:
    """Neither is export paid for, nor the load taken off what the grid pays."""
    free = {"site": "site", "kind": "flare", "mw": 10, "availability": 1, "usd_per_mwh": 0}
    below = {"prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": -30}}}}
    without = sim.run(one_site(below), policy).kpis["power_cost_usd"]
    assert without is not None
    assert without <= -(30 - 5) * DAY_MWH + 1e-6  # what delivery leaves of it
    for export_mw in (0, 10):
        scenario = one_site(below, {"export_mw": export_mw}, generators=[free])
        kpis = sim.run(scenario, policy).kpis
        assert kpis["power_cost_usd"] == pytest.approx(without)
        assert kpis["generation_mwh"] is None


def test_where_the_grid_is_cut_off_free_power_runs_at_any_price() -> None:
    free = {"site": "site", "kind": "flare", "mw": 10, "availability": 1, "usd_per_mwh": 0}
    below = {"prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": -30}}}}
    alone = one_site(below, {"power_limit_mw": 0}, generators=[free])
    assert sim.run(alone, "static").kpis["generation_mwh"] == pytest.approx(DAY_MWH)


def test_carbon_follows_the_zone_of_the_site() -> None:
    scenario = one_site(
        {"carbon": {"zones": {"grid": {"model": "fixed", "kg_per_mwh": 347}}}},
        {"carbon_zone": "grid"},
    )
    k = sim.run(scenario, "static").kpis
    assert k["carbon_tco2"] == pytest.approx(DAY_MWH * 0.347)
    assert k["carbon_tco2_per_btc"] == pytest.approx(DAY_MWH * 0.347 / (k["btc_mined_btc"] or 1))
