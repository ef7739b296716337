"""`money.png`: where the firm's money went, for a report to a board.

All times are UTC. A panel without content in a run is left out.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from sim.finance.chart import Account
from sim.report.canvas import month_labels, save
from sim.report.money_data import GROUPS, Money, has_money, money_of
from sim.report.summary import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW
from sim.results.result import RunResult
from sim.types import Floats

COLOURS: Final = dict(
    zip(
        GROUPS,
        (BLUE, GREEN, SKY, RED, PURPLE, "#004D40", GREY, ORANGE, YELLOW, "#5D3A1A"),
        strict=True,
    )
)
# Events marked on the bitcoin holdings: label, part of the event's name, colour, marker.
MARKS: Final = (
    ("margin call", "margin", ORANGE, "v"),
    ("forced sale", "liquidat", RED, "X"),
    ("insolvency", "insolv", "black", "s"),
)
LEVELS: Final = (
    ("warning", "warning_ltv", GREY, ":"),
    ("margin call", "call_ltv", ORANGE, "--"),
    ("forced sale", "liquidation_ltv", RED, "-."),
)
LINES: Final = (BLUE, GREEN, PURPLE, SKY, "black")
FATAL: Final = ("insolvency", "liquidation", "margin call", "loan in default")
MINOR: Final = ("project delivered", "machines destroyed", "bitcoin sold")
NEAR: Final = 0.12  # share of the run below which labels of a row would overlap
MOST_ROWS, MOST_LABELS, MOST_MONTHS = 12, 3, 14
NEVER_CUT: Final = 0.35  # share of the bridge's height that its steps take when it begins at 0


def draw_money(result: RunResult, folder: Path) -> None:
    """Draw the panels into `folder/money.png`; nothing if a run has no money beyond its margin."""
    if has_money(result.scenario):
        draw(money_of(result), folder / "money.png")


def draw(money: Money, file: Path) -> None:
    """Draw the panels that have content into a file."""
    names = panels(money)
    rows = -(-len(names) // 2)
    spread = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1, hspace=0.03)
    figure = Figure(figsize=(16, 4.7 * rows + 0.8), layout=spread)
    grid = figure.add_gridspec(rows, 2)
    wide = len(names) % 2  # if the number is odd, the last takes a full row
    for place, name in enumerate(names):
        row, column = divmod(place, 2)
        last = wide and place == len(names) - 1
        PANELS[name](figure.add_subplot(grid[row, :] if last else grid[row, column]), money)
    closing = money.balance["total equity"][-1]
    figure.suptitle(
        f"{money.title}\nequity at the end {_usd(closing)} · net income "
        f"{_usd(float(money.income['net income'].sum()))}",
        fontsize=13,
    )
    save(figure, file, 90)


def panels(money: Money) -> tuple[str, ...]:
    """Names of the panels with content, in drawing order."""
    coins = money.held(Account.BTC, "BTC").any() or money.held(Account.BTC_COLLATERAL, "BTC").any()
    asked = {
        "bitcoin": bool(coins),
        "ltv": any(np.isfinite(money.ltv(name)[1]).any() for name in money.loans),
        "cash": True,
        "income": bool(money.groups()),
        "bridge": bool(money.groups()),
        "events": bool(money.events),
    }
    return tuple(name for name, has in asked.items() if has)


def _usd(usd: float) -> str:
    return f"{usd / 1e6:,.2f} M USD" if abs(usd) >= 1e6 else f"{usd / 1e3:,.1f} k USD"


def _scale(*values: Floats) -> tuple[float, str]:
    """Divisor and unit suited to the size of the amounts."""
    most = max((float(np.abs(v).max(initial=0.0)) for v in values), default=0.0)
    return (1e6, "million USD") if most >= 1e6 else (1e3, "thousand USD")


def _tidy(axes: Axes, dates: bool = False) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    if dates:
        locator = AutoDateLocator(maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.margins(x=0)


def _legend(axes: Axes) -> None:
    """Draw the legend inside the panel, without changing the panel's width."""
    legend = axes.legend(loc="upper left", ncols=3, fontsize=8, columnspacing=1.2)
    legend.set_in_layout(False)


