"""Figures of the firm: what it holds and owes, what it earned, whether it survived."""

import math
from typing import Final

from sim.finance.chart import Account
from sim.finance.statements import balance_sheet
from sim.finance.tax import TAXES
from sim.results.kpi import FIRM, Totals, kpi, some
from sim.units import SECONDS_PER_DAY

RUNWAY_DAYS: Final = 90  # over which a firm's use of cash is measured
USED_FROM: Final = 1.0  # USD a day: less than that is no use of cash


@kpi("USD", FIRM)
def equity_usd(t: Totals) -> float:
    """What the firm owns less what it owes, bitcoin at market, machines at book value.

    Of a firm that has failed: what its estate leaves to the owners.
    """
    return t.recorder.last_fleet("equity_usd")


@kpi("USD", FIRM)
def net_income_usd(t: Totals) -> float:
    """Income less expenses, bitcoin revalued to the market of the last month end."""
    return t.firm.earned_usd(after_tax=True)


@kpi("USD", FIRM)
def debt_usd(t: Totals) -> float:
    """Loans and the interest accrued on them at the end."""
    return t.recorder.last_fleet("debt_usd")


@kpi("USD", FIRM)
def leases_usd(t: Totals) -> float:
    """What is owed on leases at the end: rents to come, discounted, and financings."""
    return some(
        -sum(t.firm.ledger.balance(a, "USD") for a in (Account.LEASES, Account.LEASE_FINANCING))
    )


@kpi("%", FIRM)
def leverage_pct(t: Totals) -> float:
    """Loans, their interest and what is owed on leases at the end, of all assets.

    None without assets. Bitcoin as of the last month end.
    """
    sheet = balance_sheet(t.firm.ledger)
    assets = sheet.equity_usd + sheet.debt_usd + sheet.other_liabilities_usd
    owed = sheet.debt_usd - sum(
        t.firm.ledger.balance(a, "USD") for a in (Account.LEASES, Account.LEASE_FINANCING)
    )
    return 100.0 * owed / assets if assets > 0.0 and owed > 0.0 else math.nan


@kpi("BTC", FIRM)
def btc_collateral_btc(t: Totals) -> float:
    """Bitcoin pledged at the end."""
    return t.recorder.last_fleet("btc_collateral")


@kpi("BTC", FIRM)
def btc_sold_btc(t: Totals) -> float:
    """Bitcoin sold, by the firm or by lenders."""
    return t.firm.ledger.balance(Account.EXCHANGE, "BTC")


@kpi("USD", FIRM)
def lowest_cash_usd(t: Totals) -> float:
    """Least cash at the end of a recording interval."""
    return t.recorder.least_fleet("cash_usd")


@kpi("%", FIRM)
def highest_ltv_pct(t: Totals) -> float:
    """Highest loan-to-value ratio at the end of a recording interval."""
    if not t.firm.lending.names:
        return math.nan
    return 100.0 * t.recorder.most_fleet("ltv")


@kpi("count", FIRM)
def margin_calls(t: Totals) -> float:
    """Calls for margin by lenders; sales without a call are `liquidations`."""
    return float(t.firm.lending.margin_calls)


@kpi("count", FIRM)
def margin_calls_by_debt(t: Totals) -> float:
    """Calls for margin, each counted as its loan's share of all that lenders were owed."""
    return t.firm.lending.calls_by_debt


@kpi("count", FIRM)
def liquidations(t: Totals) -> float:
    """Sales of collateral by lenders, called for before or not."""
    return float(t.firm.lending.liquidations)


@kpi("0/1", FIRM)
def margin_called(t: Totals) -> float:
    """1: a lender called for margin or sold collateral at least once; 0: none did.

    None without loans.
    """
    lending = t.firm.lending
    called = lending.margin_calls + lending.liquidations > 0
    return float(called) if lending.names else math.nan


@kpi("BTC", FIRM)
def liquidated_btc(t: Totals) -> float:
    """Collateral that lenders sold."""
    return t.firm.lending.liquidated_btc


@kpi("BTC", FIRM)
def lost_to_lenders_btc(t: Totals) -> float:
    """Collateral that lenders sold, and what they keep of it when the firm fails."""
    firm = t.firm
    kept_usd = sum(c.paid_usd for c in firm.claims if c.rank == 1)
    return firm.lending.liquidated_btc + kept_usd / firm.usd_per_btc


