"""The cheapest dispatch that a grid can carry, and the price of a MWh at each of its buses.

DC optimal power flow with bus angles (Stott, Jardim and Alsac, 2009): convex generation costs,
ratings in both directions, limits on angle differences. Quadratic costs are approximated by
tangents, added at the solution until the gap to the curve vanishes (Kelley, The Cutting-Plane
Method, 1960), so that one warm-started linear programme is enough.
"""

import math
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from sim.grid.lp import Coordinates, LinearProgram
from sim.grid.matpower import Case
from sim.grid.mesh import PLAIN, SusceptanceForm, mesh_of
from sim.grid.security import OVER_MW, Security
from sim.types import Floats, Ints

VOLL_USD_PER_MWH: Final = 5000.0  # ERCOT's high offer cap, 16 TAC 25.509(b)(6)(B)
FIRST_TANGENTS: Final = 9
GAP: Final = 1e-9  # between tangents and curves, relative to the objective
MAX_ROUNDS: Final = 100
MAX_CUTS: Final = 60  # mean per generator; beyond it, tangents that no longer bind are dropped
AT_LIMIT_MW: Final = 1e-6
NO_BIDS: Final = np.zeros(0, dtype=np.int64)


class OpfError(RuntimeError):
    """No dispatch exists, or the solver gave up."""


class Dispatch(NamedTuple):
    """A cheapest dispatch."""

    objective_usd_per_h: float  # generation, constants included, and what is shed or spilled
    generation_mw: Floats  # (gen,)
    flow_mw: Floats  # (branch,) positive from its from bus
    lmp_usd_per_mwh: Floats  # (bus,) cost of another MWh of load
    shed_mw: Floats  # (bus,) load that is not served
    spill_mw: Floats  # (bus,) forced generation that cannot be absorbed
    binding: Ints  # branches at a limit of rating or angle
    bought_mw: Floats  # (bid,) bid load that is served
    secured: Ints  # (pair, 2) line at its limit, and the outage that causes it (n_minus_1)


