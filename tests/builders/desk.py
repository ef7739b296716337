"""A treasury and its lenders without a fleet: what tests of money share."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sim.finance.ledger import Ledger
from sim.finance.loans import Lending
from sim.finance.treasury import Treasury
from sim.scenario.money import Loan
from sim.scenario.money import Treasury as TreasurySpec

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600, 86_400
NO_COSTS = {"fee_fraction": 0.0, "impact_factor": 0.0}


def after(seconds: int) -> str:
    """An instant of a scenario, seconds after the start of the run."""
    return (START + timedelta(seconds=seconds)).isoformat()


@dataclass
class Desk:
    treasury: Treasury
    lending: Lending
    ledger: Ledger
    events: list[tuple[int, str, str, str]] = field(default_factory=list)

    def kinds(self, subject: str | None = None) -> list[tuple[int, str]]:
        """Hour and kind of each event."""
        return [(t // HOUR, kind) for t, kind, s, _ in self.events if subject in (None, s)]

    def follow(self, usd_per_btc: list[float], first_h: int = 0) -> None:
        """One look of the lenders an hour."""
        for hour, price in enumerate(usd_per_btc, start=first_h):
            self.lending.check(hour * HOUR, price)

    def mine(self, t_s: int, btc: float, usd_per_btc: float, fee: float = 0.0) -> None:
        """A pool payout as the books post it: bitcoin, and what it was worth, site by site."""
        post = self.ledger.post
        for commodity, worth in (("BTC", 1.0), ("USD", usd_per_btc)):
            mined = np.full(len(self.ledger.sites), btc / len(self.ledger.sites) * worth)
            post(t_s, "assets:btc", "income:mining", commodity, mined, "payout")
            post(t_s, "expenses:pool-fees", "assets:btc", commodity, mined * fee, "pool fee")

    def spend(self, t_s: int, usd: float) -> None:
        self.ledger.post(t_s, "expenses:power", "assets:cash", "USD", np.array([usd]), "power")

    def units(self, account: str, commodity: str) -> int:
        return self.ledger.units(account, commodity)


def desk(
    usd_per_btc: float = 100_000.0,
    loans: dict[str, dict[str, Any]] | None = None,
    **treasury: Any,
) -> Desk:
    """Open books; costs of sales are 0 unless given, as is interest."""
    events: list[tuple[int, str, str, str]] = []

    def event(t_s: int, kind: str, subject: str, detail: str) -> None:
        events.append((t_s, kind, subject, detail))

    ledger = Ledger(["alpha", "bravo"])
    books = Treasury(TreasurySpec(**{**NO_COSTS, **treasury}), ledger, START, event)
    specs = {n: Loan(**{"rate_per_year": 0.0, **spec}) for n, spec in (loans or {}).items()}
    lending = Lending(specs, books, ledger, START, event)
    books.open(usd_per_btc)
    lending.open(usd_per_btc)
    return Desk(books, lending, ledger, events)
