"""Interest on projects under construction (ASC 835-20), by hand in whole runs."""

from typing import Any

import pytest

import sim
from sim.finance.statements import sheet_of, tie_out
from sim.results.result import RunResult
from tests.conftest import build_scenario

DAY = 86_400
PER_DAY = 0.10 / 365  # interest of the bank
POD = {
    "capex_usd": 1_000_000,
    "deposit_fraction": 0.3,
    "delivery_fraction": 0.5,
    "order_utc": "2026-01-03T00:00:00Z",
    "lead_days": 5,
    "commissioning_days": 2,
}
LIFE_DAYS = 5 * 365.25


def firm(days: int, owed_usd: float, pod: dict[str, Any], **tables: Any) -> RunResult:
    """A firm that owes a bank and has four nodes built; live on day 9 unless told otherwise."""
    scenario = build_scenario(
        {
            "horizon": {
                "days": days, "step_s": 21_600, "record_s": 86_400,
                "start_utc": "2026-01-01T00:00:00Z",
            },
            "treasury": {"opening_usd": 9e6, "opening_btc": 100},
            "loans": {"bank": {"principal_usd": owed_usd, "collateral_btc": 90}},
            "projects": {"pod": {**POD, **pod}},
            "faults": {"enabled": False},
            **tables,
        },
        gpus=[{"site": "bravo", "gpu": "h100-sxm", "nodes": 4, "project": "pod"}],
    )  # fmt: skip
    result = sim.run(scenario, "static")
    assert tie_out(result.table("statements")) == []
    return result


