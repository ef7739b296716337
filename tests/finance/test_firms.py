"""Two firms as shipped scenarios: what is given, and what must follow from it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

import sim
from sim.results.result import RunResult
from sim.validation.firms import cango, first_events, months, nfn8

SHORT = {"horizon.days": 1128}  # 2023-01-01 to 2026-02-02, the day on which the firm filed
SALE_DAYS = 42.0  # past the sale of 7 and 8 February 2026


@pytest.fixture(scope="module")
def pivot(data: Path) -> RunResult:
    return sim.run(cango(data, SALE_DAYS))


@pytest.fixture(scope="module")
def stress(data: Path) -> RunResult:
    return sim.run(nfn8(data, SHORT))


def column(result: RunResult, name: str) -> list[float]:
    """A column of the fleet's table, a value a day."""
    values: list[float] = result.table("fleet").column(name).to_pylist()
    return values


def test_january_gives_the_bitcoin_of_its_hashrate(pivot: RunResult) -> None:
    january = months(pivot)["2026-01"]
    assert january.operating_ehs == pytest.approx(37.02, abs=0.1), "set by the storm's depth"
    assert january.produced_btc == pytest.approx(496.35, rel=0.015), "follows"
    assert january.held_btc == pytest.approx(7474.6, abs=8.0)


def test_holdings_are_what_was_there_mined_and_sold(pivot: RunResult) -> None:
    january = months(pivot)["2026-01"]
    assert january.held_btc == pytest.approx(7528.3 + january.produced_btc - 550.03, abs=1e-6)


def test_the_storm_takes_what_january_lacks(data: Path) -> None:
    calm = cango(data, 31.0)
    calm = calm.model_copy(update={"faults": calm.faults.model_copy(update={"incidents": ()})})
    january = months(sim.run(calm))["2026-01"]
    assert january.operating_ehs == pytest.approx(43.36, rel=0.035), "that of December"


def test_the_sale_meets_the_margin_call(pivot: RunResult) -> None:
    """On the published terms the loan is called a few days before the published sale."""
    events = first_events(pivot)
    assert datetime(2026, 2, 1, tzinfo=UTC) < events["margin call"] < events["margin call over"]
    assert events["margin call over"] > datetime(2026, 2, 7, tzinfo=UTC)
    assert "liquidation" not in events
    assert max(column(pivot, "ltv")) > 0.80
    assert column(pivot, "ltv")[-1] < 0.70


def test_without_the_sale_the_lender_sells(data: Path) -> None:
    scenario = cango(data, SALE_DAYS)
    sales = scenario.treasury.sales[:1]
    treasury = scenario.treasury.model_copy(update={"sales": sales})
    result = sim.run(scenario.model_copy(update={"treasury": treasury}))
    events = [e for e in result.table("events").to_pylist() if e["event"] == "liquidation"]
    assert len(events) == 1
    assert column(result, "btc_held")[-1] < 4000


def test_nfn8_fails_last(stress: RunResult) -> None:
    events = first_events(stress)
    order = ["termination", "halving", "fire", "insolvency"]
    assert sorted(order, key=lambda name: events[name]) == order


def test_nothing_says_that_nfn8_fails(data: Path, stress: RunResult) -> None:
    """It is still there on the same day with more money at the start, or without the fire."""
    richer = nfn8(data, {**SHORT, "treasury.opening_usd": 5e6})
    assert "insolvency" not in first_events(sim.run(richer))
    spared = stress.scenario.faults.model_copy(
        update={"incidents": stress.scenario.faults.incidents[:1]}
    )
    unburnt = sim.run(stress.scenario.model_copy(update={"faults": spared}))
    assert "insolvency" not in first_events(unburnt)


def test_half_of_nfn8_burns(stress: RunResult) -> None:
    deployed_ehs = column(stress, "deployed_ehs")
    fire = (datetime(2025, 12, 28, tzinfo=UTC) - stress.scenario.horizon.start_utc).days
    assert deployed_ehs[fire + 1] == pytest.approx(deployed_ehs[fire - 1] / 2, rel=0.02)


def test_idle_machines_earn_nothing_until_they_stand_elsewhere(stress: RunResult) -> None:
    start = stress.scenario.horizon.start_utc
    before, idle, after = (
        column(stress, "deployed_ehs")[(datetime(*day, tzinfo=UTC) - start).days]
        for day in ((2023, 6, 1), (2023, 9, 1), (2024, 1, 15))
    )
    assert idle < 0.7 * before
    assert after == pytest.approx(before, rel=0.02)
