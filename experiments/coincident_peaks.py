"""How well day-ahead forecasts tell ERCOT's coincident peaks, and the two scales of their error.

    python experiments/coincident_peaks.py --data ../shared/data

Fits `shape_error` by the likelihood of each day's peak hour, `level_error` by the spread of daily
peaks about their forecast, and prints what the chance of each month's true peak was. The chances
of a month should sum to about one, and its peak should be among the likeliest hours.
"""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sim.scenario.energy import CoincidentPeak
from sim.scenario.model import SeriesSpec
from sim.scenario.series import read_series
from sim.world.peaks import find_peaks

START = datetime(2024, 1, 1, 6, tzinfo=UTC)  # midnight in Texas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("HASHWATT_DATA"))
    folder = (parser.parse_args().data or Path("../shared/data")) / "electricity_prices"
    actual = read_series(
        folder / "ercot_actual_load_hourly_2024.csv.gz",
        SeriesSpec(
            file="",
            time_column="OperDay",
            time_format="%m/%d/%Y",
            hour_ending_column="HourEnding",
            timezone="America/Chicago",
        ),
    )
    forecast = read_series(
        folder / "ercot_hubavg_da_hourly_2024_2025.csv.gz",
        SeriesSpec(file="", time_column="interval_start_utc"),
    )
    hours = np.arange(round(START.timestamp()), actual.end_s, 3600)
    load = actual.sample("TOTAL", hours)
    expected = forecast.sample("da_demand_forecast_mw", hours)
    days = np.arange(len(hours)).reshape(-1, 24)

    print("shape error: mean log-likelihood of the day's peak hour")
    scales = np.arange(0.003, 0.0151, 0.001)
    likelihood = []
    for scale in scales:
        z = expected[days] / expected[days].max(axis=1, keepdims=True) / scale
        chosen = np.take_along_axis(z, load[days].argmax(axis=1)[:, None], axis=1)[:, 0]
        likelihood.append(
            float((chosen - np.log(np.exp(z - z.max()).sum(axis=1)) - z.max()).mean())
        )
        print(f"  {scale:.3f}: {likelihood[-1]:.3f}")
    error = load[days].max(axis=1) / expected[days].max(axis=1) - 1.0
    print(
        f"best {scales[int(np.argmax(likelihood))]:.3f}\n"
        f"level error: daily peaks are {error.mean():+.2%} off their forecast, deviation "
        f"{error.std():.2%}; logistic scale {error.std() * np.sqrt(3) / np.pi:.4f}"
    )
    spec = CoincidentPeak(series="", column="", usd_per_mw_year=0.0)
    peaks = find_peaks(spec, load, expected, START, 3600)
    month = ((START.timestamp() + np.arange(len(load)) * 3600 - 6 * 3600) // 1).astype(
        "datetime64[s]"
    ).astype("datetime64[M]").astype(int) % 12 + 1
    print("month  true peak (local standard)  chance  rank in the month  sum of chances")
    for step in peaks.peak_steps:
        inside = month == month[step]
        when = np.datetime64(START.replace(tzinfo=None), "h") + step - 6
        rank = int((peaks.risk[inside] > peaks.risk[step]).sum()) + 1
        print(
            f"{month[step]:5d}  {when!s:26s}  {peaks.risk[step]:6.3f}  {rank:17d}"
            f"  {peaks.risk[inside].sum():14.2f}"
        )


if __name__ == "__main__":
    main()