def posted(result: RunResult, account: str, memo: str = "") -> list[tuple[int, float]]:
    rows = result.table("ledger").to_pylist()
    return [
        (r["t_s"] // DAY, float(r["amount"]))
        for r in rows
        if r["account"] == account and memo in r["memo"]
    ]


def test_expenditures_times_days_times_the_rate() -> None:
    """300,000 USD for 7 days and 500,000 for 2 before it is live: 3.1 M USD days at 10 %."""
    result = firm(31, 1_000_000, {})
    capitalised = 3.1e6 * PER_DAY
    assert posted(result, "assets:project-interest") == [(31, pytest.approx(capitalised, abs=0.01))]
    assert result.kpis["capitalised_interest_usd"] == pytest.approx(capitalised, abs=0.01)
    incurred = 1e6 * PER_DAY * 31
    assert result.kpis["interest_usd"] == pytest.approx(incurred - capitalised, abs=0.02)


def test_what_is_capitalised_is_paid_for_as_the_project_is() -> None:
    """January's interest, paid at its end: what became part of the pod is investing."""
    result = firm(31, 1_000_000, {})
    cash = sheet_of(result.table("statements"), "cash flow")
    capitalised, incurred = 3.1e6 * PER_DAY, 1e6 * PER_DAY * 31
    assert cash["investing: interest capitalised"] == pytest.approx([-capitalised], abs=0.01)
    assert cash["operating: interest"] == pytest.approx([capitalised - incurred], abs=0.01)
    assert cash["investing"] == pytest.approx([-1e6 - capitalised], abs=0.01)

    added = {"principal_usd": 1_000_000, "collateral_btc": 90, "interest": "capitalised"}
    result = firm(31, 0, {}, loans={"bank": added})  # to the debt: nothing is paid, nothing flows
    cash = sheet_of(result.table("statements"), "cash flow")
    assert result.kpis["capitalised_interest_usd"] == pytest.approx(capitalised, abs=0.01)
    assert not {"investing: interest capitalised", "operating: interest"} & set(cash)


def test_no_more_than_was_incurred() -> None:
    """50,000 USD owed on average, 100,000 spent on average: all interest, and no more."""
    result = firm(31, 50_000, {})
    assert result.kpis["capitalised_interest_usd"] == pytest.approx(50e3 * PER_DAY * 31, abs=0.01)
    assert result.kpis["interest_usd"] is None
    nothing = firm(31, 0, {})
    assert nothing.kpis["capitalised_interest_usd"] is None


def test_the_rate_is_the_mean_of_all_loans_by_what_is_owed() -> None:
    """600,000 at 10 % and 300,000 at 4 %: 8 %."""
    loans = {
        "bank": {"principal_usd": 600_000, "collateral_btc": 50},
        "friend": {"principal_usd": 300_000, "collateral_btc": 40, "rate_per_year": 0.04},
    }
    result = firm(31, 0, {}, loans=loans)
    expected = 3.1e6 * 0.08 / 365
    assert result.kpis["capitalised_interest_usd"] == pytest.approx(expected, abs=0.02)


def test_interest_bears_interest_while_it_is_built() -> None:
    """300,000 USD from day 2 on, never delivered: 29 days of January, then 28 with its interest."""
    result = firm(59, 1_000_000, {"lead_days": 200})
    january = 300e3 * 29 * PER_DAY
    february = (300e3 + january) * 28 * PER_DAY
    amounts = [
        (31, pytest.approx(january, abs=0.01)), (59, pytest.approx(february, abs=0.01))
    ]  # fmt: skip
    assert posted(result, "assets:project-interest") == amounts


def test_it_wears_with_the_machines_from_then_on() -> None:
    """Capitalised at the end of January; February's 28 days of the life that was left then."""
    result = firm(59, 1_000_000, {})
    capitalised = 3.1e6 * PER_DAY
    worn = capitalised * 28 / (LIFE_DAYS - 22)
    ((day, amount),) = posted(result, "assets:project-interest", "straight line")
    assert (day, amount) == (59, pytest.approx(-worn, abs=0.01))
    machines = sum(a for _, a in posted(result, "assets:gpus", "straight line"))
    assert machines == pytest.approx(-1e6 * 50 / LIFE_DAYS, abs=0.02)


def test_what_is_called_off_loses_its_interest_too() -> None:
    pod = {"lead_days": 200, "cancel_utc": "2026-02-05T00:00:00Z", "refund_fraction": 0.4}
    result = firm(45, 1_000_000, pod)
    january = 300e3 * 29 * PER_DAY
    assert result.kpis["impairment_usd"] == pytest.approx(180_000 + january, abs=0.02)
    assert result.ledger.balance("assets:project-interest", "USD") == 0.0
    assert result.kpis["capitalised_interest_usd"] == pytest.approx(january, abs=0.01)


def test_what_burns_takes_its_interest_along() -> None:
    fire = {
        "kind": "fire", "sites": ["bravo"], "start_utc": "2026-02-10T00:00:00Z",
        "destroyed_fraction": 1.0,
    }  # fmt: skip
    result = firm(59, 1_000_000, {}, faults={"enabled": False, "incidents": [fire]})
    assert result.ledger.balance("assets:project-interest", "USD") == 0.0
    burnt = sum(a for _, a in posted(result, "expenses:impairment"))
    left = 1.0 - 9 / (LIFE_DAYS - 22)  # of the interest, after nine days of February
    machines = 1e6 * (1.0 - 31 / LIFE_DAYS)
    assert burnt == pytest.approx(machines + 3.1e6 * PER_DAY * left, abs=0.03)


def test_a_firm_may_leave_it_out_and_is_taxed_alike() -> None:
    """Tax deducts interest when it accrues: what the books capitalise is deferred."""
    tax = {"firm": {"tax_fraction": 0.25}}
    capitalising = firm(31, 1_000_000, {}, **tax)
    tax["firm"]["capitalise_interest"] = False
    plain = firm(31, 1_000_000, {}, **tax)
    assert plain.kpis["capitalised_interest_usd"] is None
    for account, more in (("expenses:tax", 0.0), ("expenses:deferred-tax", 0.25)):
        a, b = (r.ledger.balance(account, "USD") for r in (capitalising, plain))
        assert a - b == pytest.approx(more * 3.1e6 * PER_DAY, abs=0.02)
    capital = {r["name"]: r for r in capitalising.table("valuation").to_pylist()}
    without = {r["name"]: r for r in plain.table("valuation").to_pylist()}
    assert capital == without  # values stand before financing
