"""The hottest week of a Texas typical year, by way of cooling: who slows down, and what it costs.

    python experiments/heat_wave.py --data ../shared/data --hotter 6

Draws temperatures, the machines' factor and PUE by hour (PNG) and prints the week's figures. A
typical year has no extremes; `--hotter` adds kelvins to every hour at the same dew point.

    python experiments/heat_wave.py --data ../shared/data --fleet --hotter 2

runs the 48 sites of `configs/ercot-2024` through August 2024 in the air that ERCOT recorded, with
and without stepping back for coincident peaks, and draws the hottest week. What was recorded is a
mean over Texas: a single place was up to some kelvins hotter.
"""

import argparse
import os
import tempfile
from calendar import month_abbr
from pathlib import Path

import matplotlib

from sim.types import Floats

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.csv

import sim
from sim.kernels.thermal import cooling_share, derating, relative_humidities_pct, wet_bulbs_c
from sim.policies.merit_order import MeritOrder
from sim.report.energy import USES
from sim.report.hours import SiteHours
from sim.scenario import Scenario, catalogue

WEEK_H = 7 * 24
COLOURS = {  # Okabe and Ito: told apart by the colour-blind
    "air": "#D55E00",
    "air-evaporative": "#E69F00",
    "hydro": "#0072B2",
    "immersion": "#009E73",
    "tower": "#56B4E9",
    "chiller": "#CC79A7",
}


def hottest_week(file: Path, hotter_k: float) -> tuple[list[str], Floats, Floats]:
    """Its days, and dry and wet bulbs (hour,) [C] of the seven days with the warmest mean."""
    table = pyarrow.csv.read_csv(file)
    dry_c = table["dry_bulb_c"].to_numpy().astype(np.float64)
    dew_c = table["dew_point_c"].to_numpy().astype(np.float64)
    means = np.convolve(dry_c.reshape(-1, 24).mean(axis=1), np.ones(7) / 7, mode="valid")
    first = int(means.argmax()) * 24
    dry_c, dew_c = dry_c[first : first + WEEK_H] + hotter_k, dew_c[first : first + WEEK_H]
    midnights = table.slice(first, WEEK_H).take(np.arange(0, WEEK_H, 24))
    dates = midnights.select(["month", "day"]).to_pylist()
    days = [f"{month_abbr[date['month']]} {date['day']}" for date in dates]
    return days, dry_c, wet_bulbs_c(dry_c, dew_c)


def draw(
    out: Path,
    title: str,
    days: list[str],
    air_c: tuple[Floats, Floats],
    factor: dict[str, Floats],
    pue: dict[str, Floats],
) -> None:
    """Three panels over the same hours; `air_c` is dry and wet bulb."""
    names, hours = list(factor), np.arange(WEEK_H + 1)
    figure, panels = plt.subplots(3, 1, sharex=True, figsize=(10, 9), layout="constrained")
    top, middle, bottom = panels
    top.plot(hours[:-1] + 0.5, air_c[0], color="black", label="ambient")
    top.plot(hours[:-1] + 0.5, air_c[1], color="black", linestyle="--", label="wet bulb")
    for level_c, what in ((40.0, "air-cooled: slow above"), (47.0, "air-cooled: off above")):
        top.axhline(level_c, color=COLOURS["air"], linewidth=0.9, linestyle=":", zorder=1.0)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        top.text(1, level_c, what, color=COLOURS["air"], fontsize=8, va="center", bbox=box,
                 zorder=1.5)  # fmt: skip
    top.set_ylim(15, 52)
    top.set_ylabel("temperature [°C]")
    top.legend(loc="upper right", ncols=2, frameon=False)
    top.set_title(title)
    shades = matplotlib.colormaps["YlOrRd_r"].with_extremes(under="black")
    factors = np.stack(list(factor.values()))
    mesh = middle.pcolormesh(
        hours, np.arange(len(names) + 1), factors, cmap=shades, vmin=0.75, vmax=1.0
    )
    for row in range(1, len(names)):
        middle.axhline(row, color="grey", linewidth=0.6)
    middle.set_yticks(np.arange(len(names)) + 0.5, names)
    middle.invert_yaxis()
    label = "factor on hashrate\nand power [1], black: off"
    figure.colorbar(mesh, ax=middle, label=label, pad=0.01, extend="min")
    for name in names:
        bottom.plot(hours[:-1] + 0.5, pue[name] - 1.0, color=COLOURS[name], label=name)
    ticks = (0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.4)
    bottom.set_yscale("log")
    bottom.set_yticks(ticks, [f"{1 + t:.2f}" for t in ticks])
    bottom.minorticks_off()
    bottom.set_ylabel("PUE of the cooling [1],\nPUE - 1 on a log scale")
    bottom.set_xlabel("local standard time [date]")
    bottom.set_xticks(hours[:-1:24], days)
    bottom.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=6, frameon=False)
    for panel in (top, bottom):
        panel.grid(alpha=0.3)
    top.set_xlim(0, WEEK_H)
    figure.savefig(out, dpi=110)


def recorded_heat(data: Path, hotter_k: float, dew_c: float) -> Scenario:
    """`ercot-2024` in August, all sites in the recorded mean air of Texas plus some kelvins."""
    recorded = pyarrow.csv.read_csv(
        data / "electricity_prices/ercot_hubavg_da_hourly_2024_2025.csv.gz"
    )
    air_c = recorded["temp_c_ercot"].to_numpy().astype(np.float64) + hotter_k
    humidity_pct = relative_humidities_pct(air_c, np.minimum(air_c, dew_c))
    recorded = recorded.append_column("air_c", pa.array(air_c))
    recorded = recorded.append_column("rel_humidity_pct", pa.array(humidity_pct))
    folder = Path(__file__).parent.parent / "configs/ercot-2024"
    climates = sim.load(folder, {"data_dir": str(data)}).weather.climates
    with tempfile.TemporaryDirectory() as kept:
        file = Path(kept) / "air.csv"
        pyarrow.csv.write_csv(recorded, file)
        changes: dict[str, object] = {
            "data_dir": str(data),
            "horizon.start_utc": "2024-08-01T06:00:00Z",
            "horizon.days": 31,
            "series.day-ahead.file": str(file),
        }
        for climate in climates:
            changes[f"weather.climates.{climate}.series"] = "day-ahead"
            changes[f"weather.climates.{climate}.column"] = "air_c"
        return sim.load(folder, changes)


