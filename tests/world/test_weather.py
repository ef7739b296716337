"""Synthetic temperatures against theory and against the typical years they were fitted to."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from sim.streams import Streams
from sim.types import Floats
from sim.validation.thermal import checks
from sim.world.weather import (
    DEVIATES,
    Climate,
    SeasonalTemperature,
    distance_k,
    expected_c,
    expected_dew_point_c,
    load_climates,
)

STATIONS = ["midland-tx", "massena-ny", "phoenix-az", "reykjavik-is", "addis-ababa-et"]
YEAR_H = 8760


def signal(
    climate: Climate,
    hours: int,
    seed: int = 1,
    place: str = "place",
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC),
    offset_h: float = 0.0,
) -> SeasonalTemperature:
    return SeasonalTemperature(
        climate,
        start_utc=start,
        utc_offset_h=offset_h,
        horizon_s=hours * 3600,
        place=place,
        streams=Streams(seed),
    )


def simulate(
    climate: Climate,
    hours: int,
    seed: int = 1,
    place: str = "place",
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC),
    offset_h: float = 0.0,
) -> Floats:
    made = signal(climate, hours, seed, place, start, offset_h)
    return made.at(np.arange(hours, dtype=np.int64) * 3600)


def still(climate: Climate) -> Climate:
    """The same without air masses: the expected temperature."""
    return climate._replace(quantiles_k=np.zeros_like(climate.quantiles_k))


def test_the_harmonics_by_hand() -> None:
    """20 C, 10 K more at midsummer, 5 K more at noon, and a day that is wider in summer by 2 K."""
    harmonics = np.zeros((5, 5))
    harmonics[0, 0], harmonics[1, 0], harmonics[0, 1], harmonics[1, 1] = 20.0, -10.0, -5.0, -2.0
    climate = load_climates()["midland-tx"]._replace(harmonics_c=harmonics)
    half_year, noon = 365.25 / 2.0, 0.5
    midsummer = np.floor(half_year)
    turn = np.cos(2.0 * np.pi * (midsummer + noon) / 365.25)
    assert expected_c(climate, np.array([midsummer + noon]))[0] == pytest.approx(
        20.0 - 10.0 * turn + 5.0 + 2.0 * turn
    )
    assert expected_c(climate, np.array([0.0]))[0] == pytest.approx(20.0 - 10.0 - 5.0 - 2.0)


def test_an_air_mass_is_read_through_the_quantiles_of_month_and_hour() -> None:
    quantiles = np.zeros((12, 2, 9))
    quantiles[6, 1] = [-9, -6, -4, -1, 0, 1, 2, 3, 5]  # days of July
    climate = load_climates()["midland-tx"]._replace(quantiles_k=quantiles)
    july = np.full(5, 6.5 * 365.25 / 12.0)
    afternoon = np.floor(july) + 15.0 / 24.0
    air = np.array([0.0, 0.674489750, -2.326347874, 3.090232306, 3.090232306 + 0.763884432])
    got = distance_k(climate, afternoon, air)
    np.testing.assert_allclose(got, [0, 1, -6, 5, 7], rtol=0.02)  # the middle of July is near
    np.testing.assert_allclose(distance_k(climate, afternoon + 0.5, air), 0.0, atol=1e-9)
    morning = distance_k(climate, afternoon - 0.25, air)
    np.testing.assert_allclose(morning, got / 2.0, rtol=0.02)
    january = distance_k(climate, afternoon - 181.0, air)
    np.testing.assert_allclose(january, 0.0)


@pytest.mark.parametrize("name", STATIONS)
def test_air_masses_have_the_memory_of_two_processes(name: str) -> None:
    """Read through the quantiles of a standard normal value, the path is its own air mass."""
    plain = np.broadcast_to(DEVIATES, (12, 2, len(DEVIATES)))
    climate = load_climates()[name]._replace(quantiles_k=plain)
    hours = 40 * YEAR_H
    air = simulate(climate, hours) - expected_c(climate, np.arange(hours) / 24.0)
    assert air.mean() == pytest.approx(0.0, abs=0.1)
    assert air.std() == pytest.approx(1.0, rel=0.05)
    for lag in (1, 24, 72):
        measured = np.corrcoef(air[:-lag], air[lag:])[0, 1]
        slow = climate.slow_share * climate.slow_ar1_per_h**lag
        fast = (1.0 - climate.slow_share) * climate.fast_ar1_per_h**lag
        assert measured == pytest.approx(slow + fast, abs=0.03)


def test_day_and_season_peak_when_the_climate_says() -> None:
    climate = still(load_climates()["phoenix-az"])
    year = simulate(climate, YEAR_H).reshape(365, 24)
    assert abs(int(year.mean(axis=1).argmax()) - climate.warmest_day) <= 15.0
    assert abs(int(year.mean(axis=0).argmax()) - climate.warmest_hour) <= 1.0


def test_the_clock_is_local() -> None:
    climate = still(load_climates()["midland-tx"])
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


FITTED = sorted(
    name
    for name in load_climates()
    if name not in ("asuncion-py", "calgary-ab", "muscat-om", "oslo-no")
)  # the others are normals


@pytest.mark.needs_data
@pytest.mark.parametrize("name", FITTED)
def test_like_the_typical_year(name: str, data: Path) -> None:
    """Levels, tails, season, day and memory; hours of heat and frost decide what machines do."""
    table = pyarrow.csv.read_csv(data / f"weather/{name.replace('-', '_')}.csv.gz")
    real = table["dry_bulb_c"].to_numpy().astype(np.float64)
    start = datetime(2025, 1, 1, 1, tzinfo=UTC)  # values belong to the end of their hour
    made = np.concatenate(
        [simulate(load_climates()[name], YEAR_H, seed, start=start) for seed in range(20)]
    )
    assert made.mean() == pytest.approx(real.mean(), abs=0.3)
    assert made.std() == pytest.approx(real.std(), rel=0.05)
    for level, within in (
        (0.1, 3.5),  # nine hours of one year
        (1, 2.0),
        (5, 1.5),
        (50, 1.0),
        (95, 1.0),
        (99, 1.0),
        (99.9, 1.5),
    ):
        assert np.percentile(made, level) == pytest.approx(np.percentile(real, level), abs=within)
    for limit in (25, 30, 35):
        above = YEAR_H * (made > limit).mean()
        assert above == pytest.approx((real > limit).sum(), rel=0.35, abs=25), limit
    for limit in (0, -10):
        below = YEAR_H * (made < limit).mean()
        assert below == pytest.approx((real < limit).sum(), rel=0.15, abs=50), limit
    by_hour = [v.reshape(-1, 24).mean(axis=0) for v in (real, made)]
    assert np.corrcoef(by_hour[0], by_hour[1])[0, 1] > 0.99
    for lag, within in ((1, 0.025), (24, 0.05), (72, 0.07)):
        memory = [np.corrcoef(v[:-lag], v[lag:])[0, 1] for v in (real, made)]
        assert memory[1] == pytest.approx(memory[0], abs=within), lag


@pytest.mark.parametrize("name", sorted(load_climates()))
def test_air_is_never_more_than_saturated(name: str) -> None:
    made = signal(load_climates()[name], YEAR_H)
    t_s = np.arange(0, YEAR_H * 3600, 900, dtype=np.int64)[:-4]
    dry_c, dew_c, wet_c = made.at(t_s), made.dew_point_at(t_s), made.wet_bulb_at(t_s)
    assert (dew_c <= dry_c).all()
    assert (dew_c <= wet_c).all()
    assert (wet_c <= dry_c).all()
    humidity_pct = made.relative_humidity_at(t_s)
    assert humidity_pct.min() > 0.0
    assert humidity_pct.max() <= 100.0
    assert (humidity_pct[dew_c == dry_c] == 100.0).all()


def test_dew_point_has_a_season_of_its_own() -> None:
    climate = load_climates()["phoenix-az"]  # the monsoon is later than the heat
    days = np.arange(365.0)
    dew_c = expected_dew_point_c(climate, days)
    assert abs(int(dew_c.argmax()) - climate.dew_warmest_day) <= 1.0
    assert dew_c.argmax() > expected_c(climate, days).argmax() + 14
    start = datetime(2025, 1, 1, 7, tzinfo=UTC)
    made = signal(still(climate), YEAR_H, start=start, offset_h=-7.0)
    t_s = np.array([int(climate.dew_warmest_day * 86_400)])
    highest_c = climate.dew_mean_c + climate.dew_amplitude_c
    assert made.dew_point_at(t_s)[0] == pytest.approx(highest_c, abs=1e-6)


@pytest.mark.needs_data
def test_humidity_like_the_typical_years(data: Path) -> None:
    made = [c for c in checks(data) if c.check.startswith("mean ")]
    assert len(made) == 2 * 15
    assert [c for c in made if not c.ok] == []


@pytest.mark.needs_data
def test_the_s21_on_a_hot_day_as_published(data: Path) -> None:
    made = [c for c in checks(data) if c.check == "derating of the S21"]
    assert len(made) == 4
    assert [c for c in made if not c.ok] == []
