"""The parts of the synthetic price, one by one, and its tails against the recorded ones."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sim.scenario.model import SeriesSpec
from sim.scenario.series import read_series
from sim.streams import Streams
from sim.types import Floats
from sim.world.prices import PriceProfile, SeasonalJumpPrice, load_price_profiles, local_calendar
from sim.world.prices import path as price_path

START = datetime(2024, 1, 1, 6, tzinfo=UTC)
START_LOCAL = START - timedelta(hours=6)
YEAR_H = 8760


def quiet(name: str = "ercot-hub") -> PriceProfile:
    """A profile without luck: season and weekend alone."""
    profile = load_price_profiles()[name]
    return profile._replace(fast_noise=0.0, slow_noise=0.0, jump_rate_per_h=np.zeros(24))


def simulate(
    profile: PriceProfile, hours: int, seed: int = 1, zone: str = "zone", mean: float | None = None
) -> Floats:
    signal = SeasonalJumpPrice(
        profile,
        mean_usd_per_mwh=mean,
        start_utc=START,
        utc_offset_h=-6.0,
        horizon_s=hours * 3600,
        zone=zone,
        streams=Streams(seed),
    )
    return signal.at(np.arange(hours, dtype=np.int64) * 3600)


def memory(price: Floats, lag_h: int) -> float:
    """Autocorrelation of asinh(price / 20 USD/MWh): spikes count less."""
    y = np.arcsinh(price / 20.0)
    return float(np.corrcoef(y[:-lag_h], y[lag_h:])[0, 1])


def test_the_season_is_what_is_left_without_luck() -> None:
    profile = quiet()
    month, weekday, hour = local_calendar(START_LOCAL, YEAR_H)
    y = np.log(simulate(profile, YEAR_H) + profile.offset_usd_per_mwh)
    expected = profile.seasonal[month, hour] + profile.weekend * (weekday >= 5)
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_the_season_is_recovered_from_many_years() -> None:
    profile = load_price_profiles()["ercot-west"]._replace(jump_rate_per_h=np.zeros(24))
    hours = 60 * YEAR_H
    month, weekday, hour = local_calendar(START_LOCAL, hours)
    y = price_path(profile, hours, START_LOCAL, "zone", Streams(1))
    y -= profile.weekend * (weekday >= 5)
    cell = month * 24 + hour
    mean = np.bincount(cell, y) / np.bincount(cell)
    np.testing.assert_allclose(mean.reshape(12, 24), profile.seasonal, atol=0.06)


def test_noise_is_the_sum_of_a_fast_and_a_slow_part() -> None:
    profile = load_price_profiles()["ercot-hub"]._replace(
        seasonal=np.zeros((12, 24)), weekend=0.0, jump_rate_per_h=np.zeros(24)
    )
    y = price_path(profile, 60 * YEAR_H, START_LOCAL, "zone", Streams(1))
    fast, slow = profile.fast_noise**2, profile.slow_noise**2
    assert y.mean() == pytest.approx(0.0, abs=0.01)
    assert y.var() == pytest.approx(fast + slow, rel=0.05)
    for lag in (1, 24):
        theory = fast * profile.fast_ar1_per_h**lag + slow * profile.slow_ar1_per_h**lag
        measured = np.corrcoef(y[:-lag], y[lag:])[0, 1]
        assert measured == pytest.approx(theory / (fast + slow), abs=0.02)


def test_jumps_arrive_at_their_rate_and_have_their_size() -> None:
    profile = quiet()._replace(
        seasonal=np.zeros((12, 24)),
        weekend=0.0,
        jump_rate_per_h=load_price_profiles()["ercot-hub"].jump_rate_per_h,
    )
    hours = 60 * YEAR_H
    y = price_path(profile, hours, START_LOCAL, "zone", Streams(1))
    size = y - profile.jump_decay_per_h * np.concatenate([[0.0], y[:-1]])
    arrived = size > 1e-9
    _, _, hour = local_calendar(START_LOCAL, hours)
    rate_per_h = np.bincount(hour, arrived) / np.bincount(hour)
    deviation = np.sqrt(profile.jump_rate_per_h / (hours / 24))
    assert np.abs((rate_per_h - profile.jump_rate_per_h) / deviation).max() < 4.0
    assert size[arrived].mean() == pytest.approx(profile.jump_size, rel=0.05)
    assert size[arrived].std() == pytest.approx(profile.jump_size, rel=0.05)  # exponential


def test_the_same_luck_gives_the_same_bytes() -> None:
    profile = load_price_profiles()["ercot-west"]
    one = simulate(profile, 100)
    assert one.tobytes() == simulate(profile, 100).tobytes()
    assert one.tobytes() != simulate(profile, 100, zone="other").tobytes()


@pytest.mark.parametrize("days", [5, 30, 31])
def test_the_horizon_does_not_change_the_past(days: int) -> None:
    profile = load_price_profiles()["ercot-hub"]
    long = simulate(profile, 65 * 24)
    assert simulate(profile, days * 24).tobytes() == long[: days * 24].tobytes()


def test_the_level_multiplies_the_path() -> None:
    profile = load_price_profiles()["ercot-hub"]
    plain = simulate(profile, 720)
    doubled = simulate(profile, 720, mean=2 * profile.mean_usd_per_mwh)
    np.testing.assert_allclose(doubled, np.clip(2 * plain, -250.0, 5000.0))


@pytest.mark.parametrize("name", ["ercot-hub", "ercot-west"])
def test_the_price_never_leaves_the_market_limits(name: str) -> None:
    made = simulate(load_price_profiles()[name], 60 * YEAR_H, mean=1000.0)
    assert made.min() == -250.0
    assert made.max() == 5000.0


@pytest.mark.needs_data
@pytest.mark.parametrize(
    ("name", "column"), [("ercot-hub", "hb_hubavg_rtm"), ("ercot-west", "lz_west_rtm")]
)
def test_tails_and_memory_are_like_the_recorded(name: str, column: str, data: Path) -> None:
    spec = SeriesSpec(
        file="x", time_column="hour_beginning_cpt", timezone="America/Chicago", max_gap_h=3
    )
    series = read_series(data / "electricity_prices/ercot_zones_hourly_2024_2026.csv.gz", spec)
    real = series.sample(column, int(START.timestamp()) + np.arange(17_508) * 3600)
    made = simulate(load_price_profiles()[name], 60 * YEAR_H)
    for level, within in ((5, 3.0), (95, 10.0), (99, 45.0)):
        assert np.percentile(made, level) == pytest.approx(np.percentile(real, level), abs=within)
    assert np.percentile(made, 99.9) == pytest.approx(np.percentile(real, 99.9), rel=0.3)
    assert made.std() == pytest.approx(real.std(), rel=0.2)
    assert (made > 100).mean() == pytest.approx((real > 100).mean(), rel=0.4)
    for lag, within in ((1, 0.05), (24, 0.12)):
        assert memory(made, lag) == pytest.approx(memory(real, lag), abs=within)
