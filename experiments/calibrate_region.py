"""Calibrate a region's market as one process, and print it beside the recording.

ERCOT 2024 and 2025: hourly real-time and day-ahead prices of the hub average and three load zones,
forecast load and mean temperature, availability prices of four reserve products; of 2024 the
carbon intensity of the generation mix, at the life-cycle medians of the IPCC. Method: quantiles
of each month and hour with their neighbours (three months, three hours); each variable read
through them, its ranks made normal, temperature turned over in winter (cold is the stress there).
Of these deviates the covariances at lags of 0 to 120 h (of the hours that both have) are met by
four vector AR(1) processes of 0.5, 0.9, 0.97 and 0.997 per hour (assumed): least squares over
positive semidefinite matrices by projected gradients. Writes `region_levels.csv` and
`region_memory.csv` of the catalogue.

    python experiments/calibrate_region.py --data ../shared/data
"""

import argparse
import csv
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.stats import norm, rankdata

from sim.types import Floats

sys.path.insert(0, str(Path(__file__).parent.parent))


from sim.scenario.model import SeriesSpec
from sim.scenario.series import Seconds, read_series
from sim.streams import Streams
from sim.world.prices import local_calendar
from sim.world.region import (
    CARBON,
    DEVIATES,
    LEVELS_PCT,
    MOST,
    PHYSICAL,
    SCALE,
    TEMPERATURE,
    RegionPath,
    load_regions,
    stress_season,
)

CATALOGUE = Path(__file__).parent.parent / "sim/scenario/catalogue"
FOLDER = "electricity_prices"
ZONES = {"hub": "hb_hubavg", "north": "lz_north", "houston": "lz_houston", "west": "lz_west"}
RESERVES = ("regup", "rrs", "nspin", "ecrs")
MIX = "ercot_genmix_ancillary_hourly_2024_2026.csv.gz"
# Life-cycle medians [kgCO2eq/MWh]: IPCC AR5 WG3 (2014), Annex III, table A.III.2. A kind of gas
# turbine is not told apart there.
KG_PER_MWH = {
    "gas_gen_mw": 490.0, "gas_cc_gen_mw": 490.0, "coal_gen_mw": 820.0, "nuclear_gen_mw": 12.0,
    "solar_gen_mw": 48.0, "wind_gen_mw": 11.0, "hydro_gen_mw": 24.0, "biomass_gen_mw": 230.0,
}  # fmt: skip
START = datetime(2024, 1, 1, 6, tzinfo=UTC)
HOURS = (366 + 333) * 24  # to 2025-11-29
OFFSET_H = -6
AR1_PER_H = np.array([0.5, 0.9, 0.97, 0.997])
LAGS_H = np.array([0, 1, 2, 3, 6, 12, 24, 48, 72, 120])
WEIGHTS = np.array([4, 4, 2, 2, 1, 1, 2, 1, 1, 1])
ROUNDS = 3000
YEARS = 20


def recorded(data: Path) -> dict[str, Floats]:
    """Hourly values by variable (hour,); NaN where none is recorded."""
    at_s = np.int64(START.timestamp()) + np.arange(HOURS, dtype=np.int64) * 3600

    def columns(file: str, names: dict[str, str], gap_h: int, **stamps: str) -> dict[str, Floats]:
        path = f"{FOLDER}/{file}"
        series = read_series(data / path, SeriesSpec(file=path, max_gap_h=gap_h, **stamps))
        return {name: series.sample(column, at_s) for name, column in names.items()}

    local = {"time_column": "hour_beginning_cpt", "timezone": "America/Chicago"}
    prices = {
        f"{zone}-{kind}": f"{column}_{suffix}"
        for zone, column in ZONES.items()
        for kind, suffix in (("rt", "rtm"), ("da", "dam"))
    }
    system = {"load": "da_demand_forecast_mw", TEMPERATURE: "temp_c_ercot"}
    return {
        **columns("ercot_zones_hourly_2024_2026.csv.gz", prices, 3, **local),
        **columns(
            "ercot_hubavg_da_hourly_2024_2025.csv.gz", system, 3, time_column="interval_start_utc"
        ),
        **columns(MIX, {name: name for name in RESERVES}, 400, **local),
        CARBON: carbon_kg_per_mwh(data, at_s, local),
    }


