"""Monthly financial statements from the ledger, and the ties between them.

A posting belongs to the period that ends at its instant: days close at midnight, so postings at
the first midnight of a month belong to the month before. Postings at second 0 are the opening
balance. Months are UTC.

Income is positive, expenses negative; assets, liabilities, equity and cash received are positive.
Lines that are zero in every month are omitted, totals never.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.finance.chart import (
    ACTIVITIES,
    ASSET,
    BTC_CHART,
    CAPITALISED,
    EQUITY,
    EXPENSE,
    INCOME,
    INTEREST_PAID,
    INVESTING,
    LIABILITY,
    OPERATING,
    REPAID,
    SUBTOTALS,
    USD_CHART,
    Account,
    place,
)
from sim.finance.ledger import DECIMAL, PLACES, UNITS, Entries, Ledger
from sim.types import Bools, Floats, Ints

INCOME_STATEMENT, BALANCE, CASH_FLOW, BITCOIN = "income", "balance", "cash flow", "bitcoin"
ASSETS, LIABILITIES, ENTIRE = "total assets", "total liabilities", "total liabilities and equity"
RETAINED, TOTAL_EQUITY, NET = "retained income", "total equity", "net income"
OPENING_CASH, CHANGE, CLOSING_CASH = "opening cash", "change in cash", "closing cash"
OPENING_BTC, CLOSING_BTC = "opening", "closing"
BTC_FLOWS: Final = ("mined", "pool fees", "sold", "liquidated", "paid in")
BTC_PARTS: Final = ("of which free", "of which collateral")
KINDS: Final = {
    kind: tuple(p.line for p in USD_CHART.values() if p.kind == kind)
    for kind in (ASSET, LIABILITY, EQUITY)
}
INCOME_LINES: Final = tuple(p.line for p in USD_CHART.values() if p.kind in (INCOME, EXPENSE))


def _cash_lines() -> tuple[str, ...]:
    """Lines of the cash flow, section by section."""
    lines = {a: [p.cash_line for p in USD_CHART.values() if p.activity == a] for a in ACTIVITIES}
    lines[USD_CHART[Account.LOAN].activity].insert(1, REPAID)
    lines[INVESTING].append(CAPITALISED)
    return tuple(f"{a}: {line}" for a in ACTIVITIES for line in dict.fromkeys(lines[a]))


CASH_LINES: Final = _cash_lines()
Sheet = dict[str, Ints]  # line: amount by month (month,) in cents or satoshi


class BalanceSheet(NamedTuple):
    """The current balance sheet [USD]."""

    cash_usd: float
    btc_cost_usd: float
    btc_revaluation_usd: float  # market less cost, at the last revaluation
    machines_usd: float  # book values of machines, buildings and batteries
    other_assets_usd: float
    debt_usd: float  # loans and the interest owed on them
    other_liabilities_usd: float
    equity_usd: float  # assets less liabilities


MACHINES: Final = (Account.ASICS, Account.GPUS, Account.BUILDINGS, Account.BATTERIES)
DEBT: Final = (Account.LOAN, Account.INTEREST_OWED)


def balance_sheet(ledger: Ledger) -> BalanceSheet:
    """The current balance sheet, from the ledger's balances.

    Raises ValueError for an account that the chart does not know.
    """
    cents = dict.fromkeys(USD_CHART, 0)
    for (account, commodity), amount in ledger.balances().items():
        if commodity == "USD":
            cents[place(account, commodity)] += amount
    assets = sum(v for a, v in cents.items() if USD_CHART[a].kind == ASSET)
    owed = -sum(v for a, v in cents.items() if USD_CHART[a].kind == LIABILITY)
    cash, cost, revaluation = (
        cents[a] for a in (Account.CASH, Account.BTC, Account.BTC_REVALUATION)
    )
    machines = sum(cents[a] for a in MACHINES)
    debt = -sum(cents[a] for a in DEBT)
    other = assets - cash - cost - revaluation - machines
    values = (cash, cost, revaluation, machines, other, debt, owed - debt, assets - owed)
    return BalanceSheet(*(v / UNITS["USD"] for v in values))


def statements(ledger: Ledger, start_utc: datetime, seconds: int) -> pa.Table:
    """Income, balance, cash flow and bitcoin by month: a row per month, statement and line.

    Raises ValueError for an account that the chart does not know, and for a posting outside the
    run's `seconds` from `start_utc`.
    """
    return statements_of(ledger.entries(), start_utc, seconds)


def statements_of(entries: Entries, start_utc: datetime, seconds: int) -> pa.Table:
    """As `statements`, from the ledger's postings."""
    months = months_of(start_utc, seconds)
    usd = Postings(entries, "USD", start_utc, seconds, len(months))
    btc = Postings(entries, "BTC", start_utc, seconds, len(months))
    totals = usd.by_account(tuple(USD_CHART))
    parts = (
        (INCOME_STATEMENT, "USD", _income(totals)),
        (BALANCE, "USD", _balance(totals)),
        (CASH_FLOW, "USD", _cash_flow(usd)),
        (BITCOIN, "BTC", _bitcoin(btc)),
    )
    rows: list[tuple[str, str, str]] = []
    amounts: list[int] = []
    names = [str(m) for m in months]
    for m in range(len(names)):
        for statement, commodity, sheet in parts:
            for line, by_month in sheet.items():
                rows.append((statement, line, commodity))
                amounts.append(int(by_month[m]) * PLACES[commodity])
    lines = sum(len(sheet) for *_, sheet in parts)
    statement_names, line_names, commodities = (list(c) for c in zip(*rows, strict=True))
    return pa.table(
        {
            "month": pa.array([n for n in names for _ in range(lines)], pa.string()),
            "statement": pa.array(statement_names, pa.string()),
            "line": pa.array(line_names, pa.string()),
            "commodity": pa.array(commodities, pa.string()),
            "amount": pa.array([Decimal(a).scaleb(-DECIMAL.scale) for a in amounts], DECIMAL),
        }
    )


