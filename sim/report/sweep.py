"""`study.png` and `pareto.png`: a sweep at a glance."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.report.canvas import save
from sim.report.summary import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW
from sim.studies.contrasts import unit_means
from sim.studies.kpis import is_indicator, titled
from sim.studies.statistics import t_interval, wilson_interval
from sim.studies.summary import Effect, Summary, coded, is_sampled, share_text

COLOURS: Final = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY, YELLOW, GREY)
DPI: Final = 100
WIDE: Final = 30  # ratio of largest to smallest value from which an axis is logarithmic


def draw_sweep(summary: Summary, cells: pa.Table, name: str, folder: Path) -> None:
    """Draw study.png, and pareto.png if the experiment asks for a front."""
    rows = [row for row in cells.to_pylist() if row["status"] == "done"]
    if not rows or not summary.kpis:
        return
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    factors = [f for f in summary.factors if f != "policy"] or ["policy"]
    sampled = [f for f in factors if is_sampled(rows, f)]
    columns = len(factors) + bool(summary.effects)
    figure = Figure(figsize=(1.5 + 5.0 * columns, 1.2 + 4.2 * len(summary.kpis)))
    panels = figure.subplots(len(summary.kpis), columns, squeeze=False)
    seeds = len({row["seed"] for row in rows})
    failed = f", {summary.failed} failed and left out" if summary.failed else ""
    figure.suptitle(f"{name}: {len(rows)} cells, {seeds} seeds each{failed}", fontsize=13)
    for kpi, line in zip(summary.kpis, panels, strict=True):
        known = [row for row in rows if row[kpi] is not None]
        for factor, axes in zip(factors, line, strict=False):
            if factor in sampled:
                _scatter(axes, known, factor, kpi, policies)
            else:
                _strips(axes, known, factor, kpi, policies, sampled)
        if summary.effects:
            _tornado(line[-1], [e for e in summary.effects if e.kpi == kpi], kpi, len(known))
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    save(figure, folder / "study.png", DPI)
    if summary.pareto:
        _draw_pareto(summary, policies, name, folder)


def _strips(
    axes: Axes,
    rows: list[dict[str, Any]],
    factor: str,
    kpi: str,
    policies: Sequence[str],
    sampled: Sequence[str],
) -> None:
    """Every cell as a dot, quantiles as a box, the mean and its interval; policies side by side."""
    codes, names = coded(rows, factor)
    hues = ["" for _ in rows] if factor == "policy" else [row["policy"] for row in rows]
    kinds = [""] if factor == "policy" else list(policies)
    values = np.array([row[kpi] for row in rows])
    width = 0.8 / len(kinds)
    counts = []
    for k, kind in enumerate(kinds):
        for i in range(len(names)):
            here = (codes == i) & np.array([h == kind for h in hues])
            y = values[here]
            if not len(y):
                continue
            units = unit_means([row for row, in_it in zip(rows, here, strict=True) if in_it],
                               sampled, kpi)  # fmt: skip
            counts.append(len(y))
            x = i - 0.4 + width * (k + 0.5)
            colour = COLOURS[(i if factor == "policy" else k) % len(COLOURS)]
            if is_indicator(kpi):
                _share(axes, x, y, units, colour)
            else:
                _box(axes, x, y, units, 0.8 * width, colour)
        if kind and len(kinds) > 1:
            axes.plot([], [], "s", color=COLOURS[k % len(COLOURS)], label=kind)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    n = f"n = {min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "")
    what = "share with its 95 %" if is_indicator(kpi) else "cells, quartiles, p5-p95, mean"
    axes.set_title(f"{titled(kpi)} by {factor}\n{what}; {n} each", fontsize=10)
    axes.set_ylabel(titled(kpi))
    if len(kinds) > 1:
        axes.legend(fontsize=8, framealpha=0.9)
    axes.grid(axis="y", alpha=0.3)


def _box(axes: Axes, x: float, y: Any, units: Any, width: float, colour: str) -> None:
    p5, p25, p50, p75, p95 = np.quantile(y, (0.05, 0.25, 0.5, 0.75, 0.95))
    spread = np.linspace(-0.35, 0.35, len(y)) * width if len(y) > 1 else np.zeros(1)
    order = np.random.default_rng(0).permutation(len(y))  # reproducible jitter
    axes.plot(x + spread, y[order], ".", color=colour, markersize=3, alpha=0.45)
    axes.plot([x, x], [p5, p95], color=colour, linewidth=1)
    axes.bar(x, p75 - p25, width, p25, color=colour, alpha=0.25, edgecolor=colour)
    axes.plot([x - width / 2, x + width / 2], [p50, p50], color=colour, linewidth=2)
    if len(units) > 1:
        interval = t_interval(units)
        axes.plot([x, x], [interval.low, interval.high], color="black", linewidth=2.5)
    axes.plot(x, y.mean(), "D", color="white", markeredgecolor="black", markersize=5)


def _share(axes: Axes, x: float, y: Any, units: Any, colour: str) -> None:
    alone = len(units) == len(y)
    interval = wilson_interval(int(y.sum()), len(y)) if alone else t_interval(units)
    axes.plot([x, x], [interval.low, interval.high], color=colour, linewidth=2)
    axes.plot(x, y.mean(), "D", color=colour, markersize=6)
    axes.set_ylim(-0.03, 1.03)


def _scatter(
    axes: Axes, rows: list[dict[str, Any]], factor: str, kpi: str, policies: Sequence[str]
) -> None:
    """Every cell against the factor's value, and the means of equal-count bins."""
    for k, policy in enumerate(policies):
        mine = [row for row in rows if row["policy"] == policy]
        if not mine:
            continue
        x = np.array([row[factor] for row in mine], dtype=float)
        y = np.array([row[kpi] for row in mine])
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(x, y, ".", color=colour, markersize=4, alpha=0.4)
        codes, names = coded(mine, factor)
        groups = range(len(names))
        axes.plot(
            [x[codes == i].mean() for i in groups], [y[codes == i].mean() for i in groups], "o-",
            color=colour, markersize=4, markeredgecolor="black", label=policy,
        )  # fmt: skip
    x = np.array([row[factor] for row in rows], dtype=float)
    if x.min() > 0 and x.max() > WIDE * x.min():
        axes.set_xscale("log")
    axes.set_xlabel(factor)
    axes.set_ylabel(titled(kpi))
    axes.set_title(
        f"{titled(kpi)}: cells and means of bins\nby {factor}; n = {len(rows)}", fontsize=9
    )
    if len(policies) > 1:
        axes.legend(fontsize=8, framealpha=0.9)
    axes.grid(alpha=0.3)


