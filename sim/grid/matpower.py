"""Reader of MATPOWER grid cases: returns arrays, or rejects a case with every reason.

Source of the format: Zimmerman and Murillo-Sánchez, MATPOWER User's Manual 7.1, appendix B. The
file is run by `matlab.py`; this module interprets its matrices. Only what a DC study needs is kept;
`Case.notes` lists what was left out or approximated.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import networkx as nx
import numpy as np

from sim.grid.costs import read_costs
from sim.grid.matlab import Evaluated, evaluate
from sim.grid.matlab_values import Cells, Value
from sim.grid.tokens import MatlabError
from sim.types import Bools, Floats, Ints

# Minimum number of columns; longer rows hold results and are truncated.
COLUMNS: Final = {"bus": 13, "gen": 10, "branch": 11, "gencost": 5}
ISOLATED: Final = 4  # bus type
FREE_DEG: Final = 360.0  # an angle limit this wide is no limit
TIE_PU: Final = 1e-4  # reactance of a tie without impedance: PSS/E's default THRSHZ
MAX_BYTES: Final = 200_000_000  # MATPOWER's largest, of 82,000 buses, has 35 million
SHOWN: Final = 5  # items of a kind that a note lists

# Version 1 returns these in order; mpc_1to2 in loadcase.m: later columns are results.
V1_OUTPUTS: Final = ("baseMVA", "bus", "gen", "branch", "areas", "gencost")
V1_BRANCH_COLUMNS: Final = 11

# Fields without effect on a DC dispatch of the grid alone.
_NO_EFFECT: Final = frozenset(
    {"version", "baseMVA", "bus", "gen", "branch", "gencost", "bus_name", "areas", "gentype",
     "genfuel", "gen_name", "branch_name", "bus_geo", "bus_coord", "case_name", "name",
     "source", "comment", "description"}
)  # fmt: skip
# Fields that MATPOWER's own opf uses if present: ignoring them would change the answer.
_NEEDED: Final = frozenset(
    {"A", "l", "u", "N", "fparm", "H", "Cw", "z0", "zl", "zu", "userfcn", "user_constraints",
     "user_costs"}
)  # fmt: skip


class CaseError(ValueError):
    """An unusable case; the message has a line for each problem."""


@dataclass(frozen=True)
class Case:
    """A grid case. Shapes: `bus`, `gen`, `branch`; buses by position, not by number."""

    name: str
    base_mva: float
    bus_number: Ints  # (bus,) as in the file
    bus_name: tuple[str, ...]  # (bus,) the bus number if the file has no names
    bus_type: Ints  # (bus,) 1 load, 2 generation, 3 reference
    load_mw: Floats  # (bus,) Pd
    shunt_mw: Floats  # (bus,) Gs: consumption at 1 per unit voltage
    gen_bus: Ints  # (gen,)
    gen_min_mw: Floats  # (gen,)
    gen_max_mw: Floats  # (gen,)
    gen_in_service: Bools  # (gen,)
    cost_polynomial: Floats  # (gen, 3) USD/h per MW^2, per MW, and constant; 0 if piecewise
    cost_points: tuple[Floats, ...]  # (gen,) of (point, 2) [MW, USD/h]; no points if polynomial
    branch_from: Ints  # (branch,)
    branch_to: Ints  # (branch,)
    r_pu: Floats  # (branch,)
    x_pu: Floats  # (branch,)
    tap: Floats  # (branch,) off-nominal ratio, 1 for lines
    shift_deg: Floats  # (branch,) phase shift
    rate_a_mw: Floats  # (branch,) long-term rating [MVA], taken as MW; 0: unlimited
    angle_min_deg: Floats  # (branch,) from bus less to bus; -inf: no limit
    angle_max_deg: Floats  # (branch,)
    branch_in_service: Bools  # (branch,)
    dead_bus: Ints  # positions of buses without supply: isolated, or without a generator
    notes: tuple[str, ...] = ()  # what was left out or approximated, a sentence each


Problem = Callable[[str], None]


class _Rows(NamedTuple):
    """A matrix of the file, and where its problems are reported."""

    name: str
    cell: Floats  # (row, column)

    def column(self, index: int, default: float = 0.0) -> Floats:
        if index < self.cell.shape[1]:
            return np.ascontiguousarray(self.cell[:, index])
        return np.full(len(self.cell), default)

    def at(self, row: int, column: int, name: str) -> str:
        value = self.cell[row, column]
        return f"mpc.{self.name} row {row + 1}, column {column + 1} ({name}) = {value:g}"


def read_case(path: Path | str) -> Case:
    """Read a MATPOWER case of version 1 or 2, in its state after all statements of the file.

    Raises:
        CaseError: with every problem found: file, line and statement, or matrix, row, column, value
            and the allowed values.
        OSError: if the file cannot be read.
    """
    file = Path(path)
    problems: list[str] = []
    notes: list[str] = []

    def problem(text: str) -> None:
        problems.append(f"{file}: {text}")

    def stop() -> None:
        if problems:
            raise CaseError("\n".join(problems))

    try:
        fields = _fields(evaluate(_text(file, notes), ragged="gencost"))
    except MatlabError as error:
        raise CaseError(f"{file}: {error}") from None
    version = _version(fields, problem)
    given = fields.get("baseMVA")
    base_mva = float(given[0, 0]) if isinstance(given, np.ndarray) and given.size == 1 else math.nan
    if not 0.0 < base_mva < math.inf:
        shown = "missing" if given is None else f"{base_mva:g}"
        problem(f"mpc.baseMVA = {shown}: must be a number > 0 [MVA]")
    for name in sorted(_NEEDED & fields.keys()):
        problem(f"mpc.{name}: constraints and costs of one's own are not modelled; must not be set")
    rows = {name: _matrix(name, fields.get(name), problem) for name in COLUMNS}
    stop()
    if version == "1":
        rows["branch"] = _Rows("branch", rows["branch"].cell[:, :V1_BRANCH_COLUMNS])
    for name in sorted(fields.keys() - _NO_EFFECT - _NEEDED):
        notes.append(f"mpc.{name} is not modelled: the study is of the grid without it")
    names = _names(fields.get("bus_name"), rows["bus"], problem, notes)
    case = _case(file.stem, base_mva, names, rows, problem, notes)
    stop()
    return case


def _text(file: Path, notes: list[str]) -> str:
    """The text of a file: encoding from its byte order mark, else UTF-8, else Windows-1252."""
    if file.stat().st_size > MAX_BYTES:
        raise CaseError(f"{file}: {file.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
    raw = file.read_bytes()
    if b"\x00" in raw and raw[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise CaseError(f"{file}: is not a MATPOWER file, but holds NUL characters")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append("is not UTF-8: read as Windows-1252")
        return raw.decode("cp1252", errors="replace")


def _fields(found: Evaluated) -> dict[str, Value]:
    """The case's fields: from what its function returns, in either version, or from mpc."""
    if len(found.outputs) > 1:
        named = zip(V1_OUTPUTS, found.outputs, strict=False)
        return {name: found.values[out] for name, out in named if out in found.values} | {
            "version": "1"
        }
    name = found.outputs[0] if found.outputs else "mpc"
    case = found.values.get(name)
    if not isinstance(case, dict):
        raise MatlabError(f"the file leaves no structure {name!r}; must set {name}.bus and others")
    return case