def sheet_of(table: pa.Table, statement: str) -> dict[str, Floats]:
    """Lines (month,) of one statement in USD or BTC, in order, from the statements table."""
    months = list(dict.fromkeys(table["month"].to_pylist()))
    found: dict[str, Floats] = {}
    for row in table.to_pylist():
        if row["statement"] == statement:
            values = found.setdefault(row["line"], np.zeros(len(months)))
            values[months.index(row["month"])] = float(row["amount"])
    return found


def months_of(start_utc: datetime, seconds: int) -> Any:
    """UTC months that a run touches (month,) as datetime64[M]."""
    start = start_of(start_utc)
    last = start + np.timedelta64(max(seconds - 1, 0), "s")
    first = start.astype("datetime64[M]")
    return np.arange(first, last.astype("datetime64[M]") + 1)


def start_of(start_utc: datetime) -> Any:
    """The start of a run as datetime64[s], UTC."""
    return np.datetime64(start_utc.astimezone(UTC).replace(tzinfo=None), "s")


class Postings:
    """Postings of one commodity (posting,): chart account, month, site and amount."""

    def __init__(
        self, entries: Entries, commodity: str, start_utc: datetime, seconds: int, months: int
    ) -> None:
        chart = tuple(USD_CHART) if commodity == "USD" else BTC_CHART
        self.codes: dict[str, int] = {account: k for k, account in enumerate(chart)}
        of = np.full(len(entries.accounts), -1, dtype=np.int64)
        for k, (account, kind) in enumerate(entries.accounts):
            if kind == commodity:
                of[k] = self.codes[place(account, commodity)]
        account_of = of[entries.account]
        mine = account_of >= 0
        self.months = months
        self.account: Ints = account_of[mine]
        t_s = entries.t_s[mine]
        outside = (t_s < 0) | (t_s > seconds)
        if outside.any():
            when = int(t_s[np.argmax(outside)])
            raise ValueError(f"a posting at {when} s: the run lasts from 0 to {seconds} s")
        start = start_of(start_utc)
        at = start + np.maximum(t_s - 1, 0).astype("timedelta64[s]")
        since = at.astype("datetime64[M]") - start.astype("datetime64[M]")
        self.month: Ints = since.astype(np.int64)
        self.opens: Bools = t_s == 0
        self.amount: Ints = entries.amount[mine]
        self.transaction: Ints = entries.transaction[mine]
        self.site: Ints = entries.site[mine]  # index into Entries.sites

    def by_account(self, chart: tuple[str, ...]) -> Sheet:
        """Monthly sums (month,) by chart account."""
        everything = np.ones(len(self.amount), dtype=np.bool_)
        sums = self.sums(self.account, len(chart), everything)
        return dict(zip(chart, sums, strict=True))

    def sums(self, key: Ints, keys: int, which: Bools) -> Ints:
        """Sums of the selected amounts (key, month), exact below 2**53 cents or satoshi."""
        flat = key[which] * self.months + self.month[which]
        summed = np.bincount(flat, self.amount[which].astype(np.float64), keys * self.months)
        return np.rint(summed).astype(np.int64).reshape(keys, self.months)

    def beside(self, own: Bools) -> Bools:
        """Postings outside `own` that share a transaction with one in it."""
        has = np.zeros(int(self.transaction.max(initial=-1)) + 1, dtype=np.bool_)
        has[self.transaction[own]] = True
        return np.asarray(has[self.transaction] & ~own, dtype=np.bool_)


