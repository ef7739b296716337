"""Loans by hand: the hour of a call, what cures it, what a lender sells, maturities, interest.

Unless told otherwise a loan is 500,000 USD against 10 BTC: at 100,000 USD the LTV is 0.50, at
76,923.08 it is 0.65, at 71,428.57 0.70, at 83,333.33 0.60, at 62,500 0.80, at 55,555.56 0.90.
"""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.desk import DAY, HOUR, Desk, after, desk

MONTH = 30 * DAY
CENT_OF_BTC = 5e-7  # what rounding dollars to cents moves: 0.01 / (62,500 * 0.38), and a bit


def borrowed(opening_btc: float = 10.0, opening_usd: float = 0.0, **loan: Any) -> Desk:
    terms = {"principal_usd": 500_000.0, "collateral_btc": 10.0, "answer": "none", **loan}
    return desk(opening_btc=opening_btc, opening_usd=opening_usd, loans={"line": terms})


# Margin calls.


@given(st.floats(1e5, 1e9), st.floats(0.3, 0.55), st.floats(1e4, 2e5), st.floats(0.005, 0.05))
def test_the_call_comes_at_the_first_hour_below_the_closed_form(
    usd: float, ltv: float, price: float, fall: float
) -> None:
    loan = {"principal_usd": usd, "collateral_btc": usd / (ltv * price), "answer": "none"}
    books = desk(price, {"line": loan}, opening_btc=loan["collateral_btc"] + 1)
    path = [price * (1 - fall) ** h for h in range(1 + math.ceil(1.0 / fall))]
    debt, pledged = books.lending.debt_usd(), books.lending.collateral_btc()
    for level, kind in ((0.65, "margin warning"), (0.70, "margin call"), (0.80, "liquidation")):
        trigger = debt / (level * pledged)  # where the debt stands at the LTV
        expected = next(h for h, p in enumerate(path) if p <= trigger)
        fresh = desk(price, {"line": {**loan, "cure_h": 8760}}, opening_btc=pledged + 1)
        fresh.follow(path[: expected + 1])
        assert fresh.kinds()[-1] == (expected, kind)
        assert kind not in [k for _, k in fresh.kinds()[:-1]]


def test_warning_call_and_liquidation_have_their_prices() -> None:
    books = borrowed()
    books.follow([100_000, 76_924, 76_923, 76_000, 71_429, 71_428, 62_501, 62_500])
    expected = [(2, "margin warning"), (5, "margin call"), (7, "liquidation")]
    assert books.kinds() == expected
    assert books.lending.margin_calls == 1


def test_a_call_is_over_when_the_price_recovers_at_hour_71_not_at_73() -> None:
    """Called at hour 3: hour 74 is 71 hours later, the sale comes with the look of hour 75."""
    below = [100_000.0] * 3 + [71_000.0] * 71
    in_time = borrowed()
    in_time.follow([*below, 83_334.0, 71_500.0])
    assert in_time.kinds() == [(3, "margin call"), (74, "margin call over")]
    assert in_time.lending.collateral_btc() == 10.0
    too_late = borrowed()
    too_late.follow([*below, 83_333.0, 71_000.0, 83_334.0])  # 0.600002 is not 0.60
    assert too_late.kinds() == [(3, "margin call"), (75, "liquidation")]


def test_a_forced_sale_comes_back_to_the_cure_level_to_the_cent() -> None:
    """72 h at 71,000: x = (500,000 - 0.6 * 710,000) / (71,000 * (0.98 - 0.6)) = 2.74277242 BTC."""
    books = borrowed()
    books.follow([71_000.0] * 73)
    assert books.kinds() == [(0, "margin call"), (72, "liquidation")]
    assert books.lending.liquidated_btc == pytest.approx(2.74277242, abs=CENT_OF_BTC)
    assert books.lending.collateral_btc() == pytest.approx(7.25722758, abs=CENT_OF_BTC)
    assert books.ledger.balance("expenses:liquidation", "USD") == pytest.approx(3_894.74, abs=0.011)
    assert books.lending.debt_usd() == pytest.approx(309_157.90, abs=0.021)
    assert books.lending.ltv("line", 71_000.0) == pytest.approx(0.6, abs=1e-7)
    assert books.lending.ltv("line", 71_000.0) <= 0.6
    assert books.treasury.cash_usd == 0.0