def _tornado(axes: Axes, effects: list[Effect], kpi: str, n: int) -> None:
    """For each factor, a bar from its lowest to its highest mean, and its share of variance."""
    ordered = sorted(effects, key=lambda e: e.high_mean - e.low_mean)
    if not ordered:
        axes.set_axis_off()
        return
    ends = [v for e in ordered for v in (e.low_mean, e.high_mean)]
    room = (max(ends) - min(ends)) or 1.0
    for i, e in enumerate(ordered):
        colour = BLUE if e.share.told else GREY
        axes.barh(i, e.high_mean - e.low_mean, 0.38, e.low_mean, color=colour, alpha=0.8)
        at: dict[str, Any] = {"va": "center", "fontsize": 7.5}
        axes.text(e.low_mean - 0.015 * room, i, _wrapped(e.low), ha="right", **at)
        axes.text(e.high_mean + 0.015 * room, i, _wrapped(e.high), ha="left", **at)
        text = share_text(e.share)
        middle = (min(ends) + max(ends)) / 2
        axes.text(middle, i + 0.29, text, ha="center", va="center", fontsize=8)
    names = [e.factor.replace(".", ".\n") for e in ordered]
    axes.set_yticks(range(len(ordered)), names, fontsize=8)
    axes.set_xlim(min(ends) - 0.4 * room, max(ends) + 0.4 * room)
    axes.set_ylim(-0.5, len(ordered) - 0.4)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(f"mean of {titled(kpi)}")
    axes.set_title(
        f"What moves {titled(kpi)}: lowest to highest mean\n"
        f"shares by {ordered[0].share.estimator}, 95 %; n = {n} cells\ngrey: not told from zero",
        fontsize=9,
    )


def _wrapped(text: str) -> str:
    return text.replace(" to ", "\nto ")


def _draw_pareto(summary: Summary, policies: Sequence[str], name: str, folder: Path) -> None:
    pairs = list(combinations(summary.senses, 2))
    figure = Figure(figsize=(1.0 + 6.5 * len(pairs), 6.0))
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for (a, b), axes in zip(pairs, panels, strict=True):
        for k, policy in enumerate(policies):
            mine = [c for c in summary.pareto if c.policy == policy]
            for best, style in ((False, {"alpha": 0.35}), (True, {"markeredgecolor": "black"})):
                axes.plot(
                    [c.means[a] for c in mine if c.on_front == best],
                    [c.means[b] for c in mine if c.on_front == best],
                    "o", color=COLOURS[k % len(COLOURS)], markersize=8 if best else 5, **style,
                )  # fmt: skip
            axes.plot([], [], "o", color=COLOURS[k % len(COLOURS)], label=policy)
        front = sorted((c for c in summary.pareto if c.on_front), key=lambda c: c.means[a])
        if len(pairs) == 1:
            axes.plot([c.means[a] for c in front], [c.means[b] for c in front], "k:", linewidth=1)
        for i, c in enumerate(front if len(front) <= 12 else []):
            where = ", ".join(f"{v:.3g}" if isinstance(v, float) else v for v in c.levels.values())
            side = 1 if i % 2 else -1  # alternate sides for neighbouring labels
            axes.annotate(where, (c.means[a], c.means[b]), xytext=(9 * side, 0), fontsize=8,
                          textcoords="offset points", va="center",
                          ha="left" if side > 0 else "right")  # fmt: skip
        axes.set_xlabel(f"{titled(a)}, {summary.senses[a]}")
        axes.set_ylabel(f"{titled(b)}, {summary.senses[b]}")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        axes.margins(0.2)
    known = len(summary.pareto)
    figure.suptitle(
        f"{name}: {sum(c.on_front for c in summary.pareto)} of {known} candidates are not beaten "
        f"(outlined)\nmeans over the seeds",
        fontsize=12,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    save(figure, folder / "pareto.png", DPI)