def fleet_week(scenario: Scenario, hotter_k: float, out: Path) -> None:
    """The hottest week of a whole run, two ways: prints its figures, draws them by hour."""
    figure, panels = plt.subplots(3, 1, sharex=True, figsize=(10, 9), layout="constrained")
    air, share, pue = panels
    print("steps back for 4CP  operating  lost to heat  worst hour  PUE mean  PUE max")
    for avoids, colour in ((False, COLOURS["air"]), (True, COLOURS["hydro"])):
        data = SiteHours(sim.run(scenario, MeritOrder(avoid_peaks=avoids), 1))
        week, name = data.hottest_week(), "yes" if avoids else "no"
        label = "steps back for 4CP" if avoids else "does not step back for 4CP"
        deployed = data.total("deployed_phs")[week]
        runs = data.total("hashrate_phs")[week] / deployed
        lost = data.total("lost_thermal_phs")[week] / deployed
        machines = data.total("asic_mw", "gpu_mw")[week]
        loaded = machines > 0.25 * machines.max()  # of a fleet that stands still, PUE says little
        uses = data.total(*USES)[week]
        each = np.divide(uses, machines, where=loaded, out=np.full(len(uses), np.nan))
        when = data.when[week]
        share.plot(when, 100 * runs, color=colour, label=label)
        share.fill_between(when, 100 * runs, 100 * (runs + lost), color=colour, alpha=0.4,
                           linewidth=0, label="lost to heat")  # fmt: skip
        pue.plot(when, each, color=colour, label=label)
        mean = uses[loaded].sum() / machines[loaded].sum()
        print(f"{name:18s} {runs.mean():10.1%} {lost.mean():13.2%} {lost.max():11.1%} "
              f"{mean:9.3f} {np.nanmax(each):8.3f}")  # fmt: skip
    ambient_c = data["ambient_c"][week].mean(axis=1)
    print(f"air {ambient_c.min():.1f} to {ambient_c.max():.1f} C from {when[0]} local standard")
    air.plot(when, ambient_c, color="black", label="ambient")
    air.axhline(40, color=COLOURS["air"], linestyle=":", label="air-cooled machines slow above")
    plus = f", {hotter_k:+g} K" if hotter_k else ""
    air.set(title=f"48 sites in the hottest week of 2024 (recorded mean of Texas{plus})",
            ylabel="temperature [°C]")  # fmt: skip
    share.set(ylabel="operating hashrate\n[% of deployed]", ylim=(0, None))
    pue.set(ylabel="PUE [1]", xlabel="local standard time")
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.margins(x=0)
        panel.set_ylim(top=panel.get_ylim()[0] + 1.25 * np.ptp(panel.get_ylim()))
        panel.legend(loc="upper center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("HASHWATT_DATA", "../shared/data"))
    parser.add_argument("--place", default="waco_tx", help="a file of weather/")
    parser.add_argument(
        "--hotter", type=float, default=0.0, metavar="K", help="added to every hour"
    )
    parser.add_argument("--fleet", action="store_true", help="a whole run in recorded air")
    parser.add_argument("--out", type=Path, default=Path("heat_wave.png"))
    options = parser.parse_args()
    file = Path(options.data) / f"weather/{options.place}.csv.gz"
    if options.fleet:
        summer = pyarrow.csv.read_csv(file)
        dew_c = summer["dew_point_c"].to_numpy()[summer["month"].to_numpy() == 8].mean()
        fleet_week(recorded_heat(Path(options.data), options.hotter, float(dew_c)),
                   options.hotter, options.out)  # fmt: skip
        return
    days, dry_c, wet_c = hottest_week(file, options.hotter)
    factor: dict[str, Floats] = {}
    pue: dict[str, Floats] = {}
    print(f"{options.place} from {days[0]}, {options.hotter:+g} K: {dry_c.min():.1f} to "
          f"{dry_c.max():.1f} C, wet bulb to {wet_c.max():.1f} C")  # fmt: skip
    print(f"{'cooling':16s} {'derated h':>9s} {'tripped h':>9s} {'PUE mean':>9s} {'PUE max':>9s}")
    for name, way in catalogue.cooling().items():
        row, pairs = way.row(), list(zip(dry_c, wet_c, strict=True))
        factor[name] = np.array([derating(row, d, w) for d, w in pairs])
        pue[name] = 1.0 + np.array([cooling_share(row, d, w) for d, w in pairs])
        derated = int(((factor[name] < 1.0) & (factor[name] > 0.0)).sum())
        tripped = int((factor[name] == 0.0).sum())
        print(
            f"{name:16s} {derated:9d} {tripped:9d} {pue[name].mean():9.3f} {pue[name].max():9.3f}"
        )
    place, _, state = options.place.rpartition("_")
    where = f"{place.replace('_', ' ').title()}, {state.upper()}"
    plus = f", {options.hotter:+g} K" if options.hotter else ""
    title = f"Hottest week of the typical year of {where}{plus}"
    draw(options.out, title, days, (dry_c, wet_c), factor, pue)


if __name__ == "__main__":
    main()
