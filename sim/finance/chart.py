"""Where each account of the ledger stands in the statements that people read.

Sub-accounts (`liabilities:loan:LOAN`) stand with their parent. In the cash flow a transaction is
named by the account on the other side of cash. Sales of bitcoin count as operating, for they are
how a miner turns its revenue into cash (ASU 2023-08 asks so for what is sold nearly at once);
interest paid is operating, but for what became part of the cost of projects (investing, ASC
230-10-45-13(c)), and insurance for machines investing, as in US GAAP (ASC 230).
"""

from functools import cache
from typing import Final, NamedTuple

ASSET, LIABILITY, EQUITY, INCOME, EXPENSE = "asset", "liability", "equity", "income", "expense"
OPERATING, INVESTING, FINANCING = "operating", "investing", "financing"
ACTIVITIES: Final = (OPERATING, INVESTING, FINANCING)

CASH: Final = "assets:cash"
LOAN: Final = "liabilities:loan"
OPENING: Final = "equity:opening"
ISSUED: Final = "equity:issued"
CREDITORS_LOSS: Final = "equity:creditors-loss"
PAYABLES: Final = "liabilities:payables"
RIGHT_OF_USE: Final = "assets:right-of-use"
PROJECT_INTEREST: Final = "assets:project-interest"
INTEREST: Final = "expenses:interest"
IMPAIRMENT: Final = "expenses:impairment"
UNRECOVERABLE: Final = "expenses:impairment:unrecoverable"  # of machines in use
LEASES: Final = "liabilities:leases"
FINANCED: Final = "liabilities:lease-financing"
GPU_OPERATIONS: Final = "expenses:gpu-operations"
WINDING_UP: Final = "expenses:winding-up"
EXCHANGE: Final = "equity:exchange"
FREE_BTC: Final = "assets:btc"
COLLATERAL_BTC: Final = "assets:btc-collateral"
MINED_BTC: Final = "income:mining"
FEES_BTC: Final = "expenses:pool-fees"
DRAWN: Final = "loans drawn"
REPAID: Final = "loans repaid"
INTEREST_PAID: Final = "interest"
CAPITALISED: Final = "interest capitalised"


class Place(NamedTuple):
    """Where a USD account stands."""

    kind: str  # ASSET, LIABILITY, EQUITY, INCOME or EXPENSE
    line: str  # of the balance sheet or the income statement
    activity: str  # section of the cash flow, for what is paid from it or to it
    cash_line: str  # of that section


