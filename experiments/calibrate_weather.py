"""Fit climates to typical years: expected temperature, its quantiles by season, its memory.

The expected temperature is a least-squares fit of season x day (two harmonics each). What is left
is described by nine quantiles of each month with half of its neighbours, apart for night and day;
read through them it is a normal path, whose autocorrelations at 1 to 72 h two AR(1) processes
take. The dew point gets a season of its own, by least squares. Writes `climates.csv` and
`climate_shapes.csv` in `sim/scenario/catalogue`, and prints typical years beside 20 simulated ones.
Places without a station take monthly normals (WMO, rounded) and the quantiles and memory of a
station that is alike, and as much drier than saturated, in the mean and in its season, as that
station: marked as assumed.

    python experiments/calibrate_weather.py --data ../shared/data
"""

import argparse
import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from sim.streams import Streams
from sim.types import Floats
from sim.world.weather import (
    DEVIATES,
    LEVELS_PCT,
    NIGHT_AND_DAY,
    SHAPES,
    Climate,
    SeasonalTemperature,
    expected_c,
    quantiles_at,
    waves,
)

CATALOGUE = Path(__file__).parent.parent / "sim/scenario/catalogue"
LAGS_H = (1, 2, 3, 6, 12, 24, 48, 72)
YEARS = 20
# mean and half the range of the monthly means, warmest day, half the mean daily range; twin station
NORMALS = {
    "asuncion-py": (22.9, 5.0, 10, 5.5, "macon-ga", "means 27.8 C in January, 17.6 C in July"),
    "muscat-om": (28.5, 6.3, 165, 4.5, "aswan-eg", "means 21.2 C in January, 34.8 C in June"),
    "calgary-ab": (4.4, 12.2, 200, 6.3, "bismarck-nd", "means -7.1 C in January, 16.5 C in July"),
    "oslo-no": (6.3, 10.7, 196, 4.0, "stockholm-se", "means -4.3 C in January, 17.0 C in July"),
}
# Where the twin's humidity cannot serve (a desert for a coast): mean, amplitude, warmest day.
DEW_NORMALS = {
    "muscat-om": (19.0, 5.5, 215, "13 C in January, 24 C in August: humidities of 60 and 64 %")
}
YEAR_DAYS = 365.25


def fit(ambient_c: Floats, dew_point_c: Floats) -> Climate:
    """A climate from 8,760 hourly temperatures; a value belongs to the end of its hour."""
    days = (np.arange(len(ambient_c)) + 1) / 24.0
    season, day = 2 * np.pi * days / YEAR_DAYS, 2 * np.pi * days
    columns = [np.ones_like(days), np.cos(season), np.sin(season), np.cos(day), np.sin(day)]
    c = np.linalg.lstsq(np.stack(columns, axis=1), ambient_c, rcond=None)[0]
    dew = np.linalg.lstsq(np.stack(columns[:3], axis=1), dew_point_c, rcond=None)[0]
    of_season, of_day = waves(days)
    both = (of_season[:, :, None] * of_day[:, None, :]).reshape(len(days), -1)
    first = Climate(
        mean_c=c[0],
        seasonal_amplitude_c=float(np.hypot(c[1], c[2])),
        warmest_day=float(np.arctan2(c[2], c[1]) / (2 * np.pi) * YEAR_DAYS % YEAR_DAYS),
        diurnal_amplitude_c=float(np.hypot(c[3], c[4])),
        warmest_hour=float(np.arctan2(c[4], c[3]) / (2 * np.pi) * 24 % 24),
        fast_ar1_per_h=0.0,
        slow_ar1_per_h=0.0,
        slow_share=0.0,
        dew_mean_c=dew[0],
        dew_amplitude_c=float(np.hypot(dew[1], dew[2])),
        dew_warmest_day=float(np.arctan2(dew[2], dew[1]) / (2 * np.pi) * YEAR_DAYS % YEAR_DAYS),
        harmonics_c=np.linalg.lstsq(both, ambient_c, rcond=None)[0].reshape(SHAPES["harmonics_c"]),
        quantiles_k=np.zeros(SHAPES["quantiles_k"]),
    )
    left = ambient_c - expected_c(first, days)
    shaped = first._replace(quantiles_k=quantiles(left, days))
    fast, slow, share = memory(deviates(left, quantiles_at(shaped, days)))
    return shaped._replace(fast_ar1_per_h=fast, slow_ar1_per_h=slow, slow_share=share)


def quantiles(left_k: Floats, days: Floats) -> Floats:
    """Of each month and half of its neighbours, apart for the 13 hours around 3 and 15 o'clock."""
    found = np.zeros(SHAPES["quantiles_k"])
    month, hour = days / YEAR_DAYS * 12.0, days * 24.0 % 24.0
    for m in range(12):
        near = np.abs((month - (m + 0.5) + 6.0) % 12.0 - 6.0) <= 1.0
        for half, middle in enumerate(NIGHT_AND_DAY):
            around = np.abs((hour - middle + 12.0) % 24.0 - 12.0) <= 6.0
            found[m, half] = np.percentile(left_k[near & around], LEVELS_PCT)
    return found


def deviates(left_k: Floats, levels_k: Floats) -> Floats:
    """Normal deviates whose quantiles these are: `distance_k` the other way."""
    row = np.arange(len(left_k))
    at = np.clip((left_k[:, None] > levels_k).sum(axis=1) - 1, 0, len(DEVIATES) - 2)
    low, high = levels_k[row, at], levels_k[row, at + 1]
    part = (left_k - low) / np.maximum(high - low, 1e-6)
    return np.asarray(DEVIATES[at] + part * (DEVIATES[at + 1] - DEVIATES[at]))