def carbon_kg_per_mwh(data: Path, at_s: Seconds, local: dict[str, str]) -> Floats:
    """Carbon intensity of what was generated (hour,); NaN in hours whose mix is not recorded."""
    path = f"{FOLDER}/{MIX}"
    series = read_series(data / path, SeriesSpec(file=path, max_gap_h=3, **local))
    mw = {name: np.maximum(series.column(name), 0.0) for name in KG_PER_MWH}
    intensity = sum(KG_PER_MWH[name] * x for name, x in mw.items()) / sum(mw.values())
    row = series.locate(at_s)
    return np.where(row >= 0, intensity[row], np.nan)


def shape(name: str, values: Floats) -> Floats:
    """Values as they are interpolated."""
    return values if name in PHYSICAL else np.arcsinh(values / SCALE)


def quantiles(values: Floats, month: Floats, hour: Floats) -> Floats:
    """(12, 24, level) of each month and hour with their neighbours."""
    found = np.zeros((12, 24, len(LEVELS_PCT)))
    for m in range(12):
        near = np.minimum((month - m) % 12, (m - month) % 12) <= 1
        for h in range(24):
            around = np.minimum((hour - h) % 24, (h - hour) % 24) <= 1
            found[m, h] = np.nanpercentile(values[near & around], LEVELS_PCT)
    return found


def deviates(values: Floats, levels: Floats) -> Floats:
    """Normal deviates (hour,) of values by quantiles (hour, level), their ranks made normal."""
    row = np.arange(len(values))
    at = np.clip((values[:, None] > levels).sum(axis=1) - 1, 0, len(DEVIATES) - 2)
    low, high = levels[row, at], levels[row, at + 1]
    part = (values - low) / np.maximum(high - low, 1e-9)
    found = np.clip(DEVIATES[at] + part * (DEVIATES[at + 1] - DEVIATES[at]), -MOST, MOST)
    known = np.isfinite(values)
    ranks = rankdata(found[known])
    found[known] = norm.ppf((ranks - 0.5) / len(ranks))
    return np.where(known, found, np.nan)


def positive(matrix: Floats) -> Floats:
    """The nearest positive semidefinite matrix."""
    value, vector = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return np.asarray((vector * np.maximum(value, 1e-6)) @ vector.T)


def components(path: Floats) -> Floats:
    """Covariances (memory, variable, variable) of the processes, with a sum of variance 1."""
    hours = path.shape[1]
    known = np.isfinite(path).astype(np.float64)
    path = np.nan_to_num(path)

    def lagged(x: Floats, k: int) -> Floats:
        return np.asarray(x[:, : hours - k] @ x[:, k:].T)

    wanted = np.stack([lagged(path, k) / lagged(known, k) for k in LAGS_H])
    wanted = (wanted + wanted.transpose(0, 2, 1)) / 2.0
    share = AR1_PER_H[None] ** LAGS_H[:, None]
    found = np.stack([positive(wanted[0] / len(AR1_PER_H))] * len(AR1_PER_H))
    for _ in range(ROUNDS):
        left = np.einsum("lc,cij->lij", share, found) - wanted
        slope = np.einsum("lc,l,lij->cij", share, WEIGHTS, left)
        found = np.stack([positive(f - 0.01 * s) for f, s in zip(found, slope, strict=True)])
        spread = np.sqrt(np.einsum("cii->i", found))
        found = found / spread[:, None] / spread
    print(f"covariances left: r.m.s. {np.sqrt((left**2).mean()):.3f}")
    return found


def simulated(name: str) -> RegionPath:
    """Years of a region."""
    return RegionPath(name, START, YEARS * 8760, Streams(1))


