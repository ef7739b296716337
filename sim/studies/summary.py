"""Summary of a sweep: figures by group, effects of factors, and the Pareto front."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from sim.studies.contrasts import SEED, Contrast, blocks, contrasts, unit_means
from sim.studies.figures import bracketed, figure, plain
from sim.studies.kpis import is_indicator, titled
from sim.studies.sensitivity import (
    Regression,
    Share,
    bins,
    blocked_share,
    first_order_share,
    regression,
)
from sim.studies.sequential import may_miss
from sim.studies.statistics import (
    Interval,
    pareto_front,
    t_interval,
    wilson_interval,
)
from sim.types import Floats

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
LINEAR: Final = 0.9  # R squared from which squared regression coefficients count as shares
MOST_SHOWN: Final = 12  # rows of a front, on a terminal
DIGITS: Final = 5  # of figures on a terminal
LABEL: Final = 30  # columns for group names beside figures
Sense = Literal["min", "max"]


class Group(NamedTuple):
    """A KPI over the cells with the same levels and policy (in a sampled design: policy)."""

    kpi: str
    levels: dict[str, str]
    policy: str
    n: int
    mean: float
    interval: Interval  # Student's t over seeds or points; Wilson for yes/no KPIs
    quantiles: tuple[float, ...]  # at QUANTILES


class Effect(NamedTuple):
    """The effect of one factor alone on a KPI."""

    kpi: str
    factor: str
    share: Share  # of the variance
    low: str  # level, or range of values, with the lowest mean
    low_mean: float
    high: str
    high_mean: float
    coefficient: float | None  # standardised regression, sampled designs only
    r_squared: float | None  # of that regression, all factors together


class Candidate(NamedTuple):
    """A point with a policy, with its means over the seeds."""

    levels: dict[str, str | float]
    policy: str
    means: dict[str, float]
    on_front: bool


class Summary(NamedTuple):
    """The contents of a sweep's tables and plots."""

    factors: tuple[str, ...]  # includes policy if there is more than one
    kpis: tuple[str, ...]
    groups: tuple[Group, ...]
    effects: tuple[Effect, ...]
    contrasts: tuple[Contrast, ...]
    pareto: tuple[Candidate, ...]
    senses: dict[str, Sense]
    failed: int


def summarise(
    cells: pa.Table, factors: Sequence[str], kpis: Sequence[str], pareto: Mapping[str, Sense]
) -> Summary:
    """Summarise cells.parquet. Failed cells and KPIs without a meaning are left out."""
    rows = [row for row in cells.to_pylist() if row["status"] == "done"]
    varying = [f for f in (*factors, "policy") if len({row[f] for row in rows}) > 1]
    sampled = [f for f in varying if is_sampled(rows, f)]
    named = [f for f in varying if f not in sampled]
    seeds = [SEED] if len({row[SEED] for row in rows}) > 1 else []
    shown = [kpi for kpi in kpis if any(row.get(kpi) is not None for row in rows)]
    return Summary(
        factors=tuple(varying),
        kpis=tuple(shown),
        groups=tuple(g for kpi in shown for g in _groups(rows, factors, kpi)),
        effects=tuple(e for kpi in shown for e in _effects(rows, [*varying, *seeds], kpi)),
        contrasts=tuple(c for kpi in shown for c in contrasts(rows, named, sampled, kpi)),
        pareto=tuple(_candidates(rows, factors, pareto)),
        senses=dict(pareto),
        failed=cells.num_rows - len(rows),
    )


def is_sampled(rows: Sequence[Mapping[str, Any]], factor: str) -> bool:
    """Whether a factor has sampled values (of a design) and not levels; seeds count as levels."""
    return factor != SEED and any(isinstance(row[factor], int | float) for row in rows)


def _groups(rows: list[dict[str, Any]], factors: Sequence[str], kpi: str) -> Iterator[Group]:
    sampled = [f for f in factors if is_sampled(rows, f)]
    named = [f for f in factors if f not in sampled]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row[kpi] is not None:
            groups.setdefault((*(row[f] for f in named), row["policy"]), []).append(row)
    for key, inside in groups.items():
        x = np.array([row[kpi] for row in inside])
        units = unit_means(inside, sampled, kpi)
        said = is_indicator(kpi) and len(units) == len(x)
        yield Group(
            kpi=kpi,
            levels=dict(zip(named, key, strict=False)),
            policy=key[-1],
            n=len(x),
            mean=float(x.mean()),
            interval=wilson_interval(int(x.sum()), len(x)) if said else t_interval(units),
            quantiles=tuple(float(q) for q in np.quantile(x, QUANTILES)),
        )


