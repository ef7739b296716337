"""What if a megawatt changed its use: worked by hand, refused in words, on the command line."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.finance.residual import Residuals
from sim.plant.inventory import ASIC, GPU
from sim.scenario import Scenario, ScenarioError
from sim.studies.conversion.study import convert
from sim.studies.conversion.swap import (
    CLOSED,
    NONE,
    SECANT,
    ConversionRequest,
    swap_of,
    terms_of,
    turn,
)
from tests.conftest import build_scenario

HOURS = 8766.0
TAX, RATE, PRICE = 0.25, 0.1, 50.0
S21_THS, S21_W, S21_USD = 200.0, 3500.0, 200.0 * 5.0
NODE_W = 8 * 1050.0  # at most: room is made for that
DRAWN_W = 8 * (425.0 + 0.7 * (1050.0 - 425.0))
GPU_USD = 30_000.0


def plain(gpus: list[dict[str, Any]] | None = None, **more: Any) -> Scenario:
    """A megawatt and more of S21 where nothing fails, cools or changes."""
    return build_scenario(
        {
            "horizon": {"days": 2, "step_s": 3600},
            "faults": {"enabled": False},
            "firm": {
                "asic_usd_per_th": 5.0, "tax_fraction": TAX, "discount_rate_per_year": RATE,
            },
            "policy": {"name": "static"},
            **more,
        },
        sites=[
            {
                "name": "alpha", "contract": "fixed", "energy_usd_per_mwh": PRICE, "pue_base": 1.0,
                "pue_slope_per_c": 0.0, "overhead_mw": 0.0, "power_limit_mw": 3.0,
            }
        ],
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 400, "age_years": 1.0}],
        gpus=gpus or [],
    )  # fmt: skip


def asked(price: float = 2.0, **more: Any) -> ConversionRequest:
    return ConversionRequest("alpha", 1.0, "h100-sxm", "contracted", price, GPU_USD, **more)


def by_hand(scenario: Scenario, price: float) -> float:
    """What the change leaves a year [USD], with pencil and paper."""
    fleet = sim.run(scenario).table("fleet")
    hashprice = fleet["hashprice_usd_per_ph_day"].to_numpy()
    assert hashprice.min() == hashprice.max()
    machines, nodes = 286, 119  # the first that fill a megawatt; as many as these make room for
    mined = machines * S21_THS / 1e3 * hashprice[0] * HOURS / 24
    fee = scenario.pool.fee_fraction
    energy = (nodes * DRAWN_W - machines * S21_W) / 1e6 * HOURS * PRICE
    margin = nodes * 8 * price * HOURS - mined * (1.0 - fee) - energy
    residuals = Residuals(scenario)
    cost, fetched = nodes * 8 * GPU_USD, machines * S21_USD
    asic_life, gpu_life = 3.0 - 1.0, 5.0
    gpu_rest = cost * residuals.fraction(GPU, gpu_life)
    asic_rest = fetched * residuals.fraction(ASIC, 3.0) / residuals.fraction(ASIC, 1.0)

    def charge(usd: float, rest: float, life: float) -> float:
        return (usd - rest * (1 + RATE) ** -life) * RATE / (1 - (1 + RATE) ** -life)

    capital = charge(cost, gpu_rest, gpu_life) - charge(fetched, asic_rest, asic_life)
    worn = (cost - gpu_rest) / gpu_life - (fetched - asic_rest) / asic_life
    return margin - TAX * (margin - worn) - capital


def test_it_is_what_a_hand_finds() -> None:
    scenario = plain()
    found = convert(scenario, asked(), seeds=2)
    wanted = by_hand(scenario, 2.0)
    assert found.swap.removed == ((0, 286),)
    assert found.swap.nodes == 119
    assert found.amounts["result"] * found.swap.removed_mw == pytest.approx([wanted] * 2, rel=1e-6)
    life = (1 - (1 + RATE) ** -5.0) / RATE
    assert found.npv_usd_per_mw == pytest.approx(wanted / found.swap.removed_mw * life, rel=1e-6)
    assert found.answer == "yes"


def test_where_it_turns_the_hand_finds_nothing_left() -> None:
    scenario = plain()
    found = convert(scenario, asked(), seeds=1)
    level = found.turning.usd_per_gpu_h
    assert level is not None
    assert found.turning.how == CLOSED
    slope = 119 * 8 * HOURS * (1 - TAX)
    assert by_hand(scenario, level) == pytest.approx(0.0, abs=slope * 1e-6)
    dear, cheap = (convert(scenario, asked(level + d), seeds=2).answer for d in (0.05, -0.05))
    assert (dear, cheap) == ("yes", "no")


def test_what_fades_is_worth_less() -> None:
    """Revenue that halves each year: an annuity of a geometric series."""
    found = convert(plain(), asked(fade_per_year=0.5), seeds=1)
    kept = sum(0.5**k / (1 + RATE) ** (k + 1) for k in range(5))
    level = sum(1 / (1 + RATE) ** (k + 1) for k in range(5))
    sold = 119 * 8 * 2.0 * HOURS / found.swap.removed_mw
    assert found.amounts["fade"] == pytest.approx([sold * (kept / level - 1.0)], rel=1e-6)


def test_without_a_price_the_market_pays() -> None:
    """Spot hours at 1.50 for three quarters of the time, at a cost of a dime; the trend fades."""
    path = {"model": "decay", "usd_per_gpu_h": 1.5, "change_per_year": -0.3, "occupancy": 0.75}
    scenario = plain(gpu_market={"gpus": {"h100-sxm": path}})
    ask = asked()._replace(usd_per_gpu_h=None, state="batch", opex_usd_per_gpu_h=0.1)
    found = convert(scenario, ask, seeds=1)
    let = 119 * 8 * HOURS * 0.75 / found.swap.removed_mw
    mean = 1.5 * (1 + 0.7 ** (1 / 365.25)) / 2  # of two days
    assert found.amounts["of which GPU hours"] == pytest.approx([let * mean], rel=1e-6)
    assert found.price_now == pytest.approx(mean)
    kept = sum(0.7**k / (1 + RATE) ** (k + 1) for k in range(5))
    level = sum(1 / (1 + RATE) ** (k + 1) for k in range(5))
    assert found.amounts["fade"] == pytest.approx([let * mean * (kept / level - 1)], rel=1e-6)
    assert sum("[gpu_market.gpus.h100-sxm]" in note for note in found.notes) == 2
    assert any("30% a year (the market's trend)" in note for note in found.notes)
    spared = convert(scenario, ask._replace(opex_usd_per_gpu_h=0.0), seeds=1)
    more = spared.amounts["margin"] - found.amounts["margin"]
    assert more == pytest.approx([let * 0.1], rel=1e-6)


def test_it_turns_at_a_price_that_fades_as_the_market_does() -> None:
    """A tenth a year off: at the level found, and with the same fading, nothing is left."""
    path = {"model": "decay", "usd_per_gpu_h": 2.0, "change_per_year": -0.1, "occupancy": 1.0}
    scenario = plain(gpu_market={"gpus": {"h100-sxm": path}})
    ask = asked()._replace(usd_per_gpu_h=None)
    found = convert(scenario, ask, seeds=1)
    level = found.turning.usd_per_gpu_h
    assert level is not None
    assert found.turning.how == CLOSED
    kept = sum(0.9**k / (1 + RATE) ** (k + 1) for k in range(5))
    kept /= sum(1 / (1 + RATE) ** (k + 1) for k in range(5))
    slope = 119 * 8 * HOURS * (1 - TAX)
    fades = slope * (1.0 - kept) * level
    assert by_hand(scenario, level) == pytest.approx(fades, rel=1e-3)
    there = convert(scenario, asked(level, fade_per_year=0.1), seeds=1)
    assert there.amounts["result"] == pytest.approx([0.0], abs=0.005 * slope)


def test_nodes_are_let_by_a_contract_with_its_gaps() -> None:
    terms = {"term_days": 1, "gap_days": 1, "usd_per_gpu_h": 3.0}
    scenario = plain(gpu_contracts={"day": terms})
    found = convert(scenario, asked()._replace(usd_per_gpu_h=None, contract="day"), seeds=1)
    sold = 119 * 8 * 3.0 * HOURS / 2 / found.swap.removed_mw
    assert found.amounts["of which GPU hours"] == pytest.approx([sold], rel=1e-6)
    assert found.price_now == pytest.approx(3.0)


OWN = {
    "site": "alpha", "gpu": "h100-sxm", "nodes": 1, "usd_per_gpu_h": 1.6, "occupancy": 0.5,
    "opex_usd_per_gpu_h": 0.2, "opex_usd_per_node_month": 300.0,
}  # fmt: skip


def test_what_is_not_asked_is_as_the_scenario_lets_such_nodes() -> None:
    """Half of the hours at 1.60, less 20 cents an hour let and 300 USD a node and month."""
    found = convert(plain([OWN]), asked()._replace(usd_per_gpu_h=None), seeds=1)
    plainly = convert(plain(), asked(1.6, occupancy=0.5, opex_usd_per_gpu_h=0.0), seeds=1)
    mw = found.swap.removed_mw
    let = 119 * 8 * HOURS * 0.5 / mw
    assert found.amounts["of which GPU hours"] == pytest.approx([let * 1.6], rel=1e-6)
    month_h = 31 * 24  # the run lies in January
    opex = let * 0.2 + 119 * 300.0 * HOURS / month_h / mw
    assert plainly.amounts["margin"] - found.amounts["margin"] == pytest.approx([opex], rel=1e-6)
    said = "; ".join(found.notes)
    assert "price of a GPU-hour: 1.6 USD, as row 2 of gpus.csv (--price)" in said
    assert "50% of the hours is let, as row 2 of gpus.csv" in said
    assert "0.2 USD/GPU-h and 300 USD/node-month beside energy, as row 2 of gpus.csv" in said
    assert "assumed (--o" not in said
    assert found.terms.row == 0


def test_what_is_asked_goes_before_the_scenario_and_its_own_site_before_others() -> None:
    away = {**OWN, "site": "bravo", "usd_per_gpu_h": 9.0}
    other = {**OWN, "gpu": "h200-sxm"}
    batch = {**OWN, "state": "batch"}
    scenario = build_scenario(gpus=[other, batch, away, {**OWN, "occupancy": 0.7}])
    terms = terms_of(scenario, asked()._replace(usd_per_gpu_h=None))
    assert terms == (3, 1.6, 0.7, None, 0.2, 300.0)
    own = asked(occupancy=0.9, opex_usd_per_gpu_h=0.0, opex_usd_per_node_month=5.0)
    assert terms_of(scenario, own) == (3, 2.0, 0.9, None, 0.0, 5.0)
    contract = {"day": {"term_days": 1}}
    row = {key: value for key, value in OWN.items() if key != "occupancy"} | {"contract": "day"}
    let = plain([row], gpu_contracts=contract)
    assert terms_of(let, asked()).contract == "day"
    assert terms_of(let, asked(occupancy=0.9))[2:4] == (0.9, None)
    bare = asked()._replace(usd_per_gpu_h=None)
    assert terms_of(plain(), bare) == (None, None, None, None, 0.0, 0.0)


def test_the_least_efficient_go_first() -> None:
    scenario = build_scenario(sites=[{"name": "alpha"}], gpus=[], asics=[
        {"site": "alpha", "model": "Antminer S21", "count": 400},
        {"site": "alpha", "model": "Antminer S19j Pro 104T", "count": 100},
    ])  # fmt: skip
    (first, second) = swap_of(scenario, asked()).removed
    assert first == (1, 100)
    assert second[0] == 0


def test_a_root_is_looked_for_where_the_answer_is_not_linear() -> None:
    found = turn(2.0, 100.0, 80.0, 100.0, at=lambda p: 30.0 * (p * p - 1.0))
    assert found.usd_per_gpu_h == pytest.approx(1.0, abs=0.02)
    assert (found.how, found.runs > 1) == (SECANT, True)
    assert turn(2.0, 100.0, 0.0, 1.0, at=lambda _: 0.0).how == NONE
    assert turn(1.0, 100.0, 50.0, 1.0, at=lambda _: 0.0).usd_per_gpu_h is None


@pytest.mark.parametrize(
    ("change", "where", "allowed"),
    [
        ({"site": "alpa"}, "--site", "alpha"),
        ({"gpu": "h100"}, "--to", "h100-sxm"),
        ({"state": "serving"}, "--to", "contracted, batch"),
        ({"mw": 2.0}, "--mw", "has 1.4 MW"),
        ({"mw": 0.001}, "--mw", "less than one node"),
        ({"mw": -1.0}, "--mw", "> 0"),
        ({"mw": float("nan")}, "--mw", "> 0"),
        ({"usd_per_gpu_h": 0.0}, "--price", "> 0"),
        ({"usd_per_gpu": -5.0}, "--usd-per-gpu", "> 0"),
        ({"fade_per_year": 1.0}, "--fade", "< 1"),
        ({"occupancy": 1.1}, "--occupancy", "<= 1"),
        ({"opex_usd_per_gpu_h": -1.0}, "--opex", ">= 0"),
        ({"opex_usd_per_gpu_h": 1000.5}, "--opex", "<= 1000"),
        ({"opex_usd_per_node_month": float("nan")}, "--opex-month", ">= 0"),
        ({"contract": "none"}, "--contract", "none"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], where: str, allowed: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        swap_of(plain(), asked()._replace(**change))
    assert where in str(caught.value)
    assert allowed in str(caught.value)


def test_on_the_command_line() -> None:
    command = ["convert", "tiny", "--site", "alpha", "--mw", "0.5", "--to", "h100-sxm:batch"]
    command += ["--days", "1", "--seeds", "2", "--workers", "1"]
    ended = CliRunner().invoke(app, [*command, "--json"])
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    parts = {name: part["mean_usd_per_mw_year"] for name, part in said["parts"].items()}
    margin = parts["revenue"] - parts["energy"] - parts["other"] + parts["fade"]
    assert parts["margin"] == pytest.approx(margin)
    capital = parts["capital of the nodes"] - parts["capital saved"]
    assert parts["result"] == pytest.approx(margin - capital - parts["tax"])
    assert said["turning"]["usd_per_gpu_h"] > 0
    assert any("assumed" in note for note in said["notes"])
    printed = CliRunner().invoke(app, command)
    assert max(map(len, printed.stdout.splitlines())) <= 80
    assert "turns at" in printed.stdout
    wrong = CliRunner().invoke(app, [*command, "--site", "nowhere"])
    assert wrong.exit_code == 2
    assert "nowhere" in wrong.output
