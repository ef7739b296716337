"""Fit the supply curve of hashrate to recorded retargets, and show what it foretells.

    python experiments/calibrate_network.py --data ../shared/data

Owners of `sim.world.supply` are led through the recorded hashprice (price, difficulty and fees as
they were). Installed hashrate grows at a steady pace. What is compared is the change of hashrate
from each epoch to the next, which is what a retarget follows: a forecast of an epoch given its
prices. Least squares on 2022 to 2025 (2021 holds China's ban, which no price explains), shown on
2026, which the fit has not seen. The time of 2,016 blocks is chance: its part is printed.

Given, not fitted: median efficiency 28.2 J/TH in mid-2024, falling 24 % a year, and 45 USD/MWh for
electricity (Cambridge Centre for Alternative Finance, Digital Mining Industry Report, April 2025:
49 firms, 48 % of the network). The record has an estimate of the efficiency too, which rises by
7 J/TH in 2025 and is called soft there: `--recorded` takes it instead. Only the product of
efficiency and cost counts, so the spread of efficiency is that of the machines of `asic_specs`, and
the spread of cost is fitted, with the share of machines that is switched in a day. The record does
not tell hysteresis: 0 to 0.1 fit alike. A day of smoothing fits a little better than a week.
"""

import argparse
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.csv
from scipy.optimize import minimize

from sim.scenario.bitcoin import SupplyCurveNetwork
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, TH_PER_EH
from sim.world.difficulty import EPOCH_BLOCKS, HASHES_PER_DIFFICULTY
from sim.world.supply import Owners

FIRST, SPLIT = "2022-01-01", "2026-01-01"
SURVEY_DAY, SURVEY_J_PER_TH, SURVEY_FALL = np.datetime64("2024-07-01"), 28.2, 0.24
SURVEY_USD_PER_MWH = 45.0
GRID = tuple((h, lag) for h in (0.0, 0.05, 0.1) for lag in (1.0, 7.0, 21.0))
ASSUMED = (0.05, 1.0)  # hysteresis, and days that owners look back over
CHANCE = np.sqrt(2.0 / EPOCH_BLOCKS)  # of the difference of two epochs' times


class Record(NamedTuple):
    """Shapes: `day`, `epoch`."""

    usd_per_th: np.ndarray  # (day,) recorded revenue of a tera-hash
    j_per_th: np.ndarray  # (day,) efficiency of the fleet
    epoch: np.ndarray  # (day,) epoch in force at noon
    began: np.ndarray  # (epoch,) datetime64 of the first block
    hashrate_ehs: np.ndarray  # (epoch,)


def surveyed(day: np.ndarray) -> np.ndarray:
    """Efficiency of the fleet [J/TH] on a day, as the survey has it, its yearly fall carried on."""
    years = (day - SURVEY_DAY) / np.timedelta64(1, "D") / DAYS_PER_YEAR
    return SURVEY_J_PER_TH * (1.0 - SURVEY_FALL) ** years


def fleet_spread(folder: Path) -> float:
    """Standard deviation of the logarithm of the efficiency of machines from 2020 on."""
    table = pyarrow.csv.read_csv(folder / "asic_specs.csv")
    watt, rate = (np.asarray(table[n].to_numpy(), float) for n in ("power_w", "hashrate_ths"))
    return float(np.log(watt / rate)[watt / rate < 60].std())


def record(folder: Path, soft: bool) -> Record:
    """Daily revenue and efficiency, and the hashrate of each epoch, from `FIRST` on."""
    daily = pyarrow.csv.read_csv(folder / "btc_network_daily.csv.gz")
    day = np.array(daily["date"].to_numpy(), dtype="datetime64[D]")
    column = {name: np.asarray(daily[name].to_numpy(), float) for name in daily.column_names[1:]}
    hashes = column["blocks"] * column["difficulty"] * HASHES_PER_DIFFICULTY
    revenue = column["miner_revenue_btc"] * column["price_usd"] / hashes * 1e12
    table = pyarrow.csv.read_csv(folder / "retargets.csv")
    began_s = np.asarray(table["first_block_time_unix"].to_numpy(), dtype=np.int64)
    level = np.asarray(table["difficulty"].to_numpy(), dtype=np.float64)
    rate = EPOCH_BLOCKS * level[:-1] * HASHES_PER_DIFFICULTY / np.diff(began_s) / 1e12 / TH_PER_EH
    noon_s = day.astype("datetime64[s]").astype(np.int64) + SECONDS_PER_DAY // 2
    epoch = np.searchsorted(began_s, noon_s, side="right") - 1
    use = (day >= np.datetime64(FIRST)) & (epoch < len(rate))
    return Record(
        revenue[use],
        column["fleet_efficiency_est_j_per_th"][use] if soft else surveyed(day[use]),
        epoch[use],
        began_s.astype("datetime64[s]"),
        rate,
    )


def running(network: SupplyCurveNetwork, seen: Record) -> np.ndarray:
    """What runs of the installed hashrate, as a multiple of the first day's (day,).

    Costs follow the recorded efficiency: revenue is divided by it instead.
    """
    relative = seen.usd_per_th * network.fleet_j_per_th / seen.j_per_th
    owners = Owners(network, float(relative[0]))
    path = []
    for revenue in relative:
        owners.decide(float(revenue))
        path.append(owners.running_ths)
    return np.array(path)


