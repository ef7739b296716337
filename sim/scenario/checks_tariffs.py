"""Checks of demand charges between the tables and the sheets."""

from collections.abc import Iterator

from sim.scenario.problems import Problem, row_of, shown, unknown
from sim.scenario.scenario import Scenario
from sim.scenario.tariffs import DemandCharge
from sim.units import SECONDS_PER_HOUR

TOML = "scenario.toml"


def demand_charges(s: Scenario) -> Iterator[Problem]:
    """Sites must exist, and intervals must fit the control steps and the local clock."""
    names = [site.name for site in s.sites]
    for name, charge in s.demand_charges.items():
        where = f"demand_charges.{name}"
        if len(set(charge.sites)) < len(charge.sites) or not charge.sites:
            what = "must name at least one site, and none twice"
            yield Problem(TOML, f"{where}.sites", str(list(charge.sites)), what)
        for site in charge.sites:
            if site != "*":
                yield from unknown(TOML, f"{where}.sites", site, names)
        yield from _intervals(s, where, charge)
        for i, row in enumerate(s.sites):
            twice = row.demand_charge_usd_per_mw_month > 0.0 and charge.at_any_hour
            plain = charge.interval_min is None and not charge.months
            if twice and plain and ("*" in charge.sites or row.name in charge.sites):
                at = row_of(i, row.name, "demand_charge_usd_per_mw_month")
                what = f"{where} is a charge on the same peaks of this site: give one of the two"
                value = f"{row.demand_charge_usd_per_mw_month:g}"
                yield Problem("sites.csv", at, value, what)


def _intervals(s: Scenario, where: str, charge: DemandCharge) -> Iterator[Problem]:
    step_s = s.horizon.step_s
    interval_s = round((charge.interval_min or step_s / 60) * 60)
    if interval_s % step_s and step_s % interval_s:
        what = f"must divide horizon.step_s = {step_s} s or be a multiple of it"
        yield Problem(TOML, f"{where}.interval_min", f"{charge.interval_min:g}", what)
        return
    if charge.at_any_hour and charge.interval_min is None:
        return
    if not charge.at_any_hour and interval_s > SECONDS_PER_HOUR:
        what = f"hours need it, as 15: the control step measures over {interval_s} s"
        yield Problem(TOML, f"{where}.interval_min", "", what)
        return
    for key, hour in (("from_hour", charge.from_hour), ("to_hour", charge.to_hour)):
        if (hour * SECONDS_PER_HOUR) % interval_s:
            what = f"must be the edge of an interval of {interval_s // 60} minutes (interval_min)"
            yield Problem(TOML, f"{where}.{key}", f"{hour:g}", what)
    start_s = round(s.horizon.start_utc.timestamp())
    for i, site in enumerate(s.sites):
        paid = "*" in charge.sites or site.name in charge.sites
        if paid and (start_s + round(site.offset_h * SECONDS_PER_HOUR)) % step_s:
            what = (
                f"control steps must begin with intervals of {where} on the site's clock: the "
                f"local time of horizon.start_utc must be a multiple of step_s = {step_s} s"
            )
            at = row_of(i, site.name, "timezone" if site.timezone else "utc_offset_h")
            yield Problem("sites.csv", at, shown(site.timezone or f"{site.offset_h:g}"), what)
