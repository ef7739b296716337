"""The chart of accounts, and where each account appears in the statements.

Sub-accounts (`liabilities:loan:LOAN`) are reported with their parent. The cash flow classifies a
transaction by the account on the other side of cash. Bitcoin sales are operating: they are how a
miner turns revenue into cash (ASU 2023-08 requires this for bitcoin sold nearly at once). Interest
paid is operating, except capitalised interest, which is investing (ASC 230-10-45-13(c)); insurance
proceeds for machines are investing (ASC 230).
"""

from enum import StrEnum
from functools import cache
from typing import Final, NamedTuple

ASSET, LIABILITY, EQUITY, INCOME, EXPENSE = "asset", "liability", "equity", "income", "expense"
OPERATING, INVESTING, FINANCING = "operating", "investing", "financing"
ACTIVITIES: Final = (OPERATING, INVESTING, FINANCING)


class Account(StrEnum):
    """Every account. Debits are positive: assets and expenses are above zero, others below."""

    CASH = "assets:cash"
    BTC = "assets:btc"  # in BTC: free bitcoin; in USD: all bitcoin at cost
    BTC_COLLATERAL = "assets:btc-collateral"  # in BTC; a sub-account for each loan
    BTC_REVALUATION = "assets:btc-revaluation"  # market less cost, at month ends
    ASICS = "assets:asics"  # book value, as for the next accounts
    GPUS = "assets:gpus"
    BUILDINGS = "assets:buildings"
    BATTERIES = "assets:batteries"
    PROJECTS = "assets:projects"  # paid and not yet live
    PROJECT_INTEREST = "assets:project-interest"  # capitalised, less depreciation
    DEPOSITS = "assets:deposits"
    RECEIVABLES = "assets:receivables"
    INSURANCE_CLAIMS = "assets:insurance-claims"
    RIGHT_OF_USE = "assets:right-of-use"
    LOAN = "liabilities:loan"  # a sub-account for each loan, as for interest
    INTEREST_OWED = "liabilities:interest"
    LEASES = "liabilities:leases"  # counterpart of the rights of use
    LEASE_FINANCING = "liabilities:lease-financing"
    RENT_OWED = "liabilities:rent"
    TRANSMISSION_OWED = "liabilities:transmission"
    PREPAYMENTS = "liabilities:prepayments"
    PAYABLES = "liabilities:payables"  # due but unpaid for lack of cash
    TAX_OWED = "liabilities:tax"  # a debit balance is tax paid ahead
    DEFERRED_TAX_OWED = "liabilities:deferred-tax"
    OPENING = "equity:opening"  # in USD and BTC
    ISSUED = "equity:issued"  # new shares
    CREDITORS_LOSS = "equity:creditors-loss"
    EXCHANGE = "equity:exchange"  # in BTC: counterpart of sales
    MINING = "income:mining"  # in USD and BTC, like the pool's fees
    INFERENCE = "income:inference"
    GRID_SERVICES = "income:grid-services"
    BTC_GAINS = "income:btc-gains"  # realised
    BTC_REVALUED = "income:btc-revaluation"
    MACHINE_SALES = "income:machine-sales"
    INSURANCE_PAID = "income:insurance"
    POWER = "expenses:power"
    HOSTING = "expenses:hosting"
    HOSTING_CHARGES = "expenses:hosting:charges"  # hosts' charges other than energy
    DEMAND = "expenses:demand"
    TRANSMISSION = "expenses:transmission"
    FUEL = "expenses:fuel"
    BATTERY_WEAR = "expenses:battery-wear"
    PENALTIES = "expenses:penalties"
    POOL_FEES = "expenses:pool-fees"
    CREDITS = "expenses:credits"
    GPU_OPERATIONS = "expenses:gpu-operations"
    RENT = "expenses:rent"
    OVERHEAD = "expenses:overhead"
    PREMIUMS = "expenses:insurance"
    MOVING = "expenses:moving"
    TRADING = "expenses:trading"  # costs of sales
    LIQUIDATION = "expenses:liquidation"
    INTEREST = "expenses:interest"
    DEPRECIATION = "expenses:depreciation"
    IMPAIRMENT = "expenses:impairment"
    UNRECOVERABLE = "expenses:impairment:unrecoverable"  # of machines in use
    WINDING_UP = "expenses:winding-up"
    TAX = "expenses:tax"
    DEFERRED_TAX = "expenses:deferred-tax"

    def of(self, name: str) -> str:
        """Name of a loan's sub-account."""
        return f"{self}:{name}"

    def holds(self, account: str) -> bool:
        """Whether `account` is a sub-account of this one."""
        return account.startswith(f"{self}:")


