"""Comparison of policies under the same luck: paired differences and their uncertainty."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from sim.policy import Policy, policy_spec
from sim.results.folder import Folder, claim
from sim.results.provenance import sha256_of
from sim.scenario import Scenario, load
from sim.scenario.problems import suggest
from sim.studies.cells import Cell, Frozen, Source, pickled, scenario_of
from sim.studies.checked import Row, chosen
from sim.studies.executors import execute
from sim.studies.experiment import DEFAULT_KPI, Keep, PolicyChoice
from sim.studies.kpis import is_indicator, known
from sim.studies.problems import StudyError
from sim.studies.sequential import (
    RAREST,
    Target,
    doubt,
    first_look,
    looks,
    spent_level,
    stop,
)
from sim.studies.statistics import (
    RESAMPLES,
    Estimate,
    Interval,
    bootstrap_t_bounds,
    discordant_p,
    estimate,
    holm,
    ratio_interval,
    variance_reduction,
    wilson_interval,
)
from sim.studies.sweep import Record, cells_table, run_cells
from sim.types import Floats, OnProgress

CLAIRVOYANT: Final = "clairvoyant"
BOUND_MODULE: Final = "sim.studies.bound"
Bounds = Callable[[Scenario, int], Any] | Mapping[int, float] | Literal["clairvoyant"]


class Mean(NamedTuple):
    """Mean of a policy's KPI over the seeds."""

    policy: str
    kpi: str
    estimate: Estimate
    share: Interval | None  # Wilson's, for a yes/no KPI


class Difference(NamedTuple):
    """A KPI of policy `a` less that of `b`, seed by seed."""

    kpi: str
    a: str
    b: str
    estimate: Estimate
    p_adjusted: float  # Holm over all comparisons, times the number of looks
    variance_reduction: float  # by pairing: factor by which fewer seeds suffice
    mean_a: float
    mean_b: float
    percent: Interval  # of b's mean, itself uncertain: Fieller; infinite if it may be 0
    doubt: str = ""  # why the interval may cover less than its level


class Regret(NamedTuple):
    """Shortfall of a policy's earnings against the clairvoyant bound."""

    policy: str
    usd: Estimate
    percent: float  # ratio of the means
    percent_interval: Interval
    above_bound: int  # seeds in which it earned more: the bound or the simulator is wrong


@dataclass(frozen=True)
class Comparison:
    """The result of `sim.compare`. `values[kpi]` has the shape (policy, seed)."""

    scenario: str
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    level: float  # kept by all looks together
    interval_level: float  # of each printed interval
    looks: tuple[int, ...]
    reached: bool | None  # the requested half-width; None: none was requested
    values: dict[str, Floats] = field(repr=False)
    means: tuple[Mean, ...]
    differences: tuple[Difference, ...]
    regrets: tuple[Regret, ...]
    cells: pa.Table = field(repr=False)
    rarest: float = RAREST  # rarest share of seeds that a sequential comparison covers

    @property
    def sequential(self) -> bool:
        """Whether it was sequential: bootstrap-t intervals then count, Student's are secondary."""
        return self.reached is not None


