"""Calibrate the seasonal mean-reverting jump process on ERCOT real-time prices of 2024 and 2025.

Method: y = log(p + 40 USD/MWh); the lowest hourly price is -32. The seasonal level is the median
of y by month and local hour, smoothed over neighbouring hours; the weekend step is the median of
what is left. Residuals beyond 2.5 robust standard deviations (1.4826 MAD) are excursions: where
they begin gives the arrival rate of jumps by hour, how they shrink their decay. The clipped rest
has the autocorrelation of two AR(1) processes: a slow one (0.99 per hour, assumed) whose weight
follows from the lag of 24 h, and a fast one from the lag of 1 h. Last, simulated moments: the
rate, size and decay of the jumps are scaled (Nelder-Mead on 10 simulated years with one luck) so
that eleven quantiles and the mean agree. The long-run mean is that of 100 simulated years. Writes
`sim/scenario/catalogue/price_profiles.csv`.

    python experiments/calibrate_prices.py --data ../shared/data
"""

import argparse
import csv
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from sim.scenario.model import SeriesSpec
from sim.scenario.series import read_series
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.world.prices import PriceProfile, SeasonalJumpPrice, local_calendar

OUT = Path(__file__).parent.parent / "sim/scenario/catalogue/price_profiles.csv"
FILE = "electricity_prices/ercot_zones_hourly_2024_2026.csv.gz"
COLUMNS = {"ercot-hub": "hb_hubavg_rtm", "ercot-west": "lz_west_rtm"}
START = datetime(2024, 1, 1, 6, tzinfo=UTC)
HOURS = 2 * 8766 - 24
OFFSET = timedelta(hours=-6)
THRESHOLD = 2.5
OFFSET_USD_PER_MWH = 40.0
SLOW_PER_H = 0.99
YEAR_S = 365 * 86_400


def observed(data: Path, column: str) -> Floats:
    """Hourly prices from 2024-01-01 local on [USD/MWh]."""
    spec = SeriesSpec(
        file=FILE, time_column="hour_beginning_cpt", timezone="America/Chicago", max_gap_h=3
    )
    series = read_series(data / FILE, spec)
    return series.sample(
        column, np.int64(START.timestamp()) + np.arange(HOURS, dtype=np.int64) * 3600
    )


def excursions(residual: Floats, threshold: float, hour: Ints) -> tuple[Floats, float, float]:
    """Arrival rate by hour, mean overshoot and decay of the excursions above a threshold."""
    above = residual > threshold
    begins = above & ~np.concatenate([[False], above[:-1]])
    rate = np.array([begins[hour == h].mean() for h in range(24)])
    smooth = (np.roll(rate, 1) + rate + np.roll(rate, -1)) / 3.0
    first = residual[:-1][above[:-1]]
    following = np.clip(residual[1:][above[:-1]], 0.0, None)
    decay = float((first * following).sum() / (first**2).sum())
    return smooth, float(residual[above].mean()), decay


def fit(price: Floats) -> PriceProfile:
    """The profile of a price series that begins at START."""
    month, weekday, hour = local_calendar(START + OFFSET, len(price))
    y = np.log(price + OFFSET_USD_PER_MWH)
    seasonal = np.array(
        [[np.median(y[(month == m) & (hour == h)]) for h in range(24)] for m in range(12)]
    )
    seasonal = (np.roll(seasonal, 1, 1) + 2 * seasonal + np.roll(seasonal, -1, 1)) / 4.0
    left = y - seasonal[month, hour]
    weekend = float(np.median(left[weekday >= 5]) - np.median(left[weekday < 5]))
    left = left - weekend * (weekday >= 5)
    robust = 1.4826 * float(np.median(np.abs(left - np.median(left))))
    rate, size, decay = excursions(left, THRESHOLD * robust, hour)
    calm = np.clip(left, -THRESHOLD * robust, THRESHOLD * robust)
    lag_1, lag_24 = (float(np.corrcoef(calm[:-k], calm[k:])[0, 1]) for k in (1, 24))
    weight = min(max(lag_24 / SLOW_PER_H**24, 0.0), 0.9)
    first = PriceProfile(
        offset_usd_per_mwh=OFFSET_USD_PER_MWH,
        seasonal=seasonal,
        weekend=weekend,
        fast_ar1_per_h=(lag_1 - weight * SLOW_PER_H) / (1.0 - weight),
        fast_noise=float(calm.std()) * np.sqrt(1.0 - weight),
        slow_ar1_per_h=SLOW_PER_H,
        slow_noise=float(calm.std()) * np.sqrt(weight),
        jump_rate_per_h=rate,
        jump_size=size,
        jump_decay_per_h=decay,
        mean_usd_per_mwh=1.0,
    )
    return match(first, price)


