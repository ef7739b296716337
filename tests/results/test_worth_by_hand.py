"""The table worth with pencil and paper: ages, capital, tax, and the price that turns the order."""

from typing import Any

import pytest

import sim
from sim.finance.residual import Residuals
from sim.plant.inventory import ASIC, GPU
from sim.results.worth_text import lines
from tests.conftest import build_scenario

RATE, TAX, PRICE = 0.1, 0.25, 50.0
SITE = {
    "name": "alpha", "contract": "fixed", "energy_usd_per_mwh": PRICE, "pue_base": 1.0,
    "pue_slope_per_c": 0.0, "overhead_mw": 0.0, "power_limit_mw": 9.0,
}  # fmt: skip


def scenario(gpu_usd_per_h: float = 2.0) -> Any:
    """Nothing fails or cools; machines of three ages, one past its useful life."""
    return build_scenario(
        {
            "horizon": {"days": 2, "step_s": 3600}, "faults": {"enabled": False},
            "firm": {
                "asic_usd_per_th": 5.0, "gpu_usd_per_gpu": 20_000.0, "tax_fraction": TAX,
                "discount_rate_per_year": RATE,
            },
            "policy": {"name": "static"},
        },
        sites=[SITE],
        asics=[
            {"site": "alpha", "model": "Antminer S21", "count": 400, "age_years": 1.0},
            {"site": "alpha", "model": "Antminer S19 XP", "count": 100, "age_years": 4.0},
        ],
        gpus=[
            {
                "site": "alpha", "gpu": "h100-sxm", "nodes": 10, "age_years": 2.0,
                "usd_per_gpu_h": gpu_usd_per_h,
            }
        ],
    )  # fmt: skip


def rows_of(gpu_usd_per_h: float = 2.0) -> dict[str, dict[str, Any]]:
    table = sim.run(scenario(gpu_usd_per_h)).table("worth").to_pylist()
    return {row["use"].split(" normal")[0]: row for row in table}


def charge(usd: float, rest: float, life: float) -> float:
    return (usd - rest * (1 + RATE) ** -life) * RATE / (1 - (1 + RATE) ** -life)


def test_capital_and_tax_follow_the_age_of_machines() -> None:
    rows, residuals = rows_of(), Residuals(scenario())
    years = 2 / 365.25
    for use, kind, usd, age, life in (
        ("mining Antminer S21", ASIC, 400 * 200 * 5.0, 1.0, 2.0),
        ("mining Antminer S19 XP", ASIC, 100 * 140 * 5.0, 4.0, 1.0),
        ("GPU hours h100-sxm reserved", GPU, 10 * 8 * 20_000.0, 2.0, 3.0),
    ):
        row = rows[use]
        then = residuals.fraction(kind, age + life) / residuals.fraction(kind, age)
        assert row["capital_usd"] == pytest.approx(charge(usd, usd * then, life) * years), use
        worn = usd * (1.0 - then) / life * years
        assert row["tax_usd"] == pytest.approx(TAX * (row["margin_usd"] - worn)), use
        assert row["energy_usd_per_mwh"] == pytest.approx(PRICE)


def test_a_megawatt_year_is_of_the_nameplate() -> None:
    rows, years = rows_of(), 2 / 365.25
    assert rows["mining Antminer S21"]["mw_years"] == pytest.approx(400 * 3500e-6 * years)
    reserved = rows["GPU hours h100-sxm reserved"]
    assert reserved["mw_years"] == pytest.approx(10 * 8 * 1050e-6 * years)


def test_at_the_price_where_it_turns_two_uses_earn_the_same() -> None:
    rows = rows_of()
    best = min(rows.values(), key=lambda row: row["rank"] or 99)
    assert best["use"] == "GPU hours h100-sxm reserved"
    second = next(row for row in rows.values() if row["rank"] == 2)
    assert best["turns_against"] == second["use"]
    for row in rows.values():
        if row["rank"] is not None and row["rank"] > 1:
            above = next(r for r in rows.values() if r["rank"] == row["rank"] - 1)
            assert row["turns_against"] == above["use"]
            assert row["turns_at"] > row["price_now"]
    assert best["price_now"] == pytest.approx(2.0)
    again = rows_of(best["turns_at"])
    levels = [again[k]["result_usd_per_mw_year"] for k in rows if k.startswith(("GPU", "mining"))]
    other = again[second["use"].split(" normal")[0]]["result_usd_per_mw_year"]
    assert again["GPU hours h100-sxm reserved"]["result_usd_per_mw_year"] == pytest.approx(
        other, rel=1e-4
    )  # cents
    assert len(levels) == 3


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_a_terminal(width: int) -> None:
    said = list(lines(list(rows_of().values()), width))
    assert max(len(line) for text in said for line in text.splitlines()) <= width
    assert any("tax: 25%" in line for line in said)