class DcOpf:
    """A case, solved repeatedly with changing loads and branches in service.

    Args:
        case: as read.
        voll_usd_per_mwh: value of lost load [USD/MWh]. At this price any load may be shed, and any
            generator forced above what its bus can pass on may spill, so that a dispatch always
            exists. None: load that cannot be served raises.
        susceptance: see `mesh_of`.
        bid_bus: (bid,) buses of loads that are served only below their bid price.
        n_minus_1: keep every line within its rating after the outage of any single other line that
            disconnects nothing, with the same dispatch (preventive); rows are added where a
            solution violates them.

    Raises:
        ValueError: for a value of lost load that is not a number > 0.
    """

    def __init__(
        self,
        case: Case,
        voll_usd_per_mwh: float | None = VOLL_USD_PER_MWH,
        susceptance: SusceptanceForm = PLAIN,
        bid_bus: Ints = NO_BIDS,
        n_minus_1: bool = False,
    ) -> None:
        if voll_usd_per_mwh is not None and not 0.0 < voll_usd_per_mwh < math.inf:
            raise ValueError(
                f"voll_usd_per_mwh = {voll_usd_per_mwh}: must be a number > 0, or None"
            )
        self.case = case
        self._voll = voll_usd_per_mwh
        self._mesh = mesh = mesh_of(case, susceptance)
        self._n_minus_1 = n_minus_1
        self._security: Security | None = None
        gens, buses, lines = len(case.gen_bus), len(case.bus_number), len(case.branch_from)
        self._on = case.gen_in_service
        quadratic = self._on & (case.cost_polynomial[:, 0] > 0.0)
        self._quadratic = np.flatnonzero(quadratic)
        self._piecewise = np.flatnonzero(self._on & [len(p) > 0 for p in case.cost_points])
        curved = np.concatenate([self._quadratic, self._piecewise])
        ends = np.cumsum([gens, buses, buses, buses, lines, len(bid_bus), len(curved)])
        columns = np.split(np.arange(ends[-1]), ends[:-1])
        self._gen, self._served, self._spill, self._angle, self._flow = columns[:5]
        self._bid, self._cost = columns[5:]
        self._bid_bus = bid_bus
        self._cost_of = dict(zip(curved.tolist(), self._cost.tolist(), strict=True))
        # Bounds of a flow: its rating, and its angle limits converted by the line equation.
        law_mw = mesh.susceptance_mw
        with np.errstate(invalid="ignore"):  # 0 of a line out of service x inf
            ends_mw = [
                law_mw * (np.deg2rad(limit) - mesh.shift_rad)
                for limit in (case.angle_min_deg, case.angle_max_deg)
            ]
        self._low = np.fmax(-mesh.limit_mw, np.fmin(*ends_mw))
        self._high = np.fmin(mesh.limit_mw, np.fmax(*ends_mw))
        self._shift = mesh.shift_rad * case.base_mva
        self._load = mesh.load_mw
        self._forced = np.zeros(buses)  # forced generation by bus
        np.add.at(self._forced, case.gen_bus, np.maximum(mesh.source_min_mw, 0.0))
        self._in_service = np.ones(lines, dtype=np.bool_)
        self._programme = self._compile(mesh.source_min_mw, mesh.source_max_mw, law_mw)
        self._cuts = np.empty((0, 2))  # (cut, 2) generator and MW of each tangent, in row order
        self._fixed_rows = self._programme.rows
        self._span = (
            mesh.source_min_mw[self._quadratic],
            mesh.source_max_mw[self._quadratic],
        )
        for k in np.linspace(0.0, 1.0, FIRST_TANGENTS):
            self._add_cuts(self._quadratic, self._span[0] * (1.0 - k) + self._span[1] * k)
        for branch in np.flatnonzero(~case.branch_in_service):
            self.set_branch(int(branch), False)

    def _compile(self, least_mw: Floats, most_mw: Floats, law_mw: Floats) -> LinearProgram:
        """Rows: balance of each bus, equation of each line, pieces of piecewise-linear costs."""
        case, buses, lines = self.case, len(self._load), len(law_mw)
        law = np.arange(buses, buses + lines)
        reactance = np.divide(case.base_mva, law_mw, out=np.zeros(lines), where=law_mw != 0.0)
        bus = np.arange(buses)
        entries = Coordinates()
        entries.add(case.gen_bus, self._gen, 1.0)
        entries.add(bus, self._served, -1.0)
        entries.add(bus, self._spill, -1.0)
        entries.add(self._bid_bus, self._bid, -1.0)
        entries.add(case.branch_from, self._flow, -1.0)
        entries.add(case.branch_to, self._flow, 1.0)
        entries.add(law, self._flow, reactance)
        entries.add(law, self._angle[case.branch_from], -1.0)  # angles in rad x base MVA
        entries.add(law, self._angle[case.branch_to], 1.0)
        low = [np.zeros(buses), -self._shift]
        high = [np.zeros(buses), -self._shift]
        row = buses + lines
        for gen in self._piecewise:
            points = case.cost_points[gen]
            slope = np.diff(points[:, 1]) / np.diff(points[:, 0])
            piece = np.arange(row, row + len(slope))
            entries.add(piece, np.array(self._cost_of[int(gen)]), 1.0)
            entries.add(piece, self._gen[gen], -slope)
            low.append(points[:-1, 1] - slope * points[:-1, 0])
            high.append(np.full(len(slope), np.inf))
            row += len(slope)
        cost = np.zeros(len(self._gen) + 3 * buses + lines + len(self._bid) + len(self._cost))
        linear = np.setdiff1d(np.flatnonzero(self._on), list(self._cost_of))
        cost[self._gen[linear]] = case.cost_polynomial[linear, 1]
        cost[self._cost] = 1.0
        if self._voll is not None:
            cost[self._served] = -self._voll  # price served, not shed load: no sum is needed
            cost[self._spill] = self._voll
        lower, upper = np.full(len(cost), -np.inf), np.full(len(cost), np.inf)
        lower[self._gen], upper[self._gen] = least_mw, most_mw
        lower[self._flow], upper[self._flow] = self._low, self._high
        lower[self._served], upper[self._served] = self._load, self._load
        lower[self._spill] = upper[self._spill] = 0.0
        lower[self._bid] = upper[self._bid] = 0.0
        lower[self._angle[0]] = upper[self._angle[0]] = 0.0
        bounds = (np.concatenate(low), np.concatenate(high))
        return LinearProgram(cost, (lower, upper), bounds, entries)

    def set_branch(self, index: int, in_service: bool) -> None:
        """Take a branch out of service (no flow, no line equation, no limits) or put it back.

        Raises:
            ValueError: if there is no such branch, or it would be in service without a reactance.
        """
        if not 0 <= index < len(self._flow):
            raise ValueError(f"branch {index}: must be 0 to {len(self._flow) - 1}")
        if in_service and self.case.x_pu[index] == 0.0:
            raise ValueError(f"branch {index}: x = 0, it cannot be put in service")
        low, high = (self._low[index], self._high[index]) if in_service else (0.0, 0.0)
        column = self._flow[index : index + 1]
        self._programme.bound_columns(column, np.array([low]), np.array([high]))
        law = -self._shift[index]
        bounds = (law, law) if in_service else (-math.inf, math.inf)
        self._programme.bound_row(len(self._load) + index, *bounds)
        self._in_service[index] = in_service
        self._security = None  # other factors: rows of the old ones go
        secured = np.flatnonzero(self._cuts[:, 0] < 0.0)
        if secured.size:
            self._programme.delete_rows(self._fixed_rows + secured)
            self._cuts = np.delete(self._cuts, secured, axis=0)

    def solve(
        self, load_mw: Floats | None = None, bids: tuple[Floats, Floats] | None = None
    ) -> Dispatch:
        """The cheapest dispatch; if there are several, the first one the solver finds.

        The objective is exact to 1e-9. A price under quadratic costs lies between the slopes of two
        tangents, that is within a few cents.

        Args:
            load_mw: (bus,) [MW] without shunts, which are added; negative load feeds in. None: as
                in the case.
            bids: two arrays (bid,): load [MW] that is served as long as another MWh costs no more
                than its price [USD/MWh]. None: no bids.

        Raises:
            ValueError: for loads of the wrong shape or with non-finite values.
            OpfError: if there is no dispatch; with a value of lost load, only if phase shifts or
                angle limits force a flow beyond a rating.
        """
        load = self._load if load_mw is None else self._loads(load_mw)
        columns = np.concatenate([self._served, self._spill])
        forced = self._forced + np.maximum(-load, 0.0)
        lower = np.concatenate([load, np.zeros(len(load))])
        upper = lower.copy()
        if self._voll is not None:
            lower[: len(load)] = np.minimum(load, 0.0)
            upper[len(load) :] = forced
        self._programme.bound_columns(columns, lower, upper)
        if len(self._bid):
            most_mw, worth = bids or (np.zeros(len(self._bid)), np.zeros(len(self._bid)))
            self._programme.bound_columns(self._bid, np.zeros(len(self._bid)), most_mw)
            self._programme.price_columns(self._bid, -worth)
        if (self._cuts[:, 0] >= 0.0).sum() > MAX_CUTS * len(self._quadratic):
            self._drop_cuts()
        value, row_dual = self._optimum(load)
        shed = np.maximum(load - value[self._served], 0.0)
        spill = np.maximum(value[self._spill], 0.0)
        generation, flow = value[self._gen], value[self._flow]
        lost = float(shed.sum() + spill.sum())
        at_limit = (flow >= self._high - AT_LIMIT_MW) | (flow <= self._low + AT_LIMIT_MW)
        return Dispatch(
            objective_usd_per_h=self.cost_usd_per_h(generation) + (self._voll or 0.0) * lost,
            generation_mw=generation,
            flow_mw=flow,
            lmp_usd_per_mwh=row_dual[: len(load)],
            shed_mw=shed,
            spill_mw=spill,
            binding=np.flatnonzero(at_limit & self._in_service),
            bought_mw=np.maximum(value[self._bid], 0.0),
            secured=self._at_limit(flow),
        )

    def cost_usd_per_h(self, generation_mw: Floats) -> float:
        """Cost of generators in service at these outputs (gen,) [MW], constants included."""
        cost = (self.case.cost_polynomial[self._on] * _powers(generation_mw[self._on])).sum()
        for gen in self._piecewise:
            points = self.case.cost_points[gen]
            slope = np.diff(points[:, 1]) / np.diff(points[:, 0])
            cost += (points[:-1, 1] + slope * (generation_mw[gen] - points[:-1, 0])).max()
        return float(cost)

    def _loads(self, load_mw: Floats) -> Floats:
        if np.shape(load_mw) != self._load.shape or not np.isfinite(load_mw).all():
            raise ValueError(f"load_mw: must be {len(self._load)} numbers, one for each bus [MW]")
        return load_mw + self.case.shunt_mw

    def _optimum(self, load: Floats) -> tuple[Floats, Floats]:
        """Column values and row duals, once no tangent is missing."""
        gens = self._quadratic
        curve = self.case.cost_polynomial[gens]
        below = np.array([self._cost_of[int(g)] for g in gens], dtype=np.int64)
        for _ in range(MAX_ROUNDS):
            if not self._programme.solve():
                raise OpfError(self._why(load))
            value, row_dual, _ = self._programme.solution()
            if self._n_minus_1 and self._secure(value[self._flow]):
                continue
            if not len(gens):
                return value, row_dual
            output = value[self._gen[gens]]
            gap = (curve * _powers(output)).sum(axis=1) - value[below]
            if gap.sum() <= GAP * max(abs(self.cost_usd_per_h(value[self._gen])), 1.0):
                return value, row_dual
            wide = gap > 0.1 * GAP * gap.sum()
            self._add_cuts(gens[wide], output[wide])
        raise OpfError(f"case {self.case.name}: rows did not close in {MAX_ROUNDS} rounds")

    def _secure(self, flow_mw: Floats) -> bool:
        """Add a row for each line that an outage would overload; returns whether any was added."""
        if self._security is None:
            self._security = Security(replace(self._mesh, in_service=self._in_service.copy()))
        line, out = self._security.overloads(flow_mw)
        if not len(line):
            return False
        limit = self._security.limit_mw[line]
        index = np.column_stack([self._flow[line], self._flow[out]])
        value = np.column_stack([np.ones(len(line)), self._security.factors(line, out)])
        starts = 2 * np.arange(len(line))
        self._programme.add_rows(-limit, limit, starts, index.ravel(), value.ravel())
        self._cuts = np.vstack([self._cuts, np.column_stack([-1.0 - line, out])])
        return True

    def _at_limit(self, flow_mw: Floats) -> Ints:
        """Pairs of line and outage whose rows bind."""
        pairs = self._cuts[self._cuts[:, 0] < 0.0].astype(np.int64)
        line, out = -1 - pairs[:, 0], pairs[:, 1]
        if self._security is None or not len(line):
            return np.zeros((0, 2), dtype=np.int64)
        after = flow_mw[line] + self._security.factors(line, out) * flow_mw[out]
        at = np.abs(after) >= self._security.limit_mw[line] - OVER_MW
        return np.column_stack([line, out])[at]

    def _add_cuts(self, gens: Ints, output_mw: Floats) -> None:
        """Add tangents to the quadratic costs of some generators at these outputs."""
        if not len(gens):
            return
        square, linear, constant = self.case.cost_polynomial[gens].T
        slope = 2.0 * square * output_mw + linear
        index = np.column_stack([[self._cost_of[int(g)] for g in gens], self._gen[gens]])
        self._programme.add_rows(
            constant - square * output_mw**2,
            np.full(len(gens), np.inf),
            2 * np.arange(len(gens)),
            index.ravel(),
            np.column_stack([np.ones(len(gens)), -slope]).ravel(),
        )
        self._cuts = np.vstack([self._cuts, np.column_stack([gens, output_mw])])

    def _drop_cuts(self) -> None:
        """Drop tangents that the last solution did not need, except the initial ones."""
        row_dual = self._programme.solution()[1]
        first = FIRST_TANGENTS * len(self._quadratic)
        idle = np.flatnonzero(np.abs(row_dual[self._fixed_rows + first :]) == 0.0) + first
        self._programme.delete_rows(self._fixed_rows + idle)
        self._cuts = np.delete(self._cuts, idle, axis=0)

    def _why(self, load: Floats) -> str:
        """Why there is no dispatch, as far as it can be told."""
        most = float(self.case.gen_max_mw[self._on].sum())
        least = float(self.case.gen_min_mw[self._on].sum())
        text = f"case {self.case.name}: no dispatch serves a load of {load.sum():.6g} MW"
        if load.sum() > most:
            return f"{text}; generators in service give at most {most:.6g} MW"
        if load.sum() < least:
            return f"{text}; generators in service give at least {least:.6g} MW"
        out = np.flatnonzero(~self._in_service).tolist()
        return f"{text} within the limits of lines and angles (branches out of service: {out})"


def _powers(output_mw: Floats) -> Floats:
    """Powers of the outputs (gen, 3): squares, values, ones."""
    return np.column_stack([output_mw**2, output_mw, np.ones_like(output_mw)])
