"""`energy.png`: the cost of power and its causes, for a report to a board.

All times are local standard time of the first site. A panel without content in a run is left out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine

from sim.report.canvas import month_labels, save
from sim.report.hours import SiteHours
from sim.report.summary import BLUE, GREEN, GREY, ORANGE, RED, SKY, YELLOW
from sim.results.result import RunResult
from sim.types import Floats
from sim.units import KWH_PER_MWH, SECONDS_PER_HOUR

HOURS: Final = 24
MOST_LIMITS, MOST_SHARED, MOST_POINTS = 12, 6, 200
CENTS: Final = 100.0
LOADED: Final = 0.25  # share of the highest load below which a PUE says little about cooling
USES: Final = ("asic_mw", "gpu_mw", "cooling_mw", "overhead_mw", "loss_mw")
FEES: Final = "hosts' machine fees and profit shares"  # not by site, so not in bars and curves
SHOWN: Final = 0.05  # USD/MWh, half of what two digits of a cent show
# What is paid (+) and earned (-): label, column of the sites table, sign, colour.
COSTS: Final = (
    ("energy at the meter", "energy_usd", 1.0, BLUE),
    ("contracts against real time", "contract_usd", 1.0, SKY),
    ("demand charges", "demand_usd", 1.0, ORANGE),
    ("coincident peaks (paid next year)", "peak_usd", 1.0, RED),
    ("fuel", "fuel_usd", 1.0, GREY),
    ("battery wear", "wear_usd", 1.0, YELLOW),
    ("penalties", "penalty_usd", 1.0, "black"),
    ("grid services", "programme_usd", -1.0, GREEN),
)

Panel = Callable[[Figure, SubplotSpec, SiteHours], None]


def draw_energy(result: RunResult, folder: Path) -> None:
    """Draw the panels of `panels` into `folder/energy.png`; nothing where no power was drawn."""
    names = panels(result)
    if not names:
        return
    rows = -(-len(names) // 2)
    spread = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.08, hspace=0.02)
    figure = Figure(figsize=(16, 5.0 * rows + 0.8), layout=spread)
    grid = figure.add_gridspec(rows, 2)
    data = SiteHours(result)
    wide = len(names) % 2  # if the number is odd, the first takes a full row
    for place, name in enumerate(names):
        row, column = divmod(place + (wide if place else 0), 2)
        PANELS[name](figure, grid[row, :] if wide and not place else grid[row, column], data)
    figure.suptitle(_title(data), fontsize=13)
    save(figure, folder / "energy.png", 90)


def _title(data: SiteHours) -> str:
    result = data.result
    k, horizon = result.kpis, result.scenario.horizon
    paid, all_in = _net_usd_per_mwh(data), (k["net_power_cost_usd_per_kwh"] or 0.0) * KWH_PER_MWH
    hosts = (
        f", {all_in * CENTS / KWH_PER_MWH:.2f} with {FEES}" if abs(all_in - paid) > SHOWN else ""
    )
    parts = [
        f"power cost {paid * CENTS / KWH_PER_MWH:.2f} c/kWh net of grid services{hosts}",
        f"{(k['energy_mwh'] or 0.0) / 1e3:,.1f} GWh at the meters",
    ]
    for label, name in (
        ("grid services", "grid_services_usd"),
        ("power resold", "resold_usd"),
        ("coincident peaks", "coincident_peaks_usd"),
    ):
        if k[name]:
            parts.append(f"{label} {_usd(k[name] or 0.0)}")
    return (
        f"{result.scenario.name} · {result.policy} · seed {result.seed} · from "
        f"{horizon.start_utc:%Y-%m-%d}, {horizon.days:g} days\n{' · '.join(parts)}"
    )


def _net_usd_per_mwh(data: SiteHours) -> float:
    """Sum of the rows of `COSTS` per MWh of all uses, without hosts' fees [USD/MWh]."""
    mwh = max(float(data.total(*USES).sum()) * data.record_h, 1e-9)
    return float(sum(sign * data.total(column).sum() for _, column, sign, _ in COSTS)) / mwh


def _usd(usd: float) -> str:
    return f"{usd / 1e6:,.2f} M USD" if abs(usd) >= 1e6 else f"{usd / 1e3:,.1f} k USD"


def panels(result: RunResult) -> tuple[str, ...]:
    """Names of the panels with content in this run, in drawing order."""
    data = SiteHours(result)
    asked = {
        "cost": bool(data.total(*USES).any()),
        "prices": bool(np.ptp(data.market()[0]) > 0.0),
        "heat": bool(np.ptp(data["ambient_c"], axis=0).any()),
        "limits": result.table("limits").num_rows > 0,
        "reserves": bool(data["reserved_mw"].any()),
        "assets": bool(data["generation_mw"].any() or data["battery_mw"].any()),
    }
    return tuple(name for name, has in asked.items() if has) if asked["cost"] else ()


