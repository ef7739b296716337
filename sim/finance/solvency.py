"""When the firm cannot pay: who gets what out of what is left."""

from typing import Final, NamedTuple

import pyarrow as pa

from sim.finance.assets import ACCOUNTS
from sim.finance.ledger import Ledger
from sim.finance.loans import Lending

OWED: Final = {  # liabilities by account, and who they are owed to
    "liabilities:transmission": "grid operator",
    "liabilities:prepayments": "buyers of GPU nodes",
    "liabilities:tax": "tax office",
}


class Claim(NamedTuple):
    """What a creditor is owed and gets."""

    rank: int  # 1: secured by collateral; 2: what is owed without security; 3: the owners
    creditor: str
    owed_usd: float
    paid_usd: float


def ranking(
    ledger: Ledger,
    lending: Lending,
    rents_usd: float,
    usd_per_btc: float,
    distressed_fraction: float,
) -> list[Claim]:
    """Creditors in the order in which they are paid, at the prices of the day.

    Lenders take their collateral, up to their debt. Everything else is shared out evenly among
    what is owed without security: bills that cash no longer covers, lenders' shortfalls, rents to
    the end of leases (`rents_usd`), prepayments. Machines fetch `distressed_fraction` of their book
    value, receivables, deposits and claims what they stand for. Costs of the proceedings and
    preferred claims are left aside.
    """
    claims = []
    unsecured: list[tuple[str, float]] = []
    estate = 0.0
    for name in lending.names:
        debt, pledged = lending.debt_usd(name), lending.collateral_btc(name) * usd_per_btc
        if debt or pledged:
            claims.append(Claim(1, f"lender {name}", debt, min(debt, pledged)))
        estate += max(pledged - debt, 0.0)
        if debt > pledged:
            unsecured.append((f"lender {name}, shortfall", debt - pledged))
    cash = ledger.balance("assets:cash", "USD")
    if cash < 0.0:
        unsecured.append(("bills of the last day", -cash))
    estate += max(cash, 0.0) + ledger.balance("assets:btc", "BTC") * usd_per_btc
    if rents_usd > 0.0:
        unsecured.append(("lessors, rents to the end of their leases", rents_usd))
    for account, creditor in OWED.items():
        owed = -ledger.balance(account, "USD")
        if owed > 0.0:
            unsecured.append((creditor, owed))
    for account in (*ACCOUNTS.values(), "assets:projects"):
        estate += max(ledger.balance(account, "USD"), 0.0) * distressed_fraction
    for account in ("assets:receivables", "assets:deposits", "assets:insurance-claims"):
        estate += ledger.balance(account, "USD")
    total = sum(owed for _, owed in unsecured)
    share = min(estate / total, 1.0) if total > 0.0 else 1.0
    claims += [Claim(2, creditor, owed, owed * share) for creditor, owed in unsecured]
    claims.append(Claim(3, "owners", 0.0, max(estate - total, 0.0)))
    return claims


def table(claims: list[Claim]) -> pa.Table:
    """`creditors.parquet`: rank, creditor, what is owed and paid [USD]."""
    return pa.table(
        {
            "rank": pa.array([c.rank for c in claims], pa.int64()),
            "creditor": pa.array([c.creditor for c in claims], pa.string()),
            "owed_usd": pa.array([c.owed_usd for c in claims], pa.float64()),
            "paid_usd": pa.array([c.paid_usd for c in claims], pa.float64()),
        }
    )
