"""What GPU hours earn, with pencil and paper: vacancy, paths, contracts, take-or-pay, opex."""

from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import sim
from sim.scenario import Scenario, ScenarioError
from sim.streams import Streams
from sim.world.gpu_market import gpu_paths
from tests.conftest import build_scenario

GPUS: Final = 32  # four nodes of eight H100
IDLE_W, MOST_W = 425.0, 1050.0  # of a GPU with its share of the server, catalogue
SITE: Final = {
    "name": "alpha", "contract": "fixed", "energy_usd_per_mwh": 50.0, "pue_base": 1.0,
    "pue_slope_per_c": 0.0, "overhead_mw": 0.0, "power_limit_mw": 0.05,
}  # fmt: skip
NODES: Final = {"site": "alpha", "gpu": "h100-sxm", "nodes": 4}


def fleet(tables: dict[str, Any] | None = None, days: int = 30, **row: Any) -> Scenario:
    """Nothing fails, everything is on; a day is a step."""
    plain = {
        "horizon": {"days": days, "step_s": 86_400, "record_s": 86_400,
                    "start_utc": "2026-01-01T00:00:00Z"},
        "faults": {"enabled": False}, "policy": {"name": "static"},
    }  # fmt: skip
    return build_scenario(plain | (tables or {}), sites=[SITE], asics=[], gpus=[NODES | row])


def revenue(result: Any) -> int:
    """Income of inference in the ledger [cents]."""
    rows = result.table("ledger").to_pylist()
    mine = [r["amount"] for r in rows if r["account"] == "income:inference"]
    return round(-sum(mine) * 100)


def rents(tmp_path: Path, usd: list[float]) -> dict[str, Any]:
    """A recorded price, day by day."""
    file = tmp_path / "rents.csv"
    lines = [f"{np.datetime64('2026-01-01') + d}T00:00:00Z,{p}" for d, p in enumerate(usd)]
    file.write_text("\n".join(["time_utc,usd", *lines, ""]), encoding="utf-8")
    return {
        "series": {"rents": {"file": str(file)}},
        "gpu_market": {
            "gpus": {
                "h100-sxm": {"model": "replay", "series": "rents", "column": "usd",
                             "occupancy": 0.75}
            }
        },
    }  # fmt: skip


@pytest.mark.parametrize("state", ["contracted", "batch"])
def test_hours_that_are_not_let_earn_nothing_and_draw_idle_power(state: str) -> None:
    """32 GPUs at 2 USD for 720 hours are 46,080 USD: a fifth of it, or nine tenths."""
    for occupancy, cents in ((0.2, 9_216_00), (0.9, 41_472_00), (1.0, 46_080_00)):
        row = {"state": state, "usd_per_gpu_h": 2.0, "utilisation": 0.5, "occupancy": occupancy}
        result = sim.run(fleet(**row))
        assert revenue(result) == cents
        kpis = result.kpis
        assert kpis["gpu_occupancy_pct"] == pytest.approx(100 * occupancy)
        assert kpis["let_gpu_h"] == pytest.approx(GPUS * 720 * occupancy)
        assert kpis["unsold_gpu_h"] == pytest.approx(GPUS * 720 * (1 - occupancy))
        assert kpis["gpu_price_usd_per_gpu_h"] == pytest.approx(2.0)
        sold = "gpu_contract_revenue_usd" if state == "contracted" else "gpu_spot_revenue_usd"
        assert kpis[sold] == pytest.approx(cents / 100)
        watt = IDLE_W + 0.5 * occupancy * (MOST_W - IDLE_W)
        assert kpis["energy_mwh"] == pytest.approx(GPUS * watt * 720 / 1e6)


def test_load_moves_power_and_no_money() -> None:
    low, high = (
        sim.run(fleet(usd_per_gpu_h=2.0, occupancy=0.5, utilisation=u)).kpis for u in (0.2, 0.9)
    )
    assert low["inference_revenue_usd"] == high["inference_revenue_usd"]
    assert (low["energy_mwh"] or 0) < (high["energy_mwh"] or 0)


def test_a_container_follows_the_price_path_with_vacancy_to_the_cent(tmp_path: Path) -> None:
    """0.75 of 32 GPUs for 24 h are 576 GPU-hours a day, at 2.00, 1.80 and 2.40 USD."""
    result = sim.run(fleet(rents(tmp_path, [2.0, 1.8, 2.4]), days=3, state="batch"))
    assert revenue(result) == 115_200 + 103_680 + 138_240
    lets = result.table("lettings").to_pylist()
    assert [(r["t_s"], r["usd_per_gpu_h"], r["let_share"]) for r in lets] == [
        (0, 2.0, 0.75), (86_400, 1.8, 0.75), (172_800, 2.4, 0.75),
    ]  # fmt: skip
    market = result.table("gpu_market").to_pylist()
    assert [(r["gpu"], r["usd_per_gpu_h"]) for r in market] == [
        ("h100-sxm", 2.0), ("h100-sxm", 1.8), ("h100-sxm", 2.4),
    ]  # fmt: skip


