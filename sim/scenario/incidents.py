"""What goes wrong, by date or by rate: `[[faults.incidents]]`."""

from typing import Final, Literal

from pydantic import model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity

Kind = Literal[
    "outage",
    "network-cut",
    "cooling",
    "node-failure",
    "fire",
    "curtailment",
    "emergency",
    "pool-outage",
    "price-spike",
    "termination",
    "delivery-delay",
]
# What an incident strikes, and the keys it needs beside when it happens.
NEEDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "outage": ("sites", ("hours",)),
    "network-cut": ("sites", ("hours",)),
    "cooling": ("sites", ("hours",)),
    "node-failure": ("sites", ("hours",)),
    "fire": ("sites", ("destroyed_fraction",)),
    "curtailment": ("sites", ("hours",)),
    "emergency": ("sites", ("hours",)),
    "pool-outage": ("", ("hours",)),
    "price-spike": ("zones", ("hours", "usd_per_mwh")),
    "termination": ("hosts", ()),
    "delivery-delay": ("projects", ("days",)),
}
LEAVES: Final = ("cooling", "curtailment", "node-failure", "emergency")  # kinds that leave a part


class Incident(Table):
    """One misfortune, or one kind of them that strikes at random.

    outage: sites without power. network-cut: no pool and no request reaches them. cooling: machines
    keep `left_fraction` of their power. node-failure: that share of the GPU nodes is left; what the
    others served is tried again elsewhere. emergency: the operator's levels, an obligation that
    nobody pays for: an alert for `alert_h`, which policies see, then load is shed for `hours` and
    `left_fraction` of the connection left, from which ASICs go first, then nodes that are not
    reserved. fire: a share of the machines is destroyed, the site
    shut for `hours`. curtailment: the grid leaves `left_fraction` of the connection. pool-outage:
    hashes are not paid. price-spike: zones' prices at least `usd_per_mwh`. termination: hosts give
    notice. delivery-delay: projects not yet delivered come `days` later.

    What is dated before the run reaches into it: its rest passes, a notice runs on, a delayed
    project comes later, and what burnt is not there (sheets say what was set up before it burnt).
    """

    kind: Kind = quantity(REQUIRED, "", "what happens")
    sites: tuple[str, ...] = quantity((), "", 'names in sites.csv, or "*": all')
    zones: tuple[str, ...] = quantity((), "", "price-spike: names in [prices.zones]")
    hosts: tuple[str, ...] = quantity((), "", "termination: names in [hosts]")
    projects: tuple[str, ...] = quantity((), "", "delivery-delay: names in [projects]")
    start_utc: Instant | None = quantity(None, "UTC", "when; or per_year")
    per_year: float | None = quantity(
        None, "1/y", "or how often, for each site (zone, host, project): Poisson", gt=0, le=10_000
    )
    hours: float | None = quantity(
        None, "h", "how long; by rate: on average (exponential)", gt=0, le=87_600
    )
    left_fraction: float = quantity(
        0.0,
        "-",
        "what is left: cooling: of the machines' power; curtailment, emergency: of the connection "
        "(power_limit_mw), whatever of it is used; node-failure: of the nodes",
        source="assumed: nothing",
        ge=0,
        lt=1,
    )
    alert_h: float = quantity(
        1.0,
        "h",
        "emergency: how long the alert lasts before load is shed",
        source="ERCOT 2021-02-15: EEA 1 at 00:15, firm load shed (EEA 3) at 01:20",
        ge=0,
        le=168,
    )
    destroyed_fraction: float | None = quantity(
        None, "-", "fire: share of the site's machines", gt=0, le=1
    )
    usd_per_mwh: float | None = quantity(
        None, "USD/MWh", "price-spike: the price", gt=0, le=100_000
    )
    days: float | None = quantity(None, "d", "delivery-delay: how much later", gt=0, le=3650)
    source: str = quantity("", "", "where the figures come from")

    @model_validator(mode="after")
    def _complete(self) -> "Incident":
        target, keys = NEEDS[self.kind]
        if (self.start_utc is None) == (self.per_year is None):
            raise ValueError(f"{self.kind}: give one of start_utc and per_year")
        for name in ("sites", "zones", "hosts", "projects"):
            if name != target and getattr(self, name):
                strikes = f", which strikes {target}" if target else ""
                raise ValueError(f"{self.kind}: {name} does not belong to it{strikes}")
        if target and not getattr(self, target):
            raise ValueError(f"{self.kind}: {target} is required")
        for name in ("hours", "destroyed_fraction", "usd_per_mwh", "days"):
            given = getattr(self, name) is not None
            if name in keys and not given:
                raise ValueError(f"{self.kind}: {name} is required")
            if given and name not in keys and not (self.kind == "fire" and name == "hours"):
                raise ValueError(f"{self.kind}: {name} does not belong to it")
        if "alert_h" in self.model_fields_set and self.kind != "emergency":
            raise ValueError(f"{self.kind}: alert_h does not belong to it, but to emergency")
        if "left_fraction" in self.model_fields_set and self.kind not in LEAVES:
            allowed = " and ".join(LEAVES)
            raise ValueError(f"{self.kind}: left_fraction does not belong to it, but to {allowed}")
        return self

    @property
    def before_h(self) -> float:
        """How long it is announced before it strikes [h]."""
        return self.alert_h if self.kind == "emergency" else 0.0