def test_liquidation_is_at_once_without_grace() -> None:
    books = borrowed(opening_btc=30.0, opening_usd=1e6, answer="collateral")
    books.follow([100_000.0, 62_500.0])
    assert books.kinds() == [(1, "liquidation")]
    sold = (500_000 - 0.6 * 625_000) / (62_500 * 0.38)
    assert books.lending.liquidated_btc == pytest.approx(sold, abs=CENT_OF_BTC)


def test_grace_is_time_at_the_level_and_starts_anew() -> None:
    books = borrowed(grace_h=4.0)
    books.follow([62_000.0] * 4 + [62_600.0] + [62_000.0] * 4)
    assert books.kinds() == [(0, "margin call")]
    books.follow([62_000.0], first_h=9)
    assert books.kinds() == [(0, "margin call"), (9, "liquidation")]


def test_no_grace_is_left_at_the_automatic_level() -> None:
    books = borrowed(grace_h=100.0)
    books.follow([62_000.0, 60_000.0, 55_556.0])
    assert books.kinds() == [(0, "margin call")]
    books.follow([55_555.0], first_h=3)
    assert books.kinds()[-1] == (3, "liquidation")


def test_an_answer_within_the_grace_stops_the_clock() -> None:
    books = borrowed(opening_btc=10.0, grace_h=4.0, answer="collateral")
    books.follow([62_000.0] * 3)
    books.mine(2 * HOUR, 0.2, 62_000.0)
    books.follow([62_000.0, 62_000.0], first_h=3)  # 0.2 BTC more: LTV 0.79
    assert books.lending.liquidated_btc == 0.0
    books.follow([61_000.0] * 4, first_h=5)
    assert books.kinds() == [(0, "margin call")]
    books.follow([61_000.0], first_h=9)
    assert books.kinds() == [(0, "margin call"), (9, "liquidation")]


def test_what_the_collateral_does_not_pay_is_due_at_once_without_calls() -> None:
    """At 40,000 all 10 BTC bring 392,000 after the fee: 108,000 are owed against nothing."""
    books = borrowed(maturity_utc=after(10 * DAY))
    books.follow([40_000.0] * 24)
    assert books.kinds() == [(0, "liquidation"), (0, "deficiency")]
    assert books.lending.debt_usd() == 108_000.0
    assert books.lending.ltv("line", 40_000.0) == math.inf
    assert books.lending.highest_ltv(40_000.0) == 0.0
    assert books.lending.due == 108_000.0
    books.spend(9 * DAY, -8_000.0)
    books.lending.close_day(9 * DAY, 40_000.0)
    assert books.lending.due == 100_000.0
    books.mine(11 * DAY, 1.0, 40_000.0)
    books.lending.close_day(11 * DAY, 40_000.0)
    assert books.lending.due == 60_000.0


def test_slippage_adds_to_what_is_sold() -> None:
    """The fewest satoshi that come back to the cure level; one less does not."""
    terms = {"principal_usd": 5e8, "collateral_btc": 10_000.0, "answer": "none"}
    books = desk(60_000.0, {"line": terms}, opening_btc=10_000.0, impact_factor=2.0)
    books.lending.check(0, 60_000.0)
    x = books.lending.liquidated_btc
    assert x > (5e8 - 0.6 * 6e8) / (60_000 * 0.38)
    assert books.lending.ltv("line", 60_000.0) == pytest.approx(0.6, abs=1e-9)
    slippage = x * 60_000 * 2 / 3 * 2.0 * 0.0245 * (x / 30_000) ** 0.5
    assert books.ledger.balance("expenses:trading", "USD") == pytest.approx(slippage, abs=0.02)
    fee = (x * 60_000 - slippage) * 0.02
    assert books.ledger.balance("expenses:liquidation", "USD") == pytest.approx(fee, abs=0.02)