@kpi("USD", FIRM)
def shares_issued_usd(t: Totals) -> float:
    """What new shares brought when money was short, less what their sale cost."""
    return some(-t.firm.ledger.balance(Account.ISSUED, "USD"))


@kpi("%", FIRM)
def first_owners_pct(t: Totals) -> float:
    """Share of the firm that is left to whoever owned it at the start.

    None where no shares were issued.
    """
    funding = t.firm.funding
    return 100.0 * funding.first_owners if funding.issued_usd else math.nan


@kpi("USD", FIRM)
def sold_machines_usd(t: Totals) -> float:
    """What ASICs brought that were sold because money was short."""
    return some(t.firm.funding.machines_usd)


@kpi("0/1", FIRM)
def insolvent(t: Totals) -> float:
    """1: the firm could not pay what was due, whatever [funding] allowed; 0: it survived.

    None where the scenario gives no opening cash.
    """
    if not t.firm.treasury.must_pay:
        return math.nan
    return float(t.firm.insolvent_s is not None)


@kpi("days", FIRM)
def insolvent_after_days(t: Totals) -> float:
    """From the start to insolvency."""
    return math.nan if t.firm.insolvent_s is None else t.firm.insolvent_s / SECONDS_PER_DAY


@kpi("days", FIRM)
def runway_days(t: Totals) -> float:
    """Cash and free bitcoin at the end / what the last 90 days used of them a day.

    Both at the price of the end, so that a fall of the price is not counted as use. None where they
    grew.
    """
    fleet, firm = t.recorder, t.firm
    if firm.insolvent_s is not None:
        return 0.0
    back = min(RUNWAY_DAYS * SECONDS_PER_DAY, t.seconds)
    price = fleet.last_fleet("usd_per_btc")

    def liquid(at: int) -> float:
        free = fleet.fleet_at("btc_held", at) - fleet.fleet_at("btc_collateral", at)
        return fleet.fleet_at("cash_usd", at) + free * price

    used = (liquid(t.seconds - back) - liquid(t.seconds)) / (back / SECONDS_PER_DAY)
    return liquid(t.seconds) / used if used > USED_FROM else math.nan


@kpi("USD", FIRM)
def interest_usd(t: Totals) -> float:
    """Interest on loans and within leases, less what became part of projects."""
    return _expense(t, Account.INTEREST)


@kpi("USD", FIRM)
def capitalised_interest_usd(t: Totals) -> float:
    """Interest while projects were built, which became part of their cost (ASC 835-20)."""
    return some(t.firm.borrowing_costs.capitalised_usd)


@kpi("USD", FIRM)
def rent_usd(t: Totals) -> float:
    """Rents of machines that were sold and rented back."""
    return _expense(t, Account.RENT)


@kpi("USD", FIRM)
def trading_cost_usd(t: Totals) -> float:
    """Fees and slippage of selling bitcoin."""
    return _expense(t, Account.TRADING)


@kpi("USD", FIRM)
def depreciation_usd(t: Totals) -> float:
    """Loss of value of machines and buildings by age."""
    return _expense(t, Account.DEPRECIATION)


@kpi("USD", FIRM)
def impairment_usd(t: Totals) -> float:
    """Book value of what was destroyed, called off, forfeited or is not recoverable."""
    ledger = t.firm.ledger
    return some(
        sum(
            ledger.balance(account, "USD")
            for account in (Account.IMPAIRMENT, Account.UNRECOVERABLE)
        )
    )


@kpi("USD", FIRM)
def unrecoverable_usd(t: Totals) -> float:
    """Book value of machines in use that their cash flows do not recover (ASC 360-10-35)."""
    return some(t.firm.ledger.balance(Account.UNRECOVERABLE, "USD"))


@kpi("USD", FIRM)
def tax_usd(t: Totals) -> float:
    """Income tax of the run, what is owed now and what is deferred together."""
    ledger = t.firm.ledger
    return some(sum(ledger.balance(account, "USD") for account in TAXES))


@kpi("USD", FIRM)
def insurance_income_usd(t: Totals) -> float:
    """Claims against insurers, paid or still to be paid."""
    return some(-t.firm.ledger.balance(Account.INSURANCE_PAID, "USD"))


def _expense(t: Totals, account: Account) -> float:
    return some(t.firm.ledger.balance(account, "USD"))