def test_what_a_row_says_goes_before_the_market(tmp_path: Path) -> None:
    tables = rents(tmp_path, [2.0, 1.8, 2.4])
    row = {"state": "batch", "usd_per_gpu_h": 1.0, "occupancy": 0.5}
    assert revenue(sim.run(fleet(tables, days=3, **row))) == GPUS * 72 * 50
    reserved = sim.run(fleet(tables, days=3, state="contracted"))  # all hours, at the path's price
    assert revenue(reserved) == GPUS * 24 * 620


def test_a_price_decays_by_its_share_in_a_year() -> None:
    tables = {"gpu_market": {"gpus": {"h100-sxm": {
        "model": "decay", "usd_per_gpu_h": 2.0, "change_per_year": -0.5, "occupancy": 1.0,
    }}}}  # fmt: skip
    path = gpu_paths(fleet(tables, days=732, state="batch"), Streams(1)).usd_per_gpu_h["h100-sxm"]
    assert path[0] == 2.0
    assert path[731] == pytest.approx(2.0 * 0.5 ** (731 / 365.25))


def test_a_contract_is_repriced_after_a_gap(tmp_path: Path) -> None:
    """Ten days at 2.00; five empty; ten at 0.9 of the 1.50 of day 15; five empty; two at 2.70."""
    tables = rents(tmp_path, [9.0] * 15 + [1.5] + [9.0] * 14 + [3.0, 9.0])
    tables["gpu_contracts"] = {
        "yearly": {"usd_per_gpu_h": 2.0, "term_days": 10, "gap_days": 5, "price_factor": 0.9}
    }
    result = sim.run(fleet(tables, days=32, contract="yearly"))
    assert revenue(result) == GPUS * 24 * (10 * 200 + 10 * 135 + 2 * 270)
    told = [(r["t_s"] // 86_400, r["event"]) for r in result.table("events").to_pylist()]
    assert [t for t in told if t[1].startswith("tenant")] == [
        (0, "tenant comes"), (10, "tenant leaves"), (15, "tenant comes"), (25, "tenant leaves"),
        (30, "tenant comes"),
    ]  # fmt: skip


def test_a_contract_that_ends_for_good_earns_nothing_more() -> None:
    tables = {"gpu_contracts": {"once": {"term_days": 7, "renewal": "end"}}}
    result = sim.run(fleet(tables, contract="once", usd_per_gpu_h=2.0))
    assert revenue(result) == GPUS * 24 * 7 * 200
    tables = {"gpu_contracts": {"cut": {"term_days": 7, "gap_days": 0,
                                        "end_utc": "2026-01-11T00:00:00Z"}}}  # fmt: skip
    assert revenue(sim.run(fleet(tables, contract="cut", usd_per_gpu_h=2.0))) == GPUS * 240 * 200


@pytest.mark.parametrize(("taken", "paid"), [(0.5, 0.8), (0.8, 0.8), (0.95, 0.95)])
def test_take_or_pay_is_what_is_taken_or_what_must_be_paid(taken: float, paid: float) -> None:
    terms = {"taken_fraction": taken, "take_or_pay_fraction": 0.8, "usd_per_gpu_h": 2.0}
    result = sim.run(fleet({"gpu_contracts": {"terms": terms}}, contract="terms"))
    assert revenue(result) == round(4_608_000 * paid)
    assert result.kpis["gpu_occupancy_pct"] == pytest.approx(100 * taken)
    assert result.kpis["gpu_price_usd_per_gpu_h"] == pytest.approx(2.0 * paid / taken)


def test_the_escalator_rises_at_the_anniversary_of_the_contract() -> None:
    """Signed 729 days before the run: two rises of a tenth from the second day on, one before."""
    terms = {
        "start_utc": "2024-01-03T00:00:00Z", "term_days": 3650, "usd_per_gpu_h": 2.0,
        "escalator_per_year": 0.1,
    }  # fmt: skip
    result = sim.run(fleet({"gpu_contracts": {"long": terms}}, days=3, contract="long"))
    assert revenue(result) == round(GPUS * 24 * (220 + 242 + 242))
    assert not [e for e in result.table("events")["event"].to_pylist() if "tenant" in e]


def test_the_first_tenant_comes_when_the_nodes_do() -> None:
    tables = {
        "gpu_contracts": {"yearly": {"term_days": 10, "gap_days": 100}},
        "firm": {"gpu_life_years": 4},
        "projects": {"box": {
            "capex_usd": 1000, "order_utc": "2026-01-01T00:00:00Z", "lead_days": 5,
            "commissioning_days": 2,
        }},
    }  # fmt: skip
    result = sim.run(fleet(tables, contract="yearly", usd_per_gpu_h=2.0, project="box"))
    assert revenue(result) == GPUS * 24 * 10 * 200


def test_operating_cost_is_by_hours_let_and_by_nodes_that_are_there() -> None:
    """Ten of 31 days of 310 USD for each of four nodes; half a dollar for 5,760 hours let."""
    row = {
        "usd_per_gpu_h": 2.0, "occupancy": 0.75, "opex_usd_per_gpu_h": 0.5,
        "opex_usd_per_node_month": 310.0,
    }  # fmt: skip
    result = sim.run(fleet(days=10, **row))
    assert result.kpis["gpu_opex_usd"] == pytest.approx(4 * 100 + 0.5 * GPUS * 0.75 * 240)
    rows = result.table("ledger").to_pylist()
    posted = sum(r["amount"] for r in rows if r["account"] == "expenses:gpu-operations")
    assert posted == pytest.approx(400 + 2880, abs=0.05)
    energy_usd = (result.kpis["energy_mwh"] or 0.0) * 50.0
    margin = GPUS * 240 * 0.75 * 2.0 - 3280.0 - energy_usd
    assert result.kpis["gross_margin_usd"] == pytest.approx(margin)
    worth = {r["use"]: r for r in result.table("worth").to_pylist()}
    mine = worth["GPU hours h100-sxm reserved"]
    assert mine["other_usd"] == pytest.approx(3280, abs=0.05)
    assert (mine["quantity"], mine["price_now"]) == (pytest.approx(5760), pytest.approx(2.0))


def test_the_table_worth_says_what_of_gpu_hours_is_assumed() -> None:
    def notes(**row: Any) -> str:
        rows = sim.run(fleet(days=1, **row)).table("worth").to_pylist()
        return next(str(r["notes"]) for r in rows if r["use"].startswith("GPU hours"))

    assert "every hour counts as let, assumed" in notes()
    assert "costs nothing beside energy, assumed" in notes()
    said = notes(occupancy=0.8, opex_usd_per_gpu_h=0.1)
    assert "counts as let" not in said
    assert "beside energy" not in said
    assert "every hour is let" not in said
    assert "every hour is let, by gpus.csv" in notes(occupancy=1)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    path = {"model": "mean-reverting", "usd_per_gpu_h": 2.0, "occupancy_deviation": 0.1}
    terms = {"term_days": 2, "gap_days": 1, "gap": "exponential"}
    tables = {"gpu_market": {"gpus": {"h100-sxm": path}}, "gpu_contracts": {"c": terms}}
    scenario = fleet(tables, days=9, contract="c", opex_usd_per_gpu_h=0.1)
    one, two = (sim.run(scenario, seed=4).save(tmp_path / name) for name in ("a", "b"))
    for name in ("lettings", "gpu_market", "uses", "ledger", "sites", "events"):
        file = f"{name}.parquet"
        assert (one / file).read_bytes() == (two / file).read_bytes(), name


def test_a_month_costs_a_month_whatever_its_days() -> None:
    row = {"usd_per_gpu_h": 2.0, "occupancy": 1.0, "opex_usd_per_node_month": 100.0}
    result = sim.run(fleet(days=59, **row))  # January and February
    assert result.kpis["gpu_opex_usd"] == pytest.approx(4 * 200.0)


def test_factors_of_what_if_act_on_paths_and_contracts(tmp_path: Path) -> None:
    what_if = {"gpu_price_factor": 0.5, "gpu_occupancy_factor": 1.2, "gpu_opex_factor": 2.0}
    tables = rents(tmp_path, [2.0]) | {"what_if": what_if}
    result = sim.run(fleet(tables, days=1, state="batch", opex_usd_per_gpu_h=0.1))
    assert revenue(result) == round(GPUS * 24 * 0.9 * 100)
    assert result.kpis["gpu_opex_usd"] == pytest.approx(GPUS * 24 * 0.9 * 0.2)
    terms = {"taken_fraction": 0.6, "take_or_pay_fraction": 0.7, "usd_per_gpu_h": 2.0}
    tables = {"what_if": what_if, "gpu_contracts": {"c": terms}}
    assert revenue(sim.run(fleet(tables, days=1, contract="c"))) == round(GPUS * 24 * 0.72 * 100)


def test_a_policy_turns_off_what_nobody_has_taken() -> None:
    """In the gap the nodes earn nothing, so that energy is saved; what is let runs."""
    tables: dict[str, Any] = {
        "gpu_contracts": {"c": {"term_days": 2, "gap_days": 2, "usd_per_gpu_h": 2.0}},
        "policy": {"name": "merit-order"},
    }
    result = sim.run(fleet(tables, days=8, contract="c"))
    nodes = result.table("sites")["gpu_nodes_on"].to_pylist()
    assert nodes == [4, 4, 0, 0, 4, 4, 0, 0]
    assert result.kpis["credits_usd"] == 0.0
    assert result.kpis["gpu_occupancy_pct"] == pytest.approx(50.0)
    assert result.kpis["unsold_gpu_h"] == pytest.approx(GPUS * 4 * 24)


def test_luck_of_a_path_is_its_own_and_comes_back_to_a_falling_trend() -> None:
    """Stationary variance of the logarithm: volatility² / (2 reversion); its mean: the trend."""
    spec = {
        "model": "mean-reverting", "usd_per_gpu_h": 2.0, "trend_usd_per_gpu_h": 1.5,
        "change_per_year": -0.2, "volatility_per_year": 0.5, "reversion_per_year": 4.0,
        "occupancy": 0.7, "occupancy_deviation": 0.05,
    }  # fmt: skip
    tables = {"gpu_market": {"gpus": {"h100-sxm": spec}}}
    scenario = fleet(tables, days=730, state="batch")
    paths = [gpu_paths(scenario, Streams(seed)) for seed in range(400)]
    usd = np.array([p.usd_per_gpu_h["h100-sxm"] for p in paths])
    assert (usd[:, 0] == 2.0).all()
    away = np.log(usd[:, -1] / (1.5 * 0.8 ** (729 / 365.25)))
    assert away.mean() == pytest.approx(0.0, abs=4 * 0.177 / 20)
    assert away.std() == pytest.approx(0.5 / np.sqrt(8.0), rel=0.15)
    let = np.array([p.occupancy["h100-sxm"] for p in paths])
    assert let.mean() == pytest.approx(0.7, abs=0.01)
    assert let[:, 400].std() == pytest.approx(0.05, rel=0.15)
    longer = build_scenario(
        {"horizon": {"days": 900, "step_s": 86_400, "record_s": 86_400},
         "gpu_market": {"gpus": {"h100-sxm": spec, "h200-sxm": spec}}},
        sites=[SITE],
        asics=[],
        gpus=[NODES | {"state": "batch"}],
    )  # fmt: skip
    again = gpu_paths(longer, Streams(7)).usd_per_gpu_h
    assert (again["h100-sxm"][:730] == usd[7]).all()
    assert (again["h200-sxm"][1:] != again["h100-sxm"][1:]).all()


def test_gaps_of_chance_have_the_mean_that_is_given() -> None:
    terms = {"term_days": 1, "gap_days": 3, "gap": "exponential"}
    scenario = fleet({"gpu_contracts": {"c": terms}}, days=2000, contract="c", usd_per_gpu_h=1.0)
    result = sim.run(scenario, seed=1)
    one, two = result.kpis["let_gpu_h"], sim.run(scenario, seed=2).kpis["let_gpu_h"]
    lets = result.table("lettings").to_pylist()
    gaps = [b["t_s"] - a["t_s"] for a, b in pairwise(lets) if a["let_share"] == 0.0]
    assert len(set(gaps)) > 5
    assert one != two
    assert one == sim.run(scenario, seed=1).kpis["let_gpu_h"]
    # A gap ends with the step that follows: half a day more in the mean, of 1 + 3 + 0.5 days.
    assert one == pytest.approx(GPUS * 24 * 2000 / 4.55, rel=0.15)


@pytest.mark.parametrize(
    ("tables", "row", "words"),
    [
        ({}, {"contract": "none"}, ["gpus.csv", "contract", "'none'"]),
        ({"gpu_contracts": {"c": {}}}, {"contract": "c", "state": "batch"}, ["contracted"]),
        ({"gpu_contracts": {"c": {}}}, {"contract": "c", "occupancy": 0.5}, ["taken_fraction"]),
        ({"gpu_contracts": {"c": {"term_days": 0}}}, {"contract": "c"}, ["term_days", ">= 1"]),
        ({"gpu_market": {"gpus": {"h101": {"usd_per_gpu_h": 2}}}}, {}, ["h101"]),
        ({"gpu_market": {"gpus": {"h100-sxm": {"model": "decay"}}}}, {}, ["change_per_year"]),
        ({}, {"occupancy": 80}, ["occupancy", "'80'", "<= 1"]),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(
    tables: dict[str, Any], row: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ScenarioError) as error:
        fleet(tables, **row)
    for word in words:
        assert word in str(error.value)


def test_hours_that_are_taken_to_be_let_are_said() -> None:
    said = [str(w) for w in fleet().warnings]
    assert any("every hour counts as let (assumed)" in w for w in said)
    assert not fleet(occupancy=1.0).warnings
