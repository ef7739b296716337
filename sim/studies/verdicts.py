"""What a comparison found, in words that do not overclaim, and as plain values."""

import math
from collections.abc import Iterator
from typing import Any

from sim.results.folder import Folder, write_json
from sim.results.kpis_text import unit_of
from sim.results.provenance import provenance
from sim.results.store import consolidate
from sim.studies.compare import Comparison, Difference
from sim.studies.experiment import DEFAULT_KPI
from sim.studies.kpis import is_indicator
from sim.studies.sweep import write_table


def verdict(difference: Difference, comparison: Comparison) -> str:
    """One sentence: who is ahead by how much, or that nothing could be shown.

    A difference is shown if the adjusted p-value is below 1 - level and its own interval leaves
    zero out. The interval is that of this pair alone; the p-value is adjusted for all comparisons.
    """
    d, e = difference, difference.estimate
    names = f"{d.a} and {d.b}"
    if e.n < 2:
        return f"{names}: one seed shows nothing; an interval needs two or more"
    if e.t.low == e.t.high == 0.0:
        return f"{names} gave the same {d.kpi} with every seed"
    how = _how(comparison)
    if e.t.contains(0.0):
        return (
            f"no difference in {d.kpi} between {names} could be shown: "
            f"the interval contains zero ({_span(e.t.low, e.t.high, d, d.mean_b)}; {how})"
        )
    if d.p_adjusted >= 1.0 - comparison.level:
        return (
            f"no difference in {d.kpi} between {names} could be shown: p = {d.p_adjusted:.2g} "
            f"after adjustment, though the interval of this pair alone leaves zero out ({how})"
        )
    ahead, behind, low, high, base = (
        (d.a, d.b, e.t.low, e.t.high, d.mean_b)
        if e.mean > 0
        else (d.b, d.a, -e.t.high, -e.t.low, d.mean_a)
    )
    span = _span(low, high, d, base)
    said = (
        f"{ahead} earns {span} more than {behind} ({how})"
        if d.kpi == DEFAULT_KPI
        else f"{d.kpi} of {ahead} is {span} above that of {behind} ({how})"
    )
    unsure = e.bootstrap.contains(0.0)
    return said + ("; but the bootstrap interval contains zero" if unsure else "")


def _how(comparison: Comparison) -> str:
    count = len(comparison.differences)
    parts = [f"{100 * comparison.level:g} %", "paired t"]
    parts += [f"Holm over {count} comparisons"] if count > 1 else []
    parts += [f"{len(comparison.looks)} looks"] if len(comparison.looks) > 1 else []
    return ", ".join([*parts, f"n = {len(comparison.seeds)}"])


def _span(low: float, high: float, difference: Difference, base: float) -> str:
    """`1.2 to 1.8 %` of a positive mean, else in the KPI's unit."""
    unit = unit_of(difference.kpi)
    if unit == "%" or is_indicator(difference.kpi):
        factor = 1.0 if unit == "%" else 100.0
        return f"{factor * low:.3g} to {factor * high:.3g} percentage points"
    if base > 0.0:
        return f"{100 * low / base:.3g} to {100 * high / base:.3g} %"
    return f"{low:,.6g} to {high:,.6g} {unit}".rstrip()


def lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as text for a terminal."""
    c = comparison
    yield f"{c.scenario}: {len(c.policies)} policies, the same {len(c.seeds)} seeds for each"
    name = max(len(p) for p in c.policies) + 2
    shown = f"{100 * c.interval_level:.4g} %"
    yield f"{'':{name}s}{'mean':>16s}{'t ' + shown:>34s}{'BCa bootstrap ' + shown:>34s}"
    for m in c.means:
        if m.policy == c.policies[0] and len(c.values) > 1:
            yield f"{m.kpi}"
        share = f"  Wilson {_interval(m.share)}" if m.share is not None else ""
        e = m.estimate
        yield (
            f"{m.policy:{name}s}{_figure(e.mean):>16s}{_interval(e.t):>34s}"
            f"{_interval(e.bootstrap):>34s}{share}"
        )
    yield "paired differences"
    for d in c.differences:
        pair = f"{d.a} - {d.b}"
        yield (
            f"  {pair:{2 * name}s} {_figure(d.estimate.mean)} {_interval(d.estimate.t)} "
            f"bootstrap {_interval(d.estimate.bootstrap)} p = {d.estimate.p:.2g}, "
            f"adjusted {d.p_adjusted:.2g}; pairing saves seeds {d.variance_reduction:.3g} times"
        )
    for r in c.regrets:
        beyond = f"; ABOVE its bound in {r.above_bound} seeds" if r.above_bound else ""
        yield (
            f"regret of {r.policy}: {_figure(r.usd.mean)} USD {_interval(r.usd.t)}, "
            f"{r.percent:.3g} % of the bound {_interval(r.percent_interval)}{beyond}"
        )
    for d in c.differences:
        yield verdict(d, c)
    if len(c.looks) > 1:
        looks = ", ".join(str(n) for n in c.looks if n <= len(c.seeds))
        reached = "reached" if c.reached else "NOT reached"
        yield (
            f"looked at {looks} seeds; the wished half-width was {reached}. Each interval has "
            f"level {shown}, so that {100 * c.level:g} % holds over all {len(c.looks)} looks"
        )


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
        "means": [plain(m) for m in c.means],
        "differences": [{**plain(d), "verdict": verdict(d, c)} for d in c.differences],
        "regrets": [plain(r) for r in c.regrets],
    }


def save(comparison: Comparison, folder: Folder) -> None:
    """Put a comparison into its folder; its cells stand in the draft already."""
    write_table(comparison.cells, folder.draft / "cells.parquet")
    consolidate(folder.draft / "cells", folder.draft)
    write_json(folder.draft / "comparison.json", document(comparison))
    manifest = {
        "scenario": comparison.scenario,
        "policies": list(comparison.policies),
        "seeds": list(comparison.seeds),
        "kpis": list(comparison.values),
        **provenance(),
    }
    folder.commit(manifest)


def plain(value: Any) -> Any:
    """NamedTuples as objects; numbers that JSON has no word for as null."""
    if hasattr(value, "_asdict"):
        return {name: plain(v) for name, v in value._asdict().items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.6g}"


def _interval(interval: Any) -> str:
    return f"[{_figure(interval.low)}, {_figure(interval.high)}]"
