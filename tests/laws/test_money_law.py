"""Law 3, money: no bitcoin and no cent appears, vanishes or is used twice.

Random histories of receipts, bills, sales, draws, repayments, prices, calls and liquidations.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.builders.desk import DAY, HOUR, Desk, after, desk

NAMES = ("alpha", "bravo", "charlie")
PRICE = 100_000.0

steps = st.one_of(
    st.tuples(st.just("mine"), st.floats(0.01, 5.0)),
    st.tuples(st.just("spend"), st.floats(1.0, 500_000.0)),
    st.tuples(st.just("sell"), st.floats(0.0, 1.0)),
    st.tuples(st.just("cash"), st.floats(1.0, 2_000_000.0)),
    st.tuples(st.just("draw"), st.sampled_from(NAMES)),
    st.tuples(st.just("repay"), st.sampled_from(NAMES)),
    st.tuples(st.just("price"), st.floats(-0.25, 0.2)),
    st.tuples(st.just("hours"), st.integers(1, 30)),
    st.tuples(st.just("month"), st.none()),
)

firms = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["hold", "sell-all", "sell-to-cover", "target-reserve"]),
        "opening_btc": st.floats(20.0, 40.0),
        "opening_usd": st.floats(-1_000.0, 500_000.0),
        "opening_usd_per_btc": st.sampled_from([None, 0.0, 31_415.93]),
        "cash_floor_usd": st.sampled_from([0.0, 50_000.0]),
        "reserve_btc": st.sampled_from([0.0, 3.3]),
        "fee_fraction": st.sampled_from([0.0, 0.001]),
        "impact_factor": st.sampled_from([0.0, 0.9]),
        "volume_btc_per_day": st.sampled_from([100.0, 30_000.0]),
    }
)

terms = st.fixed_dictionaries(
    {
        "principal_usd": st.floats(100_000.0, 450_000.0),
        "collateral_btc": st.floats(5.0, 9.5),
        "rate_per_year": st.sampled_from([0.0, 0.095, 0.9]),
        "interest": st.sampled_from(["monthly", "capitalised"]),
        "answer": st.sampled_from(["collateral", "repay", "none"]),
        "cure_h": st.sampled_from([0.0, 6.0, 72.0]),
        "grace_h": st.sampled_from([0.0, 5.0]),
        "release_ltv": st.sampled_from([None, 0.4]),
    }
)


def firm(spec: dict[str, Any], loans: tuple[dict[str, Any], ...]) -> Desk:
    """Three loans: outstanding, outstanding and refinanced by charlie at hour 40, charlie."""
    alpha, bravo, charlie = ({**loan, "limit_usd": 800_000.0} for loan in loans)
    mature = {"maturity_utc": after(40 * HOUR), "refinance": "charlie"}
    follow = {"start_utc": after(40 * HOUR), "maturity_utc": after(200 * HOUR)}
    sales = [
        {"start_utc": after(DAY), "btc": 7.0, "days": 3, "repays": "alpha"},
        {"start_utc": after(2 * DAY), "usd": 90_000.0, "days": 2},
    ]
    loans_ = {"alpha": alpha, "bravo": {**bravo, **mature}, "charlie": {**charlie, **follow}}
    return desk(PRICE, loans_, sales=sales, **spec)


class History:
    """Plays the steps of a history and looks at the books after each."""

    def __init__(self, books: Desk) -> None:
        self.books = books
        self.hour = 0
        self.price = PRICE
        self.sold = 0

    @property
    def t_s(self) -> int:
        return self.hour * HOUR

    def play(self, kind: str, value: Any) -> None:
        books, t_s, price = self.books, self.t_s, self.price
        if kind == "mine":
            books.mine(t_s, value, price, fee=0.004)
        elif kind == "spend":
            books.spend(t_s, value)
        elif kind == "sell":
            books.treasury.sell(t_s, value * books.treasury.free_btc, price, "sale")
        elif kind == "cash":
            books.treasury.raise_cash(t_s, value, price, "a bill")
        elif kind == "draw":
            drawn_usd = books.lending.draw(value, t_s, 150_000.0, price)
            if drawn_usd:
                assert books.lending.ltv(value, price) <= 0.5 + 1e-9
        elif kind == "repay":
            offered_usd = max(books.treasury.cash_usd, 0.0) / 2
            before_usd = books.treasury.cash_usd
            paid_usd = books.lending.repay(t_s, value, offered_usd)
            assert paid_usd <= offered_usd + 0.005
            assert abs(before_usd - books.treasury.cash_usd - paid_usd) < 0.001
        elif kind == "price":
            self.price *= 1.0 + value
        elif kind == "month":
            books.lending.close_month(t_s, price)
        else:
            self.pass_hours(value)
        self.look()

    def pass_hours(self, hours: int) -> None:
        for _ in range(hours):
            self.hour += 1
            self.books.lending.check(self.t_s, self.price)
            if self.hour % 24 == 0:
                self.books.lending.close_day(self.t_s, self.price)
                self.books.treasury.close_day(self.t_s, self.price, self.books.lending.repay)
                short = self.books.treasury.cash_usd < 0.0
                assert not short or self.books.treasury.free_btc == 0.0

    def look(self) -> None:
        books, units = self.books, self.books.units
        free = units("assets:btc", "BTC")
        pledged = [units(f"assets:btc-collateral:{name}", "BTC") for name in NAMES]
        sold = units("equity:exchange", "BTC")
        assert free >= 0
        assert min(pledged) >= 0
        assert sold >= self.sold
        self.sold = sold
        came = -units("equity:opening", "BTC") - units("income:mining", "BTC")
        assert came - units("expenses:pool-fees", "BTC") - sold == free + sum(pledged)
        assert books.treasury.held_satoshi() == free + sum(pledged)
        cost = units("assets:btc", "USD")
        assert cost >= 0
        if free + sum(pledged) == 0:
            assert cost == 0
        for name in NAMES:
            assert units(f"liabilities:loan:{name}", "USD") <= 0
            assert units(f"liabilities:interest:{name}", "USD") <= 0
        assert 0.0 <= books.lending.due <= books.lending.debt_usd()
        books.treasury.revalue(self.t_s, self.price)
        market = round((free + sum(pledged)) * self.price / 1e6)
        assert abs(cost + units("assets:btc-revaluation", "USD") - market) <= 1


@given(firms, st.tuples(terms, terms, terms), st.lists(steps, min_size=5, max_size=40))
def test_law_3_no_bitcoin_is_used_twice_and_no_cent_is_lost(
    spec: dict[str, Any], loans: tuple[dict[str, Any], ...], story: list[tuple[str, Any]]
) -> None:
    books = firm(spec, loans)
    history = History(books)
    for kind, value in story:
        history.play(kind, value)
    history.pass_hours(48)
    history.look()
    sums: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    liquidated = Decimal(0)
    for row in books.ledger.table().to_pylist():
        sums[row["transaction"], row["commodity"]] += row["amount"]
        if row["memo"].startswith("liquidation") and row["account"] == "equity:exchange":
            liquidated += row["amount"]
    assert set(sums.values()) <= {Decimal(0)}
    assert round(books.lending.liquidated_btc * 1e8) == int(liquidated * 10**8)
    balance: dict[str, int] = defaultdict(int)
    for (_, commodity), units in books.ledger.balances().items():
        balance[commodity] += units
    assert dict(balance) == {"USD": 0, "BTC": 0}


@given(firms, st.tuples(terms, terms, terms))
def test_law_3_of_a_crash_and_a_winding_up(
    spec: dict[str, Any], loans: tuple[dict[str, Any], ...]
) -> None:
    """The price falls by half over two days, then everything is sold and repaid."""
    books = firm(spec, loans)
    history = History(books)
    for _ in range(48):
        history.play("price", -0.0145)
        history.play("hours", 1)
    for name in NAMES:
        books.lending.repay(history.t_s, name, 1e9)
        assert books.lending.debt_usd(name) == 0.0
        assert books.lending.collateral_btc(name) == 0.0
    history.play("sell", 1.0)
    assert books.treasury.held_btc == 0.0
    assert books.treasury.cost_usd == 0.0
