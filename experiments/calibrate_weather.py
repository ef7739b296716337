"""Fit climates to typical years: least squares for season and day, AR(1) for what is left.

The dew point gets a season of its own, by least squares. Writes
`sim/scenario/catalogue/climates.csv`. Places without a station take monthly normals (WMO, rounded)
and the AR(1) part of a station that is alike, and as much drier than saturated, in the mean and in
its season, as that station: marked as assumed.

    python experiments/calibrate_weather.py --data ../shared/data
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np

from sim.kernels.arrays import Floats
from sim.world.weather import Climate, expected_c

OUT = Path(__file__).parent.parent / "sim/scenario/catalogue/climates.csv"
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
    first = Climate(
        mean_c=c[0],
        seasonal_amplitude_c=float(np.hypot(c[1], c[2])),
        warmest_day=float(np.arctan2(c[2], c[1]) / (2 * np.pi) * YEAR_DAYS % YEAR_DAYS),
        diurnal_amplitude_c=float(np.hypot(c[3], c[4])),
        warmest_hour=float(np.arctan2(c[4], c[3]) / (2 * np.pi) * 24 % 24),
        ar1_per_h=0.0,
        noise_c=0.0,
        dew_mean_c=dew[0],
        dew_amplitude_c=float(np.hypot(dew[1], dew[2])),
        dew_warmest_day=float(np.arctan2(dew[2], dew[1]) / (2 * np.pi) * YEAR_DAYS % YEAR_DAYS),
    )
    left = ambient_c - expected_c(first, days)
    return first._replace(
        ar1_per_h=float(np.corrcoef(left[:-1], left[1:])[0, 1]), noise_c=float(left.std())
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
        fitted[name] = (fit(*values), "fit to a typical year by experiments/calibrate_weather.py")
        print(f"{name:16s} {fitted[name][0]}")
    for name, (mean, season, warmest, diurnal, twin, normals) in NORMALS.items():
        like = fitted[twin][0]
        climate = like._replace(
            mean_c=mean,
            seasonal_amplitude_c=season,
            warmest_day=warmest,
            diurnal_amplitude_c=diurnal,
            dew_mean_c=mean - (like.mean_c - like.dew_mean_c),
            dew_amplitude_c=season * like.dew_amplitude_c / like.seasonal_amplitude_c,
            dew_warmest_day=(warmest + like.dew_warmest_day - like.warmest_day) % YEAR_DAYS,
        )
        part = f"AR(1) and dew point's distance and season as {twin}"
        if name in DEW_NORMALS:
            *figures, dew_normals = DEW_NORMALS[name]
            climate = climate._replace(**dict(zip(Climate._fields[-3:], figures, strict=True)))
            part = f"AR(1) as {twin}; dew point of climate normals ({dew_normals})"
        fitted[name] = (climate, f"assumed: climate normals ({normals}), {part}")
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["climate", *Climate._fields, "source"])
        for name, (climate, source) in sorted(fitted.items()):
            writer.writerow([name, *(f"{v:.5g}" for v in climate), source])


if __name__ == "__main__":
    main()
