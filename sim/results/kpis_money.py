"""Figures of the firm: what it holds and owes, what it earned, whether it survived."""

import math
from typing import Final

from sim.finance.chart import Account
from sim.finance.statements import balance_sheet
from sim.finance.tax import TAXES
from sim.results.kpis import Totals, kpi
from sim.units import SECONDS_PER_DAY

RUNWAY_DAYS: Final = 90  # over which a firm's use of cash is measured
USED_FROM: Final = 1.0  # USD a day: less than that is no use of cash


@kpi
def equity_usd(t: Totals) -> float:
    """What the firm owns less what it owes, bitcoin at market, machines at book value [USD].

    Of a firm that has failed: what its estate leaves to the owners.
    """
    return t.recorder.last_fleet("equity_usd")


@kpi
def net_income_usd(t: Totals) -> float:
    """Income less expenses, bitcoin revalued to the market of the last month end [USD]."""
    return t.firm.earned_usd(after_tax=True)


@kpi
def debt_usd(t: Totals) -> float:
    """Loans and the interest accrued on them at the end [USD]."""
    return t.recorder.last_fleet("debt_usd")


@kpi
def leases_usd(t: Totals) -> float:
    """What is owed on leases at the end: rents to come, discounted, and financings [USD]."""
    return _some(
        -sum(t.firm.ledger.balance(a, "USD") for a in (Account.LEASES, Account.LEASE_FINANCING))
    )


@kpi
def leverage_pct(t: Totals) -> float:
    """Loans, their interest and what is owed on leases at the end, of all assets [%].

    None without assets. Bitcoin as of the last month end.
    """
    sheet = balance_sheet(t.firm.ledger)
    assets = sheet.equity_usd + sheet.debt_usd + sheet.other_liabilities_usd
    owed = sheet.debt_usd - sum(
        t.firm.ledger.balance(a, "USD") for a in (Account.LEASES, Account.LEASE_FINANCING)
    )
    return 100.0 * owed / assets if assets > 0.0 and owed > 0.0 else math.nan


@kpi
def btc_collateral_btc(t: Totals) -> float:
    """Bitcoin pledged at the end [BTC]."""
    return t.recorder.last_fleet("btc_collateral")


@kpi
def btc_sold_btc(t: Totals) -> float:
    """Bitcoin sold, by the firm or by lenders [BTC]."""
    return t.firm.ledger.balance(Account.EXCHANGE, "BTC")


@kpi
def lowest_cash_usd(t: Totals) -> float:
    """Least cash at the end of a recording interval [USD]."""
    return t.recorder.least_fleet("cash_usd")


@kpi
def highest_ltv_pct(t: Totals) -> float:
    """Highest loan-to-value ratio at the end of a recording interval [%]."""
    if not t.firm.lending.names:
        return math.nan
    return 100.0 * t.recorder.most_fleet("ltv")


@kpi
def margin_calls(t: Totals) -> float:
    """Calls for margin by lenders; sales without a call are `liquidations` [count]."""
    return float(t.firm.lending.margin_calls)


@kpi
def margin_calls_by_debt(t: Totals) -> float:
    """Calls for margin, each counted as its loan's share of all that lenders were owed [count]."""
    return t.firm.lending.calls_by_debt


@kpi
def liquidations(t: Totals) -> float:
    """Sales of collateral by lenders, called for before or not [count]."""
    return float(t.firm.lending.liquidations)


@kpi
def margin_called(t: Totals) -> float:
    """1: a lender called for margin or sold collateral at least once; 0: none did [0/1].

    None without loans.
    """
    lending = t.firm.lending
    called = lending.margin_calls + lending.liquidations > 0
    return float(called) if lending.names else math.nan


@kpi
def liquidated_btc(t: Totals) -> float:
    """Collateral that lenders sold [BTC]."""
    return t.firm.lending.liquidated_btc