def memory(air: Floats) -> tuple[float, float, float]:
    """Two AR(1) processes with a path's autocorrelations: fast, slow, the slow one's share."""
    lags = np.array(LAGS_H)
    wanted = np.array([np.corrcoef(air[:-k], air[k:])[0, 1] for k in LAGS_H])

    def loss(x: Floats) -> float:
        fast, slow, share = x
        return float(((share * slow**lags + (1.0 - share) * fast**lags - wanted) ** 2).sum())

    found = minimize(
        loss, [0.8, 0.97, 0.8], bounds=[(0.0, 0.9), (0.9, 0.995), (0.0, 1.0)], method="L-BFGS-B"
    )
    fast, slow, share = (float(x) for x in found.x)
    return fast, slow, share


def describe(ambient_c: Floats) -> dict[str, float]:
    """What a year of temperatures looks like."""
    spread = np.ptp(ambient_c[: len(ambient_c) // 24 * 24].reshape(-1, 24), axis=1).mean()
    return {
        "mean C": float(ambient_c.mean()),
        **{f"p{p:g} C": float(np.percentile(ambient_c, p)) for p in (0.1, 1, 50, 99, 99.9)},
        **{f"h>{c}": 8760.0 * float((ambient_c > c).mean()) for c in (25, 30, 35)},
        **{f"h<{c}": 8760.0 * float((ambient_c < c).mean()) for c in (0, -10)},
        "daily range K": float(spread),
        **{
            f"autocorrelation {k} h": float(np.corrcoef(ambient_c[:-k], ambient_c[k:])[0, 1])
            for k in (1, 24, 72)
        },
    }


def simulated_c(climate: Climate) -> Floats:
    """Years of hourly temperatures, at the ends of their hours."""
    made = SeasonalTemperature(
        climate, start_utc=datetime(2025, 1, 1, 1, tzinfo=UTC), utc_offset_h=0.0,
        horizon_s=YEARS * 8760 * 3600, place="calibration", streams=Streams(1),
    )  # fmt: skip
    return made.ambient_c[: YEARS * 8760]


def normals(row: tuple[float, ...], like: Climate) -> Climate:
    """A climate of monthly normals (mean, amplitude, warmest day, daily amplitude), else alike."""
    mean, season, warmest, diurnal = row
    turn, hour = 2 * np.pi * warmest / YEAR_DAYS, 2 * np.pi * like.warmest_hour / 24.0
    harmonics = np.zeros(SHAPES["harmonics_c"])
    harmonics[0, 0] = mean
    harmonics[1, 0], harmonics[2, 0] = season * np.cos(turn), season * np.sin(turn)
    harmonics[0, 1], harmonics[0, 2] = diurnal * np.cos(hour), diurnal * np.sin(hour)
    later = round((warmest - like.warmest_day) / YEAR_DAYS * 12)  # months: its seasons come then
    return like._replace(
        mean_c=mean,
        seasonal_amplitude_c=season,
        warmest_day=warmest,
        diurnal_amplitude_c=diurnal,
        dew_mean_c=mean - (like.mean_c - like.dew_mean_c),
        dew_amplitude_c=season * like.dew_amplitude_c / like.seasonal_amplitude_c,
        dew_warmest_day=(warmest + like.dew_warmest_day - like.warmest_day) % YEAR_DAYS,
        harmonics_c=harmonics,
        quantiles_k=np.roll(like.quantiles_k, later, axis=0),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("HASHWATT_DATA", "../shared/data"))
    folder = Path(parser.parse_args().data) / "weather"
    import pyarrow.csv

    fitted: dict[str, tuple[Climate, str]] = {}
    for file in sorted(folder.glob("*.csv.gz")):
        name = file.name.removesuffix(".csv.gz").replace("_", "-")
        table = pyarrow.csv.read_csv(file)
        values = [table[c].to_numpy().astype(np.float64) for c in ("dry_bulb_c", "dew_point_c")]
        climate = fit(*values)
        fitted[name] = (climate, "fit to a typical year by experiments/calibrate_weather.py")
        real, made = describe(values[0]), describe(simulated_c(climate))
        print(f"{name}: observed / simulated")
        print("   ", "  ".join(f"{k} {real[k]:.4g}/{made[k]:.4g}" for k in real))
    for name, (mean, season, warmest, diurnal, twin, words) in NORMALS.items():
        climate = normals((mean, season, warmest, diurnal), fitted[twin][0])
        part = f"quantiles and memory, dew point's distance and season as {twin}"
        if name in DEW_NORMALS:
            *figures, dew_normals = DEW_NORMALS[name]
            dew = ("dew_mean_c", "dew_amplitude_c", "dew_warmest_day")
            climate = climate._replace(**dict(zip(dew, figures, strict=True)))
            part = f"quantiles and memory as {twin}; dew point of climate normals ({dew_normals})"
        fitted[name] = (climate, f"assumed: climate normals ({words}), {part}")
    plain = [key for key in Climate._fields if key not in SHAPES]
    with (CATALOGUE / "climates.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["climate", *plain, "source"])
        for name, (climate, source) in sorted(fitted.items()):
            writer.writerow([name, *(f"{getattr(climate, k):.5g}" for k in plain), source])
    with (CATALOGUE / "climate_shapes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["climate", "key", "index", "value"])
        for name, (climate, _) in sorted(fitted.items()):
            for key in SHAPES:
                for index, value in enumerate(np.ravel(getattr(climate, key))):
                    writer.writerow([name, key, index, f"{value:.4g}"])


if __name__ == "__main__":
    main()