def _tidy(axes: Axes, right: bool = False) -> None:
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(right)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0)


def _cost(figure: Figure, place: SubplotSpec, data: SiteHours) -> None:
    axes = figure.add_subplot(place)
    kwh = np.maximum(data.monthly(data.total(*USES)) * data.record_h * KWH_PER_MWH, 1e-9)
    months = np.unique(data.month)
    x = np.arange(len(months))
    above, below = np.zeros(len(x)), np.zeros(len(x))
    for label, column, sign, colour in COSTS:
        cents = sign * CENTS * data.monthly(data.total(column)) / kwh
        if np.abs(cents).max() < 1e-3:
            continue
        base = np.where(cents >= 0, above, below)
        axes.bar(x, cents, 0.62, base, color=colour, label=label)
        above, below = above + np.maximum(cents, 0), below + np.minimum(cents, 0)
    net = above + below
    axes.plot(x, net, "D", color="black", markersize=7, markeredgecolor="white", label="net")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
    for at, value in zip(x, net, strict=True):
        axes.annotate(
            f"{value:.2f}", (at, value), (0, 8), textcoords="offset points", ha="center",
            fontsize=10, fontweight="bold", bbox=box,
        )  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(x, _month_labels(data, months), fontsize=9)
    axes.set_xlim(-0.6 if len(x) > 2 else -1.5, len(x) - 0.4 if len(x) > 2 else len(x) + 0.5)
    axes.set_ylim(float(below.min()) * 1.15, float(above.max()) * 1.4 or 1.0)
    axes.set_ylabel("c/kWh of all uses")
    axes.set_title("What a kWh cost by month, and why (below zero: earned)")
    axes.legend(loc="upper left", ncols=3, fontsize=9, framealpha=0.9)
    _tidy(axes)


def _month_labels(data: SiteHours, months: Any) -> list[str]:
    covered = data.monthly(np.ones(len(data.when))) * data.record_s
    whole = ((months + 1).astype("datetime64[s]") - months.astype("datetime64[s]")).astype(float)
    return month_labels(months.astype(object), covered >= whole)


def _prices(figure: Figure, place: SubplotSpec, data: SiteHours) -> None:
    """Prices in descending order, and the share of load that the fleet kept at each."""
    axes = figure.add_subplot(place)
    price, ahead = data.market()
    if np.isnan(ahead).any():
        ahead = np.zeros(0)
    hours = np.arange(1, len(price) + 1, dtype=np.float64) * data.record_h
    uses = data.total(*USES)
    load = axes.twinx()
    rank, kept = _by_rank(uses[np.argsort(-price, kind="stable")])
    load.fill_between(rank * data.record_h, 100.0 * kept / uses.max(), step="post", color=GREY,
                      alpha=0.25, linewidth=0)  # fmt: skip
    load.set_ylim(0, 105)
    load.set_ylabel("load in those hours, % of its highest (grey)")
    axes.plot(hours, np.sort(price)[::-1], color=RED, label=f"real time, mean {price.mean():.1f}")
    if len(ahead):
        label = f"day-ahead, mean {ahead.mean():.1f}"
        axes.plot(hours, np.sort(ahead)[::-1], color=BLUE, linestyle="--", label=label)
    net = _net_usd_per_mwh(data)
    axes.axhline(net, color="black", label=f"power cost, net of grid services: {net:.1f}")
    top = max(float(price.max()), float(ahead.max(initial=0.0)), net, 1.0)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=100.0, linscale=1.5)
    ticks = [-100, -50, 0, 25, 50, 75, 100, 300, 1000, 3000, 10_000]
    axes.set_yticks(ticks, [f"{t:,}" for t in ticks])
    axes.set_ylim(min(0.0, float(price.min()), float(ahead.min(initial=0.0))) - 5.0, top * 1.3)
    spans = [h for h in (1, 10, 100, 1000, 10_000) if hours[0] <= h <= hours[-1]]
    axes.set_xticks(spans, [f"{h:,}" for h in spans])
    axes.set_xlim(hours[0], hours[-1])
    axes.minorticks_off()
    axes.set_xlabel("hours of the run, dearest first (log scale)")
    axes.set_ylabel("USD/MWh, mean of sites at market prices, no adders")
    axes.set_title("Prices in falling order, and how much the fleet drew at them")
    axes.legend(loc="upper right", fontsize=9, framealpha=0.9)
    axes.set_zorder(load.get_zorder() + 1)
    axes.patch.set_visible(False)
    _tidy(axes, right=True)


