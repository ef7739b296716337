"""The grant on a meshed grid: by a linear programme where lines cannot carry everything."""

from dataclasses import replace
from typing import Final

import numpy as np

from sim.grid.grant import CUT_MW, Granted, MeshGrant
from sim.grid.mesh import Mesh
from sim.kernels.arrays import BY_THE_HOUR, BY_THE_TOKEN, RESERVED
from sim.kernels.fleet import Fleet
from sim.kernels.grant import CHARGING_VALUE, NODE_VALUE, find_binding
from sim.kernels.power import allot, descending
from sim.types import Bools, Floats
from sim.units import W_PER_MW
from sim.world.topology import SiteMesh

# Weights per MW of the classes of use. They lie far apart (batch 20 times the best ASIC), so that
# the programme never gives up a class for a lower one because its line factors are better.
CHARGING: Final = 0.5
ASIC: Final = 1.0  # up to 2, by margin
BATCH: Final = 40.0
SERVING: Final = 400.0
CONTRACTED: Final = 4_000.0
OVERHEAD: Final = 8_000.0  # the weights span four decades: the solver's tolerance


class Meshed:
    """The meshed grid around the fleet. Shapes: `item`, `site`, `bus`, `source`.

    The grid's own load is served first. Where lines or sources cannot carry all of it, as much as
    possible is served, and the fleet gets what remains at its buses. Sources may run below their
    minimum, as the market lets them spill.
    """

    def __init__(self, site_mesh: SiteMesh) -> None:
        mesh = site_mesh.mesh
        self.whole = replace(mesh, source_min_mw=np.minimum(mesh.source_min_mw, 0.0))
        self.site_bus = site_mesh.site_bus
        self.line_names = site_mesh.mesh.line_names
        self.grid = self._grid(self.whole)
        self.background_mw: Floats = site_mesh.mesh.load_mw
        self.load_mw = self.background_mw  # (bus,) the part of it that is served
        self.generation_mw: Floats | None = None
        self.dead = np.zeros(len(self.site_bus), dtype=np.bool_)
        self.powerless = self.dead  # (site,) dead, or its own connection is out
        self.flow_mw = np.zeros(len(self.line_names))
        self.feasible = True

    def _grid(self, mesh: Mesh) -> MeshGrant:
        limits = np.full(len(self.site_bus), np.inf)  # interconnects are nested limits
        return MeshGrant(mesh, self.site_bus, limits)

    def set_background(self, load_mw: Floats, generation_mw: Floats | None) -> None:
        """Set the grid's load without the fleet (bus,), and an initial dispatch (source,)."""
        self.background_mw = self.load_mw = load_mw
        self.generation_mw = generation_mw

    def set_links(self, left: dict[int, float]) -> Bools:
        """Set the share of capacity left on lines, 0: out. Returns the sites cut off (site,)."""
        limit = self.whole.limit_mw.copy()
        service = self.whole.in_service.copy()
        for line, share in left.items():
            if line < 0:
                continue  # a site's own connection
            service[line] &= share > 0.0
            limit[line] *= share if share > 0.0 else 1.0
        self.grid = self._grid(replace(self.whole, limit_mw=limit, in_service=service))
        self.dead = self.grid.dead_site.copy()
        self.load_mw = self.background_mw
        return self.dead

    def _served_mw(self) -> Floats:
        """Most of the grid's own load that can be served without the fleet (bus,) [MW]."""
        mesh = self.grid.mesh
        every = np.arange(len(mesh.bus_names))
        firm = MeshGrant(mesh, every, np.full(len(every), np.inf))
        asked_mw = np.maximum(self.background_mw, 0.0)
        fed_in_mw = np.minimum(self.background_mw, 0.0)
        got_mw = firm.grant(np.ones(len(every)), asked_mw, every, fed_in_mw).granted_mw
        cut = asked_mw > got_mw + CUT_MW
        return np.where(cut, np.maximum(got_mw - CUT_MW, 0.0), asked_mw) + fed_in_mw

    def share_out(self, fleet: Fleet) -> None:
        """Grant `items` under the sites' own limits, then under those of the lines.

        Lines carry only what a site draws beyond its own supply, which feeds its best uses first.
        """
        items, limits, sites, site = fleet.items, fleet.limits, fleet.sites, fleet.site
        count, powered = len(self.site_bus), fleet.supply.powered
        powered[:] = np.where(self.powerless, 0.0, 1.0)
        room_w = limits.room_w.copy()
        allot(items.value, items.wish_w, items.site, limits, room_w, items.granted_w)
        find_binding(site, limits, room_w)
        fixed_w = sites.overhead_w * powered / (1.0 - sites.loss)
        load_w = fixed_w + np.bincount(items.site, items.granted_w, count)
        net_mw = np.maximum(load_w - limits.local_w, 0.0) / W_PER_MW
        every = np.arange(count)
        ones = np.ones(count)
        got = self.grid.grant(ones, net_mw, every, self.load_mw, self.generation_mw)
        if not got.feasible and self.load_mw is self.background_mw:
            self.load_mw = self._served_mw()
            got = self.grid.grant(ones, net_mw, every, self.load_mw, self.generation_mw)
        cut = net_mw - got.granted_mw
        if (cut > 1e-9).any():
            got = self._optimise(fleet, fixed_w)
            site.binding[:] = np.where(
                got.binding >= 0, got.binding + len(limits.room_w), site.binding
            )
        self.flow_mw, self.feasible = got.flow_mw, got.feasible

    def _optimise(self, fleet: Fleet, fixed_w: Floats) -> Granted:
        items, limits, count = fleet.items, fleet.limits, len(self.site_bus)
        at = np.concatenate([np.arange(count), items.site])
        weight = np.concatenate([np.full(count, OVERHEAD), _weights(items.value)])
        wish_w = np.concatenate([fixed_w, items.granted_w])
        own_w = np.zeros(len(at))
        left_w = limits.local_w.copy()
        if left_w.any():
            for i in descending(weight):
                own_w[i] = min(wish_w[i], left_w[at[i]])
                left_w[at[i]] -= own_w[i]
        net_mw = (wish_w - own_w) / W_PER_MW
        got = self.grid.grant(weight, net_mw, at, self.load_mw, self.generation_mw)
        granted_w = np.minimum(own_w + got.granted_mw * W_PER_MW, wish_w)
        items.granted_w[:] = granted_w[count:]
        has = fixed_w > 0.0
        fleet.supply.powered[has] *= granted_w[:count][has] / fixed_w[has]
        return got


def _weights(value: Floats) -> Floats:
    """Weight of an item in the programme: its class, and for ASICs also the margin."""
    weight = np.select(
        [
            value >= NODE_VALUE[RESERVED],
            value >= NODE_VALUE[BY_THE_TOKEN],
            value >= NODE_VALUE[BY_THE_HOUR],
            value <= CHARGING_VALUE,
        ],
        [CONTRACTED, SERVING, BATCH, CHARGING],
        ASIC,
    )
    asics = weight == ASIC
    if asics.any():
        least, most = value[asics].min(), value[asics].max()
        weight[asics] += (value[asics] - least) / max(most - least, 1e-300)
    return np.asarray(weight, dtype=np.float64)
