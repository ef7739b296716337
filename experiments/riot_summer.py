"""What stepping back for 4CP and selling reserves are worth to campuses like Riot's, in 2024.

    python experiments/riot_summer.py --data ../shared/data --plot riot_summer.png

Runs `configs/ercot-2024` from January to September four times under the same luck: with neither,
with each, and with both. Net cost is all costs and penalties less grid services over the energy of
all uses; transmission counts in the month of the peak that causes it, though it is paid next year.
Credits are grid services and resold power. The campuses are a third of Riot's and their strikes
are assumed, so figures are set beside the published ones per MW where a size is published.

What agrees (seed 1): Rockdale's all-in cost when it steps back for 4CP, 3.0 and 2.2 c/kWh in July
and August against 3.0 and 2.0; power resold per MW of block in August without reserves, 14 against
16.5 k USD, and from January to June 53 against 55. Without stepping back, a peak adds about 2.3
c/kWh to the month it falls in, unless prices were high enough to stop anyway. Reserves, sold the
day before, earn Rockdale 535 and 1,342 USD per MW of load in July and August, shortfalls taken off;
Riot's demand response was 286 and 1,000 per MW developed. What the market takes of loads, and what
its price then loses, is assumed; when reserves were options that nobody had to hold, they earned
some four times as much. What does not agree: power resold in July is half of Riot's and less than
that in September: likely Riot steps back more often than these machines' break-even asks for;
Corsicana comes out 1.1 to 1.2 c/kWh too cheap without reserves (at Riot it was being energised;
charges that do not depend on energy are not modelled). What Riot paid in 2024 on the peaks of 2023
is not in: about 0.1 c/kWh here.
"""

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import matplotlib

from sim.types import Floats

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import sim
from sim.policies.merit_order import MeritOrder
from sim.report.energy import COSTS, USES
from sim.report.hours import SiteHours
from sim.units import KWH_PER_MWH

DAYS: Final = 274  # 1 January to 30 September 2024
WAYS: Final = {
    "neither": (False, False),
    "4CP": (True, False),
    "reserve": (False, True),
    "both": (True, True),
}
CAMPUSES: Final = ("rockdale-1", "corsicana-1")
COLOURS: Final = ("#999999", "#E69F00", "#56B4E9", "#0072B2")
# Fixed blocks at Rockdale: Riot's 10-Q of 2025-09-30 (note 9).
RIOT_BLOCK_MW: Final = 345.0
# Power resold [M USD]: the same note, and Riot's August 2024 production update.
RIOT_RESOLD: Final = {"July": 3.2, "August": 5.7, "third quarter": 12.4, "nine months": 31.4}
RIOT_RESPONSE: Final = {"July": 0.2, "August": 0.7}
RIOT_MW: Final = 700.0  # developed at Rockdale: the same update
SHORT: Final = ("January", "February", "March", "April", "May", "June", "July", "August",
                "September", "October", "November", "December")  # fmt: skip
# All-in cost of power [c/kWh] in July and August 2024: the same update.
RIOT_CENTS: Final = {"rockdale-1": (3.0, 2.0), "corsicana-1": (3.9, 3.9)}
SPANS: Final = {"July": slice(6, 7), "August": slice(7, 8), "third quarter": slice(6, 9),
                "nine months": slice(0, 9)}  # fmt: skip


class Months(NamedTuple):
    """Of one way to run, by month and site (month, site)."""

    usd: Floats  # all costs and penalties less grid services
    peak_usd: Floats
    programme_usd: Floats
    short_usd: Floats  # awards of reserves that were not held
    sold_mw: Floats  # reserves sold the day before, mean
    resold_usd: Floats
    mwh: Floats  # energy of all uses
    hours: Floats  # (month,)


def run(data: Path, avoid_peaks: bool, reserves: bool) -> tuple[list[str], list[str], Months]:
    """Names of sites and months, and what each month came to."""
    changes = {"data_dir": str(data), "horizon.days": DAYS}
    scenario = sim.load(Path(__file__).parent.parent / "configs/ercot-2024", changes)
    table = SiteHours(sim.run(scenario, MeritOrder(avoid_peaks=avoid_peaks, reserves=reserves), 1))

    def monthly(column: str) -> Floats:
        return np.stack([table.monthly(one) for one in table[column].T], axis=1)

    monthly_hours = table.monthly(np.ones(len(table.when)))[:, None]
    months = Months(
        usd=np.sum([sign * monthly(column) for _, column, sign, _ in COSTS], axis=0),
        peak_usd=monthly("peak_usd"),
        programme_usd=monthly("programme_usd"),
        short_usd=monthly("reserve_shortfall_usd"),
        sold_mw=monthly("reserve_sold_mw") / monthly_hours,
        resold_usd=monthly("resold_usd"),
        mwh=np.sum([monthly(column) for column in USES], axis=0) * table.record_h,
        hours=table.monthly(np.ones(len(table.when))) * table.record_h,
    )
    return [s.name for s in scenario.sites], [f"{m}" for m in np.unique(table.month)], months