def test_a_market_too_thin_for_the_cure_level_takes_all() -> None:
    """A factor of 1: past 4,511 BTC the next one brings less than 0.6 of the price, fee paid."""
    thin = {"impact_factor": 10.0, "volatility_per_day": 0.1}
    terms = {"principal_usd": 5e8, "collateral_btc": 10_000.0, "answer": "none"}
    books = desk(60_000.0, {"line": terms}, opening_btc=10_000.0, **thin)
    books.lending.check(0, 60_000.0)
    assert books.lending.collateral_btc() == 0.0
    assert books.lending.debt_usd() > 0.0


# What the firm answers.


def test_collateral_answers_a_call() -> None:
    """500,000 / (0.6 * 71,000) = 11.73708921 BTC: 1.73708921 are pledged."""
    books = borrowed(opening_btc=12.0, answer="collateral")
    books.follow([71_000.0])
    assert books.kinds() == [(0, "margin call"), (0, "margin call met")]
    assert books.units("assets:btc-collateral:line", "BTC") == 1_173_708_921
    assert books.treasury.free_btc == 0.26291079


def test_collateral_then_cash() -> None:
    """11 BTC carry 0.6 * 781,000 = 468,600 USD: 31,400 are paid."""
    books = borrowed(opening_btc=11.0, opening_usd=40_000.0, answer="collateral")
    books.follow([71_000.0])
    assert books.kinds() == [(0, "margin call"), (0, "margin call met")]
    assert books.lending.debt_usd() == 468_600.0
    assert books.treasury.cash_usd == 8_600.0


def test_repay_then_collateral_and_cash_stays_above_zero() -> None:
    """50,000 USD are paid, the other 450,000 stand against 10.56338029 BTC."""
    books = borrowed(opening_btc=11.0, opening_usd=50_000.0, answer="repay")
    books.follow([71_000.0])
    assert books.kinds() == [(0, "margin call"), (0, "margin call met")]
    assert books.treasury.cash_usd == 0.0
    assert books.lending.debt_usd() == 450_000.0
    assert books.units("assets:btc-collateral:line", "BTC") == 1_056_338_029
    overdrawn = borrowed(opening_btc=10.0, opening_usd=-5_000.0, answer="repay")
    overdrawn.follow([71_000.0])
    assert overdrawn.treasury.cash_usd == -5_000.0


def test_an_open_call_is_met_with_what_is_mined_later() -> None:
    books = borrowed(opening_btc=10.5, answer="collateral")
    books.follow([71_000.0] * 24)
    assert books.kinds() == [(0, "margin call")]
    books.mine(DAY, 1.5, 71_000.0)
    books.follow([71_000.0], first_h=24)
    assert books.kinds() == [(0, "margin call"), (24, "margin call met")]
    assert books.lending.margin_calls == 1


def test_lenders_are_called_in_order_of_ltv_and_share_no_bitcoin() -> None:
    """At 68,000 bravo stands at 0.809, alpha at 0.735: bravo takes 3.48 of the 4 free BTC."""
    terms = {"collateral_btc": 10.0, "liquidation_ltv": 0.85}
    books = desk(
        loans={
            "alpha": {"principal_usd": 500_000.0, **terms},
            "bravo": {"principal_usd": 550_000.0, **terms},
        },
        opening_btc=24.0,
    )
    books.follow([68_000.0])
    assert books.kinds("bravo") == [(0, "margin call"), (0, "margin call met")]
    assert books.kinds("alpha") == [(0, "margin call")]
    assert [s for _, _, s, _ in books.events] == ["bravo", "bravo", "alpha"]
    assert books.units("assets:btc-collateral:bravo", "BTC") == 1_348_039_216
    assert books.units("assets:btc-collateral:alpha", "BTC") == 2_400_000_000 - 1_348_039_216
    assert books.treasury.free_btc == 0.0
    assert books.treasury.held_btc == 24.0
    assert books.lending.highest_ltv(68_000.0) == books.lending.ltv("alpha", 68_000.0)


