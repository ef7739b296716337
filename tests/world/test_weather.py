"""Synthetic temperatures against theory and against the typical years they were fitted to."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from sim.kernels.arrays import Floats
from sim.streams import Streams
from sim.world.weather import Climate, SeasonalTemperature, expected_c, load_climates

STATIONS = ["midland-tx", "massena-ny", "phoenix-az", "reykjavik-is", "addis-ababa-et"]
YEAR_H = 8760


def simulate(
    climate: Climate,
    hours: int,
    seed: int = 1,
    place: str = "place",
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC),
    offset_h: float = 0.0,
) -> Floats:
    signal = SeasonalTemperature(
        climate,
        start_utc=start,
        utc_offset_h=offset_h,
        horizon_s=hours * 3600,
        place=place,
        streams=Streams(seed),
    )
    return signal.at(np.arange(hours, dtype=np.int64) * 3600)


@pytest.mark.parametrize("name", STATIONS)
def test_noise_has_the_moments_of_its_ar1(name: str) -> None:
    climate = load_climates()[name]
    hours = 40 * YEAR_H
    left = simulate(climate, hours) - expected_c(climate, np.arange(hours) / 24.0)
    assert left.std() == pytest.approx(climate.noise_c, rel=0.05)
    for lag in (1, 24):
        measured = np.corrcoef(left[:-lag], left[lag:])[0, 1]
        assert measured == pytest.approx(climate.ar1_per_h**lag, abs=0.03)


def test_day_and_season_peak_when_the_climate_says() -> None:
    climate = load_climates()["phoenix-az"]._replace(noise_c=0.0)
    year = simulate(climate, YEAR_H).reshape(365, 24)
    assert abs(int(year.mean(axis=1).argmax()) - climate.warmest_day) <= 1.0
    assert abs(int(year.mean(axis=0).argmax()) - climate.warmest_hour) <= 0.5


def test_the_clock_is_local() -> None:
    climate = load_climates()["midland-tx"]._replace(noise_c=0.0)
    utc = simulate(climate, 48, start=datetime(2025, 1, 1, 6, tzinfo=UTC), offset_h=-6.0)
    np.testing.assert_allclose(utc, simulate(climate, 48))


def test_january_is_summer_in_the_south() -> None:
    for name, january_is_warmer in (("asuncion-py", True), ("muscat-om", False)):
        january, july = expected_c(load_climates()[name], np.array([15.0, 196.0]))
        assert (january > july) == january_is_warmer


def test_the_same_luck_gives_the_same_bytes() -> None:
    climate = load_climates()["midland-tx"]
    one = simulate(climate, 100)
    assert one.tobytes() == simulate(climate, 100).tobytes()
    assert one.tobytes() != simulate(climate, 100, place="other").tobytes()


@pytest.mark.parametrize("days", [5, 30, 31])
def test_the_horizon_does_not_change_the_past(days: int) -> None:
    climate = load_climates()["massena-ny"]
    long = simulate(climate, 65 * 24)
    assert simulate(climate, days * 24).tobytes() == long[: days * 24].tobytes()


@pytest.mark.needs_data
@pytest.mark.parametrize("name", STATIONS)
def test_like_the_typical_year(name: str, data: Path) -> None:
    table = pyarrow.csv.read_csv(data / f"weather/{name.replace('-', '_')}.csv.gz")
    real = table["dry_bulb_c"].to_numpy().astype(np.float64)
    start = datetime(2025, 1, 1, 1, tzinfo=UTC)  # values belong to the end of their hour
    made = np.concatenate(
        [simulate(load_climates()[name], YEAR_H, seed, start=start) for seed in range(20)]
    )
    assert made.mean() == pytest.approx(real.mean(), abs=0.5)
    assert made.std() == pytest.approx(real.std(), rel=0.05)
    for level, within in ((5, 3.0), (50, 2.0), (95, 3.0)):
        assert np.percentile(made, level) == pytest.approx(np.percentile(real, level), abs=within)
    by_hour = [v.reshape(-1, 24).mean(axis=0) for v in (real, made)]
    assert np.corrcoef(by_hour[0], by_hour[1])[0, 1] > 0.95