def _effects(rows: list[dict[str, Any]], factors: Sequence[str], kpi: str) -> Iterator[Effect]:
    """Effects of factors: levels and seeds by variance of cells, design values by that of points.

    Levels meet the same seeds, so their shares are estimated block by block. All seeds and policies
    of a point have the same values: counted as single cells they would inflate the sample.
    """
    known = [row for row in rows if row[kpi] is not None]
    sampled = [f for f in factors if is_sampled(known, f)]
    points = _point_means(known, sampled, kpi)
    model = _linear(points, sampled, kpi)
    for factor in factors:
        used = points if factor in sampled else known
        y = np.array([row[kpi] for row in used])
        codes, names = coded(used, factor)
        if len(names) < 2:
            continue
        means = [float(y[codes == i].mean()) for i in range(len(names))]
        low, high = int(np.argmin(means)), int(np.argmax(means))
        fitted = model if factor in sampled else None
        yield Effect(
            kpi=kpi,
            factor=factor,
            share=_share(known, factor, sampled, factors, kpi) or first_order_share(y, codes),
            low=names[low],
            low_mean=means[low],
            high=names[high],
            high_mean=means[high],
            coefficient=float(fitted.coefficients[sampled.index(factor)]) if fitted else None,
            r_squared=fitted.r_squared if fitted else None,
        )


def _share(
    rows: list[dict[str, Any]],
    factor: str,
    sampled: Sequence[str],
    factors: Sequence[str],
    kpi: str,
) -> Share | None:
    """The share of a factor with levels, from blocks; None if cells are not balanced."""
    named = [f for f in factors if f not in sampled and f != SEED]
    found = None if factor in sampled else blocks(rows, factor, named, sampled, kpi)
    if found is None:
        return None
    y = np.array([row[kpi] for row in rows])
    return blocked_share(found[0], float(((y - y.mean()) ** 2).sum()), found[1])


def _point_means(
    rows: list[dict[str, Any]], sampled: Sequence[str], kpi: str
) -> list[dict[str, Any]]:
    points: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        points.setdefault(tuple(row[f] for f in sampled), []).append(row[kpi])
    return [
        {**dict(zip(sampled, key, strict=True)), kpi: float(np.mean(values))}
        for key, values in points.items()
    ]


def _linear(points: list[dict[str, Any]], sampled: Sequence[str], kpi: str) -> Regression | None:
    if not sampled or len(points) < len(sampled) + 2:
        return None
    x = np.array([[row[f] for f in sampled] for row in points], dtype=np.float64)
    return regression(x, np.array([row[kpi] for row in points]))


def coded(rows: Sequence[Mapping[str, Any]], factor: str) -> tuple[Any, list[str]]:
    """Group number of each row (n,), and the groups' names: levels, or bins of equal count."""
    values = [row[factor] for row in rows]
    if not is_sampled(rows, factor):
        number = {name: k for k, name in enumerate(dict.fromkeys(values))}
        return np.array([number[v] for v in values]), [str(name) for name in number]
    x: Floats = np.array(values, dtype=np.float64)
    codes = bins(x)
    inside = [x[codes == i] for i in range(int(codes.max()) + 1)]
    return codes, [f"{v.min():.4g} to {v.max():.4g}" for v in inside]


def _candidates(
    rows: list[dict[str, Any]], factors: Sequence[str], pareto: Mapping[str, Sense]
) -> list[Candidate]:
    if not pareto:
        return []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if all(row.get(kpi) is not None for kpi in pareto):
            groups.setdefault((*(row[f] for f in factors), row["policy"]), []).append(row)
    means = [[float(np.mean([r[k] for r in g])) for k in pareto] for g in groups.values()]
    if not means:
        return []
    front = pareto_front(means, tuple(pareto.values()))
    return [
        Candidate(
            levels=dict(zip(factors, key, strict=False)),
            policy=key[-1],
            means=dict(zip(pareto, mean, strict=True)),
            on_front=bool(best),
        )
        for key, mean, best in zip(groups, means, front, strict=True)
    ]


