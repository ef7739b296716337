"""Income tax worked by hand: losses, bases of bitcoin, depreciation apart, payments, deferral."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.finance.agreements import Payments
from sim.finance.assets import FixedAssets
from sim.finance.calendar import Calendar
from sim.finance.ledger import Ledger
from sim.finance.tax import BitcoinBasis, TaxBooks, basis_share, macrs, taxed
from sim.plant.inventory import GPU
from tests.conftest import build_scenario

DAY = 86_400
YEARS = np.cumsum([0, 365, 365, 366])  # days from 2026-01-01 to the ends of 2026, 2027, 2028
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Office:
    """A firm of three years without a fleet: its books, and its tax at a rate of a quarter."""

    ledger: Ledger
    assets: FixedAssets
    payments: Payments
    tax: TaxBooks
    calendar: Calendar
    day: int = 0

    def earn(self, usd: float) -> None:
        self.post("assets:cash", "income:inference", usd)

    def post(self, debit: str, credit: str, usd: float, commodity: str = "USD") -> None:
        self.ledger.post(self.day * DAY, debit, credit, commodity, np.array([usd]), "by hand")

    def mine(self, btc: float, usd_per_btc: float) -> None:
        self.post("assets:btc", "income:mining", btc, "BTC")
        self.post("assets:btc", "income:mining", btc * usd_per_btc)

    def sell(self, btc: float, usd_per_btc: float, cost_usd: float) -> None:
        """At a book cost, as the treasury posts it."""
        self.post("equity:exchange", "assets:btc", btc, "BTC")
        self.post("assets:cash", "assets:btc", cost_usd)
        self.post("assets:cash", "income:btc-gains", btc * usd_per_btc - cost_usd)

    def to(self, day: int) -> None:
        """Close all months up to a day."""
        while self.day < day:
            self.day += 1
            self.payments.close_day(self.day * DAY)
            if self.calendar.months_ended(self.day * DAY):
                self.assets.depreciate(self.day * DAY)
                self.tax.close_month(self.day * DAY)

    def usd(self, account: str) -> float:
        return self.ledger.balance(account, "USD")


def office(**tables: Any) -> Office:
    days = int(YEARS[-1])
    firm = {"tax_fraction": 0.25, "gpu_life_years": 4.0, **tables.pop("firm", {})}
    scenario = build_scenario(
        {
            "horizon": {"days": days, "start_utc": "2026-01-01T00:00:00Z"},
            "firm": firm,
            "treasury": {"opening_btc": 0.0, "opening_usd": 1e7},
            **tables,
        }
    )
    ledger = Ledger(["alpha", "bravo"])
    assets, payments = FixedAssets(scenario, ledger), Payments(ledger)
    calendar = Calendar(START, days * DAY)
    tax = TaxBooks(scenario, ledger, assets, payments, calendar)
    return Office(ledger, assets, payments, tax, calendar)


def buy(books: Office, usd: float) -> None:
    books.post("assets:projects", "assets:cash", usd)
    books.assets.add(books.day * DAY, GPU, 0, 0, usd)


def test_three_years_with_a_loss_by_hand() -> None:
    """1 M USD of nodes by MACRS: 20, 32 and 19.2 % of it; the loss of 2026 meets the cap in 2027.

    2026: 100,000 - 200,000 = -100,000: no tax, all is carried on.
    2027: 400,000 - 320,000 = 80,000: 64,000 of the loss count (80 %), a quarter of 16,000 is tax.
    2028: 300,000 - 192,000 = 108,000: the last 36,000 count, a quarter of 72,000 is tax.
    """
    books = office(tax={"depreciation": "macrs"})
    books.tax.open(80_000.0)
    buy(books, 1e6)
    deferred = []
    for end, usd in zip(YEARS[1:], (100_000.0, 400_000.0, 300_000.0), strict=True):
        books.earn(usd)
        books.to(int(end))
        deferred.append(-books.usd("liabilities:deferred-tax"))
    assert [y.taxable_usd for y in books.tax.years] == pytest.approx([-100e3, 80e3, 108e3])
    assert [y.used_usd for y in books.tax.years] == pytest.approx([0.0, 64e3, 36e3])
    assert [y.tax_usd for y in books.tax.years] == pytest.approx([0.0, 4_000.0, 18_000.0])
    assert [y.left_usd for y in books.tax.years] == pytest.approx([100e3, 36e3, 0.0])
    assert books.usd("expenses:tax") == pytest.approx(22_000.0, abs=0.02)
    # 2027: books 1 M * (1 - 730 / 1461), tax 480,000; of the loss that is left 80 % of the rest.
    apart = 1e6 * (1 - 730 / 1461) - 480e3
    assert deferred[1] == pytest.approx(0.25 * 0.2 * apart, abs=0.02)
    assert deferred[2] == 0.0  # tax has deducted less than the books: no asset is recognised
    assert books.usd("expenses:deferred-tax") == -books.usd("liabilities:deferred-tax")


def test_all_tax_together_is_the_rate_on_book_income() -> None:
    """Nothing is lost: what is not taxed now is deferred, whatever depreciation tax allows."""
    books = office(tax={"depreciation": "macrs", "bonus_fraction": 0.4})
    books.tax.open(80_000.0)
    buy(books, 1e6)
    for end in YEARS[1:]:
        books.earn(900_000.0)
        books.to(int(end))
    income = 3 * 900_000.0 - books.usd("expenses:depreciation")
    taxes = books.usd("expenses:tax") + books.usd("expenses:deferred-tax")
    assert taxes == pytest.approx(0.25 * income, abs=0.05)
    assert books.usd("expenses:tax") < 0.25 * income  # 40 % in the first year, and more early


def test_a_bonus_is_deducted_in_the_first_year() -> None:
    """40 % at once, the rest by the table: 400,000 + 0.2 * 600,000."""
    books = office(tax={"depreciation": "macrs", "bonus_fraction": 0.4})
    books.tax.open(80_000.0)
    buy(books, 1e6)
    books.earn(600_000.0)
    books.to(int(YEARS[1]))
    assert books.tax.years[0].taxable_usd == pytest.approx(600e3 - 520e3)


def test_straight_line_is_that_of_the_books() -> None:
    books = office()
    books.tax.open(80_000.0)
    buy(books, 1e6)
    books.earn(600_000.0)
    books.to(int(YEARS[1]))
    earned = 600e3 - books.usd("expenses:depreciation")
    assert books.tax.years[0].taxable_usd == pytest.approx(earned, abs=0.02)
    assert books.usd("liabilities:deferred-tax") == pytest.approx(0.0, abs=0.011)


@pytest.mark.parametrize(
    ("rule", "gain_usd"), [("fifo", 4 * 90e3 - 200e3), ("highest-cost-first", 4 * 90e3 - 220e3)]
)
def test_bitcoin_is_taxed_when_it_is_mined_and_sold_by_the_basis_of_what_is_sold(
    rule: str, gain_usd: float
) -> None:
    """10 BTC that cost 50,000 each, one mined at 70,000; four are sold at 90,000 a year later."""
    treasury = {"opening_btc": 10, "opening_usd_per_btc": 50_000, "opening_usd": 0}
    books = office(tax={"basis": rule}, treasury=treasury)
    books.post("assets:btc", "equity:opening", 10.0, "BTC")
    books.post("assets:btc", "equity:opening", 500_000.0)
    books.tax.open(80_000.0)
    books.mine(1.0, 70_000.0)
    books.post("assets:btc-revaluation", "income:btc-revaluation", 310_000.0)  # to 80,000 each
    books.to(int(YEARS[1]))
    assert books.tax.years[0].taxable_usd == pytest.approx(70_000.0)  # not what is only held
    assert -books.usd("liabilities:deferred-tax") == pytest.approx(0.25 * 310_000.0)
    books.sell(4.0, 90_000.0, cost_usd=4 * 570_000.0 / 11)
    books.to(int(YEARS[2]))
    assert books.tax.years[1].taxable_usd == pytest.approx(gain_usd, abs=0.02)
    assert books.tax.bitcoin.usd == pytest.approx(570_000.0 - (360e3 - gain_usd))


def test_tax_is_paid_after_each_quarter_and_what_was_paid_in_excess_is_kept() -> None:
    """90,000 USD in the first quarter, a loss of 40,000 in the second, nothing more."""
    books = office()
    books.tax.open(80_000.0)
    books.earn(90_000.0)
    books.to(90)  # 31 March
    assert -books.usd("liabilities:tax") == pytest.approx(22_500.0)
    books.to(104)
    assert -books.usd("liabilities:tax") == pytest.approx(22_500.0)
    books.to(105)  # 15 days later
    assert books.usd("liabilities:tax") == pytest.approx(0.0)
    books.post("expenses:power", "assets:cash", 40_000.0)
    books.to(int(YEARS[1]))
    assert books.usd("liabilities:tax") == pytest.approx(10_000.0)  # paid ahead
    assert books.usd("expenses:tax") == pytest.approx(0.25 * 50_000.0)
    books.earn(100_000.0)
    books.to(365 + 90 + 15)
    paid = 1e7 + 90_000.0 - 40_000.0 + 100_000.0 - (1e7 + books.usd("assets:cash"))
    assert paid == pytest.approx(22_500.0 + 25_000.0 - 10_000.0, abs=0.02)


def test_losses_of_before_the_run_count() -> None:
    books = office(tax={"opening_loss_usd": 1_000_000.0, "loss_cap_fraction": 0.5})
    books.tax.open(80_000.0)
    books.earn(100_000.0)
    books.to(int(YEARS[1]))
    assert books.tax.years[0].tax_usd == pytest.approx(0.25 * 50_000.0)
    assert books.tax.years[0].left_usd == pytest.approx(950_000.0)


def test_machines_that_burn_are_deducted_with_what_tax_had_left_of_them() -> None:
    """Half of the nodes in June: their basis then, not their book value."""
    from sim.plant.inventory import Change

    books = office(tax={"depreciation": "macrs"})
    books.tax.open(80_000.0)
    buy(books, 1e6)
    books.to(181)
    books.assets.lose(181 * DAY, Change(GPU, 0, 4, 2, ()), "fire")
    books.to(int(YEARS[1]))
    kept = 500_000.0 * 0.8
    assert books.tax.years[0].taxable_usd == pytest.approx(-(1e6 - kept))


def test_the_tables_of_the_publication() -> None:
    assert macrs(5) == pytest.approx((0.2, 0.32, 0.192, 0.1152, 0.1152, 0.0576))
    for years in (5, 15):
        assert sum(macrs(years)) == pytest.approx(1.0)
        assert len(macrs(years)) == years + 1


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2026, 12, 31)),
    st.floats(0.0, 9000.0),
    st.floats(0.0, 2000.0),
    st.floats(0.0, 1.0),
)
def test_a_basis_only_falls_from_the_price_to_nothing(
    placed: datetime, days: float, more: float, bonus: float
) -> None:
    from datetime import timedelta

    placed = placed.replace(tzinfo=UTC)
    now, later = placed + timedelta(days=days), placed + timedelta(days=days + more)
    left = basis_share(placed, now, 5, bonus)
    assert 0.0 <= basis_share(placed, later, 5, bonus) <= left + 1e-12 <= 1.0 + 1e-12
    assert basis_share(placed, placed, 5, bonus) == 1.0
    assert basis_share(placed, placed + timedelta(days=7 * 366), 5, bonus) == pytest.approx(
        0.0, abs=1e-9
    )


purchases = st.lists(st.tuples(st.integers(1, 10**9), st.floats(1.0, 1e6)), min_size=1, max_size=12)


@given(purchases, st.lists(st.floats(0.0, 1.0), max_size=6), st.sampled_from(["fifo", "high"]))
def test_what_is_relieved_and_what_is_left_are_what_was_paid(
    bought: list[tuple[int, float]], sales: list[float], rule: str
) -> None:
    """Against a twin that takes satoshi by satoshi's price from a sorted list."""
    basis, twin = BitcoinBasis(rule), []
    for units, usd in bought:
        basis.receive(units, usd)
        twin.append([units, usd / units])
    if rule != "fifo":
        twin.sort(key=lambda lot: -lot[1])
    held = sum(units for units, _ in bought)
    for share in sales:
        units = int(held * share)
        left, expected = float(units), 0.0
        for lot in twin:
            part = min(left, lot[0])
            expected, left, lot[0] = expected + part * lot[1], left - part, lot[0] - part
        assert basis.relieve(units) == pytest.approx(expected, rel=1e-6, abs=1e-6)
        held -= units
    assert basis.usd == pytest.approx(sum(n * price for n, price in twin), rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), st.floats(0.0, 1.0))
def test_losses_are_used_once_and_never_beyond_the_cap(incomes: list[float], cap: float) -> None:
    losses = used = 0.0
    for income in incomes:
        year = taxed(income, losses, 0.21, cap)
        assert 0.0 <= year.used_usd <= cap * max(income, 0.0) + 1e-9
        assert year.tax_usd == pytest.approx(0.21 * (max(income, 0.0) - year.used_usd))
        losses, used = year.left_usd, used + year.used_usd
    assert used + losses == pytest.approx(sum(max(-x, 0.0) for x in incomes), abs=1e-3)
