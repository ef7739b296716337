"""The findings of a comparison, in sentences that do not overclaim, and as plain values."""

import math
from collections.abc import Iterator
from typing import Any

from sim.results.disk import write_json
from sim.results.folder import Folder
from sim.results.kpis import unit_of
from sim.results.provenance import provenance
from sim.results.store import consolidate
from sim.results.worth_spread import spread
from sim.studies import money_spread
from sim.studies.compare import Comparison, Difference
from sim.studies.experiment import DEFAULT_KPI
from sim.studies.figures import bracketed, figure, plain
from sim.studies.kpis import is_indicator
from sim.studies.sequential import may_miss, unseen_share
from sim.studies.statistics import Estimate, Interval
from sim.studies.sweep import write_table


def verdict(difference: Difference, comparison: Comparison) -> str:
    """One sentence: which policy is ahead and by how much, or that no difference is shown.

    A difference is shown if the adjusted p-value is below 1 - level and its own interval excludes
    zero. The interval is for this pair alone; the p-value is adjusted for all comparisons.
    """
    d, e = difference, difference.estimate
    names = f"{d.a} and {d.b}"
    own = e.bootstrap if comparison.sequential else e.t
    if e.n < 2:
        return f"{names}: one seed shows nothing; an interval needs two or more"
    if e.t.low == e.t.high == 0.0:
        missed = f"an event in up to {100 * unseen_share(e.n):.2g} % of seeds may differ unseen"
        return f"{names} gave the same {d.kpi} with every seed (n = {e.n}: {missed})"
    how = _how(d, comparison)
    if own.contains(0.0):
        said = (
            f"no difference in {d.kpi} between {names} could be shown: "
            f"the interval contains zero ({_span(d, own, False)}; {how})"
        )
    elif d.p_adjusted >= 1.0 - comparison.level:
        said = (
            f"no difference in {d.kpi} between {names} could be shown: p = {d.p_adjusted:.2g} "
            f"after adjustment, though the interval of this pair alone leaves zero out ({how})"
        )
    else:
        ahead, behind = (d.a, d.b) if e.mean > 0 else (d.b, d.a)
        span = _span(d, own, e.mean < 0)
        said = (
            f"{ahead} earns {span} more than {behind} ({how})"
            if d.kpi == DEFAULT_KPI
            else f"{d.kpi} of {ahead} is {span} above that of {behind} ({how})"
        )
        if not comparison.sequential and e.bootstrap.contains(0.0):
            said += "; but the bootstrap interval contains zero"
    if not d.doubt:
        return said
    return f"{said}; cannot promise {100 * own.level:.4g} %: {d.doubt}"


def _how(d: Difference, comparison: Comparison) -> str:
    """Method and level of the interval, the p-value and its adjustment, and n."""
    count, looked = len(comparison.differences), len(comparison.looks)
    own = d.estimate.bootstrap if comparison.sequential else d.estimate.t
    name = "bootstrap-t" if comparison.sequential else "paired t"
    alone = " of this pair alone" if count > 1 else ""
    over = [f"{count} comparisons"] if count > 1 else []
    over += [f"{looked} looks"] if looked > 1 else []
    holm = f" after Holm over {' and '.join(over)}" if over else ""
    n = ", ".join(filter(None, (f"n = {d.estimate.n}", may_miss(d.estimate.n))))
    return f"{100 * own.level:.4g} % {name}{alone}; p = {d.p_adjusted:.2g}{holm}; {n}"


def _span(d: Difference, own: Interval, turned: bool) -> str:
    """`1.2 to 1.8 %` if the base mean is certainly positive, else in the KPI's unit."""
    unit = unit_of(d.kpi)
    low, high = (-own.high, -own.low) if turned else (own.low, own.high)
    if unit == "%" or is_indicator(d.kpi):
        factor = 1.0 if unit == "%" else 100.0
        return f"{factor * low:.3g} to {factor * high:.3g} percentage points"
    base = d.mean_a if turned else d.mean_b
    # b over a is one less over one more: p % of b's mean is -p / (1 + p) of a's, and as monotone.
    ends = (d.percent.low, d.percent.high)
    if base > 0.0 and all(math.isfinite(x) and x > -100.0 for x in ends):
        if turned:
            ends = -ends[1] / (1.0 + ends[1] / 100.0), -ends[0] / (1.0 + ends[0] / 100.0)
        return f"{ends[0]:.3g} to {ends[1]:.3g} %"
    return f"{low:,.6g} to {high:,.6g} {unit}".rstrip()


def lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as text for a terminal."""
    c = comparison
    yield f"{c.scenario}: {len(c.policies)} policies, the same {len(c.seeds)} seeds for each"
    name = max(len(p) for p in c.policies) + 1
    shown = f"{100 * c.interval_level:.4g} %"
    yield f"{'':{name}s}{'mean':>14s}{'t ' + shown:>24s}{'bootstrap-t ' + shown:>24s}"
    for m in c.means:
        if m.policy == c.policies[0] and len(c.values) > 1:
            yield f"{m.kpi}"
        yield f"{m.policy:{name}s}{_columns(m.estimate)}"
        if m.share is not None:
            yield f"{'':{name}s}{figure(m.estimate.mean):>14s}{bracketed(m.share):>24s} Wilson"
    yield "paired differences"
    for d in c.differences:
        yield f"{d.a} - {d.b}"
        yield f"{'':{name}s}{_columns(d.estimate)}"
        yield (
            f"{'':{name}s}{'':2s}p = {d.estimate.p:.2g}, adjusted {d.p_adjusted:.2g}; "
            f"pairing saves seeds {d.variance_reduction:.3g} times"
        )
    for r in c.regrets:
        beyond = f"; ABOVE its bound in {r.above_bound} seeds" if r.above_bound else ""
        yield (
            f"regret of {r.policy}: {figure(r.usd.mean)} USD {bracketed(r.usd.t)}, "
            f"{r.percent:.3g} % of the bound {bracketed(r.percent_interval)}{beyond}"
        )
    for d in c.differences:
        yield verdict(d, c)
    if len(c.looks) > 1:
        looks = ", ".join(str(n) for n in c.looks if n <= len(c.seeds))
        reached = "reached" if c.reached else "NOT reached"
        yield (
            f"looked at {looks} seeds; the wished half-width was {reached}. Each interval has "
            f"level {shown}, so that {100 * c.level:g} % holds for each over all "
            f"{len(c.looks)} looks"
        )
    if len(c.seeds) > 1:
        n, rare = len(c.seeds), 100 * unseen_share(len(c.seeds))
        yield f"what strikes fewer than {rare:.2g} % of seeds (3/n) may not have been seen in {n}"


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON values."""
    c = comparison
    return {
        "scenario": c.scenario,
        "policies": list(c.policies),
        "seeds": list(c.seeds),
        "level": c.level,
        "interval_level": c.interval_level,
        "looks": list(c.looks),
        "half_width_reached": c.reached,
        "unseen_pct": 100 * unseen_share(len(c.seeds)),
        "means": [plain(m) for m in c.means],
        "differences": [{**plain(d), "verdict": verdict(d, c)} for d in c.differences],
        "regrets": [plain(r) for r in c.regrets],
    }


def save(comparison: Comparison, folder: Folder) -> None:
    """Write a comparison into its folder; its cells are already in the draft."""
    write_table(comparison.cells, folder.draft / "cells.parquet")
    consolidate(folder.draft / "cells", folder.draft)
    spread(folder.draft)
    money_spread.spread(folder.draft)
    write_json(folder.draft / "comparison.json", document(comparison))
    manifest = {
        "scenario": comparison.scenario,
        "policies": list(comparison.policies),
        "seeds": list(comparison.seeds),
        "kpis": list(comparison.values),
        **provenance(),
    }
    folder.commit(manifest)


def _columns(e: Estimate) -> str:
    return f"{figure(e.mean):>14s}{bracketed(e.t):>24s}{bracketed(e.bootstrap):>24s}"