def describe(values: dict[str, Floats]) -> dict[str, float]:
    """What a region's hours look like: levels, tails, memory, and what goes together."""
    found: dict[str, float] = {}

    def together(one: Floats, other: Floats) -> float:
        known = np.isfinite(one) & np.isfinite(other)
        return float(np.corrcoef(one[known], other[known])[0, 1])

    def lag(name: str, hours: int) -> float:
        y = shape(name, values[name])
        return together(y[:-hours], y[hours:])

    for name, path in values.items():
        x = path[np.isfinite(path)]
        found[f"{name} mean"] = float(x.mean())
        for level in (1, 5, 50, 95, 99, 99.9):
            found[f"{name} p{level:g}"] = float(np.percentile(x, level))
        found[f"{name} autocorrelation 1 h"] = lag(name, 1)
        found[f"{name} autocorrelation 24 h"] = lag(name, 24)
    for one, other in (
        ("hub-rt", "hub-da"), ("hub-rt", "west-rt"), ("hub-rt", "houston-rt"),
        ("west-rt", "houston-rt"), ("hub-rt", "load"), ("load", TEMPERATURE), ("hub-da", "rrs"),
        ("hub-da", CARBON), ("load", CARBON), (TEMPERATURE, CARBON),
    ):  # fmt: skip
        both = together(shape(one, values[one]), shape(other, values[other]))
        found[f"correlation {one} {other}"] = both
    price, heat = values["hub-rt"], values[TEMPERATURE]
    found["hub-rt mean above 32 C"] = float(price[heat > 32.0].mean())
    above = price > 100.0
    begins = above & ~np.concatenate([[False], above[:-1]])
    found["hub-rt spells above 100 a year"] = float(begins.sum() / len(price) * 8760)
    found["hub-rt hours of a spell above 100"] = float(above.sum() / begins.sum())
    found["hub-rt hours below 0, %"] = 100.0 * float((price < 0.0).mean())
    return found


def write(name: str, levels: dict[str, Floats], found: Floats) -> None:
    """The catalogue's two files of a region."""
    with (CATALOGUE / "region_levels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["region", "variable", "month", "hour", *(f"p{p:g}" for p in LEVELS_PCT)])
        for variable, table in levels.items():
            plain = table if variable in PHYSICAL else SCALE * np.sinh(table)
            for m in range(12):
                for h in range(24):
                    rows.writerow([name, variable, m + 1, h, *(f"{v:.5g}" for v in plain[m, h])])
    with (CATALOGUE / "region_memory.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["region", "utc_offset_h", "ar1_per_h", "variable", *levels, "source"])
        source = "fit to ERCOT 2024-2025 by experiments/calibrate_region.py"
        for ar1, covariance in zip(AR1_PER_H, found, strict=True):
            factor = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(covariance)))
            for variable, row in zip(levels, factor, strict=True):
                values = (f"{v:.6g}" for v in row)
                rows.writerow([name, OFFSET_H, f"{ar1:g}", variable, *values, source])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("HASHWATT_DATA", "../shared/data"))
    values = recorded(Path(parser.parse_args().data))
    start = START + timedelta(hours=OFFSET_H)
    month, _, hour = local_calendar(start, HOURS)
    levels = {n: quantiles(shape(n, x), month, hour) for n, x in values.items()}
    path = np.stack([deviates(shape(n, x), levels[n][month, hour]) for n, x in values.items()])
    day = start.timetuple().tm_yday - 1 + (start.hour + np.arange(HOURS)) / 24.0
    path[list(values).index(TEMPERATURE)] *= np.sign(stress_season(day))
    write("ercot", levels, components(path))
    load_regions.cache_clear()
    made = simulated("ercot")
    real, twin = describe(values), describe({n: made.hourly(n) for n in values})
    for key, value in real.items():
        print(f"{key:40s} {value:12.4g} {twin[key]:12.4g}")


if __name__ == "__main__":
    main()
