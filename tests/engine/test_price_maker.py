"""Where the fleet makes the price it pays its own, and who bids does not swing.

Bus 1 sells 200 MW at 10 USD/MWh, bus 2 as much at 200; bus 7 takes 150. So a fleet at bus 7 has
50 MW of cheap power, and whoever wants more makes the price of all of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.policies.dispatch import with_awards
from sim.policies.merit_order import MeritOrder
from sim.policy import Bids, Decision, Observation, PolicyError, ReserveOffers
from sim.scenario import Scenario
from sim.studies.bound.replay import realised
from sim.world.market import build_market
from sim.world.topology import compile_topology
from tests.builders.meshed_fleets import DEAR, column, fleet
from tests.builders.meshes import THREE
from tests.conftest import build_scenario

CHEAP_MW = 50.0
S21_MW, S19_MW = 0.0035, 0.003068  # 200 TH/s and 104 TH/s: the newer one earns more of a MWh


def earned_usd_per_mwh(scenario: Scenario) -> tuple[float, float]:
    """What a MWh of S21 and of S19j Pro earns."""
    seen = Looks()
    sim.run(scenario, seen)
    return seen.usd_per_th * 200.0 / S21_MW * 3600.0, seen.usd_per_th * 104.0 / S19_MW * 3600.0


class Looks:
    """Nothing runs; what a hash earns is kept."""

    usd_per_th = 0.0

    def decide(self, observation: Observation) -> Decision:
        self.usd_per_th = observation.usd_per_th
        asic = observation.asic
        return Decision(np.zeros(asic.mode_ths.shape), np.zeros(len(observation.gpu.site)))


def test_the_fleet_buys_what_its_least_machine_is_worth_and_no_more(tmp_path: Path) -> None:
    """Power has a step at 50 MW: the older machines that just fit in make its price."""
    scenario = fleet(tmp_path)
    newer, older = earned_usd_per_mwh(scenario)
    assert 10.0 < older < newer < 200.0
    result = sim.run(scenario, "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw"), CHEAP_MW, atol=1e-5)
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), older, rtol=1e-9)
    np.testing.assert_allclose(column(result, "energy_usd"), CHEAP_MW * older, rtol=1e-6)
    surplus = 24 * (12_000 * S21_MW * (newer - older) - 0.5 * older)
    assert result.kpis["gross_margin_usd"] == pytest.approx(surplus, rel=1e-3)


def test_where_power_is_enough_nobody_s_load_matters(tmp_path: Path) -> None:
    scenario = fleet(tmp_path, s21=4_000, s19=4_000)
    result = sim.run(scenario, "merit-order")
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), 10.0)
    np.testing.assert_allclose(column(result, "meter_mw"), 4_000 * (S21_MW + S19_MW) + 0.5)


def test_who_does_not_bid_pays_the_price_of_its_own_load(tmp_path: Path) -> None:
    """All machines are dearer than they are worth, and the bill says so in the same step."""
    result = sim.run(fleet(tmp_path), "static")
    meter = column(result, "meter_mw")
    assert (meter > CHEAP_MW).all()
    np.testing.assert_allclose(column(result, "energy_usd"), meter * 200.0)


def test_a_threshold_swings_and_pays_for_each_swing(tmp_path: Path) -> None:
    result = sim.run(fleet(tmp_path), "price-threshold")
    meter, price = column(result, "meter_mw"), column(result, "price_usd_per_mwh")
    assert set(np.round(meter, 2)) == {0.5, 73.18}
    np.testing.assert_allclose(price, np.where(meter > CHEAP_MW, 200.0, 10.0))


class Greedy(MeritOrder):
    """Bids, and then takes what it likes."""

    def decide(self, observation: Observation) -> Decision:
        share = observation.asic.default_share.copy()
        return Decision(share, np.zeros(len(observation.gpu.site)))


def test_who_draws_more_than_it_bought_pays_for_what_it_draws(tmp_path: Path) -> None:
    result = sim.run(fleet(tmp_path), Greedy())
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), 200.0)


def test_a_case_without_its_prices_leaves_the_prices_alone(tmp_path: Path) -> None:
    """Only limits come from a case whose zone has a price of its own."""
    zones = {"zones": {"east": {"model": "fixed", "usd_per_mwh": 30.0}}}
    result = sim.run(fleet(tmp_path, tables={"prices": zones}), "merit-order")
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), 30.0)
    np.testing.assert_allclose(column(result, "energy_usd"), column(result, "meter_mw") * 30.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"usd_per_mwh": np.array([np.nan])}, "usd_per_mwh must be finite numbers"),
        ({"power_w": np.array([-1.0])}, "power_w is below 0"),
        ({"site": np.array([7])}, "site must be whole numbers from 0 to 0"),
        ({"power_w": np.array([1.0, 2.0])}, r"all three must be \(bid,\)"),
    ],
)
def test_bids_that_make_no_sense_are_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    class Wrong(MeritOrder):
        def bid(self, observation: Observation) -> Bids:
            plain = Bids(np.array([0]), np.array([1e6]), np.array([50.0]))
            return plain._replace(**change)

    with pytest.raises(PolicyError, match=words):
        sim.run(fleet(tmp_path), Wrong())


def test_delivery_comes_off_a_bid(tmp_path: Path) -> None:
    """With 35 USD/MWh of delivery the older machines bid 4.5, below 10: only the newer ones run."""
    scenario = fleet(tmp_path, adder_usd_per_mwh=35.0)
    result = sim.run(scenario, "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw"), 12_000 * S21_MW + 0.5, rtol=1e-6)
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), 45.0)


def test_a_dearer_market_takes_bids_at_its_own_prices(tmp_path: Path) -> None:
    """Four times the price is a market at a fourth of the bid: 39.5 is less than 40."""
    scenario = fleet(tmp_path, tables={"what_if": {"energy_price_factor": 4.0}})
    newer, older = earned_usd_per_mwh(scenario)
    assert older < 40.0 < newer
    result = sim.run(scenario, "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw"), 12_000 * S21_MW + 0.5, rtol=1e-6)


class Sold(MeritOrder):
    """Has sold 60 MW of reserve for every hour of the second day."""

    def offer(self, observation: Observation, begins_s: Any) -> ReserveOffers:
        shape = len(begins_s), *observation.energy.reserve_usd_per_mw_h.shape
        return ReserveOffers(np.full(shape, 60e6), np.zeros(shape), np.full(shape[::2], 60e6))


@pytest.mark.parametrize(("usd", "drawn_mw"), [(250.0, 60.5), (100.0, CHEAP_MW)])
def test_a_bid_knows_what_an_award_holds(tmp_path: Path, usd: float, drawn_mw: float) -> None:
    """The older machines earn 39.5 and are asked for 200: they run to hold an award that is worth
    250, and of one that is worth 100 what 50 MW do not hold is short."""
    tables = {
        "horizon": {"start_utc": "2026-01-01T06:00:00Z", "days": 2, "step_s": 3600},
        "programmes": {"rrs": {"model": "reserve", "usd_per_mw_h": usd, "sites": ["alpha"]}},
    }
    result = sim.run(fleet(tmp_path, tables=tables), Sold())
    meter = column(result, "meter_mw")
    np.testing.assert_allclose(meter[:24], CHEAP_MW, atol=1e-5)
    np.testing.assert_allclose(meter[24:], drawn_mw, atol=1e-5)
    short_mw = max(60.5 - drawn_mw, 0.0)
    assert (result.kpis["penalties_usd"] or 0.0) == pytest.approx(24 * short_mw * usd, rel=1e-6)
    np.testing.assert_allclose(
        column(result, "energy_usd"), meter * column(result, "price_usd_per_mwh"), rtol=1e-6
    )


def test_the_best_bids_hold_and_no_more_of_them_than_is_sold() -> None:
    """4 MW are sold at site 0, 3 of two products' at 30 and 1 at 10, of which a battery holds 1."""
    bids = Bids(np.array([0, 0, 1]), np.array([2.0, 5.0, 4.0]), np.array([20.0, 50.0, 5.0]))
    hold_w, short = np.array([[3.0, 0.0], [1.0, 0.0]]), np.array([[30.0, 0.0], [10.0, 0.0]])
    for stored_w, holds in ((None, [0.0, 4.0, 0.0]), (np.array([1.0, 0.0]), [0.0, 3.0, 0.0])):
        found = with_awards(bids, hold_w, short, stored_w)
        assert found.site.tolist() == [0, 0, 1, 0, 0, 1]
        assert found.power_w == pytest.approx([*holds, *(bids.power_w - holds)])
        assert found.usd_per_mwh == pytest.approx([45.0, 75.0, 5.0, 20.0, 50.0, 5.0])
    wide = with_awards(bids, 2.0 * hold_w, short)
    assert wide.power_w == pytest.approx([2.0, 5.0, 0.0, 0.0, 0.0, 4.0])


