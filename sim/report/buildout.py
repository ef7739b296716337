"""`buildout.png`: the sites of the containers in each plan, and the gain of each plan."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sim.report.canvas import save
from sim.report.summary import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY
from sim.studies.buildout.result import Buildout

COLOURS = (ORANGE, BLUE, GREEN, PURPLE, SKY, GREY)
MILLION = 1e6


def draw_buildout(found: Buildout, folder: Path) -> None:
    """Draw containers by site and plan, and NPV gains over building nothing with intervals."""
    used = np.array(list(found.plans.values())).sum(axis=0) > 0
    sites = [site for site, any_ in zip(found.yard.sites, used, strict=True) if any_]
    figure = Figure(figsize=(15, 2.6 + 0.32 * max(len(sites), 2 * len(found.plans))))
    where, gains = figure.subplots(1, 2, width_ratios=(1.1, 1.0))
    _where(where, found, sites)
    _gains(gains, found)
    figure.suptitle(found.asked.question.description or found.asked.name, fontsize=12)
    figure.tight_layout(rect=(0, 0, 1, 0.96))
    save(figure, folder / "buildout.png", 100)


def _where(axes: Axes, found: Buildout, sites: list[str]) -> None:
    plans = {name: plan for name, plan in found.plans.items() if any(plan)}
    each = 0.8 / max(len(plans), 1)
    for k, (name, plan) in enumerate(plans.items()):
        count = dict(zip(found.yard.sites, plan, strict=True))
        places = np.arange(len(sites)) - 0.4 + (k + 0.5) * each
        axes.barh(
            places, [count[s] for s in sites], each, color=COLOURS[k % len(COLOURS)], label=name
        )
    axes.set_yticks(range(len(sites)), sites, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"containers of {found.yard.container_mw:.3g} MW")
    axes.set_title("where they stand", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    if plans:
        axes.legend(fontsize=8)


def _gains(axes: Axes, found: Buildout) -> None:
    c = found.comparison
    (values,) = c.values.values()
    for i, (m, row) in enumerate(zip(c.means, values, strict=True)):
        axes.plot(row / MILLION, np.full(len(row), i - 0.25), ".", color=GREY, alpha=0.6)
        colour = ORANGE if m.policy == found.winner else BLUE
        for interval, at, width in ((m.estimate.t, i, 5.0), (m.estimate.bootstrap, i + 0.13, 1.5)):
            ends = [interval.low / MILLION, interval.high / MILLION]
            axes.plot(ends, [at, at], color=colour, linewidth=width)
        axes.plot(m.estimate.mean / MILLION, i, "D", color="white", markeredgecolor="black")
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(c.means)), [m.policy for m in c.means], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("NPV of the firm over building nothing [million USD]")
    axes.set_title(
        f"{len(c.seeds)} held-out seeds (dots), mean, {100 * c.level:g} % by t (thick) and "
        "bootstrap-t (thin)",
        fontsize=10,
    )
    axes.grid(axis="x", alpha=0.3)