def changes(path: np.ndarray, seen: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Epochs, and the change of the logarithm of hashrate from the one before: model, record."""
    epochs = np.unique(seen.epoch)
    mean = np.array([path[seen.epoch == e].mean() for e in epochs])
    model = np.diff(np.log(mean))
    recorded = np.diff(np.log(seen.hashrate_ehs[epochs]))
    return epochs[1:], model, recorded


def network_of(
    values: np.ndarray, assumed: tuple[float, float], fleet: float
) -> SupplyCurveNetwork:
    """The scenario table of a point of the search: spread of cost, share switched in a day."""
    power_spread, switched = np.exp(values)
    hysteresis, lag_days = assumed
    return SupplyCurveNetwork(
        fleet_j_per_th=SURVEY_J_PER_TH,
        power_usd_per_mwh=SURVEY_USD_PER_MWH,
        fleet_spread=fleet,
        power_spread=float(np.clip(power_spread, 0.01, 2)),
        lag_days=lag_days,
        switch_per_day=float(np.clip(switched, 0.005, 1.0)),
        hysteresis=hysteresis,
        arrivals_ehs_per_year=0.0,
    )


def errors(forecast: np.ndarray, recorded: np.ndarray) -> str:
    """Mean absolute and root mean square error in per cent, and correlation."""
    gap = 100.0 * (forecast - recorded)
    steady = np.std(forecast) < 1e-12
    tied = float("nan") if steady else np.corrcoef(forecast, recorded)[0, 1]
    return f"{np.abs(gap).mean():8.2f}{np.sqrt((gap**2).mean()):8.2f}{tied:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("HASHWATT_DATA"))
    parser.add_argument("--recorded", action="store_true", help="the record's efficiency")
    given = parser.parse_args()
    folder = given.data or Path("../shared/data")
    seen = record(folder / "bitcoin_network", given.recorded)
    fleet = fleet_spread(folder / "asic_specs")
    print(f"spread of efficiency over machines from 2020 on: {fleet:.3f}")
    print(f"efficiency on {SPLIT} by the survey: {surveyed(np.datetime64(SPLIT)):.1f} J/TH")

    def misfit(values: np.ndarray, assumed: tuple[float, float]) -> float:
        network = network_of(values, assumed, fleet)
        epochs, model, recorded = changes(running(network, seen), seen)
        gap = (recorded - model)[seen.began[epochs] < np.datetime64(SPLIT)]
        return float(gap.var())  # without the mean: that is the growth of what is installed

    found = {}
    print("hysteresis   lag d   spread of cost   switched 1/d   r.m.s. error %")
    for assumed in GRID:
        best = minimize(
            misfit, np.log([0.2, 0.04]), args=(assumed,), method="Nelder-Mead",
            options={"maxfev": 70, "xatol": 0.03, "fatol": 1e-8},
        )  # fmt: skip
        n = found[assumed] = network_of(best.x, assumed, fleet)
        print(f"{n.hysteresis:10.2f}{n.lag_days:8.0f}{n.power_spread:17.3f}{n.switch_per_day:15.4f}"
              f"{100 * best.fun**0.5:17.3f}")  # fmt: skip
    network = found[ASSUMED]
    epochs, model, recorded = changes(running(network, seen), seen)
    began = seen.began[epochs]
    fit = began < np.datetime64(SPLIT)
    growth = (recorded - model)[fit].mean()
    years = np.diff(seen.began)[epochs - 1] / np.timedelta64(SECONDS_PER_DAY, "s") / DAYS_PER_YEAR
    print(f"\ninstalled hashrate grows by {growth / years[fit].mean():.3f} a year (logarithm)")
    last_year = [np.flatnonzero(began < np.datetime64(day))[-1] for day in ("2025-01-01", SPLIT)]
    grown = np.diff(seen.hashrate_ehs[epochs[last_year]])[0]
    print(f"hashrate grew by {grown:.0f} EH/s from the last epoch of 2024 to the last of 2025")
    print(f"chance of 2,016 blocks alone: {100 * CHANCE:.2f} % r.m.s.")
    print("\nchange of hashrate by epoch, %      mean abs.  r.m.s.  correlation")
    steady = recorded[fit].mean()
    for name, part in (("2022 to 2025", fit), ("2026", ~fit)):
        for what, forecast in (
            ("no change", np.zeros(len(recorded))),
            ("mean growth", np.full(len(recorded), steady)),
            ("supply curve", model + growth),
        ):
            print(f"{name:14s}{what:22s}{errors(forecast[part], recorded[part])}")
    print("\nepoch from      recorded %   supply curve %   hashrate EH/s")
    for e, ours, theirs in zip(epochs[~fit], model[~fit] + growth, recorded[~fit], strict=True):
        print(f"{seen.began[e].astype('datetime64[D]')!s:16s}{100 * theirs:9.2f}{100 * ours:15.2f}"
              f"{seen.hashrate_ehs[e]:17.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
