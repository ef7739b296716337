"""What a project adds to the firm: by closed form where nothing is in its way, and where it is."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.scenario import Scenario
from sim.studies.incremental import incremental, table, without
from tests.conftest import build_scenario

DAY = 86_400
ENDS = np.cumsum([31, 28, 31])  # of the months of a run of 90 days
POD = {
    "capex_usd": 2_000_000.0,
    "order_utc": "2026-01-01T00:00:00Z",
    "lead_days": 0,
    "commissioning_days": 0,
    "deposit_fraction": 1.0,
    "delivery_fraction": 0.0,
}


def scenario(
    limit_mw: float = 10.0, price: float = 3.0, usd_per_mwh: float = 60.0, **tables: Any
) -> Scenario:
    """A cool site with ASICs, and eight nodes of a project from the start on."""
    asics = tables.pop("asics", [{"site": "alpha", "model": "Antminer S21", "count": 100}])
    firm = {"discount_rate_per_year": 0.10, "gpu_life_years": 5.0, **tables.pop("firm", {})}
    return build_scenario(
        {
            "horizon": {
                "days": 90,
                "step_s": 21_600,
                "record_s": 86_400,
                "start_utc": "2026-01-01T00:00:00Z",
            },
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": usd_per_mwh}}},
            "weather": {"climates": {"cool": {"model": "seasonal", "climate": "reykjavik-is"}}},
            "faults": {"enabled": False},
            "firm": firm,
            "treasury": {"opening_usd": 5_000_000.0},
            "projects": {"pod": POD},
            **tables,
        },
        sites=[
            {
                "name": "alpha",
                "climate": "cool",
                "power_limit_mw": limit_mw,
                "pue_base": 1.1,
                "pue_slope_per_c": 0.0,
                "overhead_mw": 0.0,
            }
        ],
        asics=asics,
        gpus=[
            {
                "site": "alpha",
                "gpu": "h100-sxm",
                "nodes": 8,
                "project": "pod",
                "usd_per_gpu_h": price,
                "utilisation": 0.5,
            }
        ],
    )


def by_hand(scenario_: Scenario, price: float) -> tuple[float, float]:
    """Operating cash of 64 GPUs a day [USD], and their NPV at 10 %."""
    from sim.scenario import catalogue

    gpu = catalogue.gpus()["h100-sxm"]
    watts = 64 * (gpu.idle_w_per_gpu + 0.5 * (gpu.max_w_per_gpu - gpu.idle_w_per_gpu))
    daily = 24.0 * (64 * price * sold_share(scenario_) - 60.0 * watts * 1.1 / 1e6)
    days = np.diff(ENDS, prepend=0)
    years = 90 / 365.25
    market = 2e6 * (1.0 - 0.22 * years)
    left = 5.0 - years
    growth = 1 / 1.1
    earned = daily * 365.25 * (1 - growth**left) / (1 - growth) / 1.1
    worth = (daily * days / 1.1 ** (ENDS / 365)).sum() - 2e6 / 1.1 ** (0 / 365)
    return daily, float(worth + min(market, earned) / 1.1 ** (90 / 365))


def sold_share(scenario_: Scenario) -> float:
    """What of the hours of a node is sold."""
    return scenario_.gpus[0].occupancy or 1.0


@pytest.mark.parametrize("price", [1.0, 3.0])
def test_the_incremental_value_by_closed_form(price: float) -> None:
    """Nothing is in its way: hire less energy, month by month, and the lower of two terminals."""
    written = scenario(price=price)
    (found,) = incremental(written, policy="static")
    daily, npv = by_hand(written, price)
    payment_due = 2e6 * (1.0 - 1.0 / 1.1 ** (31 / 365))  # paid at once, due at the month's end
    assert found.npv_usd == pytest.approx(npv + payment_due, rel=1e-4)
    assert found.npv_after_tax_usd == found.npv_usd
    assert found.metered_npv_usd == pytest.approx(found.npv_usd, rel=1e-4)
    assert daily > 0.0


def test_a_project_is_charged_for_the_machines_that_step_back() -> None:
    """Room for the nodes alone: what the ASICs no longer mine is its cost, which no meter tells."""
    tight = scenario(limit_mw=0.38, usd_per_mwh=5.0)
    (found,) = incremental(tight, policy="merit-order")
    both = sim.run(tight, "merit-order")
    alone = sim.run(without(tight, "pod"), "merit-order")
    lost = (alone.kpis["mining_revenue_usd"] or 0.0) - (both.kpis["mining_revenue_usd"] or 0.0)
    assert lost > 1_000.0
    assert found.npv_usd < found.metered_npv_usd - 0.8 * lost
    row = table([found]).to_pylist()[0]
    assert row["incremental_npv_usd"] == found.npv_usd
    parts = ("operating_usd", "invested_usd", "terminal_usd", "other_end_usd")
    assert sum(row[name] for name in parts) == pytest.approx(found.npv_usd)


def test_idle_old_machines_take_no_revenue_of_a_project() -> None:
    """S9 that never pay at 60 USD/MWh stand beside a project's S21: all is mined by the latter."""
    written = scenario(
        asics=[
            {"site": "alpha", "model": "Antminer S9", "count": 2000},
            {"site": "alpha", "model": "Antminer S21", "count": 100, "project": "pod"},
        ]
    )
    result = sim.run(written, "merit-order")
    mined = result.levels.books.ledger.balance("income:mining", "USD")
    meters = result.recorder.meters
    assert meters.mined_usd[:, 0].sum() == 0.0
    assert meters.mined_usd[:, 1].sum() == pytest.approx(
        -mined - result.levels.books.ledger.balance("expenses:pool-fees", "USD"), abs=0.05
    )
    assert result.levels.cash_usd[:, 0].sum() == pytest.approx(0.0, abs=0.01)


def test_groups_together_earn_what_their_site_does() -> None:
    """Whatever is mined, sold and spent at a site belongs to one group of machines or another."""
    result = sim.run(scenario(), "merit-order", 3)
    levels = result.levels
    mined, sold, other = levels.flows.operating("alpha")
    np.testing.assert_allclose(
        levels.cash_usd.sum(axis=1), mined + sold + other, rtol=1e-6, atol=0.05
    )


def test_after_tax_a_gain_is_smaller_and_a_seed_more_gives_an_interval() -> None:
    written = scenario(firm={"tax_fraction": 0.25, "discount_rate_per_year": 0.1})
    (found,) = incremental(written, ["pod"], "static", seeds=(1, 2))
    assert found.parts.tax_usd > 0.0
    assert found.npv_after_tax_usd == pytest.approx(found.npv_usd - found.parts.tax_usd)
    assert found.interval is not None
    assert found.interval.low <= found.npv_after_tax_usd <= found.interval.high
    (row,) = table([found]).to_pylist()
    assert row == {
        "project": "pod",
        "metered_npv_usd": found.metered_npv_usd,
        "incremental_npv_usd": found.npv_usd,
        "incremental_npv_after_tax_usd": found.npv_after_tax_usd,
        "low_usd": found.interval.low,
        "high_usd": found.interval.high,
        **found.parts._asdict(),
    }


def test_a_project_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"project 'pot': allowed: pod"):
        incremental(scenario(), ["pot"])