def lines(summary: Summary, name: str, description: str) -> Iterator[str]:
    """The summary as text for a terminal."""
    yield f"{name}: {description}" if description else name
    for kpi in summary.kpis:
        groups = [g for g in summary.groups if g.kpi == kpi]
        method = f"{'share' if is_indicator(kpi) else 'mean'}, {groups[0].interval.method}"
        labels = [" ".join((*g.levels.values(), g.policy)) for g in groups]
        width = max(len(titled(kpi)), *(len(label) for label in labels))
        apart = width > LABEL  # long names get a line of their own
        yield ""
        if apart:
            yield titled(kpi)
        head = "" if apart else titled(kpi)
        room = 0 if apart else width
        yield f"{head:{room}s}{'n':>6s}{method:>15s}{'95 %':>25s}"
        yield f"{'':{room}s}{'':6s}{'p5':>15s}{'median':>15s}{'p95':>15s}"
        for label, g in zip(labels, groups, strict=True):
            if apart:
                yield label
            inside = bracketed(g.interval, DIGITS)
            p5, _, median, _, p95 = (figure(q, DIGITS) for q in g.quantiles)
            first = "" if apart else label
            yield f"{first:{room}s}{g.n:6d}{figure(g.mean, DIGITS):>15s}{inside:>25s}"
            yield f"{'':{room}s}{'':6s}{p5:>15s}{median:>15s}{p95:>15s}"
        effects = sorted((e for e in summary.effects if e.kpi == kpi), key=_importance)
        for e in effects:
            slope = "" if e.coefficient is None else f"; regression {e.coefficient:+.2f}"
            if e.coefficient is not None and (e.r_squared or 0.0) >= LINEAR:
                slope += f" ({100 * e.coefficient**2:.3g} % by its square)"
            told = share_text(e.share)
            yield from _wrapped(
                f"  {e.factor}: {told}{slope}; mean from {figure(e.low_mean, DIGITS)} ({e.low}) "
                f"to {figure(e.high_mean, DIGITS)} ({e.high})"
            )
        if effects and effects[0].r_squared is not None:
            yield f"  a linear model explains {100 * effects[0].r_squared:.3g} % (R squared)"
        yield from _contrast_lines([c for c in summary.contrasts if c.kpi == kpi])
    if summary.effects:
        estimator = summary.effects[0].share.estimator
        yield f"shares: first-order Sobol' indices by {estimator}, 95 % intervals by"
        yield "noncentral F, each for itself, for normal luck; of sampled keys: of the"
        yield "variance of points' means"
    front = [c for c in summary.pareto if c.on_front]
    if front:
        senses = ", ".join(f"{kpi} {sense}" for kpi, sense in summary.senses.items())
        yield f"not beaten in {senses} (means over the seeds; {len(summary.pareto)} candidates):"
    for c in front[:MOST_SHOWN]:
        where = ", ".join([*(f"{k}={_short(v)}" for k, v in c.levels.items()), c.policy])
        yield f"  {where}: " + ", ".join(f"{k} {figure(v, DIGITS)}" for k, v in c.means.items())
    if len(front) > MOST_SHOWN:
        yield f"  … and {len(front) - MOST_SHOWN} more: --json has all"


def document(summary: Summary) -> dict[str, Any]:
    """The summary as plain JSON values."""
    return {
        "groups": [plain(g) for g in summary.groups],
        "effects": [plain(e) for e in summary.effects],
        "contrasts": [plain(c) for c in summary.contrasts],
        "pareto": [plain(c) for c in summary.pareto],
    }


def _contrast_lines(found: list[Contrast]) -> Iterator[str]:
    """Contrasts averaged over everything else; those within combinations are only in --json."""
    overall = [c for c in found if not c.where]
    if not overall:
        return
    many = f", Holm over {len(overall)}" if len(overall) > 1 else ""
    n, unit = overall[0].estimate.n, overall[0].unit
    units = ", ".join(filter(None, (f"{n} {unit}s", may_miss(n, unit))))
    head = f"  differences under the same luck, {units}: mean, 95 % t of each alone, p{many}"
    yield from wrap(head, 80, subsequent_indent="  ")
    for c in overall[:MOST_SHOWN]:
        e = c.estimate
        inside = bracketed(e.t, DIGITS)
        heed = f"; {c.doubt}" if c.doubt else ""
        yield f"    {c.factor}: {c.a} - {c.b}"
        yield from _wrapped(
            f"      {figure(e.mean, DIGITS)} {inside}, p = {c.p_adjusted:.2g}{heed}"
        )
    if len(found) > min(len(overall), MOST_SHOWN):
        rest = len(found) - min(len(overall), MOST_SHOWN)
        yield f"    … and {rest} more, within each combination of the others: --json has all"


def _wrapped(line: str) -> list[str]:
    return wrap(line, 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def share_text(share: Share) -> str:
    """`12 % of the variance [8, 17]`, or that the share is not significant."""
    if share.value != share.value:
        return "share of the variance unknown (too few cells, or none varies)"
    ends = f"[{100 * share.interval.low:.3g}, {100 * share.interval.high:.3g}]"
    unsure = "" if share.told else ", not told from zero"
    heavy = ", a heavy tail: cannot promise 95 %" if share.heavy else ""
    return f"{100 * share.value:.3g} % of the variance {ends}{unsure}{heavy}"


def _importance(effect: Effect) -> float:
    return -effect.share.value if effect.share.value == effect.share.value else 0.0


def _short(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