@kpi
def lost_to_lenders_btc(t: Totals) -> float:
    """Collateral that lenders sold, and what they keep of it when the firm fails [BTC]."""
    firm = t.firm
    kept_usd = sum(c.paid_usd for c in firm.claims if c.rank == 1)
    return firm.lending.liquidated_btc + kept_usd / firm.usd_per_btc


@kpi
def shares_issued_usd(t: Totals) -> float:
    """What new shares brought when money was short, less what their sale cost [USD]."""
    return _some(-t.firm.ledger.balance(Account.ISSUED, "USD"))


@kpi
def first_owners_pct(t: Totals) -> float:
    """Share of the firm that is left to whoever owned it at the start [%].

    None where no shares were issued.
    """
    funding = t.firm.funding
    return 100.0 * funding.first_owners if funding.issued_usd else math.nan


@kpi
def sold_machines_usd(t: Totals) -> float:
    """What ASICs brought that were sold because money was short [USD]."""
    return _some(t.firm.funding.machines_usd)


@kpi
def insolvent(t: Totals) -> float:
    """1: the firm could not pay what was due, whatever [funding] allowed; 0: it survived [0/1].

    None where the scenario gives no opening cash.
    """
    if not t.firm.treasury.must_pay:
        return math.nan
    return float(t.firm.insolvent_s is not None)


@kpi
def insolvent_after_days(t: Totals) -> float:
    """From the start to insolvency [days]."""
    return math.nan if t.firm.insolvent_s is None else t.firm.insolvent_s / SECONDS_PER_DAY


@kpi
def runway_days(t: Totals) -> float:
    """Cash and free bitcoin at the end / what the last 90 days used of them a day [days].

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


@kpi
def interest_usd(t: Totals) -> float:
    """Interest on loans and within leases, less what became part of projects [USD]."""
    return _expense(t, Account.INTEREST)


@kpi
def capitalised_interest_usd(t: Totals) -> float:
    """Interest while projects were built, which became part of their cost (ASC 835-20) [USD]."""
    return _some(t.firm.borrowing_costs.capitalised_usd)


@kpi
def rent_usd(t: Totals) -> float:
    """Rents of machines that were sold and rented back [USD]."""
    return _expense(t, Account.RENT)


@kpi
def trading_cost_usd(t: Totals) -> float:
    """Fees and slippage of selling bitcoin [USD]."""
    return _expense(t, Account.TRADING)


@kpi
def depreciation_usd(t: Totals) -> float:
    """Loss of value of machines and buildings by age [USD]."""
    return _expense(t, Account.DEPRECIATION)


@kpi
def impairment_usd(t: Totals) -> float:
    """Book value of what was destroyed, called off, forfeited or is not recoverable [USD]."""
    ledger = t.firm.ledger
    return _some(
        sum(
            ledger.balance(account, "USD")
            for account in (Account.IMPAIRMENT, Account.UNRECOVERABLE)
        )
    )


@kpi
def unrecoverable_usd(t: Totals) -> float:
    """Book value of machines in use that their cash flows do not recover (ASC 360-10-35) [USD]."""
    return _some(t.firm.ledger.balance(Account.UNRECOVERABLE, "USD"))


@kpi
def tax_usd(t: Totals) -> float:
    """Income tax of the run, what is owed now and what is deferred together [USD]."""
    ledger = t.firm.ledger
    return _some(sum(ledger.balance(account, "USD") for account in TAXES))


@kpi
def insurance_income_usd(t: Totals) -> float:
    """Claims against insurers, paid or still to be paid [USD]."""
    return _some(-t.firm.ledger.balance(Account.INSURANCE_PAID, "USD"))


def _expense(t: Totals, account: Account) -> float:
    return _some(t.firm.ledger.balance(account, "USD"))


def _some(value: float) -> float:
    """The value; NaN for exactly nothing, which has no meaning in a run without it."""
    return value if value != 0.0 else math.nan
