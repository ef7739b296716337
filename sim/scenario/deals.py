"""Tables and sheets about contracts with others: hosts, leases, deposits, offtakes, projects."""

from pydantic import model_validator

from sim.scenario.problems import instant
from sim.scenario.quantity import REQUIRED, Instant, Number, Table, quantity


class Host(Table):
    """Whoever houses machines. Energy is billed by the site's own price (contract `hosted`)."""

    sites: tuple[str, ...] = quantity(REQUIRED, "", "names in sites.csv", min_length=1)
    usd_per_machine_month: float = quantity(
        0.0, "USD/month", "fee for each ASIC that is deployed", source="assumed: none", ge=0
    )
    profit_share: float = quantity(
        0.0,
        "-",
        "share of a month's mining revenue less energy and pool fees that the host gets",
        source="assumed: none",
        ge=0,
        le=1,
    )
    minimum_uptime: float = quantity(
        0.0,
        "-",
        "share of a month's machine-time the host owes, what the policy chose aside",
        source="assumed: none",
        ge=0,
        le=1,
    )
    credit_usd_per_mwh: float = quantity(
        0.0, "USD/MWh", "credit for energy not delivered below that", source="assumed", ge=0
    )
    ends_utc: Instant | None = quantity(
        None, "UTC", "when machines must be off; an incident may end it earlier"
    )
    notice_days: float = quantity(
        0.0,
        "d",
        "from an incident `termination` to the end of service",
        source="assumed",
        ge=0,
        le=3650,
    )
    move_to: str | None = quantity(
        None, "", "site that takes the ASICs in; default: they stay in store"
    )
    downtime_days: float = quantity(
        30.0, "d", "from the end of service to the start at the other site", source="assumed", ge=0
    )
    moving_usd_per_machine: float = quantity(
        0.0, "USD", "transport and installation of an ASIC", source="assumed", ge=0
    )
    source: str = quantity("", "", "where the figures come from")


class Lease(Table):
    """A row of `leases.csv`: ASICs sold to somebody and rented back."""

    name: str = quantity(REQUIRED, "", "unique name", min_length=1)
    site: str = quantity(REQUIRED, "", "name in sites.csv")
    model: str = quantity(REQUIRED, "", "model of ASICs in asics.csv at that site, owner leased")
    machines: int = quantity(REQUIRED, "machines", "machines leased", gt=0)
    counterparties: int = quantity(
        1, "persons", "owners among whom they are split", source="assumed", ge=1
    )
    usd_per_machine_month: float = quantity(REQUIRED, "USD/month", "rent of a machine", ge=0)
    sale_usd_per_machine: float = quantity(
        0.0, "USD", "received at the start; 0: sold before the run", source="assumed", ge=0
    )
    start_utc: Instant | None = quantity(None, "UTC", "default: before the run begins")
    end_utc: Instant | None = quantity(None, "UTC", "default: after the run")
    rent_when_lost: bool = quantity(
        True, "", "whether rent is owed for machines that are destroyed or off"
    )
    source: str = quantity("", "", "where the row's figures come from")

    @model_validator(mode="after")
    def _in_order(self) -> "Lease":
        if self.start_utc and self.end_utc and self.end_utc <= self.start_utc:
            raise ValueError(
                f"end_utc = {instant(self.end_utc)}: must be after start_utc = "
                f"{instant(self.start_utc)}"
            )
        if self.sale_usd_per_machine and self.start_utc is None:
            raise ValueError("sale_usd_per_machine: needs start_utc, the day it is received")
        return self


class Deposit(Table):
    """Money that a utility or a host holds as security."""

    usd: float = quantity(REQUIRED, "USD", "how much", gt=0)
    payee: str = quantity("", "", "who holds it; default: the deposit's name")
    host: str | None = quantity(None, "", "host of whose contract it is part; lost at termination")
    paid_utc: Instant | None = quantity(None, "UTC", "default: before the run begins")
    returned_utc: Instant | None = quantity(None, "UTC", "default: after the run")
    source: str = quantity("", "", "where the figures come from")

    @model_validator(mode="after")
    def _in_order(self) -> "Deposit":
        if self.paid_utc and self.returned_utc and self.returned_utc <= self.paid_utc:
            raise ValueError(
                f"returned_utc = {instant(self.returned_utc)}: must be after paid_utc = "
                f"{instant(self.paid_utc)}"
            )
        return self


