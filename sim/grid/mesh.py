"""A meshed grid as arrays, and its DC power flow.

Flow of a line [MW] = susceptance x (angle at its from bus - angle at its to bus - phase shift):
lossless, voltages at 1 per unit, sin x = x (Stott, Jardim and Alsac, DC Power Flow Revisited, IEEE
Trans. Power Systems 24, 2009).
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import networkx as nx
import numpy as np

from sim.grid.matpower import Case
from sim.kernels.mesh import invert
from sim.text import repeated
from sim.types import Bools, Floats, Ints

SusceptanceForm = Literal["x/(r²+x²)", "1/(x·tap)"]
PLAIN: Final[SusceptanceForm] = "x/(r²+x²)"


class MeshError(ValueError):
    """An inconsistent mesh."""


@dataclass(frozen=True)
class Mesh:
    """A meshed grid. Shapes: `bus`, `line`, `source`; lines may be parallel."""

    bus_names: tuple[str, ...]  # (bus,)
    line_names: tuple[str, ...]  # (line,)
    from_bus: Ints  # (line,) flow out of this bus is positive
    to_bus: Ints  # (line,)
    susceptance_mw: Floats  # (line,) MW per rad
    shift_rad: Floats  # (line,) phase shift
    limit_mw: Floats  # (line,) in both directions; inf: none
    in_service: Bools  # (line,)
    source_bus: Ints  # (source,) generators, or price zones from 0 to inf
    source_min_mw: Floats  # (source,)
    source_max_mw: Floats  # (source,) inf: none
    load_mw: Floats  # (bus,) fixed load

    def __post_init__(self) -> None:
        buses, lines, sources = len(self.bus_names), len(self.line_names), len(self.source_bus)
        self._shapes(lines, "from_bus to_bus susceptance_mw shift_rad limit_mw in_service")
        self._shapes(sources, "source_bus source_min_mw source_max_mw")
        self._shapes(buses, "load_mw")
        for name in ("bus_names", "line_names"):
            if twice := repeated(getattr(self, name)):
                raise MeshError(f"Mesh.{name}: {twice[0]!r} more than once; names must differ")
        for name in ("from_bus", "to_bus", "source_bus"):
            bus = getattr(self, name)
            self._all(name, (bus >= 0) & (bus < buses), f"must be a bus, 0 to {buses - 1}")
        self._all("to_bus", self.from_bus != self.to_bus, "must not be the line's from_bus")
        known = np.isfinite(self.susceptance_mw) & (self.susceptance_mw != 0.0)
        self._all("susceptance_mw", known | ~self.in_service, "must be a number other than 0")
        self._all("shift_rad", np.isfinite(self.shift_rad), "must be a number")
        self._all("limit_mw", self.limit_mw >= 0.0, "must be >= 0, inf for no limit")
        self._all("source_min_mw", np.isfinite(self.source_min_mw), "must be a number")
        self._all("source_max_mw", self.source_max_mw >= self.source_min_mw, "must be >= its min")
        self._all("load_mw", np.isfinite(self.load_mw), "must be a number")

    def _shapes(self, count: int, names: str) -> None:
        for name in names.split():
            shape = getattr(self, name).shape
            if shape != (count,):
                raise MeshError(f"Mesh.{name}: shape {shape}; must be ({count},)")

    def _all(self, name: str, right: Bools, allowed: str) -> None:
        if not right.all():
            i = int(np.argmin(right))
            raise MeshError(f"Mesh.{name}[{i}] = {getattr(self, name)[i]}: {allowed}")


def mesh_of(case: Case, susceptance: SusceptanceForm = PLAIN) -> Mesh:
    """The mesh of a case. Its sources are the generators; those out of service have bounds 0 and 0.

    Args:
        case: as read.
        susceptance: "x/(r²+x²)" as in PowerModels.jl, with taps and phase shifts ignored; the
            baseline of PGLib-OPF was computed with it. "1/(x·tap)" as in MATPOWER, with phase
            shifts.

    Raises:
        ValueError: for any other form.
        MeshError: for an inconsistent case that was built by hand.
    """
    if susceptance not in get_args(SusceptanceForm):
        allowed = " or ".join(map(repr, get_args(SusceptanceForm)))
        raise ValueError(f"susceptance = {susceptance!r}: must be {allowed}")
    with np.errstate(divide="ignore", invalid="ignore"):  # x = 0 out of service
        if susceptance == PLAIN:
            per_unit = case.x_pu / (case.r_pu**2 + case.x_pu**2)
            shift_rad = np.zeros(len(case.x_pu))
        else:
            per_unit = 1.0 / (case.x_pu * case.tap)
            shift_rad = np.deg2rad(case.shift_deg)
    ends = list(zip(case.branch_from.tolist(), case.branch_to.tolist(), strict=True))
    names, bus = [], case.bus_name
    for i, (a, b) in enumerate(ends):
        circuit = f" ({ends[: i + 1].count((a, b))})" if ends.count((a, b)) > 1 else ""
        names.append(f"{bus[a]} → {bus[b]}{circuit}")
    return Mesh(
        bus_names=bus,
        line_names=tuple(names),
        from_bus=case.branch_from,
        to_bus=case.branch_to,
        susceptance_mw=np.where(np.isfinite(per_unit), per_unit, 0.0) * case.base_mva,
        shift_rad=shift_rad,
        limit_mw=np.where(case.rate_a_mw > 0.0, case.rate_a_mw, np.inf),
        in_service=case.branch_in_service,
        source_bus=case.gen_bus,
        source_min_mw=np.where(case.gen_in_service, case.gen_min_mw, 0.0),
        source_max_mw=np.where(case.gen_in_service, case.gen_max_mw, 0.0),
        load_mw=case.load_mw + case.shunt_mw,
    )


class Ptdf(NamedTuple):
    """Power transfer distribution factors: MW on a line per MW from a bus to its slack."""

    matrix: Floats  # (line, bus) 0 for lines out of service and for dead buses
    base_mw: Floats  # (line,) flow from phase shifts alone
    island: Ints  # (bus,) island number, ordered by first bus
    slack_bus: Ints  # (island,) the first bus with a source; -1: a dead island
    dead_bus: Bools  # (bus,) in an island without a source that can deliver


def islands(mesh: Mesh) -> Ints:
    """Island number of each bus (bus,) over lines in service, ordered by first bus."""
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(len(mesh.bus_names)))
    on = mesh.in_service
    graph.add_edges_from(zip(mesh.from_bus[on].tolist(), mesh.to_bus[on].tolist(), strict=True))
    island = np.empty(len(mesh.bus_names), dtype=np.int64)
    for number, buses in enumerate(sorted(nx.connected_components(graph), key=min)):
        island[list(buses)] = number
    return island


def ptdf(mesh: Mesh) -> Ptdf:
    """The flow of a MW from each bus to the slack of its island.

    The slack of an island (of lines in service) is its first bus with a source. Nothing flows in
    islands without a source that can deliver: their buses are dead, their columns and rows 0.

    Raises:
        MeshError: if negative susceptances cancel and leave the flows undetermined.
    """
    island = islands(mesh)
    count = int(island.max(initial=-1)) + 1
    slack_bus = np.full(count, -1, dtype=np.int64)
    for bus in sorted(mesh.source_bus[mesh.source_max_mw > 0.0].tolist(), reverse=True):
        slack_bus[island[bus]] = bus
    dead_bus = slack_bus[island] < 0
    buses, lines = len(mesh.bus_names), len(mesh.line_names)
    live = np.flatnonzero(mesh.in_service & ~dead_bus[mesh.from_bus])
    from_bus, to_bus, weight = mesh.from_bus[live], mesh.to_bus[live], mesh.susceptance_mw[live]
    nodal = np.zeros((buses, buses))
    np.add.at(nodal, (from_bus, from_bus), weight)
    np.add.at(nodal, (to_bus, to_bus), weight)
    np.add.at(nodal, (from_bus, to_bus), -weight)
    np.add.at(nodal, (to_bus, from_bus), -weight)
    free = np.flatnonzero(~dead_bus & (slack_bus[island] != np.arange(buses)))
    angle = np.zeros((buses, buses))  # at a bus, per MW at another
    inner = np.ix_(free, free)
    inverse = np.empty((len(free), len(free)))
    if not invert(np.ascontiguousarray(nodal[inner]), inverse):
        raise MeshError("the susceptances in service cancel: the flows are not determined")
    angle[inner] = inverse
    matrix = np.zeros((lines, buses))
    matrix[live] = weight[:, None] * (angle[from_bus] - angle[to_bus])
    pushed = np.zeros(buses)
    np.add.at(pushed, from_bus, weight * mesh.shift_rad[live])
    np.subtract.at(pushed, to_bus, weight * mesh.shift_rad[live])
    base_mw = matrix @ pushed if pushed.any() else np.zeros(lines)
    base_mw[live] -= weight * mesh.shift_rad[live]
    return Ptdf(matrix, base_mw, island, slack_bus, dead_bus)


def flows(mesh: Mesh, injection_mw: Floats) -> Floats:
    """Flow of each line (line,) [MW] for injections (bus,) [MW], generation less load.

    The slack of each island absorbs any imbalance; nothing flows in dead islands.
    """
    factors = ptdf(mesh)
    return factors.matrix @ injection_mw + factors.base_mw