def cents(m: Months, at: Sequence[int], peaks: bool) -> Floats:
    """Net cost of power at sites [c/kWh]: by month, and of all months last (month + 1,)."""
    usd = (m.usd if peaks else m.usd - m.peak_usd)[:, at].sum(axis=1)
    mwh = m.mwh[:, at].sum(axis=1)
    return 100.0 * np.append(usd, usd.sum()) / np.append(mwh, mwh.sum()) / KWH_PER_MWH


def credits_usd(m: Months, at: Sequence[int]) -> tuple[Floats, Floats]:
    """Grid services and resold power [USD], and per MW of mean load; of all months last."""
    usd = (m.programme_usd + m.resold_usd)[:, at].sum(axis=1)
    mwh = m.mwh[:, at].sum(axis=1)
    usd, mwh, hours = (np.append(v, v.sum()) for v in (usd, mwh, m.hours))
    return usd, usd / (mwh / hours)


def tell(title: str, months: list[str], found: dict[str, Months], at: Sequence[int]) -> None:
    """A table of one group of sites: a row per month, a block of four ways per figure."""
    blocks = [
        [cents(m, at, True) for m in found.values()],
        [cents(m, at, False) for m in found.values()],
        [credits_usd(m, at)[0] / 1e3 for m in found.values()],
        [credits_usd(m, at)[1] / 1e3 for m in found.values()],
    ]
    heads = ("net c/kWh", "without peaks c/kWh", "credits k USD", "credits k USD/MW of load")
    formats = ("8.2f", "8.2f", "8,.0f", "8.2f")
    print(f"\n{title}\n{'':9s}" + "  ".join(f"{head:^32s}" for head in heads))
    print(f"{'month':9s}" + "  ".join("".join(f"{way:>8s}" for way in found) for _ in heads))
    for row, month in enumerate([*months, "all"]):
        cells = (
            "".join(f"{values[row]:{form}}" for values in block)
            for block, form in zip(blocks, formats, strict=True)
        )
        print(f"{month:9s}" + "  ".join(cells))