def compare(
    scenario: Scenario | str | Path,
    policies: Sequence[str | PolicyChoice | Policy],
    seeds: int | Sequence[int] = 32,
    *,
    kpis: Sequence[str] = (DEFAULT_KPI,),
    level: float = 0.95,
    until: Target | str | None = None,
    rarest: float = RAREST,
    bound: Bounds | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    out: str | Path | Folder | None = None,
    keep: Keep = "small",
    progress: OnProgress | None = None,
) -> Comparison:
    """Compare policies under common random numbers: the same seeds for all.

    Args:
        scenario: from `sim.load`, or a folder.
        policies: names, "package.module:Class", either with parameters ("name:key=value"),
            `PolicyChoice`, or objects.
        seeds: a number (1, 2, …) or a list of seeds; with `until` the maximum.
        kpis: names of the KPIs to compare.
        level: confidence level of all statements.
        until: stop as soon as the bootstrap-t interval of every paired difference has at most this
            half-width ("half-width=1%" of the first policy's mean, "half-width=5000"). The first
            look is after 3 / `rarest` seeds, further ones at each doubling. The error is split
            equally over the looks, so the intervals hold at whichever look the comparison stops.
        rarest: the rarest event, as a share of seeds, that `until` guarantees to have seen.
        bound: "clairvoyant", a function of scenario and seed, or USD by seed: gives regret.
        workers: number of local processes; above 1, policy objects must be importable there.
        scheduler: address of a running Dask scheduler to use instead.
        out: result folder; or a claimed one, which receives the cells in its draft and which the
            caller commits. Default: nothing is kept.
        keep: tables to keep of each cell.
        progress: called with the numbers of finished cells and of all cells of the look.

    Raises:
        ValueError: if an argument is invalid.
        PolicyError: if a policy cannot be loaded or pickled.
        StudyError: if a run fails: the seeds would not be the same for all.
    """
    given = scenario if isinstance(scenario, Scenario) else load(scenario)
    target = Target.of(until) if isinstance(until, str) else until
    chosen_seeds = tuple(range(1, seeds + 1)) if isinstance(seeds, int) else tuple(seeds)
    _sensible(policies, chosen_seeds, kpis, level)
    source = Frozen.of(given)
    makers = _makers(given, source, policies)
    for make in makers.values():
        make(0).decider()
    most = len(chosen_seeds)
    first = first_look(rarest)
    plan = (most,) if target is None else looks(first, most)
    each = spent_level(level, len(plan))
    if isinstance(out, str | Path):
        from sim.studies.compare_text import save  # which imports this module

        more: dict[str, Any] = {"kpis": kpis, "level": level, "until": target, "bound": bound}
        more["rarest"] = rarest
        asked = question_of(given, policies, seeds, **more)
        with claim(out, "comparison", asked) as claimed:
            options: dict[str, Any] = {"keep": keep, "progress": progress}
            where: dict[str, Any] = {"workers": workers, "scheduler": scheduler}
            found = compare(given, policies, seeds, out=claimed, **more, **options, **where)
            save(found, claimed)
        return found
    folder = Path(tempfile.mkdtemp(prefix="hashwatt-")) if out is None else out.draft
    try:
        records: dict[str, Record] = {}

        def seen(n: int) -> tuple[list[Row], dict[str, Floats]]:
            rows = [Row({}, p, make(s)) for p, make in makers.items() for s in chosen_seeds[:n]]
            new = [row.cell for row in rows if row.cell.key not in records]
            records.update(run_cells(new, folder, keep, workers, scheduler, progress=progress)[0])
            return rows, _values(rows, records, tuple(makers), kpis)

        look, reached = most, None
        if target is not None:
            look, reached = stop(plan, lambda n: _narrow(seen(n)[1], each, target))
        rows, values = seen(look)
    finally:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
    used = chosen_seeds[:look]
    bounds = None if bound is None else _bounds(bound, given, source, used, workers, scheduler)
    return Comparison(
        scenario=given.name,
        policies=tuple(makers),
        seeds=used,
        level=level,
        interval_level=each,
        looks=plan,
        reached=reached,
        values=values,
        means=tuple(_means(values, tuple(makers), each)),
        differences=tuple(_differences(values, tuple(makers), each, len(plan), target, rarest)),
        regrets=tuple(_regrets(values, tuple(makers), bounds, each)),
        cells=cells_table(rows, records),
        rarest=rarest,
    )


def question_of(
    scenario: Scenario,
    policies: Sequence[str | PolicyChoice | Policy],
    seeds: int | Sequence[int],
    **more: Any,
) -> str:
    """Hash of a comparison's inputs: scenario, policies with parameters, seeds, and options."""
    makers = _makers(scenario, Frozen.of(scenario), policies)
    asked = {label: make(0).asked for label, make in makers.items()}
    return sha256_of(policies=asked, seeds=seeds, **more)


def _sensible(
    policies: Sequence[Any], seeds: Sequence[int], kpis: Sequence[str], level: float
) -> None:
    if len(policies) < 2:
        raise ValueError(f"policies: {len(policies)} given; a comparison needs two or more")
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds: {seeds!r}: allowed: one or more different numbers >= 0")
    if not 0.5 <= level < 1:
        raise ValueError(f"level = {level:g}: must be >= 0.5 and < 1")
    for kpi in kpis:
        if kpi not in known():
            raise ValueError(f"kpi {kpi!r}: {suggest(kpi, known(), 'hashwatt list kpis')}")


Maker = Callable[[int], Cell]


def _chosen(text: str) -> PolicyChoice:
    name, parameters = policy_spec(text)
    return PolicyChoice(name=name, parameters=parameters or None)


def _makers(
    scenario: Scenario, source: Source, policies: Sequence[str | PolicyChoice | Policy]
) -> dict[str, Maker]:
    """For each policy label, a function that makes its cell for a seed."""
    makers: dict[str, Maker] = {}
    for policy in policies:
        choice = _chosen(policy) if isinstance(policy, str) else policy
        if isinstance(choice, PolicyChoice):
            label = choice.title
            name, parameters = chosen(scenario, choice)
            content = b""
        else:
            kind = type(choice)
            label, name, parameters = (
                kind.__qualname__,
                f"{kind.__module__}:{kind.__qualname__}",
                {},
            )
            content = pickled(choice)
        if label in makers:
            if not content:
                raise ValueError(f"policies: {label!r} stands there more than once; give a label")
            label = f"{label}-{sum(name.startswith(label) for name in makers) + 1}"

        def make(
            seed: int, name: str = name, parameters: dict[str, Any] = parameters, b: bytes = content
        ) -> Cell:
            return Cell(source, name, parameters, seed, b)

        makers[label] = make
    return makers