def _bitcoin(axes: Axes, money: Money) -> None:
    free, pledged = money.held(Account.BTC, "BTC"), money.held(Account.BTC_COLLATERAL, "BTC")
    total = free + pledged
    parts = [("collateral", pledged, ORANGE), ("free", free, BLUE)]
    parts = [part for part in parts if part[1].any()]
    axes.stackplot(
        money.when,
        [btc for _, btc, _ in parts],
        labels=[f"{name}, {btc[-1]:,.1f} at the end" for name, btc, _ in parts],
        colors=[colour for *_, colour in parts],
        alpha=0.85,
        step="post",
    )
    for label, part, colour, marker in MARKS:
        t_s = np.array([e.t_s for e in money.events if part in e.event.lower()])
        if t_s.size:
            row = np.minimum(np.searchsorted(money.end_s, t_s), len(total) - 1)
            axes.plot(money.at(t_s), total[row], marker, color=colour, markersize=9,
                      markeredgecolor="white", label=f"{label} ({t_s.size})")  # fmt: skip
    axes.set_ylim(0, 1.3 * float(total.max()) or 1.0)
    axes.set_ylabel("BTC")
    axes.set_title("Bitcoin held")
    _legend(axes)
    _tidy(axes, dates=True)


def _ltv(axes: Axes, money: Money) -> None:
    top = 0.0
    for (name, loan), colour in zip(
        money.loans.items(), LINES * -(-len(money.loans) // len(LINES)), strict=False
    ):
        when, ltv = money.ltv(name)
        if np.isfinite(ltv).any():
            last = ltv[np.isfinite(ltv)][-1]
            axes.step(when, 100 * ltv, where="post", color=colour, linewidth=1.4,
                      label=f"{name}, {100 * last:.0f} % last")  # fmt: skip
            top = max(top, float(np.nanmax(ltv)), loan.liquidation_ltv)
    for label, key, colour, style in LEVELS:
        for level in sorted({getattr(loan, key) for loan in money.loans.values()}):
            axes.axhline(100 * level, color=colour, linestyle=style, linewidth=1.2)
            axes.annotate(f"{label} {100 * level:g} %", (0.995, 100 * level),
                          xycoords=axes.get_yaxis_transform(), xytext=(0, 2), ha="right",
                          textcoords="offset points", fontsize=8.5, color="black")  # fmt: skip
    axes.set_ylim(0, 125 * top)
    axes.set_ylabel("debt / value of the collateral, %")
    axes.set_title("Loan to value")
    _legend(axes)
    _tidy(axes, dates=True)


def _cash(axes: Axes, money: Money) -> None:
    cash, debt = money.held(Account.CASH, "USD"), money.debt_usd()
    scale, unit = _scale(cash, debt)
    axes.fill_between(money.when, cash / scale, color=GREEN, alpha=0.3, linewidth=0, step="post")
    axes.step(money.when, cash / scale, color=GREEN, where="post", label=f"cash, {_usd(cash[-1])}")
    if debt.any():
        axes.step(money.when, debt / scale, color=RED, linestyle="--", where="post",
                  label=f"debt with interest owed, {_usd(debt[-1])}")  # fmt: skip
    lowest = int(np.argmin(cash))
    axes.plot(money.when[lowest], cash[lowest] / scale, "o", color=GREEN, markersize=6,
              markeredgecolor="white", label=f"lowest cash, {_usd(cash[lowest])}")  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.8)
    low, high = min(0.0, float(cash.min())), max(float(cash.max()), float(debt.max()))
    axes.set_ylim(1.1 * low / scale, 1.25 * high / scale or 1.0)
    axes.set_ylabel(unit)
    axes.set_title("Cash and debt")
    _legend(axes)
    _tidy(axes, dates=True)