def test_a_price_of_a_contract_does_not_feel_the_market(tmp_path: Path) -> None:
    contract = {"contract": "fixed", "energy_usd_per_mwh": 30.0}
    result = sim.run(fleet(tmp_path, **contract), "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw"), 73.18)
    np.testing.assert_allclose(column(result, "energy_usd"), 73.18 * 30.0)


def block(mw: float, usd_per_mwh: float) -> Any:
    """A physical block of a PPA, used first."""
    terms = {"site": "alpha", "kind": "ppa", "mw": mw, "strike_usd_per_mwh": usd_per_mwh}
    one = [{"name": "alpha"}]
    asics = [{"site": "alpha", "model": "Antminer S21", "count": 1}]
    contracts = [{**terms, "resell": False}]
    return build_scenario(
        sites=one, asics=asics, gpus=[], power_contracts=contracts
    ).power_contracts


def test_a_block_of_a_contract_runs_the_best_machines_at_any_price(tmp_path: Path) -> None:
    """20 MW at 15, the other 30 at what the older machines are worth."""
    scenario = fleet(tmp_path)
    _, older = earned_usd_per_mwh(scenario)
    contract = block(20.0, 15.0)
    result = sim.run(scenario.model_copy(update={"power_contracts": contract}), "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw"), CHEAP_MW, atol=1e-5)
    np.testing.assert_allclose(column(result, "energy_usd"), 20 * 15.0 + 30 * older, rtol=1e-6)


