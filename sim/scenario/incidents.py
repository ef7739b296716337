"""Incidents by date or by rate: `[[faults.incidents]]`."""

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydantic import model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity


class IncidentKind(NamedTuple):
    """Keys of a kind of incident; its effect is a class in `engine.incidents`."""

    strikes: str = "sites"  # the key that names its targets; "": no target
    needs: tuple[str, ...] = ("hours",)  # required keys
    may: tuple[str, ...] = ()  # optional keys
    lasting: bool = False  # its effect outlasts it, also from before the run


KINDS: Final[dict[str, IncidentKind]] = {
    "outage": IncidentKind(),
    "network-cut": IncidentKind(),
    "cooling": IncidentKind(may=("left_fraction",)),
    "node-failure": IncidentKind(may=("left_fraction",)),
    "fire": IncidentKind(needs=("destroyed_fraction",), may=("hours",), lasting=True),
    "curtailment": IncidentKind(may=("left_fraction",)),
    "emergency": IncidentKind(may=("left_fraction", "alert_h")),
    "pool-outage": IncidentKind(strikes=""),
    "price-spike": IncidentKind(strikes="zones", needs=("hours", "usd_per_mwh")),
    "termination": IncidentKind(strikes="hosts", needs=(), lasting=True),
    "delivery-delay": IncidentKind(strikes="projects", needs=("days",), lasting=True),
}
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(KINDS)]

TARGETS: Final = ("sites", "zones", "hosts", "projects")  # keys that name targets
COMMON: Final = ("kind", *TARGETS, "start_utc", "per_year", "source")  # keys allowed for every kind
PHRASES: Final = {  # text of an event for a key
    "left_fraction": "{:.0%} left",
    "destroyed_fraction": "{:.0%} of the machines destroyed",
    "usd_per_mwh": "{:g} USD/MWh",
    "days": "{:g} days later",
}


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
        if (self.start_utc is None) == (self.per_year is None):
            raise ValueError(f"{self.kind}: give one of start_utc and per_year")
        self._check_targets(self.of.strikes)
        keys = [key for key in Incident.model_fields if key not in COMMON]
        for key in sorted(keys, key=_has_default):
            given = key in self.model_fields_set and getattr(self, key) is not None
            if key in self.of.needs and not given:
                raise ValueError(f"{self.kind}: {key} is required")
            if given and key not in self.of.needs + self.of.may:
                owners = " and ".join(sorted(k for k, of in KINDS.items() if key in of.may))
                belongs = f", but to {owners}" if _has_default(key) else ""
                raise ValueError(f"{self.kind}: {key} does not belong to it{belongs}")
        return self

    def _check_targets(self, strikes: str) -> None:
        for key in TARGETS:
            if key != strikes and getattr(self, key):
                which = f", which strikes {strikes}" if strikes else ""
                raise ValueError(f"{self.kind}: {key} does not belong to it{which}")
        if strikes and not getattr(self, strikes):
            raise ValueError(f"{self.kind}: {strikes} is required")

    @property
    def of(self) -> IncidentKind:
        """The definition of its kind."""
        return KINDS[self.kind]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of its targets, as written."""
        return getattr(self, self.of.strikes) if self.of.strikes else ()

    @property
    def before_h(self) -> float:
        """Notice before it strikes [h]."""
        return self.alert_h if "alert_h" in self.of.may else 0.0

    def words(self) -> list[str]:
        """Its keys as text for an event, such as "40% left"."""
        keys = self.of.needs + self.of.may
        return [say.format(getattr(self, key)) for key, say in PHRASES.items() if key in keys]


def _has_default(key: str) -> bool:
    return Incident.model_fields[key].default is not None
