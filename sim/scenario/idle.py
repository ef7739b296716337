"""Warnings of entries without effect: nothing refers to them, or they lie outside the run."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from sim.scenario.problems import Problem, instant, row_of
from sim.scenario.quantity import Table
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_HOUR

TOML: Final = "scenario.toml"


def idle(s: Scenario) -> Iterator[Problem]:
    """Warn of unreferenced entries, entries outside the run, and blocks that no site can use."""
    named = set(_texts(s.model_dump(exclude={"series", "recorded_sha256", "description"})))
    for name in s.series:
        if name not in named:
            what = "is used by nothing; name it where it belongs, or leave it out"
            yield Problem(TOML, f"series.{name}", "", what)
    for name in s.prices.zones:
        if name not in named:
            what = "no site is in this zone; name it as price_zone in sites.csv, or leave it out"
            yield Problem(TOML, f"prices.zones.{name}", "", what)
    for name in s.tariffs:
        if name not in named:
            what = "no zone and no site has this tariff; name it as tariff, or leave it out"
            yield Problem(TOML, f"tariffs.{name}", "", what)
    for step in ("revolver", "equity"):
        written = "steps" in s.funding.model_fields_set and step in s.funding.steps
        if written and getattr(s.funding, step) is None:
            what = f"step {step!r} brings nothing: there is no table [funding.{step}]"
            yield Problem(TOML, "funding.steps", ", ".join(s.funding.steps), what)
    yield from _later(s)
    yield from _contracts(s)
    yield from _charges(s)


def _later(s: Scenario) -> Iterator[Problem]:
    """Entries dated after the run, by table."""
    end = s.horizon.start_utc + timedelta(seconds=s.horizon.seconds)
    dated: dict[str, list[Any]] = {}
    for where, table in _tables("", s):
        if getattr(table, "start_utc", None) is not None:
            dated.setdefault(where, []).append(table)
    for where, tables in dated.items():
        late = [table.start_utc for table in tables if table.start_utc >= end]
        if where.endswith("tariffs.prices") and len(late) < len(tables):
            continue  # a published tariff may continue after the run
        if late:
            what = (
                f"{len(late)} of {len(tables)} begin after the run, which ends {instant(end)}, and "
                "have no effect: check years, or horizon.days"
            )
            file, _, key = where.rpartition("|")
            yield Problem(file, f"{key}.start_utc".lstrip("."), instant(min(late)), what)


def _contracts(s: Scenario) -> Iterator[Problem]:
    limit_mw = {site.name: site.power_limit_mw for site in s.sites}
    for i, block in enumerate(s.power_contracts):
        if block.end_utc is not None and block.end_utc <= s.horizon.start_utc:
            what = f"the run begins {instant(s.horizon.start_utc)}: the contract has no effect"
            where = row_of(i, block.site, "end_utc")
            yield Problem("power_contracts.csv", where, instant(block.end_utc), what)
        if block.mw > limit_mw.get(block.site, block.mw):
            what = (
                f"is more than its site can take, {limit_mw[block.site]:g} MW; check the unit, or "
                "that the rest is meant to be sold on"
            )
            where = row_of(i, block.site, "mw")
            yield Problem("power_contracts.csv", where, f"{block.mw:g}", what)


def _charges(s: Scenario) -> Iterator[Problem]:
    """Demand charges outside the run or within an all-in price, and sales at an own price."""
    first = s.horizon.start_utc - timedelta(hours=12)
    hours = round(s.horizon.seconds / SECONDS_PER_HOUR) + 26  # whatever the local clock
    seen = {(first + timedelta(hours=h)).month for h in range(hours)}
    for name, charge in s.demand_charges.items():
        where = f"demand_charges.{name}"
        if charge.months and not seen & set(charge.months):
            what = "the run sees none of these months: the charge has no effect"
            yield Problem(TOML, f"{where}.months", str(list(charge.months)), what)
        hosted = [x.name for x in s.sites if x.contract == "hosted"]
        if hosted and "*" in charge.sites:
            what = f"{', '.join(hosted)} pays an all-in price of a host, and this beside it; name "
            what += "the sites that pay it, if that is not meant"
            yield Problem(TOML, f"{where}.sites", "*", what)
    for i, site in enumerate(s.sites):
        if site.export_mw > 0.0 and not site.price_zone:
            what = "what flows back earns what the site itself pays: name the zone that buys it as "
            what += "price_zone"
            yield Problem(
                "sites.csv", row_of(i, site.name, "export_mw"), f"{site.export_mw:g}", what
            )


def _tables(where: str, value: Any) -> Iterator[tuple[str, Table]]:
    """Tables in lists and by name, each with its sheet or key."""
    if isinstance(value, Scenario):
        for name in type(value).model_fields:
            of_sheet = isinstance(getattr(value, name), tuple)
            place = f"{name}.csv|" if of_sheet else f"{TOML}|{name}"
            yield from _tables(place, getattr(value, name)) if name != "horizon" else ()
    elif isinstance(value, Table):
        yield where, value
        for name in type(value).model_fields:
            yield from _tables(f"{where}.{name}", getattr(value, name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tables(where, inner)
    elif isinstance(value, tuple) and value and isinstance(value[0], Table):
        for inner in value:
            yield from _tables(where, inner)


def _texts(value: Any) -> Iterator[str]:
    """Every text within tables and lists, except their own names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