def _version(fields: dict[str, Value], problem: Problem) -> str:
    """The version, as in loadcase.m: if not given, 2 if generators have 21 columns or more."""
    version = fields.get("version")
    if version is None:
        gen = fields.get("gen")
        return "1" if isinstance(gen, np.ndarray) and gen.shape[1] < 21 else "2"
    if isinstance(version, np.ndarray) and version.size == 1:
        version = f"{version[0, 0]:g}"
    if version not in ("1", "2"):
        problem(f"mpc.version = {version if isinstance(version, str) else '?'}: must be '1' or '2'")
    return str(version)


def _matrix(name: str, found: Value | None, problem: Problem) -> _Rows:
    """A numeric matrix with at least the required columns."""
    if not isinstance(found, np.ndarray):
        wrong = "missing" if found is None else "is no matrix of numbers"
        problem(f"mpc.{name}: {wrong}; a case needs mpc.{', mpc.'.join(COLUMNS)}")
        return _Rows(name, np.zeros((0, COLUMNS[name])))
    cell = np.asarray(found, dtype=np.float64)
    if not cell.size:
        problem(f"mpc.{name}: empty; must have at least one row")
    elif cell.shape[1] < COLUMNS[name]:
        problem(f"mpc.{name}: {cell.shape[1]} columns; at least {COLUMNS[name]}")
    return _Rows(name, cell)


def _names(found: Value | None, bus: _Rows, problem: Problem, notes: list[str]) -> tuple[str, ...]:
    """Names of the buses; duplicate or blank names are replaced by the bus number."""
    numbers = [f"{number:g}" if number < 1e6 else f"{number:.0f}" for number in bus.cell[:, 0]]
    if found is None:
        return tuple(numbers)
    cells = [one for row in found.rows for one in row] if isinstance(found, Cells) else []
    if not isinstance(found, Cells) or not all(isinstance(one, str) for one in cells):
        problem("mpc.bus_name: must be texts in { }")
        return tuple(numbers)
    names = [str(one).strip() for one in cells]
    if len(names) != len(bus.cell):
        problem(f"mpc.bus_name: {len(names)} names; must be {len(bus.cell)}, one for each bus")
        return tuple(numbers)
    count: dict[str, int] = {}
    for name in names:
        count[name] = count.get(name, 0) + 1
    twice = [name for name, many in count.items() if many > 1 or not name]
    if twice:
        notes.append(
            f"mpc.bus_name: {_some([repr(name) for name in twice])} more than once or blank: "
            "their bus numbers are added"
        )
    return tuple(
        f"{name} ({number})".strip() if count[name] > 1 or not name else name
        for name, number in zip(names, numbers, strict=True)
    )