def test_a_block_runs_where_the_market_is_dearer_than_any_machine(tmp_path: Path) -> None:
    """10 MW of cheap power are left, so whoever draws 20 makes it 200, and pays that of 0.5."""
    scenario = fleet(tmp_path, case=DEAR.replace("7 1 150", "7 1 190"))
    contract = block(20.0, 15.0)
    result = sim.run(scenario.model_copy(update={"power_contracts": contract}), "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw"), 20.5)
    np.testing.assert_allclose(column(result, "energy_usd"), 20 * 15.0 + 0.5 * 200.0)


def test_a_connection_is_not_sold_twice(tmp_path: Path) -> None:
    """One site's 30 MW of connection leave 20 of the 50 MW to the other one."""
    scenario = fleet(tmp_path, s19=0, power_limit_mw=30)
    other = scenario.sites[0].model_copy(update={"name": "bravo", "power_limit_mw": 100.0})
    moved = [
        scenario.asics[0],
        scenario.asics[1].model_copy(update={"site": "bravo", "count": 10_000}),
    ]
    both = {"sites": (*scenario.sites, other), "asics": tuple(moved)}
    result = sim.run(scenario.model_copy(update=both), "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw").reshape(-1, 2), [[30.0, 20.0]] * 24)


@given(
    st.integers(0, 14_000),
    st.integers(0, 14_000),
    st.sampled_from([DEAR, THREE, THREE.replace("2 0 0 3 0 30 5", "2 0 0 3 0.4 12 5")]),
    st.sampled_from(["merit-order", "look-ahead", "slo-guard"]),
    st.floats(0.8, 1.2),
)
@settings(max_examples=12)
def test_who_bids_pays_a_price_of_its_own_load(
    tmp_path_factory: pytest.TempPathFactory,
    s21: int,
    s19: int,
    case: str,
    policy: str,
    factor: float,
) -> None:
    """Of a slightly smaller load the price is not higher, of a slightly larger one not lower."""
    folder = tmp_path_factory.mktemp("case")
    tables = {"what_if": {"btc_price_factor": factor}}
    scenario = fleet(folder, s21, s19, case, tables)
    result = sim.run(scenario, policy)
    market = build_market(scenario, compile_topology(scenario))
    assert market is not None
    price, meter = column(result, "price_usd_per_mwh"), column(result, "meter_mw")
    assert len(set(np.round(meter, 3))) == 1  # a steady world: nobody swings
    bounds = []
    for part in (0.9999, 1.0001):
        market.clear(0, 0, meter[:1] * part * 1e6)
        bounds.append(market.lmp_usd_per_mwh[0])
    assert bounds[0] - 0.05 <= price[0] <= bounds[1] + 0.05


