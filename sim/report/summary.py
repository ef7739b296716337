"""`summary.png`: a run on one page."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from sim.report.canvas import save
from sim.results.result import RunResult
from sim.types import Floats
from sim.units import SECONDS_PER_DAY, TH_PER_PH

MOST_POINTS: Final = 400
# Okabe and Ito's palette, distinguishable to colour-blind readers.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#999999",
)  # fmt: skip
CAUSES: Final = (
    ("price", "lost_price_phs", ORANGE),
    ("limit", "lost_limit_phs", RED),
    ("failure", "lost_failure_phs", PURPLE),
    ("outage", "lost_outage_phs", "black"),
    ("heat", "lost_thermal_phs", YELLOW),
    ("mode", "lost_mode_phs", SKY),
    ("restart", "lost_restart_phs", GREY),
)


def draw(result: RunResult, folder: Path) -> None:
    """Draw the four panels into `folder/summary.png`."""
    figure = Figure(figsize=(16, 11))
    (power, hashrate), (margin, sites) = figure.subplots(2, 2)
    figure.subplots_adjust(0.05, 0.06, 0.98, 0.89, wspace=0.24, hspace=0.24)
    data = _Data(result)
    _power(power, data)
    _hashrate(hashrate, data)
    _margin(margin, data)
    _sites(sites, data)
    k = result.kpis
    horizon = result.scenario.horizon
    uptime = f"{k['uptime_pct']:.1f} %" if k["uptime_pct"] is not None else "-"
    figure.suptitle(
        f"{result.scenario.name} · {result.policy} · seed {result.seed} · from "
        f"{horizon.start_utc:%Y-%m-%d}, {horizon.days:g} days\n"
        f"gross margin {(k['gross_margin_usd'] or 0) / 1e6:,.2f} M USD · "
        f"{k['btc_mined_btc'] or 0:,.1f} BTC · uptime {uptime} · "
        f"curtailed {k['curtailed_mwh'] or 0:,.0f} MWh",
        fontsize=13,
    )
    save(figure, folder / "summary.png", 90)


POWER: Final = (
    "energy_usd", "contract_usd", "demand_usd", "peak_usd", "fuel_usd", "wear_usd",
)  # fmt: skip


class _Data:
    """Columns of the sites table as (interval, site), averaged to at most MOST_POINTS intervals."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        self.table = result.table("sites")
        self.names = list(result.recorder.sites)
        intervals = self.table.num_rows // len(self.names)
        self.width = max(1, -(-intervals // MOST_POINTS))
        start_s = self.table["t_s"].to_numpy().reshape(intervals, -1)[:, 0]
        first = np.datetime64(result.scenario.horizon.start_utc.replace(tzinfo=None), "s")
        self.when = first + start_s[:: self.width].astype("timedelta64[s]")
        self.record_s = result.scenario.horizon.record_s

    def column(self, name: str) -> Floats:
        """All intervals (interval, site)."""
        values = np.asarray(self.table[name].to_numpy(), dtype=np.float64)
        return values.reshape(-1, len(self.names))

    def coarse(self, values: Floats) -> Floats:
        """Means over neighbouring intervals (point,)."""
        edges = np.arange(0, len(values), self.width)
        counts = np.diff(np.append(edges, len(values)))
        return np.asarray(np.add.reduceat(values, edges) / counts, dtype=np.float64)

    def fleet(self, name: str) -> Floats:
        """Sum over the sites (point,)."""
        return self.coarse(self.column(name).sum(axis=1))


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0)


def _power(axes: Axes, data: _Data) -> None:
    uses = (
        ("ASICs", "asic_mw", BLUE),
        ("GPU nodes", "gpu_mw", GREEN),
        ("cooling", "cooling_mw", SKY),
        ("overhead, losses", "overhead_mw", GREY),
        ("curtailed", "curtailed_mw", "#EFEFEF"),
    )
    series = [data.fleet(column) for _, column, _ in uses]
    series[3] = series[3] + data.fleet("loss_mw")
    axes.stackplot(
        data.when, series, labels=[u[0] for u in uses], colors=[u[2] for u in uses], step="post"
    )
    axes.set_ylabel("MW at the meters")
    axes.set_title("Power by use, and energy price")
    price = axes.twinx()
    mean = data.coarse(data.column("price_usd_per_mwh").mean(axis=1))
    price.step(data.when, mean, color=RED, linewidth=0.9, where="post", label="energy price")
    top = float(np.percentile(mean, 99)) * 1.6 + 1.0
    price.set_ylim(min(0.0, float(mean.min())), top)
    price.set_ylabel("USD/MWh, mean of the sites (axis cut at 1.6 × p99)", color=RED)
    axes.legend(loc="lower left", ncols=5, fontsize=8, framealpha=0.9)
    _dates(axes)


def _hashrate(axes: Axes, data: _Data) -> None:
    scale = 1.0 / TH_PER_PH
    unit = "EH/s"
    if data.fleet("deployed_phs").max() < TH_PER_PH:
        scale, unit = 1.0, "PH/s"
    bands = [data.fleet("hashrate_phs") * scale]
    bands += [np.maximum(data.fleet(column), 0.0) * scale for _, column, _ in CAUSES]
    axes.stackplot(
        data.when,
        bands,
        labels=["operating", *(c[0] for c in CAUSES)],
        colors=[BLUE, *(c[2] for c in CAUSES)],
        step="post",
    )
    deployed = data.fleet("deployed_phs") * scale
    axes.plot(
        data.when, deployed, color="black", linewidth=1.2, label="deployed (above: overclocked)"
    )
    axes.set_ylim(0, float(deployed.max()) * 1.15 or 1.0)
    axes.set_ylabel(unit)
    axes.set_title("Hashrate: operating, and what is missing to deployed, by cause")
    axes.legend(loc="lower left", ncols=4, fontsize=8, framealpha=0.9)
    _dates(axes)


def _margin(axes: Axes, data: _Data) -> None:
    per_day = SECONDS_PER_DAY / data.record_s / 1e3
    parts = (
        ("mining", ("btc_usd",), 1.0, BLUE),
        ("GPU hours", ("gpu_usd",), 1.0, GREEN),
        ("tokens", ("token_usd",), 1.0, YELLOW),
        ("grid services", ("programme_usd",), 1.0, SKY),
        ("power and hosting", POWER, -1.0, RED),
        ("credits, penalties", ("credit_usd", "penalty_usd"), -1.0, PURPLE),
    )
    net = np.zeros(len(data.when))
    above, below = np.zeros_like(net), np.zeros_like(net)
    for label, columns, sign, colour in parts:
        value = np.sum([data.fleet(c) for c in columns], axis=0) * sign * per_day
        if not value.any():
            continue
        base = np.where(value >= 0, above, below)
        axes.fill_between(
            data.when, base, base + value, color=colour, alpha=0.75, label=label, step="post",
            linewidth=0,
        )  # fmt: skip
        above, below = above + np.maximum(value, 0), below + np.minimum(value, 0)
        net = net + value
    axes.step(data.when, net, color="black", linewidth=1.0, where="post", label="margin")
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_ylim(float(below.min()) * 1.05, float(above.max()) * 1.15 or 1.0)
    axes.set_ylabel("thousand USD a day")
    axes.set_title("Margin")
    axes.legend(loc="upper left", ncols=5, fontsize=8, framealpha=0.9)
    _dates(axes)


def _sites(axes: Axes, data: _Data) -> None:
    """Draw the margin of each site as a bar, its uptime as a dot."""
    names = np.array(data.names)
    margin = sum(
        sign * data.column(c).sum(axis=0) / 1e6
        for columns, sign in (
            (("btc_usd", "gpu_usd", "token_usd", "programme_usd"), 1.0),
            ((*POWER, "credit_usd", "penalty_usd"), -1.0),
        )
        for c in columns
    )
    order = np.argsort(margin, kind="stable")
    rows: Any = np.arange(len(names))
    values = np.asarray(margin)[order]
    axes.barh(rows, values, color=np.where(values >= 0, GREEN, RED).tolist(), height=0.8)
    axes.axvline(0, color="black", linewidth=0.5)
    axes.set_yticks(rows, names[order], fontsize=9 if len(names) < 20 else 6)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("margin before pool fees, million USD (bars)")
    axes.set_title("Sites: margin, and uptime")
    deployed = data.column("deployed_phs").sum(axis=0)
    uptime = 100 * data.column("hashrate_phs").sum(axis=0) / np.maximum(deployed, 1e-12)
    dots = axes.twiny()
    has = deployed[order] > 0
    dots.plot(uptime[order][has], rows[has], "o", color="black", markersize=3)
    dots.set_xlim(0, 105)
    dots.set_xlabel("uptime of ASICs, % (dots)", fontsize=9)