def _some(words: list[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def _case(
    name: str,
    base_mva: float,
    names: tuple[str, ...],
    rows: dict[str, _Rows],
    problem: Problem,
    notes: list[str],
) -> Case:
    bus, gen, branch = rows["bus"], rows["gen"], rows["branch"]
    index = _buses(bus, problem)
    gen_bus = _places(gen, 0, "GEN_BUS", index, problem)
    branch_from = _places(branch, 0, "F_BUS", index, problem)
    branch_to = _places(branch, 1, "T_BUS", index, problem)
    # As in ext2int.m: isolated buses are removed, with everything connected to them.
    isolated = np.append(bus.column(1) == ISOLATED, False)  # the last: an unknown bus
    gen_in_service = (gen.column(7) > 0) & ~isolated[gen_bus]
    branch_in_service = (branch.column(10) > 0) & ~isolated[branch_from] & ~isolated[branch_to]
    load_mw, shunt_mw = bus.column(2), bus.column(4)
    out = isolated[:-1]
    if out.any():
        lost_mw = float(load_mw[out].sum())
        buses = _some([f"{bus.cell[i, 0]:.0f}" for i in _where(out)])
        notes.append(f"isolated buses (type 4) are out, with {lost_mw:g} MW of load: {buses}")
    load_mw, shunt_mw = np.where(out, 0.0, load_mw), np.where(out, 0.0, shunt_mw)
    for column, title in ((8, "PMAX"), (9, "PMIN")):
        for i in _where(gen_in_service & np.isnan(gen.column(column))):
            problem(f"{gen.at(i, column, title)}: must be a number [MW]")
    for i in _where(gen_in_service & np.isinf(gen.column(9))):
        problem(f"{gen.at(i, 9, 'PMIN')}: must be finite [MW]")
    for i in _where(gen_in_service & (gen.column(9) > gen.column(8))):
        problem(f"{gen.at(i, 9, 'PMIN')}: must be <= PMAX = {gen.cell[i, 8]:g} [MW]")
    x_pu = _reactances(branch, branch_in_service, problem, notes)
    for column, title in ((2, "BR_R"), (3, "BR_X"), (8, "TAP"), (9, "SHIFT")):
        for i in _where(branch_in_service & ~np.isfinite(branch.column(column))):
            problem(f"{branch.at(i, column, title)}: must be finite")
    for i in _where(branch_in_service & (branch_from == branch_to) & (branch_from >= 0)):
        problem(f"{branch.at(i, 1, 'T_BUS')}: must not be its F_BUS")
    for i in _where(~(branch.column(5) >= 0.0)):
        problem(f"{branch.at(i, 5, 'RATE_A')}: must be >= 0 [MVA], 0 for no limit")
    for i in _where(branch.column(8) < 0.0):
        problem(f"{branch.at(i, 8, 'TAP')}: must be >= 0, 0 for a line")
    low, high = branch.column(11, -FREE_DEG), branch.column(12, FREE_DEG)
    free = (low == 0.0) & (high == 0.0)
    angle_min_deg = np.where(free | (low <= -FREE_DEG), -np.inf, low)
    angle_max_deg = np.where(free | (high >= FREE_DEG), np.inf, high)
    for i in _where(~(angle_min_deg <= angle_max_deg)):
        problem(f"{branch.at(i, 11, 'ANGMIN')}: must be <= ANGMAX = {high[i]:g} [deg]")
    costs = read_costs(rows["gencost"].cell, gen.column(9), gen.column(8), gen_in_service)
    for text in costs.problems:
        problem(text)
    notes += costs.notes
    dead = _dead(bus, branch, (branch_from, branch_to, branch_in_service), out, load_mw + shunt_mw,
          gen_bus[gen_in_service & (gen_bus >= 0)], problem, notes)  # fmt: skip
    tap = branch.column(8)
    return Case(
        name=name,
        base_mva=base_mva,
        bus_number=_whole(bus.column(0)),
        bus_name=names,
        bus_type=_whole(bus.column(1)),
        load_mw=load_mw,
        shunt_mw=shunt_mw,
        gen_bus=gen_bus,
        gen_min_mw=gen.column(9),
        gen_max_mw=gen.column(8),
        gen_in_service=gen_in_service,
        cost_polynomial=costs.polynomial,
        cost_points=costs.points,
        branch_from=branch_from,
        branch_to=branch_to,
        r_pu=branch.column(2),
        x_pu=x_pu,
        tap=np.where(tap == 0.0, 1.0, tap),
        shift_deg=branch.column(9),
        rate_a_mw=branch.column(5),
        angle_min_deg=angle_min_deg,
        angle_max_deg=angle_max_deg,
        branch_in_service=branch_in_service,
        dead_bus=np.array(dead, dtype=np.int64),
        notes=tuple(notes),
    )


def _whole(column: Floats) -> Ints:
    """Cast to integers; non-integers are rejected before they matter."""
    return np.nan_to_num(column, nan=0.0, posinf=0.0, neginf=0.0).clip(-1e15, 1e15).astype(np.int64)


def _reactances(branch: _Rows, in_service: Bools, problem: Problem, notes: list[str]) -> Floats:
    """Reactances (branch,); a tie without impedance gets a very small reactance."""
    r_pu, x_pu = branch.column(2), branch.column(3)
    none = in_service & (x_pu == 0.0)
    for i in _where(none & (r_pu != 0.0)):
        problem(f"{branch.at(i, 3, 'BR_X')}: must not be 0 in service")
    ties = none & (r_pu == 0.0)
    if ties.any():
        ends = [f"row {i + 1} ({branch.cell[i, 0]:.0f}–{branch.cell[i, 1]:.0f})"
                for i in _where(ties)]  # fmt: skip
        notes.append(f"ties without impedance are taken as {TIE_PU:g} p.u.: branch {_some(ends)}")
    return np.where(ties, TIE_PU, x_pu)


def _dead(
    bus: _Rows,
    branch: _Rows,
    ends: tuple[Ints, Ints, Bools],
    isolated: Bools,
    load_mw: Floats,
    live: Ints,
    problem: Problem,
    notes: list[str],
) -> list[int]:
    """Buses without a path to a generator: rejected if they have load, else noted."""
    start, end, on = ends
    known = on & (start >= 0) & (end >= 0)
    cut_off = [
        i for i in _cut_off(len(bus.cell), start[known], end[known], live) if not isolated[i]
    ]
    for i in cut_off:
        if load_mw[i] != 0.0:
            problem(
                f"{bus.at(i, 0, 'BUS_I')}: islanded, no way in service to a generator in service "
                f"for its {load_mw[i]:g} MW; must have one, be of type 4, or have no load"
            )
    idle = [f"{bus.cell[i, 0]:.0f}" for i in cut_off if load_mw[i] == 0.0]
    if idle:
        notes.append(f"buses without load and without a way to a generator are dead: {_some(idle)}")
    return sorted([*cut_off, *_where(isolated)])


def _where(wrong: Bools) -> list[int]:
    return [int(i) for i in np.flatnonzero(wrong)]


def _buses(bus: _Rows, problem: Problem) -> dict[float, int]:
    """Position of each bus number."""
    index: dict[float, int] = {}
    for i, row in enumerate(bus.cell.tolist()):
        if not (1 <= row[0] < 1e15 and row[0] == math.floor(row[0])):
            problem(f"{bus.at(i, 0, 'BUS_I')}: must be a whole number >= 1")
        elif row[0] in index:
            problem(f"{bus.at(i, 0, 'BUS_I')}: already in row {index[row[0]] + 1}; must differ")
        if row[1] not in (1, 2, 3, ISOLATED):
            problem(f"{bus.at(i, 1, 'BUS_TYPE')}: must be 1, 2, 3 or 4")
        for column, name in ((2, "PD"), (4, "GS")):
            if not math.isfinite(row[column]):
                problem(f"{bus.at(i, column, name)}: must be finite [MW]")
        index.setdefault(row[0], i)
    return index


def _places(rows: _Rows, column: int, name: str, index: dict[float, int], problem: Problem) -> Ints:
    """Positions of the buses in a column, -1 for unknown buses."""
    places = np.full(len(rows.cell), -1, dtype=np.int64)
    for i, number in enumerate(rows.cell[:, column].tolist()):
        places[i] = index.get(number, -1)
        if places[i] < 0:
            problem(f"{rows.at(i, column, name)}: no such bus; must be a BUS_I of mpc.bus")
    return places


def _cut_off(buses: int, from_bus: Ints, to_bus: Ints, sources: Ints) -> Iterator[int]:
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(buses))
    graph.add_edges_from(zip(from_bus.tolist(), to_bus.tolist(), strict=True))
    fed = set(sources.tolist())
    for island in nx.connected_components(graph):
        if not island & fed:
            yield from sorted(island)
