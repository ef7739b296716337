"""Synthetic prices and temperatures against theory and against the recorded ones."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from sim.scenario.model import SeriesSpec
from sim.scenario.series import Series, SeriesError, read_series
from sim.streams import Streams
from sim.types import Floats
from sim.world.prices import SeasonalJumpPrice, ar1, load_price_profiles, local_calendar
from sim.world.weather import SeasonalTemperature, expected_c, load_climates

START = datetime(2024, 1, 1, 6, tzinfo=UTC)
HOURS = 17_508


def price(name: str, days: int, seed: int = 1, mean: float | None = None) -> Floats:
    signal = SeasonalJumpPrice(
        load_price_profiles()[name],
        mean_usd_per_mwh=mean,
        start_utc=START,
        utc_offset_h=-6.0,
        horizon_s=days * 86_400,
        zone="zone",
        streams=Streams(seed),
    )
    return signal.at(np.arange(days * 24, dtype=np.int64) * 3600)


def test_ar1_has_its_moments() -> None:
    x = ar1(np.random.default_rng(1).standard_normal(400_000), 0.9, 2.0)
    assert x.mean() == pytest.approx(0.0, abs=0.1)
    assert x.std() == pytest.approx(2.0, rel=0.02)
    assert np.corrcoef(x[:-1], x[1:])[0, 1] == pytest.approx(0.9, abs=0.005)
    assert np.corrcoef(x[:-24], x[24:])[0, 1] == pytest.approx(0.9**24, abs=0.02)


def test_the_horizon_does_not_change_the_price() -> None:
    np.testing.assert_array_equal(price("ercot-west", 40)[: 5 * 24], price("ercot-west", 5))
    assert not np.array_equal(price("ercot-west", 5), price("ercot-west", 5, seed=2))


@pytest.mark.parametrize("mean", [25.0, 60.0])
def test_the_mean_is_what_was_asked_for(mean: float) -> None:
    path = np.concatenate([price("ercot-hub", 3650, seed, mean) for seed in range(4)])
    assert path.mean() == pytest.approx(mean, rel=0.04)
    assert path.min() >= -250.0
    assert path.max() <= 5000.0


@pytest.mark.parametrize(
    ("name", "column"), [("ercot-hub", "hb_hubavg_rtm"), ("ercot-west", "lz_west_rtm")]
)
def test_like_the_recorded_prices(name: str, column: str, data: Path) -> None:
    spec = SeriesSpec(
        file="x", time_column="hour_beginning_cpt", timezone="America/Chicago", max_gap_h=3
    )
    series = read_series(data / "electricity_prices/ercot_zones_hourly_2024_2026.csv.gz", spec)
    seconds = int(START.timestamp()) + np.arange(HOURS, dtype=np.int64) * 3600
    real = series.sample(column, seconds)
    made = price(name, 7300)
    assert made.mean() == pytest.approx(real.mean(), rel=0.05)
    for level, within in ((25, 3.0), (50, 4.0), (75, 5.0)):
        assert np.percentile(made, level) == pytest.approx(np.percentile(real, level), abs=within)
    assert np.percentile(made, 99) == pytest.approx(np.percentile(real, 99), rel=0.25)
    assert (made < 0).mean() == pytest.approx((real < 0).mean(), abs=0.01)
    _, _, hour = local_calendar(START.replace(hour=0), len(real))
    _, _, hour_made = local_calendar(START.replace(hour=0), len(made))
    by_hour = [
        [np.median(p[h == k]) for k in range(24)] for p, h in ((real, hour), (made, hour_made))
    ]
    assert np.corrcoef(*by_hour)[0, 1] > 0.95


def test_the_calendar_is_that_of_datetime() -> None:
    month, weekday, hour = local_calendar(datetime(2024, 2, 28, 22, tzinfo=UTC), 60)
    assert (month[0], weekday[0], hour[0]) == (1, 2, 22)
    assert (month[30], weekday[30], hour[30]) == (2, 4, 4)  # 2024-03-01 is a Friday


def test_temperature_has_its_season_and_its_clock() -> None:
    climate = load_climates()["midland-tx"]
    days = 3652
    signal = SeasonalTemperature(
        climate,
        start_utc=datetime(2024, 1, 1, tzinfo=UTC),
        utc_offset_h=0.0,
        horizon_s=days * 86_400,
        place="midland",
        streams=Streams(1),
    )
    t_s = np.arange(days * 24, dtype=np.int64) * 3600
    ambient = signal.at(t_s)
    left = ambient - expected_c(climate, t_s / 86_400)
    assert left.mean() == pytest.approx(0.0, abs=0.5)
    assert 4.0 < left.std() < 7.0
    half = signal.at(t_s[:100] + 1800)
    np.testing.assert_allclose(half, (ambient[:100] + ambient[1:101]) / 2)
    india = SeasonalTemperature(
        climate._replace(quantiles_k=np.zeros_like(climate.quantiles_k)),
        start_utc=datetime(2024, 1, 1, tzinfo=UTC),
        utc_offset_h=5.5,
        horizon_s=86_400,
        place="midland",
        streams=Streams(1),
    )
    assert india.at(t_s[:1])[0] == pytest.approx(expected_c(climate, np.array([5.5 / 24]))[0])
    south = load_climates()["asuncion-py"]
    assert expected_c(south, np.array([15.0])) > expected_c(south, np.array([196.0]))


def write(tmp_path: Path, text: str) -> Series:
    (tmp_path / "s.csv").write_text(text)
    return read_series(
        tmp_path / "s.csv",
        SeriesSpec(file="s.csv", time_column="t", timezone="America/Chicago", max_gap_h=2),
    )


def test_clock_changes_of_local_series(tmp_path: Path) -> None:
    """2024-03-10 has no 02:00 in Texas; the hour before it is missing as well and is filled."""
    s = write(
        tmp_path, "t,v\n2024-03-10 00:00:00,1\n2024-03-10 03:00:00,2\n2024-03-10 04:00:00,3\n"
    )
    first = int(datetime(2024, 3, 10, 6, tzinfo=UTC).timestamp())
    got = s.sample("v", np.array([first, first + 3600, first + 7200, first + 10_800]))
    assert got.tolist() == [1.0, 1.0, 2.0, 3.0]
    with pytest.raises(SeriesError, match="covers"):
        s.sample("v", np.array([first - 1]))