@given(st.integers(0, 14_000), st.integers(0, 14_000), st.integers(1, 99))
@settings(max_examples=6)
def test_no_policy_earns_more_than_at_the_prices_without_the_fleet(
    tmp_path_factory: pytest.TempPathFactory, s21: int, s19: int, seed: int
) -> None:
    """Law 10 where the fleet makes the price: whoever draws less pays less, but never below."""
    case = THREE.replace("2 0 0 3 0 30 5", "2 0 0 3 0.4 12 5")
    scenario = fleet(tmp_path_factory.mktemp("case"), s21, s19, case)
    best = sim.bound(scenario, seed).usd
    for policy in ("merit-order", "look-ahead", "static", "slo-guard", "price-threshold"):
        margin = sim.run(scenario, policy, seed).kpis["gross_margin_usd"]
        assert margin is not None
        assert margin <= best + 1e-6 * max(abs(best), 1.0), policy


def test_a_bound_takes_the_prices_of_a_grid_without_the_fleet(tmp_path: Path) -> None:
    """60 MW of overhead make the price 200 USD/MWh, which a clairvoyant does not see."""
    scenario = fleet(tmp_path, 0, 0, overhead_mw=60.0)
    np.testing.assert_allclose(realised(scenario, 1).replay.price, 10.0)
    margin = sim.run(scenario, "static").kpis["gross_margin_usd"]
    assert margin == pytest.approx(-60 * 200 * 24)


POCKET = DEAR.replace("    7 1 150", "    9 1 50 0 0 0 1 1 0 230 1 1.1 0.9;\n    7 1 100").replace(
    "    2 7 0 0.1", "    1 9 0 0.1 0 30 0 0 0 0 1 -360 360;\n    2 7 0 0.1"
)


@pytest.mark.parametrize("model", ["dc-opf", "fixed"])
def test_who_goes_without_far_away_does_not_darken_the_fleet(tmp_path: Path, model: str) -> None:
    """Bus 9 asks for 50 MW behind a line of 30: 20 are shed there, nothing is short at bus 7."""
    price: dict[str, Any] = {"model": model}
    tables = {"prices": {"zones": {"east": price}}}
    if model == "fixed":
        price["usd_per_mwh"] = 10.0
    result = sim.run(fleet(tmp_path, s19=0, case=POCKET, tables=tables), "merit-order")
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), 10.0)
    np.testing.assert_allclose(column(result, "meter_mw"), 12_000 * S21_MW + 0.5, rtol=1e-9)


def test_the_grid_s_own_load_comes_first(tmp_path: Path) -> None:
    """400 MW of sources, 390 of load at the fleet's bus, 395 with the pocket's: 5 MW are left."""
    case = POCKET.replace("    7 1 100", "    7 1 365").replace("0.1 0 80", "0.1 0 0")
    result = sim.run(fleet(tmp_path, s19=0, case=case), "static")
    np.testing.assert_allclose(column(result, "meter_mw"), 5.0, atol=1e-5)
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), 5000.0)


def test_who_must_run_spills_and_the_fleet_is_paid(tmp_path: Path) -> None:
    """Bus 1 cannot give less than 180 MW for 150: what a fleet of 7.5 leaves is spilled."""
    case = DEAR.replace("1 100 1 200 0;\n    2", "1 100 1 200 180;\n    2")
    result = sim.run(fleet(tmp_path, s21=2_000, s19=0, case=case), "merit-order")
    np.testing.assert_allclose(column(result, "meter_mw"), 7.5)
    np.testing.assert_allclose(column(result, "price_usd_per_mwh"), -5000.0)