def _by_rank(values: Floats) -> tuple[Floats, Floats]:
    """Means of ranked values over bins that widen with rank; returns bin starts and means.

    The last mean is repeated at the end, for step plots.
    """
    edges = np.unique(np.geomspace(1, len(values) + 1, 40).astype(np.int64)) - 1
    means = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return edges.astype(np.float64), np.append(means, means[-1])


def _heat(figure: Figure, place: SubplotSpec, data: SiteHours) -> None:
    """Air temperature above; PUE and hashrate lost to heat below, over the same hours."""
    cells = place.subgridspec(2, 1, height_ratios=(3, 2), hspace=0.05)
    air = figure.add_subplot(cells[0])
    plant = figure.add_subplot(cells[1], sharex=air)
    week = data.hottest_week()
    when = data.when[week]
    for label, column, colour in (
        ("ambient", "ambient_c", RED),
        ("wet bulb", "wet_bulb_c", BLUE),
    ):
        c = data[column][week]
        air.fill_between(when, c.min(axis=1), c.max(axis=1), color=colour, alpha=0.2, linewidth=0)
        air.plot(when, c.mean(axis=1), color=colour, label=f"{label}, to {c.max():.1f} °C")
    air.set_ylabel("°C: mean, range of sites")
    air.set_title("The hottest week: air, and what cooling made of it")
    air.margins(y=0.15)
    air.legend(loc="upper right", ncols=2, fontsize=9, framealpha=0.9)
    air.tick_params(labelbottom=False)
    machines = data.total("asic_mw", "gpu_mw")[week]
    runs = machines > LOADED * machines.max()
    pue = np.divide(data.total(*USES)[week], machines, where=runs, out=np.full(len(runs), np.nan))
    plant.plot(when, pue, color=GREEN, label=f"PUE at over {LOADED:.0%} of the load (left)")
    plant.set_ylim(1.0, 1.0 + 1.6 * max(0.02, float(np.nanmax(pue)) - 1.0 if runs.any() else 0.0))
    plant.set_ylabel("all uses / machines")
    lost = plant.twinx()
    share = 100 * data.total("lost_thermal_phs")[week]
    share /= np.maximum(data.total("deployed_phs")[week], 1e-12)
    lost.fill_between(when, share, color=ORANGE, alpha=0.6, linewidth=0,
                      label=f"hashrate lost to heat, to {share.max():.1f}% (right)")  # fmt: skip
    lost.set_ylim(0, max(1.0, 1.6 * float(share.max())))
    lost.set_ylabel("%")
    handles = [*plant.get_legend_handles_labels()[0], *lost.get_legend_handles_labels()[0]]
    plant.legend(handles=handles, loc="upper right", ncols=2, fontsize=9, framealpha=0.9)
    _tidy(air)
    _tidy(plant, right=True)
    _dates(plant)


