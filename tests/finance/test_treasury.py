"""Bitcoin kept and sold: costs of a sale, average cost, the rules of the day's close."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.finance.ledger import Entry
from sim.finance.treasury import Impact, least
from tests.builders.desk import DAY, Desk, after, desk

IMPACT = {
    "fee_fraction": 0.001,
    "impact_factor": 0.9,
    "volatility_per_day": 0.0245,
    "volume_btc_per_day": 30_000.0,
}


def close(books: Desk, day: int, usd_per_btc: float = 100_000.0) -> None:
    books.treasury.close_day(day * DAY, usd_per_btc, books.lending.repay)


def test_a_sale_of_4451_btc_on_one_day_costs_what_the_formula_says() -> None:
    """0.9 * 0.0245 * sqrt(4451 / 30000) = 0.849 % at the end, two thirds of it on average."""
    books = desk(opening_btc=4451.0, **IMPACT)
    gross = 4451 * 68_523.93
    slippage = gross * 2 / 3 * 0.9 * 0.0245 * (4451 / 30_000) ** 0.5
    quote = books.treasury.quote(4451.0, 68_523.93)
    assert quote.gross_usd == pytest.approx(gross, abs=0.01)
    assert quote.slippage_usd == pytest.approx(slippage, abs=0.02)
    assert quote.slippage_usd / quote.gross_usd == pytest.approx(0.00566, abs=1e-5)
    assert quote.fee_usd == pytest.approx((gross - slippage) * 0.001, abs=0.02)
    assert books.treasury.sell(0, 4451.0, 68_523.93, "sale") == quote.net_usd
    assert books.treasury.cash_usd == quote.net_usd
    trading = books.ledger.balance("expenses:trading", "USD")
    assert trading == pytest.approx(quote.slippage_usd + quote.fee_usd, abs=0.001)


@given(st.lists(st.floats(0.001, 400.0), min_size=1, max_size=12))
def test_slices_of_a_day_cost_what_one_sale_of_the_total_costs(slices: list[float]) -> None:
    whole, sliced = desk(opening_btc=5000.0, **IMPACT), desk(opening_btc=5000.0, **IMPACT)
    for btc in slices:
        sliced.treasury.sell(3600, btc, 90_000.0, "slice")
    sold = 5000.0 - sliced.treasury.free_btc
    whole.treasury.sell(3600, sold, 90_000.0, "sale")
    assert sliced.treasury.cash_usd == pytest.approx(
        whole.treasury.cash_usd, abs=0.02 * len(slices)
    )


def test_a_new_day_begins_on_a_new_curve() -> None:
    books = desk(opening_btc=200.0, **IMPACT)
    first = books.treasury.sell(3600, 100.0, 90_000.0, "sale")
    assert books.treasury.quote(100.0, 90_000.0).net_usd < first
    close(books, 1)
    assert books.treasury.sell(DAY + 3600, 100.0, 90_000.0, "sale") == first


def test_impact_takes_all_of_the_price_at_most() -> None:
    """With a factor of 10 the price is gone after a hundredth of the volume."""
    impact = Impact(10.0, 10_000.0)
    assert impact.volume_at(1.0) == pytest.approx(100.0)
    assert impact.slippage_btc(100.0) == pytest.approx(200 / 3)
    assert impact.slippage_btc(150.0) == pytest.approx(200 / 3 + 50)
    books = desk(opening_btc=150.0, impact_factor=10.0, volatility_per_day=1.0)
    assert books.treasury.quote(150.0, 1000.0).net_usd >= 0.0


def test_average_cost_by_hand() -> None:
    """2 BTC at 50,000 and 1 BTC mined at 80,000 cost 60,000 each."""
    books = desk(50_000.0, opening_btc=2.0, opening_usd=7.0)
    books.mine(DAY, 1.0, 80_000.0)
    assert books.treasury.cost_usd == 180_000.0
    assert books.treasury.sell(DAY, 1.5, 100_000.0, "sale") == 150_000.0
    assert books.treasury.cost_usd == 90_000.0
    assert books.ledger.balance("income:btc-gains", "USD") == -60_000.0
    books.treasury.sell(DAY, 1.5, 40_000.0, "at a loss")
    assert books.treasury.cost_usd == 0.0
    assert books.ledger.balance("income:btc-gains", "USD") == -30_000.0
    assert books.treasury.cash_usd == 210_007.0
    assert books.ledger.balance("equity:exchange", "BTC") == 3.0


def test_what_is_pledged_shares_in_the_average_cost() -> None:
    """4 BTC at 50,000, 3 of them pledged: half of the free one takes an eighth of the cost."""
    loans = {"line": {"principal_usd": 1.0, "collateral_btc": 3.0}}
    books = desk(50_000.0, loans, opening_btc=4.0)
    books.treasury.sell(DAY, 0.5, 80_000.0, "sale")
    assert books.treasury.cost_usd == 175_000.0
    assert books.ledger.balance("income:btc-gains", "USD") == -15_000.0


def test_books_begin_at_fair_value_and_cost_is_for_the_tax() -> None:
    """1,000 BTC at 80,000 that cost 20,000: 80 million of equity, and no income of the run."""
    books = desk(80_000.0, opening_btc=1000.0, opening_usd_per_btc=20_000.0)
    assert books.treasury.cost_usd == 80e6
    assert books.ledger.balance("equity:opening", "USD") == -80e6
    books.treasury.revalue(DAY, 80_000.0)
    assert books.treasury.sell(DAY, 500.0, 80_000.0, "sale") == 40e6
    gains = [books.ledger.balance(f"income:btc-{k}", "USD") for k in ("gains", "revaluation")]
    assert gains == [0.0, 0.0]


def test_more_than_an_account_holds_is_an_error() -> None:
    books = desk(opening_btc=1.0)
    with pytest.raises(ValueError, match=r"1\.00000001 BTC of assets:btc: 1\.00000000 are held"):
        books.treasury.sell(0, 1.00000001, 90_000.0, "sale")
    with pytest.raises(ValueError, match="cannot sell -1"):
        books.treasury.sell(0, -1.0, 90_000.0, "sale")


@given(st.floats(0.01, 150_000_000.0), st.floats(15_000.0, 150_000.0))
def test_cash_is_raised_with_the_fewest_satoshi(usd: float, price: float) -> None:
    books = desk(opening_btc=3000.0, **IMPACT)
    before = books.treasury.free_btc
    worth = books.treasury.quote(before, price).net_usd
    proceeds = books.treasury.raise_cash(0, usd, price, "a bill")
    sold = before - books.treasury.free_btc
    if worth < usd:
        assert (books.treasury.free_btc, proceeds) == (0.0, worth)
        return
    assert proceeds >= usd - 1e-5
    one_less = desk(opening_btc=3000.0, **IMPACT).treasury.quote(sold - 1e-8, price)
    assert one_less.net_usd < usd
    assert [k for _, k in books.kinds()] == ["bitcoin sold"]


def test_a_transaction_of_the_fleet_sums_to_zero_or_is_an_error() -> None:
    books = desk(opening_btc=1.0)
    rows = books.ledger.table().num_rows
    with pytest.raises(ValueError, match="BTC of the transaction sum to 2, not to 0"):
        books.ledger.record(0, [Entry("a", "BTC", 5), Entry("b", "BTC", -3)], "lost")
    books.ledger.record(0, [Entry("a", "BTC", 0), Entry("b", "USD", 0)], "nothing")
    assert books.ledger.table().num_rows == rows


def test_nothing_is_sold_for_nothing() -> None:
    books = desk(opening_btc=1.0)
    assert books.treasury.raise_cash(0, -5.0, 90_000.0, "nothing") == 0.0
    assert desk().treasury.raise_cash(0, 5.0, 90_000.0, "no bitcoin") == 0.0
    assert books.events == []


RULES: list[tuple[dict[str, Any], float, float]] = [
    # the rule; free bitcoin and cash after a day with 0.2 BTC mined and 15,000 USD spent at 100,000
    ({"model": "hold"}, 10.2, 5_000.0),
    ({"model": "sell-all"}, 10.0, 25_000.0),
    ({"model": "sell-to-cover"}, 10.2, 5_000.0),
    ({"model": "sell-to-cover", "cash_floor_usd": 8_000.0}, 10.17, 8_000.0),
    ({"model": "target-reserve", "reserve_btc": 9.0}, 9.0, 125_000.0),
    ({"model": "target-reserve", "reserve_btc": 50.0}, 10.2, 5_000.0),
    ({"model": "target-reserve", "reserve_btc": 50.0, "cash_floor_usd": 9e3}, 10.16, 9_000.0),
    ({"model": "hold", "opening_usd": 5_000.0}, 10.1, 0.0),  # forced: cash would be -10,000
]


@pytest.mark.parametrize(("rule", "btc", "usd"), RULES)
def test_the_rule_of_the_day(rule: dict[str, Any], btc: float, usd: float) -> None:
    books = desk(**{"opening_btc": 10.0, "opening_usd": 20_000.0, **rule})
    books.mine(DAY, 0.2, 100_000.0)
    books.spend(DAY, 15_000.0)
    close(books, 1)
    assert books.treasury.free_btc == btc
    assert books.treasury.cash_usd == usd
    forced = [(24, "bitcoin sold")] if rule.get("opening_usd") else []
    assert books.kinds() == forced  # what the rule sells from day to day is no event


def test_sell_all_sells_net_payouts_and_makes_up_for_a_day_of_fees() -> None:
    books = desk(model="sell-all", opening_btc=1.0)
    books.mine(DAY, 0.5, 100_000.0, fee=0.02)
    close(books, 1)
    assert books.treasury.free_btc == 1.0
    assert books.treasury.cash_usd == 49_000.0
    books.mine(2 * DAY, 0.1, 100_000.0, fee=2.0)  # a pool that takes more than it pays
    close(books, 2)
    assert books.treasury.free_btc == 0.9
    books.mine(3 * DAY, 0.3, 100_000.0)
    close(books, 3)
    assert books.treasury.free_btc == 1.0
    assert books.treasury.cash_usd == 69_000.0


def test_planned_sales_are_spread_over_their_days_to_the_satoshi() -> None:
    sale = {"start_utc": after(DAY), "btc": 1.0, "days": 3}
    books = desk(opening_btc=2.0, sales=[sale])
    left = []
    for day in range(1, 7):
        close(books, day)
        left.append(books.units("assets:btc", "BTC"))
    assert left == [200_000_000, 166_666_667, 133_333_334, 100_000_000, 100_000_000, 100_000_000]
    assert books.kinds() == [(48, "bitcoin sold"), (72, "bitcoin sold"), (96, "bitcoin sold")]


def test_a_planned_sale_in_dollars_is_what_arrives() -> None:
    sale = {"start_utc": after(0), "usd": 1_000_000.0}
    books = desk(opening_btc=20.0, sales=[sale], **IMPACT)
    close(books, 1)
    assert books.treasury.cash_usd == pytest.approx(1_000_000.0, abs=0.011)
    assert books.treasury.free_btc < 10.0 - 0.01  # costs are on top


def test_a_realised_price_has_its_costs_in_it() -> None:
    sale = {"start_utc": after(0), "btc": 4.0, "usd_per_btc": 68_500.0}
    books = desk(opening_btc=20.0, sales=[sale], **IMPACT)
    close(books, 1)
    assert books.treasury.cash_usd == 274_000.0
    assert books.ledger.balance("expenses:trading", "USD") == 0.0
    dollars = {"start_utc": after(0), "usd": 137_000.0, "usd_per_btc": 68_500.0}
    books = desk(opening_btc=20.0, sales=[dollars], **IMPACT)
    close(books, 1)
    assert books.treasury.free_btc == 18.0
    assert books.treasury.cash_usd == 137_000.0


def test_a_planned_sale_takes_what_is_there_and_says_so() -> None:
    books = desk(opening_btc=3.0, sales=[{"start_utc": after(0), "btc": 4.0}])
    close(books, 1)
    assert books.treasury.free_btc == 0.0
    assert "less than planned" in books.events[0][3]


def test_a_planned_sale_repays_a_loan_out_of_its_collateral() -> None:
    """6 BTC: 2 free, then 4 of the collateral; 600,000 repay 500,000, the rest is cash."""
    books = desk(
        opening_btc=12.0,
        sales=[{"start_utc": after(0), "btc": 6.0, "repays": "line"}],
        loans={"line": {"principal_usd": 500_000.0, "collateral_btc": 10.0}},
    )
    close(books, 1)
    assert books.lending.debt_usd() == 0.0
    assert books.treasury.cash_usd == 100_000.0
    assert books.treasury.free_btc == 6.0
    assert books.kinds("line") == [(24, "loan repaid")]


def test_revaluation_brings_all_bitcoin_to_market() -> None:
    loans = {"line": {"principal_usd": 1.0, "collateral_btc": 1.0}}
    books = desk(60_000.0, opening_btc=4.0, loans=loans)
    for price in (100_000.0, 45_000.0, 60_000.0):
        books.treasury.revalue(DAY, price)
        change = books.ledger.balance("assets:btc-revaluation", "USD")
        assert books.treasury.cost_usd + change == 4 * price
        assert books.ledger.balance("income:btc-revaluation", "USD") == -change


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_least_that_is_enough_is_found_from_any_guess(
    answer: int, most: int, guess: int
) -> None:
    assert least(lambda x: x >= answer, most, guess) == min(answer, most)