def match(first: PriceProfile, price: Floats) -> PriceProfile:
    """Scale the jumps until simulated quantiles and mean agree with the observed."""
    levels = [0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9]
    wanted = np.log(np.percentile(price, levels) + OFFSET_USD_PER_MWH)

    def loss(x: Floats) -> float:
        made = simulate(scaled(first, x), seed=0, years=10)
        got = np.log(np.percentile(made, levels) + OFFSET_USD_PER_MWH)
        return float(((got - wanted) ** 2).sum() + 2.0 * np.log(made.mean() / price.mean()) ** 2)

    found = minimize(loss, [-0.3, -0.3, 0.0], method="Nelder-Mead",
                     options={"maxfev": 300, "xatol": 1e-3, "fatol": 1e-5})  # fmt: skip
    print(f"simulated moments: loss {found.fun:.4f}, factors {np.exp(found.x).round(3)}")
    return scaled(first, found.x)


def scaled(p: PriceProfile, logs: Floats) -> PriceProfile:
    """Jump rate, size and hours to decay times exp of `logs`."""
    rate, size, hours = np.exp(logs)
    return p._replace(
        jump_rate_per_h=p.jump_rate_per_h * rate,
        jump_size=p.jump_size * size,
        jump_decay_per_h=p.jump_decay_per_h ** (1.0 / hours),
    )


def simulate(profile: PriceProfile, seed: int, years: int = 1) -> Floats:
    """Hourly prices of simulated years that begin at START."""
    signal = SeasonalJumpPrice(
        profile,
        mean_usd_per_mwh=None,
        start_utc=START,
        utc_offset_h=-6.0,
        horizon_s=years * YEAR_S,
        zone="calibration",
        streams=Streams(seed),
    )
    return signal.usd_per_mwh


def describe(price: Floats) -> dict[str, float]:
    """What a price series looks like."""
    q = np.percentile(price, [1, 5, 25, 50, 75, 95, 99, 99.9])
    names = ["p1", "p5", "p25", "p50", "p75", "p95", "p99", "p99.9"]
    return {
        "mean USD/MWh": float(price.mean()),
        "std USD/MWh": float(price.std()),
        **{f"{n} USD/MWh": float(v) for n, v in zip(names, q, strict=True)},
        "hours < 0, %": 100 * float((price < 0).mean()),
        "hours > 100, %": 100 * float((price > 100).mean()),
        "hours > 1000, %": 100 * float((price > 1000).mean()),
        "autocorrelation asinh 1 h": _lag(price, 1),
        "autocorrelation asinh 24 h": _lag(price, 24),
    }


def _lag(price: Floats, hours: int) -> float:
    y = np.arcsinh(price / 20.0)
    return float(np.corrcoef(y[:-hours], y[hours:])[0, 1])


def rows(name: str, column: str, p: PriceProfile) -> list[list[object]]:
    """Rows of the catalogue."""
    source = f"fit to ERCOT {column} 2024-2025 by experiments/calibrate_prices.py"
    units = {
        "offset_usd_per_mwh": "USD/MWh",
        "mean_usd_per_mwh": "USD/MWh",
        "jump_rate_per_h": "1/h",
    }
    result: list[list[object]] = []
    for key, value in p._asdict().items():
        for i, v in enumerate(np.ravel(value)):
            result.append([name, key, i, f"{v:.6g}", units.get(key, "-"), source])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("HASHWATT_DATA", "../shared/data"))
    data = Path(parser.parse_args().data)
    table: list[list[object]] = []
    for name, column in COLUMNS.items():
        price = observed(data, column)
        profile = fit(price)
        profile = profile._replace(mean_usd_per_mwh=float(simulate(profile, 0, 100).mean()))
        table += rows(name, column, profile)
        simulated = np.concatenate([simulate(profile, seed, 2) for seed in range(1, 21)])
        print(f"\n{name} ({column}), {len(price)} hours")
        for key, value in profile._asdict().items():
            if np.ndim(value) == 0:
                print(f"  {key:28s} {value:10.4f}")
        print(f"  {'jumps a day':28s} {profile.jump_rate_per_h.sum():10.4f}")
        real, made = describe(price), describe(simulated)
        for key in real:
            print(f"  {key:28s} observed {real[key]:10.3f}   simulated {made[key]:10.3f}")
        _, _, hour = local_calendar(START + OFFSET, len(price))
        _, _, hour_made = local_calendar(START + OFFSET, 2 * 8760)
        profile_real = [np.median(price[hour == h]) for h in range(24)]
        profile_made = [np.median(simulated[: 2 * 8760][hour_made == h]) for h in range(24)]
        print(
            f"  hour-of-day medians correlate {np.corrcoef(profile_real, profile_made)[0, 1]:.3f}"
        )
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["profile", "key", "index", "value", "unit", "source"])
        writer.writerows(table)


if __name__ == "__main__":
    main()