def _income(totals: Sheet) -> Sheet:
    sheet: Sheet = {}
    running = np.zeros_like(next(iter(totals.values())))
    after = {line: name for name, line in SUBTOTALS.items()}
    for account, p in USD_CHART.items():
        if p.kind in (INCOME, EXPENSE):
            amount = -totals[account]
            running = running + amount
            if amount.any():
                sheet[p.line] = amount
            if p.line in after:
                sheet[after[p.line]] = running
    return sheet


def _balance(totals: Sheet) -> Sheet:
    closing = {account: np.cumsum(amounts) for account, amounts in totals.items()}
    sheet: Sheet = {}
    zero = np.zeros_like(next(iter(closing.values())))
    sums = {ASSETS: zero, LIABILITIES: zero}
    for kind, sign, total in ((ASSET, 1, ASSETS), (LIABILITY, -1, LIABILITIES)):
        for account, p in USD_CHART.items():
            if p.kind == kind:
                sums[total] = sums[total] + sign * closing[account]
                if closing[account].any():
                    sheet[p.line] = sign * closing[account]
        sheet[total] = sums[total]
    retained = zero
    for account, p in USD_CHART.items():
        if p.kind in (INCOME, EXPENSE):
            retained = retained - closing[account]
    equity = retained
    for account, p in USD_CHART.items():
        if p.kind == EQUITY:
            equity = equity - closing[account]
            if account == Account.OPENING or closing[account].any():
                sheet[p.line] = -closing[account]
    sheet[RETAINED] = retained
    sheet[TOTAL_EQUITY] = equity
    sheet[ENTIRE] = sheet[TOTAL_EQUITY] + sums[LIABILITIES]
    return sheet


def _cash_flow(usd: Postings) -> Sheet:
    """Cash flows from the non-cash legs of transactions, so that each side checks the other."""
    cash = usd.account == usd.codes[Account.CASH]
    paired = usd.beside(cash)
    lines = {name: k for k, name in enumerate(CASH_LINES)}
    line_of = np.array([lines.get(f"{p.activity}: {p.cash_line}", -1) for p in USD_CHART.values()])
    line = line_of[usd.account]
    repaid = lines[f"{USD_CHART[Account.LOAN].activity}: {REPAID}"]
    line[(usd.account == usd.codes[Account.LOAN]) & (usd.amount > 0)] = repaid
    begins = paired & usd.opens & (usd.account == usd.codes[Account.OPENING])
    flows = -usd.sums(line, len(lines), paired & ~begins)
    interest, built = (lines[f"{OPERATING}: {INTEREST_PAID}"], lines[f"{INVESTING}: {CAPITALISED}"])
    flows[built] = -_capitalised(usd, -flows[interest])
    flows[interest] -= flows[built]
    at_start = -int(usd.amount[begins].sum())
    change = flows.sum(axis=0)
    closing = at_start + np.cumsum(change)
    sheet: Sheet = {OPENING_CASH: closing - change}
    for activity in ACTIVITIES:
        mine = [(n, flows[k]) for n, k in lines.items() if n.startswith(activity)]
        sheet |= {name: values for name, values in mine if values.any()}
        sheet[activity] = np.sum([values for _, values in mine], axis=0)
    return sheet | {CHANGE: change, CLOSING_CASH: closing}


def _capitalised(usd: Postings, paid: Ints) -> Ints:
    """The part of interest `paid` (month,) that was capitalised (month,) [cents].

    Capitalised interest counts as paid first; any unpaid part carries to later months.
    """
    legs = usd.beside(usd.account == usd.codes[Account.PROJECT_INTEREST])
    legs &= usd.account == usd.codes[Account.INTEREST]
    added = -usd.sums(np.zeros_like(usd.account), 1, legs)[0]
    found, owed = np.zeros_like(paid), 0
    for m in range(usd.months):
        owed += int(added[m])
        found[m] = max(min(int(paid[m]), owed), 0)
        owed -= int(found[m])
    return found