# In the order of the balance sheet, then of the income statement.
USD_CHART: Final[dict[str, Place]] = {
    CASH: Place(ASSET, "cash", "", ""),
    "assets:btc": Place(ASSET, "bitcoin at cost", OPERATING, "bitcoin sold"),
    "assets:btc-revaluation": Place(
        ASSET, "bitcoin revaluation to market", OPERATING, "bitcoin sold"
    ),
    "assets:asics": Place(ASSET, "ASICs", INVESTING, "machines"),
    "assets:gpus": Place(ASSET, "GPU nodes", INVESTING, "machines"),
    "assets:buildings": Place(ASSET, "buildings", INVESTING, "buildings"),
    "assets:batteries": Place(ASSET, "batteries", INVESTING, "batteries"),
    "assets:projects": Place(ASSET, "projects", INVESTING, "projects"),
    PROJECT_INTEREST: Place(ASSET, "interest on projects", INVESTING, "projects"),
    "assets:deposits": Place(ASSET, "deposits", INVESTING, "deposits"),
    "assets:receivables": Place(ASSET, "receivables", OPERATING, "inference"),
    "assets:insurance-claims": Place(ASSET, "insurance claims", INVESTING, "insurance paid out"),
    RIGHT_OF_USE: Place(ASSET, "rights of use", OPERATING, "rent"),
    LOAN: Place(LIABILITY, "loans", FINANCING, DRAWN),
    "liabilities:interest": Place(LIABILITY, "interest owed", OPERATING, INTEREST_PAID),
    LEASES: Place(LIABILITY, "leases", OPERATING, "rent"),
    FINANCED: Place(LIABILITY, "leases as financing", FINANCING, "leases as financing"),
    "liabilities:rent": Place(LIABILITY, "rent owed", OPERATING, "rent"),
    "liabilities:transmission": Place(LIABILITY, "transmission owed", OPERATING, "transmission"),
    "liabilities:prepayments": Place(LIABILITY, "prepayments", OPERATING, "inference"),
    PAYABLES: Place(LIABILITY, "payables", OPERATING, "payables"),
    "liabilities:tax": Place(LIABILITY, "tax owed", OPERATING, "tax"),
    "liabilities:deferred-tax": Place(LIABILITY, "deferred tax liability", OPERATING, "tax"),
    OPENING: Place(EQUITY, "opening equity", FINANCING, "capital paid in"),
    ISSUED: Place(EQUITY, "shares issued", FINANCING, "shares issued"),
    CREDITORS_LOSS: Place(EQUITY, "borne by creditors", FINANCING, "borne by creditors"),
    "income:mining": Place(INCOME, "mining", OPERATING, "mining"),
    "expenses:pool-fees": Place(EXPENSE, "pool fees", OPERATING, "pool fees"),
    "income:inference": Place(INCOME, "inference", OPERATING, "inference"),
    "expenses:credits": Place(EXPENSE, "credits", OPERATING, "credits"),
    GPU_OPERATIONS: Place(EXPENSE, "GPU operations", OPERATING, "GPU operations"),
    "income:grid-services": Place(INCOME, "grid services", OPERATING, "grid services"),
    "expenses:penalties": Place(EXPENSE, "penalties", OPERATING, "penalties"),
    "expenses:power": Place(EXPENSE, "power", OPERATING, "power"),
    "expenses:hosting": Place(EXPENSE, "hosting", OPERATING, "hosting"),
    "expenses:demand": Place(EXPENSE, "demand charges", OPERATING, "demand charges"),
    "expenses:transmission": Place(EXPENSE, "transmission", OPERATING, "transmission"),
    "expenses:fuel": Place(EXPENSE, "fuel", OPERATING, "fuel"),
    "expenses:battery-wear": Place(EXPENSE, "battery wear", INVESTING, "batteries"),
    "expenses:rent": Place(EXPENSE, "rent", OPERATING, "rent"),
    "expenses:overhead": Place(EXPENSE, "overhead", OPERATING, "overhead"),
    "expenses:insurance": Place(EXPENSE, "insurance premiums", OPERATING, "insurance premiums"),
    "income:insurance": Place(INCOME, "insurance paid out", INVESTING, "insurance paid out"),
    "expenses:moving": Place(EXPENSE, "moving", OPERATING, "moving"),
    "income:machine-sales": Place(INCOME, "machine sales", INVESTING, "machines"),
    "expenses:depreciation": Place(EXPENSE, "depreciation", INVESTING, "machines"),
    IMPAIRMENT: Place(EXPENSE, "impairment", INVESTING, "machines"),
    WINDING_UP: Place(EXPENSE, "winding-up", INVESTING, "machines"),
    "income:btc-gains": Place(INCOME, "bitcoin gains, realised", OPERATING, "bitcoin sold"),
    "income:btc-revaluation": Place(INCOME, "bitcoin revaluation", OPERATING, "bitcoin sold"),
    "expenses:trading": Place(EXPENSE, "costs of bitcoin sales", OPERATING, "bitcoin sold"),
    "expenses:liquidation": Place(EXPENSE, "liquidation fees", FINANCING, "liquidation fees"),
    INTEREST: Place(EXPENSE, "interest", OPERATING, INTEREST_PAID),
    "expenses:tax": Place(EXPENSE, "tax", OPERATING, "tax"),
    "expenses:deferred-tax": Place(EXPENSE, "deferred tax", OPERATING, "tax"),
}
BTC_CHART: Final = (FREE_BTC, COLLATERAL_BTC, MINED_BTC, FEES_BTC, OPENING, EXCHANGE)
# Subtotals of the income statement: name, and the line that they follow.
SUBTOTALS: Final = {
    "gross margin": "battery wear",
    "income before tax": "interest",
    "net income": "deferred tax",
}


@cache
def place(account: str, commodity: str) -> str:
    """The account of the chart that an account or sub-account belongs to.

    Raises ValueError for an account that the chart does not know.
    """
    parent = ":".join(account.split(":")[:2])
    if parent in (USD_CHART if commodity == "USD" else BTC_CHART):
        return parent
    raise ValueError(f"account {account!r} in {commodity}: not in the chart of accounts")