EARNINGS: Final = ("income:", "expenses:")  # prefixes of income and expense accounts
OWNERS: Final = ("equity:", *EARNINGS)  # prefixes of the accounts that make up equity
DRAWN: Final = "loans drawn"
REPAID: Final = "loans repaid"
INTEREST_PAID: Final = "interest"
CAPITALISED: Final = "interest capitalised"


class Place(NamedTuple):
    """Where a USD account appears in the statements."""

    kind: str  # ASSET, LIABILITY, EQUITY, INCOME or EXPENSE
    line: str  # of the balance sheet or the income statement
    activity: str  # cash-flow section of payments against it
    cash_line: str  # of that section


# In balance-sheet order, then income-statement order.
USD_CHART: Final[dict[str, Place]] = {
    Account.CASH: Place(ASSET, "cash", "", ""),
    Account.BTC: Place(ASSET, "bitcoin at cost", OPERATING, "bitcoin sold"),
    Account.BTC_REVALUATION: Place(
        ASSET, "bitcoin revaluation to market", OPERATING, "bitcoin sold"
    ),
    Account.ASICS: Place(ASSET, "ASICs", INVESTING, "machines"),
    Account.GPUS: Place(ASSET, "GPU nodes", INVESTING, "machines"),
    Account.BUILDINGS: Place(ASSET, "buildings", INVESTING, "buildings"),
    Account.BATTERIES: Place(ASSET, "batteries", INVESTING, "batteries"),
    Account.PROJECTS: Place(ASSET, "projects", INVESTING, "projects"),
    Account.PROJECT_INTEREST: Place(ASSET, "interest on projects", INVESTING, "projects"),
    Account.DEPOSITS: Place(ASSET, "deposits", INVESTING, "deposits"),
    Account.RECEIVABLES: Place(ASSET, "receivables", OPERATING, "inference"),
    Account.INSURANCE_CLAIMS: Place(ASSET, "insurance claims", INVESTING, "insurance paid out"),
    Account.RIGHT_OF_USE: Place(ASSET, "rights of use", OPERATING, "rent"),
    Account.LOAN: Place(LIABILITY, "loans", FINANCING, DRAWN),
    Account.INTEREST_OWED: Place(LIABILITY, "interest owed", OPERATING, INTEREST_PAID),
    Account.LEASES: Place(LIABILITY, "leases", OPERATING, "rent"),
    Account.LEASE_FINANCING: Place(
        LIABILITY, "leases as financing", FINANCING, "leases as financing"
    ),
    Account.RENT_OWED: Place(LIABILITY, "rent owed", OPERATING, "rent"),
    Account.TRANSMISSION_OWED: Place(LIABILITY, "transmission owed", OPERATING, "transmission"),
    Account.PREPAYMENTS: Place(LIABILITY, "prepayments", OPERATING, "inference"),
    Account.PAYABLES: Place(LIABILITY, "payables", OPERATING, "payables"),
    Account.TAX_OWED: Place(LIABILITY, "tax owed", OPERATING, "tax"),
    Account.DEFERRED_TAX_OWED: Place(LIABILITY, "deferred tax liability", OPERATING, "tax"),
    Account.OPENING: Place(EQUITY, "opening equity", FINANCING, "capital paid in"),
    Account.ISSUED: Place(EQUITY, "shares issued", FINANCING, "shares issued"),
    Account.CREDITORS_LOSS: Place(EQUITY, "borne by creditors", FINANCING, "borne by creditors"),
    Account.MINING: Place(INCOME, "mining", OPERATING, "mining"),
    Account.POOL_FEES: Place(EXPENSE, "pool fees", OPERATING, "pool fees"),
    Account.INFERENCE: Place(INCOME, "inference", OPERATING, "inference"),
    Account.CREDITS: Place(EXPENSE, "credits", OPERATING, "credits"),
    Account.GPU_OPERATIONS: Place(EXPENSE, "GPU operations", OPERATING, "GPU operations"),
    Account.GRID_SERVICES: Place(INCOME, "grid services", OPERATING, "grid services"),
    Account.PENALTIES: Place(EXPENSE, "penalties", OPERATING, "penalties"),
    Account.POWER: Place(EXPENSE, "power", OPERATING, "power"),
    Account.HOSTING: Place(EXPENSE, "hosting", OPERATING, "hosting"),
    Account.DEMAND: Place(EXPENSE, "demand charges", OPERATING, "demand charges"),
    Account.TRANSMISSION: Place(EXPENSE, "transmission", OPERATING, "transmission"),
    Account.FUEL: Place(EXPENSE, "fuel", OPERATING, "fuel"),
    Account.BATTERY_WEAR: Place(EXPENSE, "battery wear", INVESTING, "batteries"),
    Account.RENT: Place(EXPENSE, "rent", OPERATING, "rent"),
    Account.OVERHEAD: Place(EXPENSE, "overhead", OPERATING, "overhead"),
    Account.PREMIUMS: Place(EXPENSE, "insurance premiums", OPERATING, "insurance premiums"),
    Account.INSURANCE_PAID: Place(INCOME, "insurance paid out", INVESTING, "insurance paid out"),
    Account.MOVING: Place(EXPENSE, "moving", OPERATING, "moving"),
    Account.MACHINE_SALES: Place(INCOME, "machine sales", INVESTING, "machines"),
    Account.DEPRECIATION: Place(EXPENSE, "depreciation", INVESTING, "machines"),
    Account.IMPAIRMENT: Place(EXPENSE, "impairment", INVESTING, "machines"),
    Account.WINDING_UP: Place(EXPENSE, "winding-up", INVESTING, "machines"),
    Account.BTC_GAINS: Place(INCOME, "bitcoin gains, realised", OPERATING, "bitcoin sold"),
    Account.BTC_REVALUED: Place(INCOME, "bitcoin revaluation", OPERATING, "bitcoin sold"),
    Account.TRADING: Place(EXPENSE, "costs of bitcoin sales", OPERATING, "bitcoin sold"),
    Account.LIQUIDATION: Place(EXPENSE, "liquidation fees", FINANCING, "liquidation fees"),
    Account.INTEREST: Place(EXPENSE, "interest", OPERATING, INTEREST_PAID),
    Account.TAX: Place(EXPENSE, "tax", OPERATING, "tax"),
    Account.DEFERRED_TAX: Place(EXPENSE, "deferred tax", OPERATING, "tax"),
}
BTC_CHART: Final = (
    Account.BTC,
    Account.BTC_COLLATERAL,
    Account.MINING,
    Account.POOL_FEES,
    Account.OPENING,
    Account.EXCHANGE,
)
# Subtotals of the income statement: name, and the line it follows.
SUBTOTALS: Final = {
    "gross margin": "battery wear",
    "income before tax": "interest",
    "net income": "deferred tax",
}


@cache
def place(account: str, commodity: str) -> str:
    """The chart account of an account or sub-account.

    Raises ValueError for an account outside the chart.
    """
    parent = ":".join(account.split(":")[:2])
    if parent in (USD_CHART if commodity == "USD" else BTC_CHART):
        return parent
    raise ValueError(f"account {account!r} in {commodity}: not in the chart of accounts")
