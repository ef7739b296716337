"""Differences between two levels of a factor under the same luck, and their uncertainty.

Cells of a sweep share seeds and the points of a design. The difference of two levels is taken
within each seed or point, so that common luck cancels. The unit is a seed, or a point where there
are more points than seeds; everything else is averaged within the unit.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from sim.studies.kpis import is_indicator
from sim.studies.sequential import RAREST, doubt
from sim.studies.statistics import (
    Estimate,
    discordant_p,
    estimate,
    holm,
    variance_reduction,
)
from sim.types import Floats

SEED: Final = "seed"
MOST_LEVELS: Final = 12  # up to this, all pairs of levels are compared; above, each with the first
Rows = Sequence[Mapping[str, Any]]


class Contrast(NamedTuple):
    """A KPI at level `a` of a factor less the KPI at level `b`, unit by unit."""

    kpi: str
    factor: str
    a: str
    b: str
    where: dict[str, str]  # levels of the other factors; empty: averaged over them
    unit: str  # sampling unit: seed or point
    estimate: Estimate
    p_adjusted: float  # Holm's, over the contrasts of this KPI with the same kind of `where`
    pairing: float  # variance of independent levels over that of pairs
    doubt: str


def contrasts(rows: Rows, named: Sequence[str], sampled: Sequence[str], kpi: str) -> list[Contrast]:
    """Contrasts of all pairs of levels of `named` factors, overall and by levels of the others.

    `rows` are finished cells; `sampled` are keys of a design.
    """
    known = [row for row in rows if row.get(kpi) is not None and np.isfinite(row[kpi])]
    overall = [c for factor in named for c in _of(known, factor, {}, named, sampled, kpi)]
    within: list[Contrast] = []
    for factor in named:
        others = [f for f in named if f != factor]
        corners: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
        for row in known:
            corners.setdefault(tuple(str(row[f]) for f in others), []).append(row)
        for corner, inside in corners.items() if len(corners) > 1 else ():
            where = dict(zip(others, corner, strict=True))
            within += _of(inside, factor, where, named, sampled, kpi)
    return [*_adjusted(overall), *_adjusted(within)]


def unit_of(rows: Rows, sampled: Sequence[str]) -> str:
    """The sampling unit: seeds, or points of a design where there are more of them."""
    seeds = len({row[SEED] for row in rows})
    points = len({tuple(row[f] for f in sampled) for row in rows}) if sampled else 0
    return "point" if points > seeds else SEED


def unit_means(rows: Rows, sampled: Sequence[str], kpi: str) -> Floats:
    """Means (unit,) of a KPI; cells of the same point or seed are not independent."""
    unit = unit_of(rows, sampled)
    of: dict[Any, list[float]] = {}
    for row in rows:
        of.setdefault(_unit(row, unit, sampled), []).append(row[kpi])
    return np.array([np.mean(values) for values in of.values()])


def blocks(
    rows: Rows, factor: str, named: Sequence[str], sampled: Sequence[str], kpi: str
) -> tuple[Floats, int] | None:
    """Means (level, block) for `sensitivity.blocked_share` and cells in each; None: unbalanced.

    Blocks are seeds or points. With only one of either, or for the factor seed itself, blocks are
    combinations of all other factors.
    """
    unit = unit_of(rows, sampled)
    everything = [*named, *sampled, SEED]
    inside = [f for f in everything if f != factor]
    if factor != SEED and len({_unit(row, unit, sampled) for row in rows}) > 1:
        inside = [SEED] if unit == SEED else list(sampled)
    table: dict[Any, dict[tuple[Any, ...], list[float]]] = {}
    for row in rows:
        block = tuple(row[f] for f in inside)
        table.setdefault(row[factor], {}).setdefault(block, []).append(row[kpi])
    there = set.intersection(*(set(of) for of in table.values())) if table else set()
    kept = [[of[block] for block in of if block in there] for of in table.values()]
    counts = {len(values) for of in kept for values in of}
    if len(kept) < 2 or len(there) < 2 or len(counts) != 1:
        return None
    order = [block for block in next(iter(table.values())) if block in there]
    means = np.array([[np.mean(of[block]) for block in order] for of in table.values()])
    return means, counts.pop()


def _of(
    rows: Rows,
    factor: str,
    where: dict[str, str],
    named: Sequence[str],
    sampled: Sequence[str],
    kpi: str,
) -> Iterator[Contrast]:
    unit = unit_of(rows, sampled)
    cells: dict[str, dict[tuple[Any, ...], float]] = {}
    others = [f for f in (*named, *sampled, SEED) if f != factor]
    for row in rows:
        key = tuple(row[f] for f in others)
        cells.setdefault(str(row[factor]), {})[(_unit(row, unit, sampled), *key)] = row[kpi]
    names = list(cells)
    pairs = list(combinations(names, 2))
    if len(names) > MOST_LEVELS:
        pairs = [(name, names[0]) for name in names[1:]]
    for a, b in pairs:
        pooled: dict[Any, list[tuple[float, float]]] = {}
        for key in cells[a].keys() & cells[b].keys():
            pooled.setdefault(key[0], []).append((cells[a][key], cells[b][key]))
        if not pooled:
            continue
        x, y = np.array([np.mean(pooled[u], axis=0) for u in sorted(pooled)]).T
        found = estimate(x - y, resamples=0 if where else 1_999)
        single = is_indicator(kpi) and max(len(v) for v in pooled.values()) == 1
        yield Contrast(
            kpi, factor, a, b, where, unit, found,
            discordant_p(x, y) if single else found.p,
            variance_reduction(x, y), doubt(x - y, False, RAREST),
        )  # fmt: skip


def _unit(row: Mapping[str, Any], unit: str, sampled: Sequence[str]) -> Any:
    return row[SEED] if unit == SEED else tuple(row[f] for f in sampled)


def _adjusted(found: list[Contrast]) -> list[Contrast]:
    adjusted = holm([c.p_adjusted for c in found])
    return [c._replace(p_adjusted=float(p)) for c, p in zip(found, adjusted, strict=True)]