def _bitcoin(btc: Postings) -> Sheet:
    """Bitcoin flows from the legs other than holdings, so that each side checks the other."""
    pledged = btc.codes[Account.BTC_COLLATERAL]
    held = (btc.account == btc.codes[Account.BTC]) | (btc.account == pledged)
    flow = {name: k for k, name in enumerate(BTC_FLOWS)}
    line = np.zeros(len(btc.account), dtype=np.int64)
    for account, name in (
        (Account.MINING, "mined"),
        (Account.POOL_FEES, "pool fees"),
        (Account.EXCHANGE, "sold"),
        (Account.OPENING, "paid in"),
    ):
        line[btc.account == btc.codes[account]] = flow[name]
    by_lender = btc.beside(btc.account == pledged)
    line[(btc.account == btc.codes[Account.EXCHANGE]) & by_lender] = flow["liquidated"]
    begins = btc.opens & (btc.account == btc.codes[Account.OPENING])
    flows = -btc.sums(line, len(flow), ~held & ~begins)
    change = flows.sum(axis=0)
    closing = np.cumsum(change) - int(btc.amount[begins].sum())
    sheet: Sheet = {OPENING_BTC: closing - change}
    sheet |= {name: flows[k] for name, k in flow.items() if flows[k].any()}
    sheet[CLOSING_BTC] = closing
    totals = btc.by_account(BTC_CHART)
    for name, account in zip(BTC_PARTS, (Account.BTC, Account.BTC_COLLATERAL), strict=True):
        sheet[name] = np.cumsum(totals[account])
    return sheet


# Ties: equalities that hold in every month, whatever was posted.

Month = dict[str, dict[str, Decimal]]  # statement: line: amount


def tie_out(table: pa.Table) -> list[str]:
    """Ties that fail, checked to the cent and the satoshi; empty if all hold."""
    months: dict[str, Month] = {}
    for row in table.to_pylist():
        sheets = months.setdefault(row["month"], {})
        sheets.setdefault(row["statement"], {})[row["line"]] = row["amount"]
    wrong: list[str] = []
    before: Month | None = None
    for name, now in months.items():
        for what, left, right in _ties(now, before):
            if left != right:
                wrong.append(f"{name}: {what}: {left:f} is not {right:f}")
        before = now
    return wrong


def _ties(now: Month, before: Month | None) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Pairs that must be equal in a month, and with the month before."""
    income, balance, cash, btc = (
        now.get(s, {}) for s in (INCOME_STATEMENT, BALANCE, CASH_FLOW, BITCOIN)
    )
    running = Decimal(0)
    after = {line: name for name, line in SUBTOTALS.items()}
    for line in INCOME_LINES:
        running += _at(income, line)
        if line in after:
            yield f"income, {after[line]}: lines above it", running, _at(income, after[line])
    assets, owed = _at(balance, ASSETS), _at(balance, LIABILITIES)
    yield "balance, assets by line", _sum(balance, KINDS[ASSET]), assets
    yield "balance, liabilities by line", _sum(balance, KINDS[LIABILITY]), owed
    equity = _sum(balance, (*KINDS[EQUITY], RETAINED))
    yield "balance, opening equity + retained income", equity, _at(balance, TOTAL_EQUITY)
    yield "balance, liabilities + equity", owed + equity, _at(balance, ENTIRE)
    yield "balance, assets = liabilities + equity", assets, owed + equity
    for activity in ACTIVITIES:
        lines = [n for n in CASH_LINES if n.startswith(activity)]
        yield f"cash flow, {activity} by line", _sum(cash, lines), _at(cash, activity)
    yield "cash flow, change in cash", _sum(cash, ACTIVITIES), _at(cash, CHANGE)
    end = _sum(cash, (OPENING_CASH, *ACTIVITIES))
    yield "cash flow, opening + flows = closing", end, _at(cash, CLOSING_CASH)
    yield "closing cash = cash on the balance sheet", end, _at(balance, "cash")
    end = _sum(btc, (OPENING_BTC, *BTC_FLOWS))
    yield "bitcoin, opening + flows = closing", end, _at(btc, CLOSING_BTC)
    yield "bitcoin, free + collateral = closing", _sum(btc, BTC_PARTS), end
    kept, opening_cash, opening_btc = Decimal(0), _at(cash, OPENING_CASH), _at(btc, OPENING_BTC)
    if before is not None:
        kept = _at(before[BALANCE], RETAINED)
        yield (
            "opening cash = closing of the month before",
            opening_cash,
            _at(before[CASH_FLOW], CLOSING_CASH),
        )
        yield (
            "opening bitcoin = closing of the month before",
            opening_btc,
            _at(before[BITCOIN], CLOSING_BTC),
        )
    yield (
        "net income = change of retained income",
        _at(income, NET),
        (_at(balance, RETAINED) - kept),
    )


def _at(sheet: dict[str, Decimal], line: str) -> Decimal:
    return sheet.get(line, Decimal(0))


def _sum(sheet: dict[str, Decimal], lines: Any) -> Decimal:
    return sum((_at(sheet, line) for line in lines), Decimal(0))
