"""`serving.png`: service delivered to tenants, and the effect of curtailment on it."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from sim.report.canvas import save
from sim.report.summary import BLUE, GREEN, GREY, ORANGE, RED, SKY
from sim.results.result import RunResult
from sim.serving_fleet.histograms import percentile_s
from sim.types import Floats

SHADES: Final = {50: SKY, 95: BLUE, 99: RED}


def draw_serving(result: RunResult, folder: Path) -> None:
    """Draw four panels into `folder/serving.png`; nothing if no node serves tokens."""
    record = result.recorder.serving
    if record is None or not record.intervals:
        return
    figure = Figure(figsize=(16, 11), layout="constrained")
    (load, late), (tenants, nodes) = figure.subplots(2, 2)
    _load(load, result)
    _late(late, result)
    _tenants(tenants, result)
    _nodes(nodes, result)
    k = result.kpis
    figure.suptitle(
        f"{result.scenario.name} · {result.policy} · seed {result.seed} · "
        f"{result.scenario.demand.fidelity}\n"
        f"{(k['requests_served'] or 0):,.0f} requests served · SLO kept by "
        f"{k['slo_attainment_pct'] or 0:.2f} % · {k['requests_returned'] or 0:,.0f} sent back by "
        f"engines switched off or failed · {(k['token_revenue_usd'] or 0) / 1e3:,.1f} k USD",
        fontsize=13,
    )
    save(figure, folder / "serving.png", 90)


def _times(result: RunResult, start_s: list[int] | Floats) -> Any:
    begin = np.datetime64(result.scenario.horizon.start_utc.replace(tzinfo=None))
    return begin + np.asarray(start_s).astype("timedelta64[s]")


def _dated(axis: Axes, result: RunResult) -> None:
    axis.set_xlim(_times(result, [0])[0], _times(result, [result.scenario.horizon.seconds])[0])
    locator = AutoDateLocator(maxticks=8)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)


def _per_hour(result: RunResult, *columns: str) -> tuple[Floats, list[Floats]]:
    table = result.table("tenants")
    t_s, where = np.unique(table["t_s"].to_numpy(), return_inverse=True)
    found = [np.bincount(where, table[c].to_numpy(), len(t_s)) for c in columns]
    return t_s, [np.asarray(f, dtype=np.float64) for f in found]


def _load(axis: Axes, result: RunResult) -> None:
    names = ("served", "good", "returned", "rejected", "expired")
    t_s, found = _per_hour(result, *(f"requests_{name}" for name in names))
    served, good, returned, rejected, expired = found
    seconds = result.recorder.record_s
    times = _times(result, t_s)
    parts = {
        "served in time": (good, GREEN),
        "served late": (served - good, ORANGE),
        "gave up": (expired, SKY),
        "refused for good": (rejected, GREY),
    }
    shown = {name: part for name, part in parts.items() if part[0].any()}
    axis.stackplot(
        times,
        [values / seconds for values, _ in shown.values()],
        colors=[colour for _, colour in shown.values()],
        labels=list(shown),
        linewidth=0,
    )
    axis.set(ylabel="requests / s", title="Requests, and those that were sent back", ylim=(0, None))
    other = axis.twinx()
    other.vlines(times, 0, returned, color=RED, linewidth=1.5, label="sent back by engines (right)")
    other.set_ylabel(f"requests in {seconds / 3600:g} h")
    other.set_ylim(0, max(2.0 * returned.max(), 1.0))
    _dated(axis, result)
    handles = [*axis.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    axis.legend(handles=handles, frameon=False, loc="upper left", fontsize=9)


def _late(axis: Axes, result: RunResult) -> None:
    record = result.recorder.serving
    assert record is not None
    held = [i for i in record.intervals if len(i.bins[0])]
    curves: dict[int, list[float]] = {q: [] for q in SHADES}
    for i in held:
        _, metric, place, number = i.bins
        first = metric == 0
        bins = np.bincount(place[first], number[first], record.bins.shape[2]).astype(np.int64)
        for q in SHADES:
            curves[q].append(percentile_s(bins, q))
    times = _times(result, [i.start_s for i in held])
    style = "o-" if len(held) < 40 else "-"
    for q, colour in SHADES.items():
        axis.plot(times, curves[q], style, color=colour, linewidth=1, markersize=3, label=f"p{q}")
    axis.set(ylabel="s", yscale="log", title="Time to first token at the client")
    axis.legend(frameon=False, loc="upper left", fontsize=9)
    _dated(axis, result)


def _tenants(axis: Axes, result: RunResult) -> None:
    rows = [r for r in result.table("serving").to_pylist() if r["scope"] == "tenant"]
    promised = {t.name: t.slo_percentile for t in result.scenario.tenants}
    missed = [100.0 - (r["slo_attainment_pct"] or 0.0) for r in rows]
    colours = [
        GREEN if m <= 100.0 - promised[r["name"]] else RED
        for r, m in zip(rows, missed, strict=True)
    ]
    place = np.arange(len(rows))
    axis.barh(place, np.maximum(missed, 1e-4), color=colours)
    allowed = [100.0 - promised[r["name"]] for r in rows]
    axis.plot(allowed, place, "|", color="black", markersize=14, label="allowed")
    axis.set_yticks(place, [f"{r['name']} ({r['requests_served']:,})" for r in rows], fontsize=9)
    axis.set(xscale="log", xlabel="% of requests that missed the SLO", title="Tenants (served)")
    axis.legend(frameon=False, fontsize=9)
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)


def _nodes(axis: Axes, result: RunResult) -> None:
    t_s, (out,) = _per_hour(result, "tokens_out")
    sites = result.table("sites")
    start_s, where = np.unique(sites["t_s"].to_numpy(), return_inverse=True)
    watts = np.bincount(where, sites["serving_mw"].to_numpy(), len(start_s)) * 1e6
    joules = watts * result.recorder.record_s
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(out > 0, joules / out, np.nan)
    axis.plot(_times(result, t_s), each, color=BLUE, linewidth=0.8)
    axis.set(ylabel="J / output token", title="Energy of the serving nodes", yscale="log")
    other = axis.twinx()
    other.plot(_times(result, start_s), watts / 1e3, color=GREY, linewidth=0.8)
    other.set_ylabel("kW (grey)")
    other.set_ylim(0, None)
    _dated(axis, result)