class Offtake(Table):
    """A buyer of reserved GPU nodes; the price is that of gpus.csv (state contracted)."""

    sites: tuple[str, ...] = quantity(REQUIRED, "", "names in sites.csv", min_length=1)
    prepaid_usd: float = quantity(
        0.0, "USD", "paid at the start, and earned first", source="assumed: none", ge=0
    )
    payment_days: int = quantity(
        30, "d", "from the end of a month to its payment", source="assumed", ge=0, le=365
    )
    uptime_sla: float = quantity(
        0.99, "-", "share of a month's node-hours owed", source="assumed", ge=0, le=1
    )
    credit_fraction: float = quantity(
        0.10,
        "-",
        "of a month's invoice, when the month misses the SLA; on top of what a node-hour costs",
        source="assumed: the first step of cloud providers' SLAs",
        ge=0,
        le=1,
    )
    source: str = quantity("", "", "where the figures come from")


class Project(Table):
    """Something that is built: paid in parts, delivered late, part of the plant when live.

    It delivers the rows of gpus.csv and asics.csv that name it in their column `project`, at
    whatever sites, and the substations it lists.
    """

    enabled: bool = quantity(True, "", "false: it is never ordered")
    substations_mw: dict[str, Number] = quantity(
        {}, "MW", "added to the limit of sites, by name in sites.csv"
    )
    capex_usd: float = quantity(REQUIRED, "USD", "price of the whole", ge=0)
    order_utc: Instant = quantity(REQUIRED, "UTC", "when the deposit is paid")
    deposit_fraction: float = quantity(0.3, "-", "paid at the order", source="assumed", ge=0, le=1)
    delivery_fraction: float = quantity(
        0.5, "-", "paid at delivery; the rest when it goes live", source="assumed", ge=0, le=1
    )
    lead_days: float = quantity(
        180.0, "d", "mean time from order to delivery", source="assumed", ge=0, le=3650
    )
    lead_cv: float = quantity(
        0.0, "-", "coefficient of variation of that time (lognormal)", source="assumed", ge=0, le=3
    )
    commissioning_days: float = quantity(
        30.0, "d", "from delivery to live", source="assumed", ge=0, le=3650
    )
    failed_fraction: float = quantity(
        0.0, "-", "share of the machines that never run", source="assumed", ge=0, le=1
    )
    cancel_utc: Instant | None = quantity(
        None, "UTC", "when it is called off, if not delivered by then"
    )
    refund_fraction: float = quantity(
        0.0, "-", "of what was paid that comes back then", source="assumed", ge=0, le=1
    )
    finance: str = quantity(
        "cash", "", "cash, btc (sold for each payment), or the name of a loan to draw on"
    )
    committed: bool = quantity(
        False,
        "",
        "whether its payments are owed in any case; false: they wait while money is short",
    )
    source: str = quantity("", "", "where the figures come from")

    @model_validator(mode="after")
    def _complete(self) -> "Project":
        parts = self.deposit_fraction + self.delivery_fraction
        if parts > 1.0 + 1e-12:
            raise ValueError(f"deposit_fraction + delivery_fraction = {parts:g}: must be <= 1")
        for site, mw in self.substations_mw.items():
            if mw <= 0:
                raise ValueError(f"substations_mw.{site} = {mw:g}: must be > 0 MW")
        if self.cancel_utc and self.cancel_utc < self.order_utc:
            raise ValueError(
                f"cancel_utc = {instant(self.cancel_utc)}: must not be before order_utc = "
                f"{instant(self.order_utc)}"
            )
        return self
