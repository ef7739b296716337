"""Incidents of a run: dated or random, independent of any decision."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sim.scenario.incidents import Incident
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.types import Floats
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_YEAR


class IncidentOccurrence(NamedTuple):
    """One occurrence of an incident, from `start_s` until `end_s`."""

    start_s: int  # below 0: began before the run and reaches into it
    end_s: int  # start_s if it has no duration: a notice, a delay
    spec: Incident
    names: tuple[str, ...]  # sites, zones, hosts or projects that it strikes; none: the pool


def draw_incidents(scenario: Scenario, streams: Streams) -> tuple[IncidentOccurrence, ...]:
    """All incidents of a run in order of time.

    A dated incident strikes all its targets at once. For a random one, each target has its own
    Poisson process with exponential durations and its own random stream, whatever other targets or
    incidents there are.
    """
    found: list[IncidentOccurrence] = []
    seen: dict[str, int] = {}
    for spec in scenario.faults.incidents:
        names = _targets(scenario, spec)
        if spec.start_utc is not None:
            start_s = round((spec.start_utc - scenario.horizon.start_utc).total_seconds())
            length_s = round(((spec.hours or 0.0) + spec.before_h) * SECONDS_PER_HOUR)
            if spec.of.lasting or start_s + max(length_s, 1) > 0:
                found.append(IncidentOccurrence(start_s, start_s + length_s, spec, names))
            continue
        for name in names or ("",):
            rank = seen[spec.kind + name] = seen.get(spec.kind + name, -1) + 1
            draw = streams.generator("incident", f"{spec.kind}/{name}/{rank}")
            found += _strikes(scenario, spec, name, draw)
    found = [m for m in found if m.start_s < scenario.horizon.seconds]
    return tuple(sorted(found, key=lambda m: (m.start_s, m.spec.kind, m.names)))


def _targets(scenario: Scenario, spec: Incident) -> tuple[str, ...]:
    return tuple(s.name for s in scenario.sites) if "*" in spec.targets else spec.targets


def _strikes(
    scenario: Scenario, spec: Incident, name: str, draw: np.random.Generator
) -> list[IncidentOccurrence]:
    """Occurrences at one target: gaps from the end of one to the next are exponential."""
    assert spec.per_year is not None
    mean_s = SECONDS_PER_YEAR / spec.per_year
    found = []
    at_s = draw.exponential(mean_s)
    while at_s < scenario.horizon.seconds:
        length_s = draw.exponential(spec.hours * SECONDS_PER_HOUR) if spec.hours else 0.0
        end_s = round(at_s + length_s + spec.before_h * SECONDS_PER_HOUR)
        found.append(IncidentOccurrence(round(at_s), end_s, spec, (name,) if name else ()))
        at_s = end_s + draw.exponential(mean_s)
    return found


def spiked(
    scenario: Scenario, happened: tuple[IncidentOccurrence, ...], usd_per_mwh: Floats, step_s: int
) -> None:
    """Raise zone prices (step, site) [USD/MWh] to those of spikes, for as long as they last.

    A step's price is the mean over it: a spike counts for the part of the step that it covers, and
    of overlapping spikes the highest counts. The last row, the end of the run, repeats the last
    step.
    """
    spikes = [m for m in happened if m.spec.usd_per_mwh is not None]
    last = len(usd_per_mwh) - 1
    for zone in dict.fromkeys(name for m in spikes for name in m.names):
        here = [m for m in spikes if zone in m.names]
        sites = [i for i, s in enumerate(scenario.sites) if s.price_zone == zone]
        touched = {
            step
            for m in here
            for step in range(max(m.start_s, 0) // step_s, min(-(-m.end_s // step_s), last))
        }
        for step in sorted(touched) if sites else ():
            begin, end = step * step_s, (step + 1) * step_s
            edges = {t for m in here for t in (m.start_s, m.end_s) if begin < t < end}
            cuts = sorted({begin, *edges, end})
            base = usd_per_mwh[step, sites]
            mean = np.zeros(len(sites))
            for a, b in pairwise(cuts):
                lifted = [m.spec.usd_per_mwh or 0.0 for m in here if m.start_s <= a < m.end_s]
                mean += np.maximum(base, max(lifted, default=-np.inf)) * (b - a)
            usd_per_mwh[step, sites] = mean / step_s
        if last - 1 in touched:
            usd_per_mwh[last, sites] = usd_per_mwh[last - 1, sites]


def lead_times_s(scenario: Scenario, streams: Streams) -> dict[str, int]:
    """Time from order to delivery of each project [s]: lognormal, by mean and variation."""
    times = {}
    for name, project in scenario.projects.items():
        sigma = np.sqrt(np.log1p(project.lead_cv**2))
        normal = streams.generator("lead-time", name).standard_normal()
        days = project.lead_days * np.exp(sigma * normal - 0.5 * sigma**2)
        times[name] = round(float(days) * SECONDS_PER_DAY)
    return times
