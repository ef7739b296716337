"""Builds the arrays of sites, their limits and their assets."""

import numpy as np

from sim.kernels import flows
from sim.kernels.arrays import (
    Assets,
    AssetState,
    Limits,
    MeterState,
    PricesInForce,
    Sites,
    SiteState,
    SupplyState,
)
from sim.kernels.fleet import Fleet
from sim.kernels.power import allot
from sim.scenario.rows import Site
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import J_PER_MWH, W_PER_MW
from sim.world.topology import Topology


def build_sites(scenario: Scenario, topology: Topology) -> tuple[Sites, SiteState]:
    """Constants of the sites, and their initial state."""
    count = len(scenario.sites)
    pue_base, pue_knee_c, pue_slope_per_c = np.array([_pue(s) for s in scenario.sites]).T.copy()
    sites = Sites(
        pue_base=pue_base,
        pue_knee_c=pue_knee_c,
        pue_slope_per_c=pue_slope_per_c,
        overhead_w=np.array([s.overhead_mw * W_PER_MW for s in scenario.sites]),
        loss=topology.loss,
        export_w=np.array([s.export_mw * W_PER_MW for s in scenario.sites]),
    )
    state = SiteState(
        price=np.zeros(count),
        ambient_c=np.zeros(count),
        wet_bulb_c=np.zeros(count),
        wish_w=np.zeros(count),
        load_w=np.zeros(count),
        granted_w=np.zeros(count),
        binding=np.full(count, -1, dtype=np.int64),
        idled_w=np.zeros(count),
        hashed_th=np.zeros(count),
        settled_s=np.zeros(1),
        flow=np.zeros((flows.SITE_FLOWS, count)),
    )
    return sites, state


def build_conditions(sites: int) -> tuple[PricesInForce, SupplyState, MeterState]:
    """Initial prices, supply and meters for the given number of sites."""
    prices = PricesInForce(*np.zeros((len(PricesInForce._fields), sites)))
    prices.day_ahead_usd_per_mwh[:] = np.nan
    supply = SupplyState(
        powered=np.ones(sites),
        open=np.ones(sites),
        cooled=np.ones(sites),
        soon_w=np.full(sites, np.inf),
        relay_w=np.zeros(sites),
    )
    return prices, supply, MeterState(*np.zeros((len(MeterState._fields), sites)))


def _pue(site: Site) -> tuple[float, float, float]:
    """The site's own PUE line, or NaN where the cooling of its machines determines it."""
    if site.cooling != "line":
        return (float("nan"),) * 3
    return site.pue_base, site.pue_knee_c, site.pue_slope_per_c


def build_limits(topology: Topology) -> Limits:
    """Limits whose room is not known yet; `make_room` sets it."""
    count = len(topology.path)
    return Limits(
        path=topology.path,
        room_w=np.zeros(len(topology.limit_names)),
        local_w=np.zeros(count),
        cap_w=np.full(count, np.inf),
    )


def make_room(fleet: Fleet, capacity_w: Floats) -> None:
    """Set the room for machines under limits of `capacity_w` (limit,) [W].

    Overhead has priority over every machine. A site whose overhead the grid cannot carry keeps a
    share of it (`supply.powered`), and none where its path to the grid is out.
    """
    sites, limits = fleet.sites, fleet.limits
    count = len(sites.loss)
    fixed_w = sites.overhead_w / (1.0 - sites.loss)
    room_w = capacity_w.copy()
    got_w = np.zeros(count)
    free = limits._replace(local_w=np.zeros(count), cap_w=np.full(count, np.inf))
    allot(np.ones(count), fixed_w, np.arange(count), free, room_w, got_w)
    fleet.supply.powered[:] = np.where(fixed_w > 0.0, got_w / np.maximum(fixed_w, 1e-300), 1.0)
    limits.room_w[:] = np.maximum(room_w, 0.0)


def build_assets(scenario: Scenario, names: list[str]) -> tuple[Assets, AssetState]:
    """Constants and initial state of batteries and generators."""
    batteries, generators = scenario.batteries, scenario.generators
    assets = Assets(
        battery_site=np.array([names.index(b.site) for b in batteries], dtype=np.int64),
        power_w=np.array([b.power_mw * W_PER_MW for b in batteries]),
        energy_j=np.array([b.energy_mwh * J_PER_MWH for b in batteries]),
        one_way=np.array([b.round_trip_efficiency**0.5 for b in batteries]),
        wear_usd_per_j=np.array([b.wear_usd_per_mwh / J_PER_MWH for b in batteries]),
        generator_site=np.array([names.index(g.site) for g in generators], dtype=np.int64),
        fuel_usd_per_j=np.array([g.usd_per_mwh / J_PER_MWH for g in generators]),
        carbon_kg_per_j=np.array([g.kg_per_mwh / J_PER_MWH for g in generators]),
    )
    state = AssetState(
        battery_wish_w=np.zeros(len(batteries)),
        battery_w=np.zeros(len(batteries)),
        stored_j=np.array([b.initial_fraction * b.energy_mwh * J_PER_MWH for b in batteries]),
        generator_wish_w=np.zeros(len(generators)),
        generator_w=np.zeros(len(generators)),
        available_w=np.zeros(len(generators)),
        export_wish_w=np.zeros(len(generators)),
    )
    return assets, state
