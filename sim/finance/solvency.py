"""Insolvency: value of the estate and its distribution to creditors."""

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.finance.assets import FixedAssets
from sim.finance.chart import ASSET, LIABILITY, USD_CHART, Account
from sim.finance.ledger import Ledger
from sim.finance.loans import Lending
from sim.finance.revolver import NAME as REVOLVER

OWED: Final[dict[str, str]] = {  # creditor named for each liability account
    Account.PAYABLES: "bills of the last day",
    Account.RENT_OWED: "lessors, rents to the end of their leases",
    Account.LEASE_FINANCING: "lessors, financings",
    Account.TRANSMISSION_OWED: "grid operator",
    Account.PREPAYMENTS: "buyers of GPU nodes",
    Account.TAX_OWED: "tax office",
}
SECURED: Final = (Account.LOAN, Account.INTEREST_OWED)
BITCOIN: Final = (Account.BTC, Account.BTC_REVALUATION)
DISTRESSED: Final[tuple[str, ...]] = (
    Account.BATTERIES,
    Account.PROJECTS,
)  # written down as well as machines and buildings


class Claim(NamedTuple):
    """A creditor's claim and what it is paid."""

    rank: int  # 1: secured by collateral; 2: unsecured; 3: owners
    creditor: str
    owed_usd: float
    paid_usd: float


class _Unsecured(NamedTuple):
    creditor: str
    owed_usd: float
    accounts: tuple[str, ...]  # liability accounts of the claim


def wind_up(
    t_s: int,
    ledger: Ledger,
    lending: Lending,
    assets: FixedAssets,
    rents_usd: float,
    usd_per_btc: float,
    distressed_fraction: float,
) -> list[Claim]:
    """Write the books down to liquidation values; return claims in order of payment.

    Machines, buildings, batteries and projects under way are written down to
    `distressed_fraction` of book value. Bills not covered by cash and rents to the ends of leases
    (`rents_usd`) are claims. Creditors bear their shortfall, so that equity is the owners'
    remainder, never below zero. Bitcoin must have been revalued to `usd_per_btc`. Costs of the
    proceedings and preferred claims are not modelled.
    """

    def post(debit: str, credit: str, usd: float, memo: str) -> None:
        ledger.post(t_s, debit, credit, "USD", np.array(usd), memo)

    post(
        Account.CASH,
        Account.PAYABLES,
        max(-ledger.balance(Account.CASH, "USD"), 0.0),
        "bills without money",
    )
    post(
        Account.LEASES,
        Account.RIGHT_OF_USE,
        max(-ledger.balance(Account.LEASES, "USD"), 0.0),
        "leases are given up",
    )
    post(Account.WINDING_UP, Account.RENT_OWED, rents_usd, "rents to the ends of leases")
    lost = 1.0 - distressed_fraction
    assets.write_down(t_s, lost, Account.WINDING_UP, "worth in a winding-up")
    for account in DISTRESSED:
        book_usd = max(ledger.balance(account, "USD"), 0.0)
        post(Account.WINDING_UP, account, book_usd * lost, "worth in a winding-up")
    under_way_usd = max(ledger.balance(Account.PROJECT_INTEREST, "USD"), 0.0)
    post(
        Account.WINDING_UP, Account.PROJECT_INTEREST, under_way_usd, "worth nothing in a winding-up"
    )
    # Release deferred tax: the gains will not be made.
    deferred_usd = max(-ledger.balance(Account.DEFERRED_TAX_OWED, "USD"), 0.0)
    post(Account.DEFERRED_TAX_OWED, Account.WINDING_UP, deferred_usd, "deferred tax lapses")
    claims, unsecured = _ranking(ledger, lending, usd_per_btc)
    paid = {c.creditor: c.paid_usd for c in claims if c.rank == 2}
    for creditor, owed_usd, accounts in unsecured:
        left_usd = owed_usd - paid[creditor]
        for account in accounts:
            part_usd = min(left_usd, max(-ledger.balance(account, "USD"), 0.0))
            post(account, Account.CREDITORS_LOSS, part_usd, f"{creditor}: not paid")
            left_usd -= part_usd
    return claims


def _ranking(
    ledger: Ledger, lending: Lending, usd_per_btc: float
) -> tuple[list[Claim], list[_Unsecured]]:
    """Rank the claims; secured lenders take their collateral, up to their debt.

    The rest is shared pro rata among unsecured claims: bills, lenders' shortfalls, the revolver,
    rents, prepayments. The estate is all assets at book value.
    """
    claims = []
    unsecured: list[_Unsecured] = []
    estate = ledger.balance(Account.BTC, "BTC") * usd_per_btc
    for name in lending.names:
        debt, pledged = lending.debt_usd(name), lending.collateral_btc(name) * usd_per_btc
        if debt or pledged:
            claims.append(Claim(1, f"lender {name}", debt, min(debt, pledged)))
        estate += max(pledged - debt, 0.0)
        if debt > pledged:
            where = (Account.LOAN.of(name), Account.INTEREST_OWED.of(name))
            unsecured.append(_Unsecured(f"lender {name}, shortfall", debt - pledged, where))
    line = (Account.LOAN.of(REVOLVER), Account.INTEREST_OWED.of(REVOLVER))
    others: list[tuple[str, tuple[str, ...]]] = [
        ("lender of the revolver", line),
        *(
            (OWED.get(account, place.line), (account,))
            for account, place in USD_CHART.items()
            if place.kind == LIABILITY and account not in SECURED
        ),
    ]
    for creditor, accounts in others:
        owed = sum(max(-ledger.balance(account, "USD"), 0.0) for account in accounts)
        if owed > 0.0 and not (accounts == line and REVOLVER in lending.names):
            unsecured.append(_Unsecured(creditor, owed, accounts))
    for account, place in USD_CHART.items():
        if place.kind == ASSET and account not in BITCOIN:
            estate += ledger.balance(account, "USD")
        elif place.kind == LIABILITY and account not in SECURED:
            estate += max(ledger.balance(account, "USD"), 0.0)  # a debit balance: paid ahead
    total = sum(u.owed_usd for u in unsecured)
    share = min(max(estate, 0.0) / total, 1.0) if total > 0.0 else 1.0
    claims += [Claim(2, u.creditor, u.owed_usd, u.owed_usd * share) for u in unsecured]
    claims.append(Claim(3, "owners", 0.0, max(estate - total, 0.0)))
    return claims, unsecured


def table(claims: list[Claim]) -> pa.Table:
    """`creditors.parquet`: rank, creditor, amounts owed and paid [USD]."""
    return pa.table(
        {
            "rank": pa.array([c.rank for c in claims], pa.int64()),
            "creditor": pa.array([c.creditor for c in claims], pa.string()),
            "owed_usd": pa.array([c.owed_usd for c in claims], pa.float64()),
            "paid_usd": pa.array([c.paid_usd for c in claims], pa.float64()),
        }
    )