def _values(
    rows: Sequence[Row], records: dict[str, Record], policies: Sequence[str], kpis: Sequence[str]
) -> dict[str, Floats]:
    """Values of each KPI (policy, seed)."""
    for row in rows:
        error = records[row.cell.key].error
        if error:
            raise StudyError(f"policy {row.policy}, seed {row.cell.seed} failed: {error}")
    values = {}
    for kpi in kpis:
        found = [records[row.cell.key].kpis.get(kpi) for row in rows]
        if any(value is None for value in found):
            raise StudyError(f"kpi {kpi}: has no meaning in every run of this scenario")
        values[kpi] = np.array(found, dtype=np.float64).reshape(len(policies), -1)
    return values


def _narrow(values: dict[str, Floats], level: float, target: Target) -> bool:
    """Whether the interval of every paired difference is within the target."""
    for table in values.values():
        widest = target.half_width * (abs(float(table[0].mean())) if target.relative else 1.0)
        apart = np.array([a - b for a, b in combinations(table, 2)])
        low, high = bootstrap_t_bounds(apart, level)
        if not ((high - low) / 2 <= widest).all():
            return False
    return True


def _means(values: dict[str, Floats], policies: Sequence[str], level: float) -> list[Mean]:
    return [
        Mean(
            policy,
            kpi,
            estimate(row, level),
            wilson_interval(int(row.sum()), len(row), level) if is_indicator(kpi) else None,
        )
        for kpi, table in values.items()
        for policy, row in zip(policies, table, strict=True)
    ]


def _differences(
    values: dict[str, Floats],
    policies: Sequence[str],
    level: float,
    looks_: int = 1,
    target: Target | None = None,
    rarest: float = RAREST,
) -> list[Difference]:
    pairs = [(kpi, a, b) for kpi in values for a, b in combinations(range(len(policies)), 2)]
    found = [estimate(values[kpi][a] - values[kpi][b], level) for kpi, a, b in pairs]
    p = [
        discordant_p(values[kpi][a], values[kpi][b]) if is_indicator(kpi) else e.p
        for (kpi, a, b), e in zip(pairs, found, strict=True)
    ]
    adjusted = np.minimum(holm(p) * looks_, 1.0)
    return [
        Difference(
            kpi=kpi,
            a=policies[a],
            b=policies[b],
            estimate=e,
            p_adjusted=float(q),
            variance_reduction=variance_reduction(values[kpi][a], values[kpi][b]),
            mean_a=float(values[kpi][a].mean()),
            mean_b=float(values[kpi][b].mean()),
            percent=percent_more(values[kpi][a], values[kpi][b], level, target is not None),
            doubt=doubt(values[kpi][a] - values[kpi][b], target is not None, rarest),
        )
        for (kpi, a, b), e, q in zip(pairs, found, adjusted, strict=True)
    ]


def percent_more(a: Floats, b: Floats, level: float, sequential: bool = False) -> Interval:
    """Percentage by which the mean of `a` exceeds that of `b`; paired values (seed,)."""
    return ratio_interval(100.0 * (a - b), b, level, RESAMPLES if sequential else 0)


def _regrets(
    values: dict[str, Floats], policies: Sequence[str], bounds: Floats | None, level: float
) -> list[Regret]:
    if bounds is None or DEFAULT_KPI not in values:
        return []
    return [
        Regret(
            policy=policy,
            usd=estimate(bounds - earned, level),
            percent=100.0 * float((bounds - earned).mean()) / abs(float(bounds.mean())),
            percent_interval=ratio_interval(100.0 * (bounds - earned), np.abs(bounds), level),
            above_bound=int((earned > bounds + 1e-6 * np.abs(bounds)).sum()),
        )
        for policy, earned in zip(policies, values[DEFAULT_KPI], strict=True)
    ]


def bound_exists() -> bool:
    """Whether the clairvoyant bound is part of this installation."""
    return find_spec(BOUND_MODULE) is not None


@dataclass(frozen=True)
class _BoundCell:
    source: Source
    seed: int


def _clairvoyant_usd(cell: _BoundCell) -> float:
    bound = import_module(BOUND_MODULE).bound
    return float(bound(scenario_of(cell.source), cell.seed).usd)


def _bounds(
    bound: Bounds,
    scenario: Scenario,
    source: Source,
    seeds: Sequence[int],
    workers: int,
    scheduler: str | None,
) -> Floats:
    """The bound (seed,) [USD]."""
    if isinstance(bound, Mapping):
        by_seed = {seed: float(bound[seed]) for seed in seeds}
    elif callable(bound):
        by_seed = {}
        for seed in seeds:
            found: Any = bound(scenario, seed)
            by_seed[seed] = float(getattr(found, "usd", found))
    else:
        by_seed = {}
        cells = [_BoundCell(source, seed) for seed in seeds]
        for cell, usd, error in execute(_clairvoyant_usd, cells, workers, scheduler):
            if usd is None:
                raise StudyError(f"bound of seed {cell.seed}: {error}")
            by_seed[cell.seed] = usd
    return np.array([by_seed[seed] for seed in seeds], dtype=np.float64)
