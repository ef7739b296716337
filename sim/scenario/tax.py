"""The table `[tax]` of `scenario.toml`: taxation of the firm's income, apart from the rate."""

from typing import Literal

from sim.scenario.quantity import Table, quantity


class Tax(Table):
    """Income tax of a corporation in the manner of the United States, simplified.

    The rate is `tax_fraction` of [firm]; at 0 there is no tax. Taxed is what was earned in a
    calendar year, bitcoin when it is mined and when it is sold, never what is held. A loss is
    carried forward. Left aside: limits to the deduction of interest, credits, state and local
    taxes apart from the rate, the alternative minimum tax, the mid-quarter convention.
    """

    basis: Literal["fifo", "highest-cost-first"] = quantity(
        "fifo", "", "which bitcoin a sale takes: the oldest, or those that cost most"
    )
    depreciation: Literal["straight-line", "macrs"] = quantity(
        "straight-line",
        "",
        "straight-line: as in the books; macrs: machines over 5 and buildings over 15 years by the "
        "tables of IRS Publication 946, what stood there at the start as in the books",
    )
    bonus_fraction: float = quantity(
        0.0,
        "-",
        "macrs: of the price of what is bought, deducted in its first year",
        source="assumed: none; 1 for property acquired after 2025-01-19, 26 USC 168(k)",
        ge=0,
        le=1,
    )
    loss_cap_fraction: float = quantity(
        0.8,
        "-",
        "most of a year's income that earlier losses may offset",
        source="26 USC 172(a)(2)",
        ge=0,
        le=1,
    )
    opening_loss_usd: float = quantity(
        0.0, "USD", "losses of earlier years, carried into the run", source="assumed: none", ge=0
    )
    payment_days: int = quantity(
        15,
        "d",
        "from the end of a quarter to the payment of what is owed for the year so far",
        source="assumed, near the instalments of 26 USC 6655",
        ge=0,
        le=365,
    )
