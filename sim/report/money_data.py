"""Data of `money.png`, from the ledger, the statements and the events of a run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.finance.chart import Account
from sim.finance.ledger import UNITS, Entries
from sim.finance.statements import sheet_of, statements_of
from sim.results.result import RunResult
from sim.scenario.money import Loan
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints

# Lines of the income statement, in a few groups that fit a plot.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "mining less pool fees": ("mining", "pool fees"),
    "inference less credits, opex": ("inference", "credits", "GPU operations"),
    "grid services less penalties": ("grid services", "penalties"),
    "energy and hosting": (
        "power", "hosting", "demand charges", "transmission", "fuel", "battery wear",
    ),
    "rent, overhead, premiums": ("rent", "overhead", "insurance premiums", "moving"),
    "machine sales, insurance": ("machine sales", "insurance paid out"),
    "depreciation, impairment": ("depreciation", "impairment", "winding-up"),
    "bitcoin: gains, revaluation": (
        "bitcoin gains, realised", "bitcoin revaluation",
        "costs of bitcoin sales",
    ),
    "interest, liquidation fees": ("interest", "liquidation fees"),
    "tax": ("tax", "deferred tax"),
}  # fmt: skip
# Events of machines and of the chain are shown elsewhere.
NOT_MONEY: Final = ("failure", "repair", "retarget")


class Event(NamedTuple):
    """An event of the run."""

    t_s: int
    event: str
    subject: str
    detail: str


class Money:
    """The money of a run. Shapes: `instant` (ends of recording intervals), `month`."""

    def __init__(
        self,
        title: str,
        start_utc: datetime,
        seconds: int,
        entries: Entries,
        end_s: Ints,
        usd_per_btc: Floats,
        loans: Mapping[str, Loan],
        events: list[Event],
        ltv: Mapping[str, tuple[Ints, Floats]] | None = None,
    ) -> None:
        self.title, self.entries, self.usd_per_btc = title, entries, usd_per_btc
        self.loans = loans
        self.events = [e for e in events if e.event not in NOT_MONEY]
        self._first = np.datetime64(start_utc.replace(tzinfo=None), "s")
        self.end_s = end_s
        self.when: Any = self.at(end_s)
        self.order = np.argsort(entries.t_s, kind="stable")
        table = statements_of(entries, start_utc, seconds)
        self.months = list(dict.fromkeys(table["month"].to_pylist()))
        self.income, self.balance = (sheet_of(table, name) for name in ("income", "balance"))
        self._ltv = ltv or {}
        begins = np.array(self.months, dtype="datetime64[M]")
        from_start = begins.astype("datetime64[s]") >= self._first
        self.whole = from_start & ((begins + 1).astype("datetime64[s]") <= self.at(seconds))

    def at(self, t_s: Any) -> Any:
        """UTC time of seconds since the start of the run."""
        return self._first + np.asarray(t_s).astype("timedelta64[s]")

    def held(self, account: str, commodity: str) -> Floats:
        """Balance of an account and its sub-accounts (instant,) in USD or BTC."""
        mine = [
            k
            for k, (name, kind) in enumerate(self.entries.accounts)
            if kind == commodity and (name == account or name.startswith(f"{account}:"))
        ]
        rows = self.order[np.isin(self.entries.account[self.order], mine)]
        total = np.concatenate([[0], np.cumsum(self.entries.amount[rows])])
        upto = np.searchsorted(self.entries.t_s[rows], self.end_s, side="right")
        return np.asarray(total[upto] / UNITS[commodity], dtype=np.float64)

    def debt_usd(self, loan: str = "") -> Floats:
        """Debt including interest owed (instant,) of a loan; "": of all loans [USD]."""
        end = f":{loan}" if loan else ""
        return -self.held(Account.LOAN + end, "USD") - self.held(Account.INTEREST_OWED + end, "USD")

    def ltv(self, loan: str) -> tuple[Any, Floats]:
        """Instants and debt / (collateral * price); NaN without debt or collateral."""
        if loan in self._ltv:
            t_s, values = self._ltv[loan]
            return self.at(t_s), values
        debt = self.debt_usd(loan)
        collateral_usd = self.held(Account.BTC_COLLATERAL.of(loan), "BTC") * self.usd_per_btc
        there = (collateral_usd > 0.0) & (debt > 0.0)
        none = np.full(len(debt), np.nan)
        return self.when, np.divide(debt, collateral_usd, out=none, where=there)

    def groups(self) -> dict[str, Floats]:
        """Income by group (month,) [USD]; empty groups are left out."""
        zero = np.zeros(len(self.months))
        found = {
            name: np.sum([self.income.get(line, zero) for line in lines], axis=0)
            for name, lines in GROUPS.items()
        }
        return {name: values for name, values in found.items() if values.any()}


def has_money(scenario: Scenario) -> bool:
    """Whether a run has money to show beyond its margin."""
    firm, treasury = scenario.firm, scenario.treasury
    costs = (firm.overhead_usd_per_month, firm.asic_usd_per_th, firm.gpu_usd_per_gpu)
    return bool(
        scenario.loans or scenario.projects or treasury.opening_usd or treasury.opening_btc
        or any(costs)
    )  # fmt: skip


def money_of(result: RunResult) -> Money:
    """The money of a run."""
    scenario, horizon = result.scenario, result.scenario.horizon
    fleet = result.table("fleet")
    events = result.table("events").select(["t_s", "event", "subject", "detail"])
    title = (
        f"{scenario.name} · {result.policy} · seed {result.seed} · from "
        f"{horizon.start_utc:%Y-%m-%d}, {horizon.days:g} days"
    )
    return Money(
        title,
        horizon.start_utc,
        horizon.seconds,
        result.ledger.entries(),
        fleet["t_s"].to_numpy() + horizon.record_s,
        fleet["usd_per_btc"].to_numpy(),
        scenario.loans,
        [Event(**row) for row in events.to_pylist()],
        _recorded_ltv(result.tables.get("loans")),
    )


def _recorded_ltv(loans: pa.Table | None) -> dict[str, tuple[Ints, Floats]]:
    """LTV of each loan from the table `loans`; empty without that table."""
    if loans is None or not {"t_s", "loan", "ltv"} <= set(loans.column_names):
        return {}
    names = np.asarray(loans["loan"].to_pylist())
    t_s, ltv = loans["t_s"].to_numpy(), loans["ltv"].to_numpy().astype(np.float64)
    return {str(n): (t_s[names == n], ltv[names == n]) for n in dict.fromkeys(names.tolist())}
