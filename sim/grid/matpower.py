"""Grid cases as MATPOWER writes them, read into arrays or refused with every reason.

Source of the format: Zimmerman and Murillo-Sánchez, MATPOWER User's Manual 7.1, appendix B. Only
what a DC study needs is kept; what a column means is said where `Case` names it.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import networkx as nx
import numpy as np

from sim.kernels.arrays import Bools, Floats, Ints

# Columns that a row must have at least; longer rows hold results and are cut.
COLUMNS: Final = {"bus": 13, "gen": 10, "branch": 11, "gencost": 5}
ISOLATED: Final = 4  # bus type
FREE_DEG: Final = 360.0  # an angle limit this wide is none
PIECEWISE: Final = 1  # cost models
POLYNOMIAL: Final = 2

_COMMENT: Final = re.compile(r"('(?:[^'\n]|'')*')|%[^\n]*")
_ASSIGNED: Final = re.compile(r"\bmpc\.(\w+)\s*=\s*(\[[^\]]*\]|\{[^}]*\}|[^;\n]*)")
_CELL: Final = re.compile(r"'((?:[^'\n]|'')*)'")


class CaseError(ValueError):
    """A case that cannot be used; the message has a line for each problem."""


@dataclass(frozen=True)
class Case:
    """A grid case. Shapes: `bus`, `gen`, `branch`; buses by position, not by number."""

    name: str
    base_mva: float
    bus_number: Ints  # (bus,) as in the file
    bus_name: tuple[str, ...]  # (bus,) the number where the file has no names
    bus_type: Ints  # (bus,) 1 load, 2 generation, 3 reference
    load_mw: Floats  # (bus,) Pd
    shunt_mw: Floats  # (bus,) Gs: taken at 1 per unit voltage
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
    angle_min_deg: Floats  # (branch,) of the from bus over the to bus; -inf: no limit
    angle_max_deg: Floats  # (branch,)
    branch_in_service: Bools  # (branch,)


Problem = Callable[[str], None]


class _Rows(NamedTuple):
    """A matrix of the file and where it says what is wrong with it."""

    name: str
    cell: list[list[float]]

    def column(self, index: int, default: float = 0.0) -> Floats:
        return np.array([row[index] if index < len(row) else default for row in self.cell])

    def at(self, row: int, column: int, name: str) -> str:
        value = self.cell[row][column]
        return f"mpc.{self.name} row {row + 1}, column {column + 1} ({name}) = {value:g}"


def read_case(path: Path | str) -> Case:
    """Read a MATPOWER case of version 2.

    Matrices that a DC study does not need are not looked at. Rows end with `;` or a line; values
    are parted by blanks, tabs or commas.

    Raises:
        CaseError: with every problem found: file, matrix, row, column, value, what is allowed.
        OSError: when the file cannot be read.
    """
    file = Path(path)
    text = _COMMENT.sub(lambda found: found.group(1) or "", file.read_text(encoding="utf-8"))
    given = {name: value.strip() for name, value in _ASSIGNED.findall(text.replace("...\n", " "))}
    problems: list[str] = []

    def problem(text: str) -> None:
        problems.append(f"{file}: {text}")

    def stop() -> None:
        if problems:
            raise CaseError("\n".join(problems))

    version = given.get("version", "").strip("'\"")
    if version != "2":
        problem(f"mpc.version = {version or 'missing'}: must be '2'")
    base_mva = _number(given.get("baseMVA", ""))
    if not 0.0 < base_mva < math.inf:
        problem(f"mpc.baseMVA = {given.get('baseMVA', 'missing')}: must be a number > 0 [MVA]")
    rows = {name: _matrix(name, given.get(name), problem) for name in COLUMNS}
    stop()
    names = _names(given.get("bus_name"), rows["bus"], problem)
    case = _case(file.stem, base_mva, names, rows, problem)
    stop()
    return case


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _matrix(name: str, text: str | None, problem: Problem) -> _Rows:
    """Rows of numbers of one length (gencost: of at least what each row announces)."""
    if text is None or not text.startswith("["):
        problem(f"mpc.{name}: missing; a case needs mpc.{', mpc.'.join(COLUMNS)}")
        return _Rows(name, [])
    split = [row.replace(",", " ").split() for row in re.split(r"[;\n]", text[1:-1])]
    cells = [row for row in split if row]
    if not cells:
        problem(f"mpc.{name}: empty; must have at least one row")
    rows = []
    for number, row in enumerate(cells, 1):
        if len(row) != len(cells[0]):
            problem(
                f"mpc.{name} row {number}: {len(row)} columns; must be {len(cells[0])} as in row 1"
            )
        elif len(row) < COLUMNS[name]:
            problem(f"mpc.{name} row {number}: {len(row)} columns; at least {COLUMNS[name]}")
        for column, value in enumerate(row, 1):
            if math.isnan(_number(value)):
                problem(f"mpc.{name} row {number}, column {column} = {value}: must be a number")
        rows.append([_number(value) for value in row])
    return _Rows(name, rows)


def _names(text: str | None, bus: _Rows, problem: Problem) -> tuple[str, ...]:
    if text is None:
        return tuple(f"{row[0]:g}" for row in bus.cell)
    names = tuple(name.replace("''", "'").strip() for name in _CELL.findall(text))
    if len(names) != len(bus.cell):
        problem(f"mpc.bus_name: {len(names)} names; must be {len(bus.cell)}, one for each bus")
    elif len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        problem(f"mpc.bus_name: {twice!r} more than once; names must differ")
    return names


def _case(
    name: str, base_mva: float, names: tuple[str, ...], rows: dict[str, _Rows], problem: Problem
) -> Case:
    bus, gen, branch = rows["bus"], rows["gen"], rows["branch"]
    index = _buses(bus, problem)
    gen_bus = _places(gen, 0, "GEN_BUS", index, problem)
    branch_from = _places(branch, 0, "F_BUS", index, problem)
    branch_to = _places(branch, 1, "T_BUS", index, problem)
    gen_in_service = gen.column(7) > 0
    branch_in_service = branch.column(10) > 0
    for i in _where(gen_in_service & (gen.column(9) > gen.column(8))):
        problem(f"{gen.at(i, 9, 'PMIN')}: must be <= PMAX = {gen.cell[i][8]:g} [MW]")
    for i in _where(branch_in_service & (branch.column(3) == 0.0)):
        problem(f"{branch.at(i, 3, 'BR_X')}: must not be 0 in service")
    for i in _where(branch_in_service & (branch_from == branch_to) & (branch_from >= 0)):
        problem(f"{branch.at(i, 1, 'T_BUS')}: must not be its F_BUS")
    for i in _where(branch.column(5) < 0.0):
        problem(f"{branch.at(i, 5, 'RATE_A')}: must be >= 0 [MVA], 0 for no limit")
    for i in _where(branch.column(8) < 0.0):
        problem(f"{branch.at(i, 8, 'TAP')}: must be >= 0, 0 for a line")
    low, high = branch.column(11, -FREE_DEG), branch.column(12, FREE_DEG)
    free = (low == 0.0) & (high == 0.0)
    angle_min_deg = np.where(free | (low <= -FREE_DEG), -np.inf, low)
    angle_max_deg = np.where(free | (high >= FREE_DEG), np.inf, high)
    for i in _where(angle_min_deg > angle_max_deg):
        problem(f"{branch.at(i, 11, 'ANGMIN')}: must be <= ANGMAX = {high[i]:g} [deg]")
    polynomial, points = _costs(rows["gencost"], gen_in_service, problem)
    live = gen_bus[gen_in_service & (gen_bus >= 0)]
    known = branch_in_service & (branch_from >= 0) & (branch_to >= 0)
    for i in _cut_off(len(bus.cell), branch_from[known], branch_to[known], live):
        problem(f"{bus.at(i, 0, 'BUS_I')}: islanded, no way in service to a generator in service")
    tap = branch.column(8)
    return Case(
        name=name,
        base_mva=base_mva,
        bus_number=bus.column(0).astype(np.int64),
        bus_name=names,
        bus_type=bus.column(1).astype(np.int64),
        load_mw=bus.column(2),
        shunt_mw=bus.column(4),
        gen_bus=gen_bus,
        gen_min_mw=gen.column(9),
        gen_max_mw=gen.column(8),
        gen_in_service=gen_in_service,
        cost_polynomial=polynomial,
        cost_points=points,
        branch_from=branch_from,
        branch_to=branch_to,
        r_pu=branch.column(2),
        x_pu=branch.column(3),
        tap=np.where(tap == 0.0, 1.0, tap),
        shift_deg=branch.column(9),
        rate_a_mw=branch.column(5),
        angle_min_deg=angle_min_deg,
        angle_max_deg=angle_max_deg,
        branch_in_service=branch_in_service,
    )


def _where(wrong: Bools) -> list[int]:
    return [int(i) for i in np.flatnonzero(wrong)]


def _buses(bus: _Rows, problem: Problem) -> dict[float, int]:
    """Position of each bus number."""
    index: dict[float, int] = {}
    for i, row in enumerate(bus.cell):
        if row[0] != math.floor(row[0]) or row[0] < 1 or math.isinf(row[0]):
            problem(f"{bus.at(i, 0, 'BUS_I')}: must be a whole number >= 1")
        elif row[0] in index:
            problem(f"{bus.at(i, 0, 'BUS_I')}: already in row {index[row[0]] + 1}; must differ")
        if row[1] == ISOLATED:
            problem(f"{bus.at(i, 1, 'BUS_TYPE')}: islanded; must be 1, 2 or 3")
        elif row[1] not in (1, 2, 3):
            problem(f"{bus.at(i, 1, 'BUS_TYPE')}: must be 1, 2 or 3")
        for column, name in ((2, "PD"), (4, "GS")):
            if math.isinf(row[column]):
                problem(f"{bus.at(i, column, name)}: must be finite [MW]")
        index.setdefault(row[0], i)
    return index


def _places(rows: _Rows, column: int, name: str, index: dict[float, int], problem: Problem) -> Ints:
    """Positions of the buses that a column names, -1 where there is no such bus."""
    places = np.full(len(rows.cell), -1, dtype=np.int64)
    for i, row in enumerate(rows.cell):
        places[i] = index.get(row[column], -1)
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


def _costs(
    gencost: _Rows, in_service: Bools, problem: Problem
) -> tuple[Floats, tuple[Floats, ...]]:
    """Polynomials (gen, 3) and piecewise-linear points; rows past the generators cost reactive."""
    gens = len(in_service)
    if len(gencost.cell) not in (gens, 2 * gens):
        problem(f"mpc.gencost: {len(gencost.cell)} rows; must be {gens} (or {2 * gens}) as mpc.gen")
    polynomial, points = np.zeros((gens, 3)), [np.empty((0, 2))] * gens
    for i, row in enumerate(gencost.cell[:gens]):
        model, count = row[0], row[3]
        if model not in (PIECEWISE, POLYNOMIAL):
            problem(f"{gencost.at(i, 0, 'MODEL')}: must be 1 (piecewise linear) or 2 (polynomial)")
            continue
        values = row[4:]
        least, width = (2, 2 * count) if model == PIECEWISE else (1, count)
        if count != math.floor(count) or count < least or width > len(values):
            problem(
                f"{gencost.at(i, 3, 'NCOST')}: must be a whole number >= {least}, with no more "
                f"than the {len(values)} values that follow"
            )
            continue
        if model == PIECEWISE:
            points[i] = np.array(values[: int(width)]).reshape(-1, 2)
            step = np.diff(points[i], axis=0)
            if (step[:, 0] <= 0.0).any():
                problem(f"mpc.gencost row {i + 1}: its points must have rising MW")
            elif (np.diff(step[:, 1] / step[:, 0]) < -1e-9).any():
                problem(f"mpc.gencost row {i + 1}: its slopes must not fall (cost is not convex)")
            continue
        falling = values[: int(count)]  # of the powers
        if any(falling[:-3]):
            column = next(k for k, value in enumerate(falling) if value)
            power = f"P^{len(falling) - 1 - column}"
            problem(f"{gencost.at(i, 4 + column, power)}: must be 0; costs up to quadratic only")
            continue
        kept = falling[-3:]
        polynomial[i, 3 - len(kept) :] = kept
        if polynomial[i, 0] < 0.0:
            where = gencost.at(i, 4 + len(falling) - 3, "P^2")
            problem(f"{where}: must be >= 0 (cost is not convex)")
    return polynomial, tuple(points)
