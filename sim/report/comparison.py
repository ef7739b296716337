"""`comparison.png`: policies under the same luck."""

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.report.canvas import save
from sim.report.summary import BLUE, GREY, ORANGE, RED
from sim.studies.compare import Comparison
from sim.studies.compare_text import verdict
from sim.studies.kpis import titled


def draw_comparison(comparison: Comparison, folder: Path) -> None:
    """Draw, for each KPI, the values of all seeds and the paired differences with intervals."""
    kpis = list(comparison.values)
    pairs = len(comparison.differences) // len(kpis)
    regrets = bool(comparison.regrets)
    height = max(3.6, 1.4 + 1.0 * pairs)
    figure = Figure(figsize=(15, 1.0 + height * len(kpis) + 3.0 * regrets))
    heights = [height] * len(kpis) + [2.6] * regrets
    panels = figure.subplots(
        len(heights), 2, squeeze=False, height_ratios=heights, width_ratios=(1, 1.5)
    )
    n = len(comparison.seeds)
    figure.suptitle(f"{comparison.scenario}: {n} seeds, the same for every policy", fontsize=13)
    for kpi, (left, right) in zip(kpis, panels, strict=False):
        _seeds(left, comparison, kpi)
        _differences(right, comparison, kpi)
    if regrets:
        _regrets(panels[-1][1], comparison)
        panels[-1][0].set_axis_off()
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    save(figure, folder / "comparison.png", 100)


def _seeds(axes: Axes, comparison: Comparison, kpi: str) -> None:
    """One line per seed across the policies, and the means with their intervals."""
    table = comparison.values[kpi]
    x = np.arange(len(table))
    axes.plot(x, table, color=GREY, linewidth=0.7, alpha=0.6)
    means = [m for m in comparison.means if m.kpi == kpi]
    for i, m in enumerate(means):
        interval = m.share or m.estimate.t
        if np.isfinite(interval.low):
            axes.plot([i, i], [interval.low, interval.high], color=BLUE, linewidth=3)
        axes.plot(i, m.estimate.mean, "D", color="white", markeredgecolor=BLUE, markersize=6)
    axes.set_xticks(x, comparison.policies, fontsize=9)
    axes.set_xlim(-0.3, len(table) - 0.7)
    axes.set_ylabel(titled(kpi))
    level = f"{100 * comparison.interval_level:.4g} %"
    method = "Wilson" if means[0].share is not None else "t"
    axes.set_title(
        f"{titled(kpi)}: a line for each seed, mean with {level} ({method}); n = {table.shape[1]}",
        fontsize=10,
    )
    axes.grid(axis="y", alpha=0.3)


def _differences(axes: Axes, comparison: Comparison, kpi: str) -> None:
    """Each pair: every seed's difference as a dot, the mean, t (thick) and bootstrap (thin)."""
    found = [d for d in comparison.differences if d.kpi == kpi]
    values = dict(zip(comparison.policies, comparison.values[kpi], strict=True))
    axes.axvline(0, color="black", linewidth=0.8)
    for i, d in enumerate(reversed(found)):
        each = values[d.a] - values[d.b]
        jitter = 0.12 * (np.random.default_rng(0).random(len(each)) - 0.5)
        axes.plot(each, i - 0.24 + jitter, ".", color=GREY, markersize=4, alpha=0.6)
        own = d.estimate.bootstrap if comparison.sequential else d.estimate.t
        shown = d.p_adjusted < 1 - comparison.level and not own.contains(0.0)
        colour = ORANGE if shown else GREY
        _interval(axes, d.estimate.t, i + 0.03, colour, 5)
        _interval(axes, d.estimate.bootstrap, i - 0.07, RED if shown else "black", 1.5)
        axes.plot(d.estimate.mean, i + 0.03, "D", color="white", markeredgecolor="black")
        said = fill(verdict(d, comparison), 130)
        axes.text(0.01, i + 0.32, said, fontsize=7.5, va="center",
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set_yticks(range(len(found)), [f"{d.a}\n− {d.b}" for d in reversed(found)], fontsize=9)
    axes.set_ylim(-0.5, len(found) - 0.45)
    axes.set_xlabel(f"difference in {titled(kpi)}")
    level = f"{100 * comparison.interval_level:.4g} %"
    axes.set_title(
        f"paired differences: seeds (dots), mean, {level} by t (thick) and bootstrap-t (thin)\n"
        f"orange: a difference is shown; n = {len(comparison.seeds)} pairs",
        fontsize=10,
    )
    axes.grid(axis="x", alpha=0.3)


def _interval(axes: Axes, interval: Any, y: float, colour: str, width: float) -> None:
    if np.isfinite([interval.low, interval.high]).all():
        axes.plot([interval.low, interval.high], [y, y], color=colour, linewidth=width)


def _regrets(axes: Axes, comparison: Comparison) -> None:
    for i, r in enumerate(reversed(comparison.regrets)):
        axes.barh(i, r.usd.mean, 0.5, color=BLUE, alpha=0.7)
        _interval(axes, r.usd.t, i, "black", 2)
        beyond = f"; above its bound in {r.above_bound} seeds" if r.above_bound else ""
        text = f" {r.percent:.3g} % of the bound{beyond}"
        axes.text(max(r.usd.mean, r.usd.t.high), i, text, va="center", fontsize=9)
    axes.set_yticks(
        range(len(comparison.regrets)), [r.policy for r in reversed(comparison.regrets)]
    )
    axes.margins(x=0.25)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("regret [USD]")
    axes.set_title(
        f"regret: clairvoyant bound less what was earned, mean and "
        f"{100 * comparison.interval_level:.4g} % (t); n = {len(comparison.seeds)}",
        fontsize=10,
    )
