"""The world of a run: everything that does not depend on decisions, drawn before it begins."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.types import Floats
from sim.world.bitcoin import Chain, build_chain
from sim.world.btc_price import btc_signal
from sim.world.calls import ProgrammeCall, programme_calls
from sim.world.demand import Requests
from sim.world.energy import (
    carbon_intensity,
    coincident_peaks,
    day_ahead,
    generation,
    reserve_prices,
)
from sim.world.gpu_market import GpuPaths, gpu_paths
from sim.world.incidents import IncidentOccurrence, draw_incidents, lead_times_s, spiked
from sim.world.outages import LinkChange, MachineFailures, link_changes
from sim.world.peaks import Peaks
from sim.world.region import Regions
from sim.world.reserves import real_time_reserves
from sim.world.signals import price_signal, region_of, weather
from sim.world.wan import latency_s


class World(NamedTuple):
    """Everything that decisions cannot change. Shapes: `step` (steps and the run's end), `site`."""

    chain: Chain
    usd_per_btc: Floats  # (step,) at its first instant; the last is at the run's end
    zone_usd_per_mwh: Floats  # (step, site) price of each site's zone
    ambient_c: Floats  # (step, site)
    wet_bulb_c: Floats  # (step, site)
    day_ahead_usd_per_mwh: Floats | None  # (step, site), None: known nowhere
    carbon_kg_per_mwh: Floats | None  # (step, site)
    available_w: Floats | None  # (step, generator)
    reserve_usd_per_mw_h: Floats | None  # (step, programme)
    real_time_reserve: Floats | None  # (step, programme) [USD/MW/h]
    calls: tuple[ProgrammeCall, ...]
    peaks: Peaks | None
    link_changes: tuple[LinkChange, ...]
    incidents: tuple[IncidentOccurrence, ...]
    lead_times_s: dict[str, int]  # by project
    asic_failures: tuple[MachineFailures, ...]  # one for each ASIC group, none when disabled
    gpu_failures: tuple[MachineFailures, ...]
    gpu_market: GpuPaths
    requests: Requests  # of the tenants, by day
    latency_s: dict[tuple[str, str], float]  # (region, site) one way


def build_world(scenario: Scenario, streams: Streams) -> World:
    """Draw or replay everything that does not depend on decisions."""
    horizon = scenario.horizon
    # the end of the run repeats the last interval: no decision is taken there, but books are
    # closed at the bitcoin price of that instant
    steps = np.arange(horizon.steps + 1, dtype=np.int64)
    t_s = np.minimum(steps, horizon.steps - 1) * horizon.step_s
    regions = Regions(horizon.start_utc, horizon.seconds, streams)
    zones = {
        zone: price_signal(scenario, zone, streams, regions).mean(t_s, horizon.step_s)
        for zone in dict.fromkeys(site.price_zone for site in scenario.sites)
    }
    places: dict[tuple[str, float, str | None], tuple[Floats, Floats]] = {}
    at = []
    for site in scenario.sites:
        key = (site.climate, site.offset_h, region_of(scenario, site))
        if key not in places:
            places[key] = weather(scenario, site, streams, t_s, regions)
        at.append(places[key])
    what_if = scenario.what_if
    zone_usd_per_mwh = np.stack([zones[s.price_zone] for s in scenario.sites], axis=1)
    zone_usd_per_mwh *= what_if.energy_price_factor
    happened = draw_incidents(scenario, streams)
    spiked(scenario, happened, zone_usd_per_mwh, horizon.step_s)
    ahead_usd_per_mwh = day_ahead(scenario, t_s, regions)
    if ahead_usd_per_mwh is not None:
        ahead_usd_per_mwh = ahead_usd_per_mwh * what_if.energy_price_factor
    reserve_usd_per_mw_h = reserve_prices(scenario, t_s, regions)
    real_time_reserve = real_time_reserves(
        scenario, t_s, reserve_usd_per_mw_h, zone_usd_per_mwh, ahead_usd_per_mwh
    )
    usd_per_btc = btc_signal(scenario, streams)
    return World(
        chain=_harder(build_chain(scenario, streams, usd_per_btc), what_if.network_factor),
        usd_per_btc=usd_per_btc.at(steps * horizon.step_s) * what_if.btc_price_factor,
        zone_usd_per_mwh=zone_usd_per_mwh,
        ambient_c=np.stack([ambient for ambient, _ in at], axis=1),
        wet_bulb_c=np.stack([wet for _, wet in at], axis=1),
        day_ahead_usd_per_mwh=ahead_usd_per_mwh,
        carbon_kg_per_mwh=carbon_intensity(scenario, t_s, regions),
        available_w=generation(scenario, t_s),
        reserve_usd_per_mw_h=reserve_usd_per_mw_h,
        real_time_reserve=real_time_reserve,
        calls=programme_calls(scenario, streams, real_time_reserve),
        peaks=coincident_peaks(scenario, t_s[:-1], horizon.step_s, regions),
        link_changes=link_changes(scenario, streams),
        incidents=happened,
        lead_times_s=lead_times_s(scenario, streams),
        asic_failures=_failures(scenario, "asic", streams),
        gpu_failures=_failures(scenario, "gpu", streams),
        gpu_market=gpu_paths(scenario, streams),
        requests=Requests(scenario, streams),
        latency_s=latency_s(scenario.demand, scenario.sites),
    )


def _harder(chain: Chain, factor: float) -> Chain:
    """Scale a chain's network by `factor`; block times, random draws and fees stay."""
    return replace(
        chain,
        epoch_difficulty=chain.epoch_difficulty * factor,
        network_ths=chain.network_ths * factor,
    )


def _failures(scenario: Scenario, kind: str, streams: Streams) -> tuple[MachineFailures, ...]:
    """Failures of every group, keyed by site, model and rank: row order does not matter."""
    if not scenario.faults.enabled:
        return ()
    if kind == "asic":
        faults = scenario.faults.asic
        groups = [(g.site, g.model, g.count, g.age_years) for g in scenario.asics]
    else:
        faults = scenario.faults.gpu
        groups = [(g.site, g.gpu, g.nodes, g.age_years) for g in scenario.gpus]
    seen: dict[tuple[str, str], int] = {}
    result = []
    for site, model, count, age_years in groups:
        rank = seen[site, model] = seen.get((site, model), -1) + 1
        name = f"{kind}/{site}/{model}/{rank}"
        result.append(MachineFailures(faults, count, age_years, name, streams))
    return tuple(result)
