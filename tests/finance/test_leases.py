"""A lease by hand: a right of use and what is owed for it, or a financing."""

import pytest

from sim.finance.statements import sheet_of
from tests.builders.firms import MONTH, S21, firm
from tests.conftest import Build

OLD = [{**S21, "owner": "leased"}]
RENTED = {
    "name": "old", "site": "alpha", "model": "Antminer S21", "machines": 100,
    "usd_per_machine_month": 50,
}  # fmt: skip
HORIZON = MONTH["horizon"]


def test_rents_to_come_are_owed_against_the_right_of_use(build: Build) -> None:
    """24 rents of 5,000 from the start, at 12 % a year; after January 23 are left."""
    lease = {**RENTED, "end_utc": "2028-01-01T00:00:00Z"}
    result = firm(build, {"firm": {"borrowing_rate_per_year": 0.12}}, asics=OLD, leases=[lease])
    ends = [59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]  # days of 2026 from February on
    ends += [365 + d for d in (31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)]
    owed_usd = sum(5_000 * 1.12 ** (-(day - 31) / 365.25) for day in ends)
    sheet = sheet_of(result.table("statements"), "balance")
    assert sheet["leases"] == pytest.approx([owed_usd], abs=0.02)
    assert sheet["rights of use"] == pytest.approx([owed_usd], abs=0.02)
    assert result.kpis["rent_usd"] == 5_000.0
    assert result.kpis["leases_usd"] == pytest.approx(owed_usd, abs=0.02)
    assets_usd = sheet["total assets"][0]
    assert result.kpis["leverage_pct"] == pytest.approx(100 * owed_usd / assets_usd, abs=1e-4)


def test_a_short_lease_and_one_without_an_end_stay_off_the_sheet(build: Build) -> None:
    for end in ({"end_utc": "2026-12-31T00:00:00Z"}, {}):
        result = firm(build, {}, asics=OLD, leases=[{**RENTED, **end}])
        assert result.kpis["leases_usd"] is None


def test_a_sale_that_fails_is_a_loan(build: Build) -> None:
    """100 machines for 100,000 USD and 24 rents of 5,000: they are worth more than 90 % of it.

    The machines stay in the books, nothing is gained; at the rate that makes the rents worth
    100,000 the first of them is interest by a part, and the rest is repaid.
    """
    lease = {
        **RENTED, "sale_usd_per_machine": 1_000, "start_utc": "2026-01-01T00:00:00Z",
        "end_utc": "2028-01-01T00:00:00Z",
    }  # fmt: skip
    tables = {"firm": {"asic_usd_per_th": 10}}
    result = firm(build, tables, asics=OLD, leases=[lease])
    days = [31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]
    ends = days + [365 + d for d in days]

    def worth(rate: float) -> float:
        return sum(5_000 * (1 + rate) ** (-d / 365.25) for d in ends)

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if worth(middle) > 100_000 else (low, middle)
    interest_usd = 100_000 * ((1 + low) ** (31 / 365.25) - 1)
    statements = result.table("statements")
    owed = sheet_of(statements, "balance")["leases as financing"]
    assert owed == pytest.approx([100_000 + interest_usd - 5_000], abs=0.02)
    income = sheet_of(statements, "income")
    assert income["interest"] == pytest.approx([-interest_usd], abs=0.02)
    assert not {"rent", "machine sales"} & set(income)
    book_usd = 200_000 * (1 - 31 / (3 * 365.25))
    assert sheet_of(statements, "balance")["ASICs"] == pytest.approx([book_usd], abs=0.03)
    cash = sheet_of(statements, "cash flow")
    assert cash["financing: leases as financing"] == pytest.approx([95_000], abs=0.02)


def test_a_sale_that_succeeds_leaves_the_books(build: Build) -> None:
    """13 months of three years, and rents worth a third of the price."""
    lease = {
        **RENTED, "sale_usd_per_machine": 1_900, "start_utc": "2026-01-01T00:00:00Z",
        "end_utc": "2027-02-01T00:00:00Z",
    }  # fmt: skip
    result = firm(build, {"firm": {"asic_usd_per_th": 10}}, asics=OLD, leases=[lease])
    sheet = sheet_of(result.table("statements"), "balance")
    assert "ASICs" not in sheet
    assert "leases as financing" not in sheet
    assert sheet["leases"] == sheet["rights of use"] > 0.0
    assert HORIZON["days"] == 31