def published(data: Path, months: list[str]) -> list[dict[str, str]]:
    """Riot's rows of the same calendar months, of any year, with a cost or a credit."""
    with (data / "miner_reports/miner_monthly.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["company"] == "Riot"]
    calendar = {month[5:] for month in months}
    return [
        row
        for row in rows
        if row["month"][5:] in calendar
        and (row["power_cost_usd_per_kwh"] or row["power_credits_musd"])
    ]


def tell_published(rows: list[dict[str, str]], months: list[str], both: Months,
                   at: Sequence[int]) -> None:  # fmt: skip
    """Riot's months beside those of the run with both."""
    print("\nRiot as published (whole company) beside both campuses here with both")
    print("published c/kWh  M USD credits | here, same month of 2024: c/kWh  M USD credits")
    net, (credit, _) = cents(both, at, True), credits_usd(both, at)
    for row in rows:
        k = next(i for i, month in enumerate(months) if month[5:] == row["month"][5:])
        usd = row["power_cost_usd_per_kwh"]
        cost = f"{100 * float(usd):7.1f}" if usd else f"{'-':>7s}"
        print(f"{row['month']}{cost}  {row['power_credits_musd'] or '-':>13s} | "
              f"{net[k]:31.2f}  {credit[k] / 1e6:13.2f}")  # fmt: skip


def tell_blocks(found: dict[str, Months], rockdale: int, block_mw: float) -> None:
    """Resold power per MW of fixed block: the one size that both sides publish."""
    print("\nPower resold at Rockdale [k USD per MW of fixed block]: "
          f"{RIOT_BLOCK_MW:g} MW at Riot, {block_mw:g} MW here")  # fmt: skip
    print(f"{'2024':15s}{'Riot':>9s}" + "".join(f"{way:>9s}" for way in found))
    for name, span in SPANS.items():
        here = [m.resold_usd[span, rockdale].sum() / block_mw / 1e3 for m in found.values()]
        print(f"{name:15s}{1e3 * RIOT_RESOLD[name] / RIOT_BLOCK_MW:9.1f}"
              + "".join(f"{value:9.1f}" for value in here))  # fmt: skip


def tell_reserves(months: list[str], names: list[str], both: Months) -> None:
    """What reserves earned and cost by month, per MW of the machines' power where Riot has it."""
    print("\nReserves, sold the day before [k USD, less what was not held; MW sold on average];")
    print("the fleet's with its emergency programme")
    print("(demand response as published, of the company: its fleet of 700 MW at Rockdale)")
    at = [names.index(c) for c in CAMPUSES]
    print(f"{'month':9s}{'fleet':>9s}{'short':>9s}{'MW':>7s}{'Rockdale':>10s}{'Corsicana':>11s}"
          f"{'USD/MW Rockdale':>17s}{'Riot k USD':>12s}{'USD/MW Riot':>13s}")  # fmt: skip
    net = both.programme_usd - both.short_usd
    load_mw = both.mwh / both.hours[:, None]
    for k, month in enumerate(months):
        riot = RIOT_RESPONSE.get(SHORT[int(month[5:]) - 1])
        told = f"{1e3 * riot:12,.0f}{1e6 * riot / RIOT_MW:13,.0f}" if riot is not None else ""
        print(f"{month:9s}{net[k].sum() / 1e3:9,.0f}{both.short_usd[k].sum() / 1e3:9,.0f}"
              f"{both.sold_mw[k].sum():7.0f}{net[k, at[0]] / 1e3:10,.0f}"
              f"{net[k, at[1]] / 1e3:11,.0f}"
              f"{net[k, at[0]] / load_mw[k, at[0]]:17,.0f}{told}")  # fmt: skip
    print(f"{'all':9s}{net.sum() / 1e3:9,.0f}{both.short_usd.sum() / 1e3:9,.0f}"
          f"{both.sold_mw.sum(axis=1).mean():7.0f}{net[:, at[0]].sum() / 1e3:10,.0f}"
          f"{net[:, at[1]].sum() / 1e3:11,.0f}")  # fmt: skip


def draw(out: Path, months: list[str], found: dict[str, Months], names: list[str],
         block_mw: float) -> None:  # fmt: skip
    """Net cost of either campus by month, and power resold per MW of block."""
    figure, panels = plt.subplots(1, 3, figsize=(16, 6), layout="constrained")
    ticks = [np.datetime64(month).astype(object).strftime("%b") for month in months]
    for axes, campus in zip(panels, CAMPUSES, strict=False):
        at = [names.index(campus)]
        for (way, m), colour in zip(found.items(), COLOURS, strict=True):
            axes.plot(cents(m, at, True)[:-1], "o-", color=colour, label=way)
        axes.plot([6, 7], RIOT_CENTS[campus], "kD", markersize=9, label="Riot, published")
        axes.set(title=f"{campus}: net cost of power", ylabel="c/kWh of all uses")
        axes.axhline(0, color="black", linewidth=0.8)
    resold: Axes = panels[2]
    rockdale, x = names.index(CAMPUSES[0]), np.arange(len(months))
    for place, ((way, m), colour) in enumerate(zip(found.items(), COLOURS, strict=True)):
        values = m.resold_usd[:, rockdale] / block_mw / 1e3
        resold.bar(x + (place - 1.5) * 0.2, values, 0.2, color=colour, label=way)
    riot = [1e3 * RIOT_RESOLD[name] / RIOT_BLOCK_MW for name in ("July", "August")]
    resold.plot([6, 7], riot, "kD", markersize=9, label="Riot, published")
    mean = 1e3 * RIOT_RESOLD["nine months"] / RIOT_BLOCK_MW / 9
    resold.axhline(mean, color="black", linestyle="--", label="Riot, mean of nine months")
    resold.set(title="Rockdale: power resold", ylabel="k USD per MW of fixed block")
    for axes in panels:
        axes.set_xticks(x, ticks)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        axes.legend(framealpha=0.9, loc="upper left", fontsize=9)
        axes.set_ylim(top=1.15 * axes.get_ylim()[1])
    figure.suptitle(
        "Campuses like Riot's in 2024: what stepping back for 4CP and selling reserves are worth"
    )
    figure.savefig(out, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("HASHWATT_DATA", "../shared/data"))
    parser.add_argument("--plot", type=Path, help="a PNG to draw")
    options = parser.parse_args()
    data = Path(options.data)
    found: dict[str, Months] = {}
    for way, flags in WAYS.items():
        names, months, found[way] = run(data, *flags)
    contracts = sim.load(
        Path(__file__).parent.parent / "configs/ercot-2024", {"data_dir": str(data)}
    ).power_contracts
    block_mw = sum(c.mw for c in contracts if c.site == CAMPUSES[0] and c.kind == "ppa")
    at = [names.index(campus) for campus in CAMPUSES]
    for campus, place in zip(CAMPUSES, at, strict=True):
        tell(campus, months, found, [place])
    tell("both campuses", months, found, at)
    tell("the whole fleet", months, found, range(len(names)))
    tell_published(published(data, months), months, found["both"], at)
    tell_blocks(found, at[0], block_mw)
    tell_reserves(months, names, found["both"])
    print("\nAll-in cost in July and August 2024 [c/kWh]")
    for campus, place in zip(CAMPUSES, at, strict=True):
        for way, m in found.items():
            july, august = cents(m, [place], True)[6:8]
            print(f"{campus:12s} {way:9s} {july:6.2f} {august:6.2f}   "
                  f"Riot {RIOT_CENTS[campus][0]:.1f} {RIOT_CENTS[campus][1]:.1f}")  # fmt: skip
    if options.plot:
        draw(options.plot, months, found, names, block_mw)


if __name__ == "__main__":
    main()
