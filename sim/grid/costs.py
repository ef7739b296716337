"""Generation costs of a MATPOWER case: convex curves; other rows are rejected by number.

A DC dispatch needs convex costs. Costs up to quadratic are kept as they are. Convex costs of higher
powers become piecewise-linear curves. Falling slopes are allowed if rounding can explain them; the
curve is then replaced by its lower hull.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from sim.types import Bools, Floats

PIECEWISE: Final = 1  # cost models
POLYNOMIAL: Final = 2
PIECES: Final = 64  # per cost of a power above 2: error 1/4096 of a parabola's bend
ROUNDING: Final = 1e-4  # share of a curve's largest cost: tolerance above the neighbours' chord


class Costs(NamedTuple):
    """Costs of all generators."""

    polynomial: Floats  # (gen, 3) USD/h per MW^2, per MW, and constant; 0 if piecewise
    points: tuple[Floats, ...]  # (gen,) of (point, 2) [MW, USD/h]; no points if polynomial
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def read_costs(gencost: Floats, min_mw: Floats, max_mw: Floats, in_service: Bools) -> Costs:
    """The costs of generators; later rows price reactive power and are left out.

    Args:
        gencost: (row, column) as in the case, at least 5 columns.
        min_mw, max_mw: (gen,) range in which a cost must be convex.
        in_service: (gen,) costs of other generators are ignored.
    """
    gens = len(in_service)
    problems: list[str] = []
    notes: list[str] = []
    if len(gencost) not in (gens, 2 * gens):
        problems.append(
            f"mpc.gencost: {len(gencost)} rows; must be {gens} (or {2 * gens}) as mpc.gen"
        )
    polynomial, points = np.zeros((gens, 3)), [np.empty((0, 2))] * gens
    for i, row in enumerate(gencost[:gens]):
        if not in_service[i]:
            continue
        try:
            values = _values(i, row)
            if row[0] == PIECEWISE:
                found, note = _curve(i, values.reshape(-1, 2))
            else:
                found, note = _power(i, row, values, min_mw[i], max_mw[i])
        except _Wrong as wrong:
            problems.append(str(wrong))
            continue
        if note:
            notes.append(note)
        if found.ndim == 1:
            polynomial[i, 3 - len(found) :] = found
        else:
            points[i] = found
    return Costs(polynomial, tuple(points), tuple(problems), tuple(notes))


class _Wrong(ValueError):
    """An unusable row."""


def _at(i: int, row: Floats, column: int, name: str) -> str:
    return f"mpc.gencost row {i + 1}, column {column + 1} ({name}) = {row[column]:g}"


def _values(i: int, row: Floats) -> Floats:
    """The values whose number a row declares."""
    model, count = row[0], row[3]
    if model not in (PIECEWISE, POLYNOMIAL):
        raise _Wrong(f"{_at(i, row, 0, 'MODEL')}: must be 1 (piecewise linear) or 2 (polynomial)")
    least, each = (2, 2) if model == PIECEWISE else (1, 1)
    there = len(row) - 4
    if not (least <= count <= there // each and count == math.floor(count)):
        raise _Wrong(
            f"{_at(i, row, 3, 'NCOST')}: must be a whole number >= {least}, with no more "
            f"than the {there} values that follow"
        )
    values = row[4 : 4 + each * int(count)]
    if not np.isfinite(values).all():
        column = 4 + int(np.argmin(np.isfinite(values)))
        raise _Wrong(f"{_at(i, row, column, 'COST')}: must be finite")
    return values


def _curve(i: int, given: Floats) -> tuple[Floats, str]:
    """Points of a piecewise-linear cost, or its single constant."""
    again = np.append(False, (np.diff(given, axis=0) == 0.0).all(axis=1))
    points = given[~again]
    if len(points) == 1:
        return points[0, 1:], ""
    step = np.diff(points, axis=0)
    if (step[:, 0] <= 0.0).any():
        raise _Wrong(f"mpc.gencost row {i + 1}: its points must have rising MW")
    slope = step[:, 1] / step[:, 0]
    fall = np.diff(slope)
    if (fall >= 0.0).all():
        return points, ""
    hull = _hull(points)
    off = float((points[:, 1] - np.interp(points[:, 0], hull[:, 0], hull[:, 1])).max())
    if off > ROUNDING * float(np.abs(points[:, 1]).max()):
        k = int(np.argmin(fall))
        raise _Wrong(
            f"mpc.gencost row {i + 1}: its slopes must not fall (cost is not convex): "
            f"{slope[k]:g} to {slope[k + 1]:g} USD/MWh at {points[k + 1, 0]:g} MW"
        )
    if (fall < -1e-9).any():
        return hull, (
            f"mpc.gencost row {i + 1}: its slopes fall by rounding; its lower hull is taken, "
            f"{off:.2g} USD/h below at most"
        )
    return points, ""


def _hull(points: Floats) -> Floats:
    """The convex curve below the points, through some of them."""
    kept: list[int] = []
    for k in range(len(points)):
        while len(kept) > 1:
            a, b, c = points[kept[-2]], points[kept[-1]], points[k]
            if (b[1] - a[1]) * (c[0] - a[0]) < (c[1] - a[1]) * (b[0] - a[0]):
                break
            kept.pop()
        kept.append(k)
    return np.asarray(points[kept])


def _power(
    i: int, row: Floats, falling: Floats, min_mw: float, max_mw: float
) -> tuple[Floats, str]:
    """A polynomial up to quadratic, or the points of one of higher degree."""
    if not falling[:-3].any():
        kept = falling[-3:]
        if len(kept) == 3 and kept[0] < 0.0:
            where = _at(i, row, 4 + len(falling) - 3, "P^2")
            raise _Wrong(f"{where}: must be >= 0 (cost is not convex)")
        if len(kept) == 3 and kept[0] > 0.0 and not math.isfinite(max_mw):
            raise _Wrong(f"{_at(i, row, 4 + len(falling) - 3, 'P^2')}: PMAX must be finite with it")
        return kept, ""
    column = int(np.flatnonzero(falling)[0])
    where = _at(i, row, 4 + column, f"P^{len(falling) - 1 - column}")
    if not math.isfinite(max_mw - min_mw):
        raise _Wrong(f"{where}: PMIN and PMAX must be finite for a cost above quadratic")
    if max_mw == min_mw:
        return np.array([np.polyval(falling, max_mw)]), ""
    mw = np.linspace(min_mw, max_mw, PIECES + 1)
    points = np.column_stack([mw, np.polyval(falling, mw)])
    bend = np.polyval(np.polyder(falling, 2), mw)
    if not np.isfinite(points).all() or (bend < 0.0).any():
        raise _Wrong(f"{where}: the cost must be convex from PMIN to PMAX")
    off = float(bend.max()) * (mw[1] - mw[0]) ** 2 / 8.0  # height of a chord above the curve
    return points, (
        f"{where}: a cost above quadratic is taken as {PIECES} straight pieces from PMIN to PMAX, "
        f"{off:.2g} USD/h above it at most"
    )
