"""Load requests (wishes) that a meshed grid can carry, curtailed with the least lost value.

Wishes can be granted if some dispatch of the sources, within their bounds, balances fixed and
granted load with every line within its limit. Most steps need no optimisation: everything fits with
a dispatch that is cheap to guess. Otherwise a linear programme decides, island by island.
"""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from sim.grid.island import Island, Optimum
from sim.grid.mesh import Mesh, ptdf
from sim.kernels.mesh import balance, line_flows, worst_overload
from sim.types import Bools, Floats, Ints

# Reasons for curtailing a site other than a line, in `Granted.binding`.
UNCUT: Final = -1
SITE_LIMIT: Final = -2
SUPPLY: Final = -3  # the sources of its island are exhausted
DEAD: Final = -4  # no source in its island
OVERLOADED: Final = -5  # its island cannot carry the fixed load alone

LEAST_WEIGHT: Final = 1e-4  # share of the largest: far above the solver's tolerance of 1e-7
CUT_MW: Final = 1e-6


class Granted(NamedTuple):
    """The granted load and the grid's flows."""

    granted_mw: Floats  # (item,)
    flow_mw: Floats  # (line,)
    generation_mw: Floats  # (source,) of one feasible dispatch
    binding: Ints  # (site,) the line that limits it most, or one of the constants below 0
    feasible: bool  # False: some island cannot carry its fixed load, and lines there may overload


def weights(value: Floats) -> Floats:
    """Values (item,), shifted up together if the smallest is below 1e-4 of the largest.

    Nothing is then cut needlessly, whatever its value. Differences and order are kept.
    """
    if not len(value):
        return value
    least, most = float(value.min()), float(value.max())
    if least > 0.0 and least >= LEAST_WEIGHT * most:
        return value
    if least == most:
        return np.ones_like(value)
    return value + (LEAST_WEIGHT * most - least) / (1.0 - LEAST_WEIGHT)