def _income(axes: Axes, money: Money) -> None:
    groups = money.groups()
    x = np.arange(len(money.months))
    net = money.income["net income"]
    above, below = np.zeros(len(x)), np.zeros(len(x))
    scale, unit = _scale(*groups.values())
    for name, usd in groups.items():
        base = np.where(usd >= 0, above, below)
        axes.bar(x, usd / scale, 0.7, base / scale, color=COLOURS[name], label=name)
        above, below = above + np.maximum(usd, 0), below + np.minimum(usd, 0)
    axes.plot(x, net / scale, "D", color="black", markersize=6, markeredgecolor="white",
              label="net income")  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.8)
    if len(x) <= MOST_MONTHS:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
        for at, usd in zip(x, net, strict=True):
            axes.annotate(f"{usd / scale:,.1f}", (at, usd / scale), (0, 8), fontsize=8.5,
                          textcoords="offset points", ha="center", bbox=box)  # fmt: skip
    every = -(-len(x) // MOST_MONTHS)
    axes.set_xticks(
        x[::every],
        month_labels([date.fromisoformat(f"{m}-01") for m in money.months], money.whole)[::every],
        fontsize=9,
    )
    reach = float(above.max() - below.min()) / scale
    axes.set_ylim(float(below.min()) / scale - 0.06 * reach, above.max() / scale + 0.45 * reach)
    axes.set_xlim(-0.6, max(len(x), 3) - 0.4)
    axes.set_ylabel(unit)
    axes.set_title("Income by month (below zero: costs)")
    _legend(axes)
    _tidy(axes)


def _bridge(axes: Axes, money: Money) -> None:
    """Equity from start to end; each step is an income group over the whole run."""
    opening = float(money.balance["opening equity"][-1])
    steps = [(name, float(usd.sum())) for name, usd in money.groups().items()]
    level = opening + np.cumsum([0.0, *(usd for _, usd in steps)])
    scale, unit = _scale(level)
    names = ["opening", *(name for name, _ in steps), "closing"]
    y = np.arange(len(names))[::-1]
    low, high = float(level.min()), float(level.max())
    cut = low > 0.0 and high - low < NEVER_CUT * high
    origin = low - 0.15 * (high - low) if cut else min(0.0, low)
    axes.barh(y[[0, -1]], (level[[0, -1]] - max(origin, 0.0)) / scale, 0.62,
              max(origin, 0.0) / scale, color="#404040")  # fmt: skip
    for k, (name, usd) in enumerate(steps):
        axes.barh(y[k + 1], usd / scale, 0.62, level[k] / scale, color=COLOURS[name])
    for k, usd in enumerate(level):
        axes.plot([usd / scale] * 2, [y[k] - 0.31, y[k + 1] + 0.31], color=GREY, linewidth=0.8)
    ends = [opening, *(max(level[k], level[k + 1]) for k in range(len(steps))), level[-1]]
    shown = [f"{v / scale:,.2f}" for v in (opening, level[-1])]
    texts = [shown[0], *(f"{usd / scale:+,.2f}" for _, usd in steps), shown[1]]
    for at, end, text in zip(y, ends, texts, strict=True):
        axes.annotate(text, (max(end, 0.0 if not cut else end) / scale, at), (5, 0), fontsize=9,
                      textcoords="offset points", va="center")  # fmt: skip
    reach = max(high, 0.0) - origin or 1.0
    axes.set_xlim((origin - 0.02 * reach) / scale, (max(high, 0.0) + 0.14 * reach) / scale)
    axes.set_yticks(y, names, fontsize=9)
    axes.set_xlabel(unit + (" (the axis does not begin at 0)" if cut else ""))
    axes.set_title("Equity from the start to the end, and what changed it")
    if not cut:
        axes.axvline(0, color="black", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _events(axes: Axes, money: Money) -> None:
    """A row for each kind of event, the most recent first to appear at the bottom."""
    kinds = list(dict.fromkeys(e.event for e in money.events))
    least = [k for k in kinds if k.endswith(" over") or k in MINOR]  # left out first
    spare = max(len(kinds) - MOST_ROWS, 0)
    out = (least + [k for k in reversed(kinds) if k not in (*least, *FATAL)])[:spare]
    shown = [k for k in kinds if k not in out]
    for row, kind in enumerate(shown):
        mine = [e for e in money.events if e.event == kind]
        colour = next((c for _, part, c, _ in MARKS if part in kind.lower()), BLUE)
        axes.plot(money.at([e.t_s for e in mine]), [-row] * len(mine), "o", color=colour,
                  markersize=7, markeredgecolor="white")  # fmt: skip
        days = sorted(e.t_s for e in mine)
        apart = np.diff(days).min(initial=money.end_s[-1]) > NEAR * money.end_s[-1]
        if len(mine) <= MOST_LABELS and apart:
            for e in mine:
                late = e.t_s > 0.7 * money.end_s[-1]
                axes.annotate(e.subject, (money.at(e.t_s), -row), (-8 if late else 8, 0),
                              textcoords="offset points", va="center", fontsize=8.5,
                              ha="right" if late else "left")  # fmt: skip
    names = [f"{kind} ({sum(e.event == kind for e in money.events)})" for kind in shown]
    axes.set_yticks(-np.arange(len(shown)), names, fontsize=9)
    axes.set_ylim(-len(shown) + 0.4, 0.6)
    more = f" (not shown: {', '.join(out)})" if out else ""
    axes.set_title("What happened" + more, fontsize=12 if not out else 10)
    _tidy(axes, dates=True)
    axes.set_xlim(money.at(0), money.when[-1])


PANELS: Final[dict[str, Callable[[Axes, Money], None]]] = {
    "bitcoin": _bitcoin,
    "ltv": _ltv,
    "cash": _cash,
    "income": _income,
    "bridge": _bridge,
    "events": _events,
}
