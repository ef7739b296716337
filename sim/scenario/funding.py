"""Tables of `scenario.toml` about funding a cash shortfall: sources and their order."""

from typing import Literal

from pydantic import model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity
from sim.text import repeated

Step = Literal["defer", "bitcoin", "release", "revolver", "equity", "cancel", "machines"]


class Revolver(Table):
    """A credit line without collateral, drawn when money is short, paid back when it is there."""

    limit_usd: float = quantity(REQUIRED, "USD", "most that may be owed on it", gt=0)
    rate_per_year: float = quantity(
        0.11, "1/y", "interest, actual days over 365, paid at month ends", source="assumed",
        ge=0, le=1,
    )  # fmt: skip
    commitment_per_year: float = quantity(
        0.005, "1/y", "fee on what is not drawn, paid at month ends", source="assumed", ge=0, le=1
    )
    until_utc: Instant | None = quantity(
        None, "UTC", "nothing is drawn from here on, and what is owed is due; default: never"
    )
    source: str = quantity("", "", "where the figures come from")


class Equity(Table):
    """New shares, sold when money is short: whoever owned the firm owns less of it then.

    They are sold below the firm's equity per share, bitcoin at market and machines at book value;
    where equity is not above zero nobody buys.
    """

    limit_usd: float = quantity(REQUIRED, "USD", "most that is paid for them in all", gt=0)
    discount_fraction: float = quantity(
        0.1, "-", "price below equity per share", source="assumed", ge=0, lt=1
    )
    fee_fraction: float = quantity(
        0.04, "-", "of what is paid, to banks and lawyers", source="assumed", ge=0, lt=1
    )
    source: str = quantity("", "", "where the figures come from")


class Funding(Table):
    """Where a firm with opening cash finds money that is due and not there, step by step.

    `defer`: a project's payment waits, with all that follows, unless the project is `committed`;
    steps before it are taken for such a payment, too. `bitcoin`: free bitcoin is sold. `release`:
    lenders give back what is pledged beyond their initial_ltv; then pledged bitcoin is sold to pay
    them down until enough of the rest is free. `revolver`, `equity`: as far as their tables allow.
    `cancel`: projects that are not delivered are called off for their refund. `machines`: ASICs are
    sold used, the least efficient first. Only a firm that has gone through all of them and still
    cannot pay what is due is insolvent.
    """

    steps: tuple[Step, ...] = quantity(
        ("defer", "bitcoin", "release", "revolver", "equity", "cancel", "machines"),
        "",
        "in the order in which they are taken; one that is left out is never taken",
        source="assumed: what costs the owners least comes first",
    )
    defer_days: float = quantity(
        90.0, "d", "how long a payment may wait before the project is called off",
        source="assumed", ge=0, le=3650,
    )  # fmt: skip
    machine_discount_fraction: float = quantity(
        0.2,
        "-",
        "what a sale in haste brings less than the market pays for used machines",
        source="assumed",
        ge=0,
        lt=1,
    )
    revolver: Revolver | None = quantity(None, "", "credit line; default: none")
    equity: Equity | None = quantity(None, "", "new shares; default: none are allowed")

    @model_validator(mode="after")
    def _once(self) -> "Funding":
        twice = repeated(self.steps)
        if twice:
            raise ValueError(f"steps: {', '.join(twice)} twice; each step may stand there once")
        return self
