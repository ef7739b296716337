"""Warnings of oddities between the grid, its programmes and the sites."""

from collections.abc import Iterator
from typing import Final

from sim.scenario import catalogue
from sim.scenario.energy import EconomicProgramme, EmergencyProgramme, ReserveProgramme
from sim.scenario.model import FixedPrice, RegionalPrice, ReplayPrice
from sim.scenario.problems import Problem
from sim.scenario.rows import Site
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_MINUTE, W_PER_MW

TOML: Final = "scenario.toml"


def odd_grid(s: Scenario) -> Iterator[Problem]:
    """Warn of emergencies and curtailments without effect, and reserves unaffected by scarcity."""
    for i, incident in enumerate(s.faults.incidents):
        if incident.kind not in ("emergency", "curtailment"):
            continue
        left = incident.left_fraction
        named = [x for x in s.sites if "*" in incident.sites or x.name in incident.sites]
        spared = [x for x in named if left * x.power_limit_mw >= most_mw(s, x)]
        if spared and left > 0.0:
            told = ", ".join(
                f"{x.name} keeps {left * x.power_limit_mw:.4g} of {x.power_limit_mw:g} MW and "
                f"draws {most_mw(s, x):.4g} MW at most"
                for x in spared[:3]
            )
            more = f", and {len(spared) - 3} more" if len(spared) > 3 else ""
            what = f"takes nothing there: {told}{more}; it is a share of the connection"
            yield Problem(TOML, f"faults.incidents.{i}.left_fraction", f"{left:g}", what)
    for name, spec in s.programmes.items():
        if isinstance(spec, EconomicProgramme):
            continue
        yield from _slow(s, name, spec)
        if not isinstance(spec, ReserveProgramme) or spec.real_time_series:
            continue
        sold = [x for x in s.sites if "*" in spec.sites or x.name in spec.sites]
        if not any(_has_day_ahead(s, x) for x in sold):
            what = (
                "no zone of its sites has a day-ahead price: what is not held costs the price that "
                "it was sold at, in scarcity too, and scarcity deploys nothing; give day_ahead_"
                "column, or real_time_series"
            )
            yield Problem(TOML, f"programmes.{name}", "", what)


def _slow(s: Scenario, name: str, spec: EmergencyProgramme | ReserveProgramme) -> Iterator[Problem]:
    """Enrolled sites whose ramp is too slow to shed all load within the notice."""
    for site in s.sites:
        enrolled = "*" in spec.sites or site.name in spec.sites
        if spec.response == "automatic" or site.ramp_mw_per_min is None or not enrolled:
            continue
        moved_mw = site.ramp_mw_per_min * spec.notice_s / SECONDS_PER_MINUTE
        if moved_mw < most_mw(s, site):
            what = (
                f"the response is manual, and within {spec.notice_s} s (notice_s) {site.name} "
                f"moves {moved_mw:.4g} of {most_mw(s, site):.4g} MW (ramp_mw_per_min): cap what it "
                f"sells by max_mw, or let a relay answer (automatic)"
            )
            yield Problem(TOML, f"programmes.{name}.response", spec.response, what)


def most_mw(s: Scenario, site: Site) -> float:
    """Highest draw of a site's machines, with cooling at `pue_base`, and batteries [MW].

    Each machine in its most power-hungry mode; a cooling model of the site is ignored.
    """
    asics = catalogue.asics(s.asic_models)
    mw = sum(
        group.count
        * max(mode.power_w for mode in asics[group.model].modes_of(group.firmware).values())
        / W_PER_MW
        for group in s.asics
        if group.site == site.name
    )
    gpus = catalogue.gpus(s.gpu_models)
    mw += sum(
        group.nodes * group.gpus_per_node * gpus[group.gpu].max_w_per_gpu / W_PER_MW
        for group in s.gpus
        if group.site == site.name
    )
    charging = sum(b.power_mw for b in s.batteries if b.site == site.name)
    return mw * site.pue_base + site.overhead_mw + charging


def _has_day_ahead(s: Scenario, site: Site) -> bool:
    zone = s.prices.zones.get(site.price_zone or "")
    if isinstance(zone, ReplayPrice):
        return zone.day_ahead_column is not None
    return isinstance(zone, FixedPrice | RegionalPrice)
