"""`equity_differences.png`, `liquidity.png`: how firms differ, and when cash is short."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.report.canvas import save
from sim.report.summary import BLUE, GREEN, GREY, RED
from sim.studies.money_spread import DIFFERENCES, LIQUIDITY, MILLION, by_group, read

DPI: Final = 100
COLUMNS: Final = 3
MOST_PANELS: Final = 24
MOST_BARS: Final = 8  # bars of a waterfall; the rest is summed


def draw_money(tables: Path, folder: Path) -> None:
    """Draw both from a study's tables; nothing if its firms keep no books."""
    differences, liquidity = read(tables, DIFFERENCES), read(tables, LIQUIDITY)
    if differences:
        panels = by_group(differences, "against")
        figure, grid = _panels(
            f"equity against that of {differences[0]['against']}", len(panels), 3.4
        )
        for (name, rows), axes in zip(panels.items(), grid, strict=False):
            _waterfall(axes, name, rows)
        save(figure, folder / "equity_differences.png", DPI)
    if liquidity:
        panels = by_group(liquidity, "month")
        figure, grid = _panels("cash and free bitcoin at market, by month", len(panels), 2.8)
        most = max(row["p95_usd"] for row in liquidity) / MILLION
        for (name, rows), axes in zip(panels.items(), grid, strict=False):
            _fan(axes, name, rows, most)
        save(figure, folder / "liquidity.png", DPI)


def _panels(title: str, count: int, height: float) -> tuple[Figure, list[Axes]]:
    shown = min(count, MOST_PANELS)
    columns = min(COLUMNS, shown)
    lines = -(-shown // columns)
    figure = Figure(figsize=(1.0 + 5.2 * columns, 1.0 + height * lines), layout="constrained")
    more = f" (the first {shown} of {count})" if count > shown else ""
    figure.suptitle(f"{title}{more}", fontsize=13)
    grid = np.atleast_1d(figure.subplots(lines, columns)).ravel().tolist()
    for axes in grid[shown:]:
        axes.set_axis_off()
    return figure, grid[:shown]


def _waterfall(axes: Axes, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Waterfall from zero to the difference, largest line first; whisker: 95 % of the total."""
    *parts, total = rows
    bars = [(p["line"], p["mean_usd"] / MILLION) for p in parts[:MOST_BARS]]
    if len(parts) > MOST_BARS:
        bars.append(("all else", sum(p["mean_usd"] for p in parts[MOST_BARS:]) / MILLION))
    at = 0.0
    for place, (_, usd) in enumerate(bars):
        axes.barh(place, usd, left=at, color=GREEN if usd > 0 else RED, height=0.7)
        at += usd
    mean, low, high = (total[k] / MILLION for k in ("mean_usd", "low_usd", "high_usd"))
    error = [[mean - low], [high - mean]] if np.isfinite([low, high]).all() else None
    axes.barh(len(bars), mean, color=BLUE, height=0.7, xerr=error, ecolor="black", capsize=3)
    axes.set_yticks(range(len(bars) + 1), [*(line for line, _ in bars), f"equity (n={total['n']})"])
    axes.invert_yaxis()
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    left, right = axes.dataLim.intervalx
    axes.set_xlim(min(left, 0.0) - 0.05 * (right - left), right + 0.05 * (right - left))
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("million USD")
    axes.tick_params(labelsize=8)


def _fan(axes: Axes, name: str, rows: Sequence[dict[str, Any]], most: float) -> None:
    months = np.arange(len(rows))
    p5, p50, p95, worst = (
        np.array([row[k] for row in rows]) / MILLION
        for k in ("p5_usd", "p50_usd", "p95_usd", "worst_usd")
    )
    axes.fill_between(months, p5, p95, color=BLUE, alpha=0.25, linewidth=0, label="P5 to P95")
    axes.plot(months, p50, color=BLUE, label="median")
    axes.plot(months, worst, color=RED, linestyle="--", label="mean of the worst 5 %")
    step = max(1, len(rows) // 6)
    axes.set_xticks(months[::step], [row["month"] for row in rows[::step]], fontsize=8)
    axes.set_ylim(0.0, 1.05 * max(most, 1e-3))
    axes.set_ylabel("million USD", fontsize=8)
    axes.set_title(name, fontsize=10)
    axes.legend(fontsize=7, loc="upper right")