def test_collateral_beyond_the_initial_ltv_comes_back_below_the_release_level() -> None:
    books = borrowed(release_ltv=0.4)
    books.follow([124_999.0, 125_000.0])
    assert books.kinds() == []
    books.follow([128_000.0, 130_000.0], first_h=2)
    assert books.kinds() == [(2, "collateral released")]
    assert books.treasury.free_btc == 2.1875  # 500,000 / (0.5 * 128,000) = 7.8125 stay


def test_a_warning_is_given_once_until_the_ltv_was_back() -> None:
    books = borrowed()
    books.follow([76_000, 78_000, 76_000, 84_000, 76_000])
    assert books.kinds() == [(0, "margin warning"), (4, "margin warning")]


# Interest, draws, repayments.


def test_interest_of_30_days_is_paid_to_the_cent() -> None:
    """500,000 * 10 % * 30 / 365 = 4,109.589: no day's rounding adds up."""
    books = borrowed(opening_btc=10.0, opening_usd=10_000.0, rate_per_year=0.10)
    for day in range(1, 31):
        books.lending.close_day(day * DAY, 100_000.0)
    assert books.lending.debt_usd("line") == 504_109.59
    books.lending.close_month(MONTH, 100_000.0)
    assert books.lending.debt_usd("line") == 500_000.0
    assert books.treasury.cash_usd == 5_890.41
    assert books.ledger.balance("expenses:interest", "USD") == 4_109.59


def test_free_bitcoin_pays_interest_where_cash_is_short() -> None:
    books = borrowed(opening_btc=11.0, opening_usd=1_000.0, rate_per_year=0.365)
    books.lending.close_day(10 * DAY, 100_000.0)
    books.lending.close_month(10 * DAY, 100_000.0)
    assert books.treasury.cash_usd == 0.0
    assert books.treasury.free_btc == 0.96
    assert books.kinds() == [(240, "bitcoin sold")]


def test_interest_that_cannot_be_paid_is_due() -> None:
    books = borrowed(opening_usd=1_000.0, rate_per_year=0.365)
    books.lending.close_month(10 * DAY, 100_000.0)
    assert books.kinds() == [(240, "loan in default")]
    assert books.lending.due == 4_000.0
    books.spend(11 * DAY, -5_000.0)
    books.lending.close_day(11 * DAY, 100_000.0)
    assert books.lending.due == 0.0
    assert books.treasury.cash_usd == 1_000.0
    assert books.lending.debt_usd() == 500_500.0  # the eleventh day is accrued and not yet due


def test_capitalised_interest_bears_interest() -> None:
    books = borrowed(rate_per_year=0.365, interest="capitalised")
    books.lending.close_month(10 * DAY, 100_000.0)
    books.lending.close_month(20 * DAY, 100_000.0)
    assert books.units("liabilities:loan:line", "USD") == -51_005_000
    assert books.lending.debt_usd() == 500_000 * 1.01**2


def test_the_debt_of_an_ltv_has_interest_in_it() -> None:
    books = borrowed(rate_per_year=0.365)
    books.lending.close_day(10 * DAY, 100_000.0)
    assert books.lending.ltv("line", 100_000.0) == 0.505
    books.follow([72_142.0], first_h=240)  # 500,000 alone would be at 0.693
    assert books.kinds() == [(240, "margin call")]


def test_repayment_is_interest_first_and_frees_the_collateral_at_the_end() -> None:
    books = borrowed(opening_usd=600_000.0, rate_per_year=0.365)
    assert books.lending.repay(10 * DAY, "line", 105_000.0) == 105_000.0
    assert books.ledger.balance("liabilities:interest:line", "USD") == 0.0
    assert books.lending.debt_usd() == 400_000.0
    assert books.lending.collateral_btc() == 10.0
    assert books.lending.repay(10 * DAY, "line", 450_000.0) == 400_000.0
    assert books.lending.debt_usd() == 0.0
    assert books.treasury.free_btc == 10.0
    assert books.treasury.cash_usd == 95_000.0
    assert books.kinds() == [(240, "loan repaid"), (240, "loan repaid")]
    assert books.lending.repay(11 * DAY, "line", 1.0) == 0.0


