"""Heat against publications: the S21 on hot days, wet bulbs, humidity, PUE by cooling method.

Published PUEs of mines are vendors' claims or wide ranges. The tower's design point and the dew
points were fitted to the figures they are checked against here, so these checks guard against
regressions and prove nothing.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.csv

from sim.kernels.thermal import cooling_share, derating, wet_bulb_c, wet_bulbs_c
from sim.scenario import catalogue
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_HOUR
from sim.validation.check import Check, Found, guarded
from sim.validation.recordings import recorded
from sim.world.weather import SeasonalTemperature, load_climates

MODES: Final = "asic_specs/asic_power_modes.csv"
NEEDS_DATA: Final = [
    f"derating of the S21 ({MODES})",
    "synthetic dew points against typical years (weather/*.csv.gz)",
]
STULL: Final = "Stull 2011, J. Appl. Meteorol. Climatol. 50, 2267"
STULL_K: Final = (-1.0, 0.65)  # error range stated in the paper
WET_BULBS: Final = (
    # dry bulb [C], relative humidity [%], wet bulb [C], tolerance below and above [K], source
    (20.0, 50.0, 13.7, (-0.05, 0.05), f"{STULL}: the formula's worked example"),
    (26.7, 51.1, 19.4, STULL_K, "AHRI 210/240, indoor rating point: 80 F dry, 67 F wet"),
    (35.0, 39.5, 23.9, STULL_K, "AHRI 210/240, outdoor rating point: 95 F dry, 75 F wet"),
)
HALLS: Final = "CBECI methodology (Cambridge): 1.01 to 1.20, best guess 1.10; assumed to hold here"
YEARLY_PUE: Final = (
    # cooling method, lowest and highest published PUE, source
    ("air", 1.01, 1.20, HALLS),
    ("air-evaporative", 1.01, 1.20, HALLS),
    ("hydro", 1.02, 1.06, "drolin-box.com, hydro against air cooling: 1.05; range assumed"),
    (
        "immersion",
        1.02,
        1.10,
        "d-central.tech/immersion-vs-air-cooling: 1.03 (fitted) to 1.10",
    ),
    ("tower", 1.01, 1.059, "minerbase.com/en/service: at most 25 kW for 424 kW of machines"),
    ("chiller", 1.05, 1.30, "HP EcoPOD (itbusinessedge.com): 1.05 free air to 1.3 chilled"),
)
DESIGN_PUE: Final = (
    # cooling method, dry and wet bulb [C], published PUE at design, tolerance, source
    ("tower", 35.0, 28.0, 1.059, 0.002, "minerbase.com/en/service: 25 kW for 424 kW; fitted"),
    (
        "chiller",
        35.0,
        24.0,
        1.30,
        0.03,
        "HP EcoPOD, fully chilled (itbusinessedge.com); 35 C assumed",
    ),
)
PLACE: Final = "waco-tx"
DEW_POINT_K: Final = 1.5
YEAR_H: Final = 8760


def checks(data: Path | None) -> Iterator[Found]:
    """Wet bulbs and PUE always; the S21 and dew points only with data."""
    yield from _wet_bulbs()
    yield from _pue()
    if data is not None:
        yield from guarded("derating of the S21", partial(_s21, data))
        yield from guarded("synthetic against typical years", partial(_dew_points, data))


def _wet_bulbs() -> Iterator[Check]:
    for dry_c, humidity_pct, wet_c, (below_k, above_k), source in WET_BULBS:
        got_c = wet_bulb_c(dry_c, humidity_pct)
        yield Check(
            "wet bulb",
            f"{dry_c:g} C, {humidity_pct:g} %",
            wet_c,
            round(got_c, 2),
            "C",
            f"{below_k:+g} to {above_k:+g} K",
            below_k <= got_c - wet_c <= above_k,
            source,
        )


def _pue() -> Iterator[Check]:
    weather, t_s = _year(PLACE)
    dry_c, wet_c = weather.at(t_s), weather.wet_bulb_at(t_s)
    for name, low, high, source in YEARLY_PUE:
        row = catalogue.cooling()[name].row()
        shares = [cooling_share(row, d, w) for d, w in zip(dry_c, wet_c, strict=True)]
        pue = 1.0 + float(np.mean(shares))
        yield Check(
            "PUE of a year",
            f"{name}, synthetic {PLACE}",
            f"{low:g} to {high:g}",
            round(pue, 4),
            "",
            "within the range",
            low <= pue <= high,
            source,
        )
    for name, dry, wet, published, within, source in DESIGN_PUE:
        pue = 1.0 + cooling_share(catalogue.cooling()[name].row(), dry, wet)
        yield Check(
            "PUE at design",
            f"{name}, {dry:g} C dry, {wet:g} C wet",
            published,
            round(pue, 4),
            "",
            f"± {within:g}",
            abs(pue - published) <= within,
            source,
        )


def _s21(data: Path) -> Iterator[Check]:
    """Derating factors around the temperatures named by the source, read from its row."""
    rows = recorded(data, MODES, "model", "frequency_mhz", "note")
    mode = next((row for row in rows if row.text("model") == "Antminer S21"), None)
    if mode is None:
        raise ValueError(f"{MODES}: no row of the Antminer S21")
    found = re.search(
        r"above (\d+) C ambient the frequency falls from (\d+) to (\d+) MHz; above (\d+) C it",
        mode.text("note"),
    )
    if found is None or float(found[2]) != mode.number("frequency_mhz"):
        raise ValueError(
            f"{MODES}, row {mode.row}, column note is {mode.text('note')!r}; must tell of two "
            "ambient temperatures, and of the row's frequency and a lower one"
        )
    start_c, full_mhz, low_mhz, trip_c = (float(figure) for figure in found.groups())
    low = low_mhz / full_mhz
    row = catalogue.cooling()[catalogue.asics()["Antminer S21"].cooling].row()
    cases = ((start_c - 0.1, 1.0), (start_c + 1, low), (trip_c - 0.1, low), (trip_c + 0.1, 0.0))
    for ambient_c, factor in cases:
        got = derating(row, ambient_c, ambient_c - 15.0)
        yield Check(
            "derating of the S21",
            f"{ambient_c:g} C",
            round(factor, 4),
            round(got, 4),
            "",
            "± 0.001",
            abs(got - factor) <= 0.001,
            MODES,
        )


def _dew_points(data: Path) -> Iterator[Found]:
    for name in sorted(row.text("file") for row in recorded(data, "weather/stations.csv", "file")):
        yield from guarded(f"synthetic against typical year, {name!r}", partial(_place, data, name))


def _place(data: Path, name: str) -> Iterator[Check]:
    climate = name.removesuffix(".csv.gz").replace("_", "-")
    if climate not in load_climates():
        raise ValueError(f"weather/stations.csv: no climate {climate!r} (hashwatt list climates)")
    table = pyarrow.csv.read_csv(data / "weather" / name)
    dry_c, dew_c = (
        table[column].to_numpy().astype(np.float64) for column in ("dry_bulb_c", "dew_point_c")
    )
    if not (np.isfinite(dry_c).all() and np.isfinite(dew_c).all() and len(dry_c)):
        raise ValueError(f"weather/{name}: an empty cell, or no row at all")
    weather, t_s = _year(climate)
    for what, real, made in (
        ("dew point", dew_c, weather.dew_point_at(t_s)),
        ("wet bulb", wet_bulbs_c(dry_c, dew_c), weather.wet_bulb_at(t_s)),
    ):
        yield _mean(what, name, real, made)


def _mean(what: str, name: str, real: Floats, made: Floats) -> Check:
    return Check(
        f"mean {what}, synthetic against typical year",
        name.removesuffix(".csv.gz"),
        round(float(real.mean()), 2),
        round(float(made.mean()), 2),
        "C",
        f"± {DEW_POINT_K:g} K",
        bool(abs(made.mean() - real.mean()) <= DEW_POINT_K),
        f"weather/{name}",
    )


def _year(climate: str) -> tuple[SeasonalTemperature, Ints]:
    """A synthetic year of temperatures, and the instants of its hours."""
    weather = SeasonalTemperature(
        load_climates()[climate],
        start_utc=datetime(2025, 1, 1, tzinfo=UTC),
        utc_offset_h=0.0,
        horizon_s=YEAR_H * SECONDS_PER_HOUR,
        place=climate,
        streams=Streams(1),
    )
    return weather, np.arange(YEAR_H, dtype=np.int64) * SECONDS_PER_HOUR