class MeshGrant:
    """Grants load to sites on the buses of a mesh.

    The same sequence of calls gives the same answers. If several grants have the same value, items
    of one site are served in order; which site is served may depend on earlier calls.

    Args:
        mesh: the grid; its lines in service may change later.
        site_bus: (site,) bus of each site.
        site_limit_mw: (site,) capacity of its connection; inf: no limit.

    Raises:
        ValueError: for sites at unknown buses or limits below 0.
        MeshError: if the flows are not determined.
    """

    def __init__(self, mesh: Mesh, site_bus: Ints, site_limit_mw: Floats) -> None:
        if site_bus.shape != site_limit_mw.shape or not (site_limit_mw >= 0.0).all():
            raise ValueError("site_limit_mw: must be a number >= 0 for each site [MW]")
        if ((site_bus < 0) | (site_bus >= len(mesh.bus_names))).any():
            raise ValueError(f"site_bus: must be buses, 0 to {len(mesh.bus_names) - 1}")
        self.site_bus, self.site_limit_mw = site_bus, site_limit_mw
        self._flow_mw = np.zeros(len(mesh.line_names))
        self._compile(mesh)

    @property
    def mesh(self) -> Mesh:
        """The grid with the current state of its lines."""
        return self._mesh

    @property
    def dead_site(self) -> Bools:
        """Sites (site,) whose bus is not connected to a source."""
        return np.asarray(self._dead_site, dtype=np.bool_)

    def set_in_service(self, in_service: Bools) -> None:
        """Set which lines (line,) are in service from now on.

        Raises:
            MeshError: if the mask has the wrong length, the flows are not determined, or a line
                has no susceptance.
        """
        if not np.array_equal(in_service, self._mesh.in_service):
            self._compile(replace(self._mesh, in_service=in_service.copy()))

    def _compile(self, mesh: Mesh) -> None:
        factors = ptdf(mesh)
        self._mesh, self._factors = mesh, factors
        self._ptdf_t = np.ascontiguousarray(factors.matrix.T)
        self._bus_island = np.where(factors.dead_bus, 0, factors.island)
        self._live_bus = ~factors.dead_bus
        self._source_island = factors.island[mesh.source_bus]
        self._site_island = factors.island[self.site_bus]
        self._dead_site = factors.dead_bus[self.site_bus]
        live_source = ~factors.dead_bus[mesh.source_bus]
        self._least_mw = np.where(live_source, mesh.source_min_mw, 0.0)
        self._most_mw = np.where(live_source, mesh.source_max_mw, 0.0)
        self._sums = np.zeros((len(factors.slack_bus), 3))
        self._optimised_mw: Floats | None = None
        self._islands: dict[int, Island] = {}
        self._item_site = np.empty(0, dtype=np.int64)

    def grant(
        self,
        value: Floats,
        wish_mw: Floats,
        site: Ints,
        load_mw: Floats | None = None,
        generation_mw: Floats | None = None,
    ) -> Granted:
        """Grant wishes so that the sum of value x granted power is maximal.

        Args:
            value: (item,) value of a granted MW; may be 0 or below, see `weights`.
            wish_mw: (item,) >= 0.
            site: (item,) index of its site.
            load_mw: (bus,) fixed load; None: as in the mesh. Load on dead buses is not served.
            generation_mw: (source,) a dispatch to try first, adjusted to demand; None: shares of
                capacity. The dispatch of the last optimised grant is tried next.

        Returns:
            The granted load. An island whose fixed load alone overloads it grants nothing.

        Raises:
            ValueError: for arrays of different lengths, wishes below 0, unknown sites, or
                non-finite numbers.
        """
        load = self._mesh.load_mw if load_mw is None else load_mw
        self._check(value, wish_mw, site, load, generation_mw)
        sites = len(self.site_bus)
        # Items of one site load every line equally, so a site's own limit cuts its least valuable
        # items first, and a line can only cut more: the sites' limits need no rows.
        room_mw = np.where(self._dead_site, 0.0, self.site_limit_mw)
        within = np.array(wish_mw, dtype=np.float64)
        asked_mw = _sums(site, within, sites)
        over = asked_mw > room_mw
        if over.any():
            within = filled(value, within, site, room_mw, over)
        binding = np.where(over & (asked_mw > room_mw + CUT_MW), SITE_LIMIT, UNCUT)
        binding[self._dead_site & (asked_mw > CUT_MW)] = DEAD
        demand_mw = self._demand(load, np.minimum(asked_mw, room_mw))
        starts = [generation_mw]
        if self._optimised_mw is not None:
            starts.append(self._optimised_mw)
        for start_mw in starts:
            generation, balanced = self._balanced(start_mw, demand_mw)
            if balanced and self._fits(demand_mw, generation):
                return Granted(within, self._flow_mw.copy(), generation, binding, True)
        return self._optimise(value, within, site, load, binding)

    def _check(
        self,
        value: Floats,
        wish_mw: Floats,
        site: Ints,
        load: Floats,
        generation_mw: Floats | None,
    ) -> None:
        if not value.shape == wish_mw.shape == site.shape:
            raise ValueError(
                f"value {value.shape}, wish_mw {wish_mw.shape} and site {site.shape} must be alike"
            )
        if len(site) and not 0 <= site.min() <= site.max() < len(self.site_bus):
            raise ValueError(f"site: must be 0 to {len(self.site_bus) - 1}")
        if not (np.isfinite(wish_mw).all() and wish_mw.min(initial=0.0) >= 0.0):
            raise ValueError("wish_mw: must be numbers >= 0 [MW]")
        if not np.isfinite(value).all():
            raise ValueError("value: must be numbers")
        if load.shape != self._mesh.load_mw.shape or not np.isfinite(load).all():
            raise ValueError(f"load_mw: must be {len(self._mesh.load_mw)} numbers [MW]")
        sources = len(self._least_mw)
        if generation_mw is not None and not (
            generation_mw.shape == (sources,) and np.isfinite(generation_mw).all()
        ):
            raise ValueError(f"generation_mw: must be {sources} numbers [MW], or None")

    def _demand(self, load: Floats, site_mw: Floats) -> Floats:
        """Fixed and granted load on live buses (bus,) [MW]."""
        demand = load * self._live_bus
        np.add.at(demand, self.site_bus, site_mw)
        return demand

    def _balanced(self, start_mw: Floats | None, demand_mw: Floats) -> tuple[Floats, bool]:
        """A dispatch adjusted to the demand of each island, and whether it is within bounds."""
        given = np.zeros(len(self._least_mw)) if start_mw is None else start_mw
        dispatch = np.minimum(np.maximum(given, self._least_mw), self._most_mw)
        return dispatch, balance(
            demand_mw,
            self._bus_island,
            self._source_island,
            self._least_mw,
            self._most_mw,
            self._sums,
            dispatch,
        )

    def _fits(self, demand_mw: Floats, generation: Floats) -> bool:
        """Whether a dispatch overloads no line; sets `_flow_mw`."""
        injection = -demand_mw
        np.add.at(injection, self._mesh.source_bus, generation)
        line_flows(self._ptdf_t, injection, self._factors.base_mw, self._flow_mw)
        return worst_overload(self._flow_mw, self._mesh.limit_mw) < 0

    def _optimise(
        self, value: Floats, within: Floats, site: Ints, load: Floats, binding: Ints
    ) -> Granted:
        """Solve the linear programme of each island."""
        if not np.array_equal(site, self._item_site):
            self._islands.clear()
            self._item_site = site.copy()
        granted, feasible = np.zeros(len(within)), True
        overloaded = np.zeros(len(self.site_bus), dtype=np.bool_)
        weight, wanted = np.ones(len(value)), within > 0.0
        weight[wanted] = weights(value[wanted])
        none_mw = np.zeros(len(self.site_bus))
        base_mw = np.empty_like(self._flow_mw)  # flows from fixed load alone, fed by the slacks
        fixed_mw = self._demand(load, none_mw)
        line_flows(self._ptdf_t, -fixed_mw, self._factors.base_mw, base_mw)
        load_mw = _sums(self._bus_island, fixed_mw, len(self._factors.slack_bus))
        generation, _ = self._balanced(None, fixed_mw)
        found: list[tuple[Island, Optimum]] = []
        for number in np.flatnonzero(self._factors.slack_bus >= 0).tolist():
            if number not in self._islands:
                self._islands[number] = self._island(number, site)
            island = self._islands[number]
            best = island.solve(weight, within, float(load_mw[number]), base_mw)
            if best is None:
                feasible = False
                overloaded |= self._site_island == number
                continue
            granted[island.items], generation[island.sources] = best.granted_mw, best.generation_mw
            found.append((island, best))
        given = _sums(site, granted, len(self.site_bus))
        asked = _sums(site, within, len(self.site_bus))
        cut = (asked > given + CUT_MW) & ~overloaded
        granted = filled(value, within, site, given, cut, granted)
        for island, best in found:
            sites = np.flatnonzero(cut & (self._site_island == island.number))
            line = island.blocking_lines(best, self.site_bus[sites])
            binding[sites] = np.where(line < 0, SUPPLY, line)
        binding[overloaded & (asked > CUT_MW)] = OVERLOADED
        if feasible:
            self._optimised_mw = generation
        self._fits(self._demand(load, _sums(site, granted, len(self.site_bus))), generation)
        return Granted(granted, self._flow_mw.copy(), generation, binding, feasible)

    def _island(self, number: int, site: Ints) -> Island:
        items = np.flatnonzero(self._site_island[site] == number)
        sources = np.flatnonzero(self._source_island == number)
        return Island(
            number=number,
            matrix=self._factors.matrix,
            limit_mw=self._mesh.limit_mw,
            lines=np.flatnonzero(self._factors.island[self._mesh.from_bus] == number),
            items=items,
            item_bus=self.site_bus[site[items]],
            sources=sources,
            source_bus=self._mesh.source_bus[sources],
            least_mw=self._least_mw[sources],
            most_mw=self._most_mw[sources],
        )


def _sums(index: Ints, what: Floats, count: int) -> Floats:
    return np.bincount(index, what, count).astype(np.float64, copy=False)


def filled(
    value: Floats,
    wish_mw: Floats,
    site: Ints,
    room_mw: Floats,
    short: Bools,
    otherwise_mw: Floats | None = None,
) -> Floats:
    """Fill wishes (item,) at each short site up to its room (site,), the most valuable first.

    Ties keep their order. Items of other sites get `otherwise_mw`, or their wish.
    """
    granted = np.array(wish_mw if otherwise_mw is None else otherwise_mw)
    disputed = np.flatnonzero(short[site])
    order = disputed[np.lexsort((-value[disputed], site[disputed]))]
    wish, of = wish_mw[order], site[order]
    before = np.cumsum(wish) - wish
    before -= before[np.searchsorted(of, of)]
    granted[order] = np.clip(room_mw[of] - before, 0.0, wish)
    return granted