def test_interest_begins_with_the_hour_of_the_draw() -> None:
    """A loan drawn at noon owes half a day at midnight."""
    books = borrowed(start_utc=after(DAY // 2), rate_per_year=0.365)
    assert books.treasury.cash_usd == 0.0
    books.follow([100_000.0] * 25)
    assert books.treasury.cash_usd == 500_000.0
    assert books.lending.collateral_btc("line") == 10.0
    books.lending.close_day(DAY, 100_000.0)
    assert books.lending.debt_usd() == 500_250.0
    assert books.kinds() == [(12, "loan drawn")]


def test_a_later_loan_is_smaller_where_bitcoin_is_short() -> None:
    """8 BTC at 100,000 carry 400,000 at an initial LTV of 0.5."""
    books = borrowed(opening_btc=8.0, start_utc=after(HOUR))
    books.follow([100_000.0] * 3)
    assert books.lending.debt_usd() == 400_000.0
    assert books.treasury.free_btc == 0.0
    assert "bound by collateral" in books.events[0][3]


def test_a_loan_from_before_the_run_needs_its_collateral() -> None:
    with pytest.raises(ValueError, match=r"loans\.line\.collateral_btc = 10: .* has 9 BTC"):
        borrowed(opening_btc=9.0)


def test_a_line_is_drawn_up_to_its_limit_and_its_collateral() -> None:
    books = borrowed(opening_btc=13.0, limit_usd=900_000.0)
    draw = books.lending.draw
    assert draw("line", HOUR, 100_000.0, 100_000.0) == 100_000.0
    assert books.lending.collateral_btc() == 12.0
    assert draw("line", HOUR, 100_000.0, 100_000.0) == 50_000.0  # 13 BTC carry 650,000
    assert draw("line", HOUR, 100_000.0, 100_000.0) == 0.0
    assert books.lending.ltv("line", 100_000.0) == 0.5
    assert draw("line", 2 * HOUR, 400_000.0, 200_000.0) == 250_000.0  # 900,000 in all
    assert books.lending.debt_usd() == 900_000.0
    details = [detail for _, _, _, detail in books.events]
    assert [d.rpartition("bound by ")[2] for d in details] == [
        "100,000.00 USD",
        "collateral",
        "collateral",
        "limit",
    ]


def test_nothing_is_drawn_before_a_loan_starts() -> None:
    books = borrowed(opening_btc=20.0, start_utc=after(DAY), limit_usd=900_000.0)
    assert books.lending.draw("line", HOUR, 1_000.0, 100_000.0) == 0.0
    assert books.treasury.cash_usd == 0.0


# Maturities.


def test_maturity_is_paid_from_cash_then_free_bitcoin_then_collateral() -> None:
    """100,000 USD, 2 BTC, and 200,000 / (100,000 * 0.98) = 2.04081633 BTC of the collateral."""
    books = borrowed(opening_btc=12.0, opening_usd=100_000.0, maturity_utc=after(5 * HOUR))
    books.follow([100_000.0] * 7)
    assert books.kinds() == [
        (5, "bitcoin sold"),
        (5, "liquidation"),
        (5, "loan repaid"),
    ]
    assert books.lending.liquidated_btc == 2.04081633
    assert books.lending.debt_usd() == books.lending.due == 0.0
    assert books.treasury.free_btc == 7.95918367
    assert 0.0 <= books.treasury.cash_usd < 0.01


def test_default_is_told_once_and_stays_due() -> None:
    books = borrowed(maturity_utc=after(2 * HOUR), liquidation_ltv=1.0, automatic_ltv=1.4)
    books.follow([100_000.0, 100_000.0] + [40_000.0] * 4)
    assert books.kinds() == [(2, "liquidation"), (2, "loan in default")]
    assert books.lending.due == 108_000.0


FOLLOWER = {"principal_usd": 500_000.0, "answer": "none"}


def refinanced(opening_btc: float, collateral_btc: float, opening_usd: float = 0.0) -> Desk:
    old = {"maturity_utc": after(3 * HOUR), "refinance": "new", "rate_per_year": 0.365}
    books = desk(
        loans={
            "old": {"principal_usd": 500_000.0, "collateral_btc": 10.0, "answer": "none", **old},
            "new": {
                "principal_usd": 500_000.0,
                "collateral_btc": collateral_btc,
                "start_utc": after(3 * HOUR),
                "initial_ltv": 0.5,
            },
        },
        opening_btc=opening_btc,
        opening_usd=opening_usd,
    )
    books.follow([100_000.0] * 5)
    return books


def test_a_loan_is_refinanced_for_what_it_is_owed() -> None:
    """Three hours of interest are 62.50 USD: the follower lends 500,062.50 against 11 BTC."""
    books = refinanced(opening_btc=11.0, collateral_btc=11.0)
    assert books.kinds() == [(3, "loan repaid"), (3, "loan refinanced")]
    assert books.lending.debt_usd("old") == books.lending.collateral_btc("old") == 0.0
    assert books.lending.debt_usd("new") == 500_062.50
    assert books.lending.collateral_btc("new") == 11.0
    assert books.treasury.cash_usd == 0.0
    assert books.units("equity:exchange", "BTC") == 0


def test_the_rest_of_a_refinancing_comes_from_cash_and_free_bitcoin() -> None:
    """9 BTC carry 450,000; 50,062.50 more are 20,000 in cash and 0.300625 BTC."""
    books = refinanced(opening_btc=10.0, collateral_btc=9.0, opening_usd=20_000.0)
    assert books.lending.debt_usd() == 450_000.0
    assert books.treasury.free_btc == 0.699375
    assert books.treasury.cash_usd == 0.0


def test_a_refinancing_that_cannot_pay_the_old_lender_does_not_happen() -> None:
    books = refinanced(opening_btc=10.0, collateral_btc=4.0)  # 200,000 and 6 BTC would do
    assert books.lending.debt_usd("new") == 200_000.0
    terms = {"collateral_btc": 10.0, "answer": "none", "liquidation_ltv": 1.0, "automatic_ltv": 1.5}
    books = desk(
        loans={
            "old": {
                "principal_usd": 950_000.0,
                "maturity_utc": after(HOUR),
                "refinance": "new",
                **terms,
            },
            "new": {"principal_usd": 1.0, "start_utc": after(HOUR), **terms},
        },
        opening_btc=10.0,
    )
    books.follow([100_000.0, 100_000.0])
    assert books.lending.debt_usd("new") == 0.0
    assert (1, "liquidation") in books.kinds("old")
    assert books.lending.debt_usd("old") == 0.0


def test_a_trifle_is_not_called_and_calls_count_by_debt() -> None:
    """Called at the cure level: of 500,000 USD only 2,500 or more; a second loan has a third."""
    terms = {"initial_ltv": 0.5, "call_ltv": 0.7, "cure_ltv": 0.7, "answer": "none", "cure_h": 999}
    large = {**terms, "principal_usd": 500_000.0, "collateral_btc": 10.0}
    small = {**terms, "principal_usd": 250_000.0, "collateral_btc": 10.0}
    books = desk(100_000.0, {"large": large, "small": small}, opening_btc=20.0)
    books.follow([71_420.0])  # 500,000 less 0.7 * 714,200: 60 USD
    assert books.lending.margin_calls == 0
    books.follow([71_080.0], first_h=1)  # 2,440 USD
    assert books.lending.margin_calls == 0
    books.follow([71_070.0], first_h=2)  # 2,510 USD
    assert books.kinds("large")[-1] == (2, "margin call")
    assert books.lending.margin_calls == 1
    assert books.lending.calls_by_debt == pytest.approx(500 / 750)


def test_a_sale_without_a_call_counts() -> None:
    """At 50,000 the LTV of half is whole: sold at the automatic level, nobody was called."""
    books = borrowed()
    books.follow([50_000.0])
    assert (books.lending.margin_calls, books.lending.liquidations) == (0, 1)
    assert books.lending.liquidated_btc == 10.0