def test_no_bound_where_a_price_stands_for_several_steps(tmp_path: Path) -> None:
    zones = {"zones": {"east": {"model": "dc-opf", "update_s": 7200}}}
    with pytest.raises(sim.BoundError, match=r"update_s = 7200.*at most horizon.step_s = 3600"):
        sim.bound(fleet(tmp_path, tables={"prices": zones}))


def outage(a: str, b: str, start: str, hours: float, left: float = 0.0) -> dict[str, Any]:
    return {"from_node": a, "to_node": b, "start_utc": f"2026-01-01T{start}:00Z", "hours": hours,
            "left_fraction": left}  # fmt: skip


RATED = DEAR.replace("2 7 0 0.1 0 0", "2 7 0 0.1 0 60").replace("1 7 0 0.1 0 0", "1 7 0 0.1 0 175")


def with_outages(folder: Path, case: str, *outages: dict[str, Any], **sheet: Any) -> Scenario:
    grid = {"case": str(folder / "three.m"), "outages": list(outages)}
    return fleet(folder, case=case, tables={"grid": grid}, **sheet)


def test_while_a_line_is_out_the_fleet_buys_on_the_grid_that_is_left(tmp_path: Path) -> None:
    """Its hours are those of a case without the line, all others those of the whole case."""
    scenario = with_outages(tmp_path, RATED, outage("2", "7", "06:00", 4))
    out = sim.run(scenario, "merit-order")
    cut = RATED.replace("2 7 0 0.1 0 60  0 0 0 0 1", "2 7 0 0.1 0 60  0 0 0 0 0")
    assert cut != RATED
    whole, less = (sim.run(fleet(tmp_path, case=c), "merit-order") for c in (RATED, cut))
    away = (np.arange(24) >= 6) & (np.arange(24) < 10)
    for name in ("meter_mw", "price_usd_per_mwh"):
        expected = np.where(away, column(less, name), column(whole, name))
        np.testing.assert_allclose(column(out, name), expected, rtol=1e-6, atol=1e-5)
    assert abs(column(less, "meter_mw")[0] - column(whole, "meter_mw")[0]) > 1.0


def test_a_line_that_goes_out_within_a_step_changes_the_price_of_the_next(tmp_path: Path) -> None:
    """What is not carried any more is not drawn; what is drawn costs what the step began at."""
    scenario = with_outages(tmp_path, RATED, outage("2", "7", "06:30", 3.5))
    result = sim.run(scenario, "static")
    price, meter = column(result, "price_usd_per_mwh"), column(result, "meter_mw")
    assert price[5:8] == pytest.approx([10.0, 10.0, 5000.0])  # then shed: nobody bid
    assert meter[5:8] == pytest.approx([30.0, 27.5, 25.0])
    np.testing.assert_allclose(column(result, "energy_usd"), meter * price, rtol=1e-9)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([("1", "2"), ("1", "7"), ("2", "7")]),
            st.integers(0, 22 * 4),
            st.sampled_from([0.25, 1.0, 3.5]),
            st.sampled_from([0.0, 0.4]),
        ),
        min_size=1, max_size=3, unique_by=lambda x: x[0],
    ),
    st.integers(1, 99),
)  # fmt: skip
@settings(max_examples=5)
def test_no_policy_is_above_the_bound_when_lines_go_out(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Any], seed: int
) -> None:
    outages = [
        outage(a, b, f"{quarter // 4:02d}:{quarter % 4 * 15:02d}", hours, left)
        for (a, b), quarter, hours, left in drawn
    ]
    scenario = with_outages(tmp_path_factory.mktemp("case"), RATED, *outages)
    best = sim.bound(scenario, seed).usd
    for policy in ("merit-order", "look-ahead", "static"):
        result = sim.run(scenario, policy, seed)
        margin = result.kpis["gross_margin_usd"]
        assert margin is not None
        assert margin <= best + 1e-6 * max(abs(best), 1.0), policy
        assert (column(result, "meter_mw") <= 100.0 + 1e-6).all()