def _limits(figure: Figure, place: SubplotSpec, data: SiteHours) -> None:
    """Time at each limit; shared limits come first, as they are fewer."""
    axes = figure.add_subplot(place)
    horizon = data.result.scenario.horizon
    own, shared = _limit_steps(data.result)
    first = shared[:MOST_SHARED]
    chosen = first + own[: MOST_LIMITS - len(first)]
    chosen += shared[len(first) : len(first) + MOST_LIMITS - len(chosen)]
    chosen.sort(key=lambda item: (item[1], item[0]))
    steps = np.array([count for _, count in chosen])
    owned = dict(own)
    axes.barh(
        np.arange(len(chosen)),
        100.0 * steps / horizon.steps,
        color=[BLUE if name in owned else ORANGE for name, _ in chosen],
        height=0.7,
    )
    for y, count in enumerate(steps):
        text = f"{count * horizon.step_s / SECONDS_PER_HOUR:,.0f} h"
        axes.annotate(text, (100.0 * count / horizon.steps, y), (4, 0),
                      textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    axes.set_yticks(np.arange(len(chosen)), [name for name, _ in chosen], fontsize=9)
    axes.set_xlim(0, min(115.0, max(1.0, 125.0 * float(steps.max()) / horizon.steps)))
    axes.set_xlabel("% of control steps with no room left at the limit")
    more = len(own) + len(shared) - len(chosen)
    axes.set_title("Hours at the limit" + (f" ({more} more limits are not shown)" if more else ""))
    axes.set_ylim(min(-0.6, 0.5 * len(chosen) - 4.0), max(len(chosen), 0.5 * len(chosen) + 4.0))
    for label, kind, colour in (
        ("shared: lines, calls", shared, ORANGE),
        ("a site's own connection", own, BLUE),
    ):
        if kind:
            axes.barh([0], [0], color=colour, label=label)
    axes.legend(loc="lower right", fontsize=9, framealpha=0.9)
    axes.spines[["top", "right"]].set_visible(False)


def _limit_steps(result: RunResult) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Control steps without headroom, for limits of one site and for shared limits, most first.

    A step counts once, however many sites were at the limit.
    """
    table = result.table("limits")
    limit, t_s = table["limit"].combine_chunks(), table["t_s"].to_numpy()
    names = limit.dictionary.to_pylist()
    horizon = result.scenario.horizon
    at = np.zeros((len(names), horizon.steps), dtype=np.bool_)
    at[limit.indices.to_numpy(), t_s // horizon.step_s] = True
    steps = at.sum(axis=1)
    found = [(n, int(s)) for n, s in zip(names, steps, strict=True) if s]
    found.sort(key=lambda item: (-item[1], item[0]))
    mine = {f"site {name}" for name in result.recorder.sites}
    return [f for f in found if f[0] in mine], [f for f in found if f[0] not in mine]


def _reserves(figure: Figure, place: SubplotSpec, data: SiteHours) -> None:
    axes = figure.add_subplot(place)
    width = max(1, -(-len(data.when) // MOST_POINTS))
    edges = np.arange(0, len(data.when), width)
    counts = np.diff(np.append(edges, len(data.when)))
    load, reserved = (
        np.add.reduceat(mw, edges) / counts for mw in (data.total(*USES), data.total("reserved_mw"))
    )
    when = data.when[edges]
    axes.step(when, load, color=BLUE, where="post", linewidth=1.2, label="all uses")
    axes.fill_between(when, reserved, step="post", color=GREEN, alpha=0.5, linewidth=0,
                      label="standing by for reserves and calls")  # fmt: skip
    events = data.result.table("events")
    called = events["t_s"].to_numpy()[np.asarray(events["event"]) == "call"]
    top = max(float(load.max()), float(reserved.max()))
    if len(called):
        axes.plot(data.at(called), np.full(len(called), 1.06 * top), "v", color=RED,
                  markersize=5, label=f"calls ({len(called)})")  # fmt: skip
    axes.set_ylim(min(0.0, float(load.min())), 1.3 * top)
    axes.set_ylabel(f"MW, means of {width * data.record_h:g} h")
    earned = _usd(data.result.kpis["grid_services_usd"] or 0.0)
    axes.set_title(f"Load that stood by for the grid; grid services earned {earned}")
    axes.legend(loc="upper left", ncols=3, fontsize=9, framealpha=0.9)
    _tidy(axes)
    _dates(axes)


def _assets(figure: Figure, place: SubplotSpec, data: SiteHours) -> None:
    """The mean day: batteries and solar have daily cycles, which longer means would average out."""
    axes = figure.add_subplot(place)
    into_day = (data.when - data.when.astype("datetime64[D]")) / np.timedelta64(1, "h")
    hour = np.floor(into_day).astype(np.int64)
    seen = np.maximum(np.bincount(hour, minlength=HOURS), 1)
    battery = data["battery_mw"]
    parts = (
        ("generation", data.total("generation_mw"), GREEN),
        ("batteries charge", np.maximum(battery, 0.0).sum(axis=1), SKY),
        ("batteries discharge", np.minimum(battery, 0.0).sum(axis=1), BLUE),
    )
    above = np.zeros(HOURS)
    for label, values, colour in parts:
        if not values.any():
            continue
        mean = np.bincount(hour, values, HOURS) / seen
        mwh = np.abs(values).sum() * data.record_h
        axes.bar(np.arange(HOURS) + 0.5, mean, 0.85, np.where(mean > 0, above, 0.0), color=colour,
                 label=f"{label}: {mwh:,.0f} MWh")  # fmt: skip
        above = above + np.maximum(mean, 0.0)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlim(0, HOURS)
    axes.set_xticks(range(0, HOURS + 1, 3))
    axes.margins(y=0.25)
    axes.set_xlabel("hour of the day, local standard time")
    axes.set_ylabel("MW, mean of all days")
    axes.set_title("On-site generation and batteries: the mean day")
    axes.legend(loc="upper left", ncols=3, fontsize=9, framealpha=0.9)
    _tidy(axes)


PANELS: Final[dict[str, Panel]] = {
    "cost": _cost,
    "prices": _prices,
    "heat": _heat,
    "limits": _limits,
    "reserves": _reserves,
    "assets": _assets,
}
