"""Warm and cold days of a recorded temperature: what is ranked, what a place makes of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.scenario import ScenarioError
from sim.scenario.model import SeriesSpec
from sim.scenario.series import Series, read_series
from sim.streams import Streams
from sim.types import Floats
from sim.world.weather import REGIONAL, recorded_warmth
from sim.world.world import build_world

START = datetime(2024, 1, 1, 6, tzinfo=UTC)
YEAR_H = 8784


def written(path: Path, temperatures_c: Floats, start: datetime = START) -> Path:
    """A record of hourly temperatures."""
    rows = [
        f"{start + timedelta(hours=i):%Y-%m-%dT%H:%M:%SZ},{c:.4f},30"
        for i, c in enumerate(temperatures_c)
    ]
    path.write_text("time_utc,temp_c,price\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def record(path: Path, temperatures_c: Floats) -> Series:
    file = written(path, temperatures_c)
    return read_series(file, SeriesSpec(file=file.name))


def shaped(hours: int = YEAR_H) -> Floats:
    """A season and a day without air masses, in the waves that the fit knows."""
    days = np.arange(hours) / 24.0
    return np.asarray(
        15.0 - 12.0 * np.cos(2 * np.pi * days / 365.25) - 5.0 * np.cos(2 * np.pi * days)
    )


def driven(folder: Path, days: float = 60, **climate: Any) -> sim.Scenario:
    """One site whose climate follows the record of `folder`."""
    folder.mkdir(exist_ok=True)
    keys = {
        "model": "seasonal",
        "climate": "abilene-tx",
        "driver_series": "mean",
        "driver_column": "temp_c",
        **climate,
    }
    lines = [f"{k} = {v!r}".replace("'", '"') for k, v in keys.items()]
    (folder / "scenario.toml").write_text(
        f"[horizon]\nstart_utc = 2024-01-02T06:00:00Z\ndays = {days}\n"
        '[prices.zones.zone]\nmodel = "replay"\nseries = "mean"\ncolumn = "price"\n'
        '[series.mean]\nfile = "record.csv"\n[weather.climates.here]\n' + "\n".join(lines) + "\n",
        encoding="utf-8",
    )
    (folder / "sites.csv").write_text(
        "name,climate,price_zone,utc_offset_h,power_limit_mw\nalpha,here,zone,-6,10\n",
        encoding="utf-8",
    )
    (folder / "asics.csv").write_text(
        "site,model,count\nalpha,Antminer S21,1000\n", encoding="utf-8"
    )
    return sim.load(folder)


def noisy() -> Floats:
    """A year with air masses of days."""
    draw = np.random.default_rng(3).standard_normal(YEAR_H)
    air = np.zeros(YEAR_H)
    for i in range(1, YEAR_H):
        air[i] = 0.99 * air[i - 1] + draw[i] * np.sqrt(1.0 - 0.99**2)
    return np.asarray(shaped() + 5.0 * air)


def test_ranks_of_what_the_season_leaves_are_standard_normal(tmp_path: Path) -> None:
    warmth = recorded_warmth(record(tmp_path / "r.csv", noisy()), "temp_c", START, -6.0, YEAR_H)
    assert warmth.mean() == pytest.approx(0.0, abs=0.1)
    assert warmth.std() == pytest.approx(1.0, abs=0.05)
    air = (noisy() - shaped()) / 5.0
    assert np.corrcoef(warmth, air)[0, 1] > 0.9  # the fit takes a part of one year's air


def test_one_hot_day_is_the_warmest_of_its_month_and_no_other_day_moves(tmp_path: Path) -> None:
    """30 July eight degrees warmer: its ranks are the highest there are; January's stay."""
    plain, hot = noisy(), noisy()
    day = slice(211 * 24 - 6, 212 * 24 - 6)
    hot[day] += 40.0
    one, other = (
        recorded_warmth(record(tmp_path / f"{i}.csv", x), "temp_c", START, 0.0, YEAR_H)
        for i, x in enumerate((plain, hot))
    )
    assert (other[day] > 2.0).all()
    assert np.abs(other[:480] - one[:480]).max() < 0.6  # the fit of the season moves a little


def test_seconds_of_a_run_are_those_of_the_record(tmp_path: Path) -> None:
    series = record(tmp_path / "r.csv", noisy())
    whole = recorded_warmth(series, "temp_c", START, -6.0, YEAR_H)
    later = recorded_warmth(series, "temp_c", START + timedelta(days=100), -6.0, 240)
    np.testing.assert_array_equal(later, whole[2400:2640])


def test_the_hour_after_the_last_of_the_record_takes_its_value(tmp_path: Path) -> None:
    series = record(tmp_path / "r.csv", noisy())
    end = recorded_warmth(series, "temp_c", START + timedelta(hours=YEAR_H - 2), -6.0, 3)
    assert np.isfinite(end).all()


def test_a_place_has_the_warm_days_of_its_driver(tmp_path: Path) -> None:
    written(tmp_path / "record.csv", noisy())
    scenario = driven(tmp_path, days=360)
    warmth = recorded_warmth(
        scenario.recorded["mean"], "temp_c", scenario.horizon.start_utc, -6.0, 360 * 24
    )
    ambient = build_world(scenario, Streams(1)).ambient_c[:-1:4, 0]
    month = np.arange(len(ambient)) // (30 * 24)
    hour = np.arange(len(ambient)) % 24
    left = ambient.copy()
    for m in range(12):
        for h in range(24):
            left[(month == m) & (hour == h)] -= left[(month == m) & (hour == h)].mean()
    seen = np.corrcoef(left, warmth[: len(left)])[0, 1]
    assert np.sqrt(REGIONAL) - 0.15 < seen < np.sqrt(REGIONAL) + 0.08
    other = build_world(scenario, Streams(2)).ambient_c[:-1:4, 0]
    assert 0.0 < np.abs(other - ambient).mean() < 3.0  # 0.2 of the variance is luck


def test_driven_weather_is_not_told_to_be_of_other_days(tmp_path: Path) -> None:
    written(tmp_path / "record.csv", noisy())
    assert "prices stand beside" not in str(driven(tmp_path).warnings)


def test_weather_of_a_typical_year_beside_recorded_prices_is_told(tmp_path: Path) -> None:
    written(tmp_path / "record.csv", noisy())
    rows = [
        f"{m},{d},{h},{10 + h}"
        for m, days in enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), 1)
        for d in range(1, days + 1)
        for h in range(1, 25)
    ]
    (tmp_path / "typical.csv").write_text(
        "month,day,hour_ending_lst,dry_bulb_c\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    driven(tmp_path)
    text = (tmp_path / "scenario.toml").read_text(encoding="utf-8")
    text = text[: text.index("[weather.climates.here]")]
    text += '[weather.climates.here]\nmodel = "replay"\nseries = "typical"\n'
    text += '[series.typical]\nfile = "typical.csv"\nkind = "typical-year"\n'
    text += 'time_column = "hour_ending_lst"\n'
    (tmp_path / "scenario.toml").write_text(text, encoding="utf-8")
    told = [str(w) for w in sim.load(tmp_path).warnings]
    assert any("beside the weather of a typical year at alpha" in w for w in told)
    assert any("driver_series" in w for w in told)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"driver_column": "temp"}, "no column 'temp'"),
        ({"driver_series": "men"}, "driver_series = 'men'"),
    ],
)
def test_drivers_that_are_not_there(tmp_path: Path, keys: dict[str, str], said: str) -> None:
    written(tmp_path / "record.csv", noisy())
    with pytest.raises(ScenarioError) as error:
        driven(tmp_path, **keys)
    assert said in str(error.value)


def test_a_driver_of_half_a_year_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "record.csv", noisy()[:4400])
    with pytest.raises(ScenarioError, match="what is warm for the season takes 360 days"):
        driven(tmp_path)


def test_a_driver_that_holds_fahrenheit_is_refused_by_row(tmp_path: Path) -> None:
    written(tmp_path / "record.csv", noisy() * 1.8 + 32.0)
    with pytest.raises(ScenarioError, match=r"row \d+ is .*not Fahrenheit"):
        driven(tmp_path, days=300)


def test_one_of_series_and_column_alone_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "record.csv", noisy())
    driven(tmp_path)
    text = (tmp_path / "scenario.toml").read_text(encoding="utf-8")
    text = text.replace('driver_column = "temp_c"\n', "")
    (tmp_path / "scenario.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match="give both or none"):
        sim.load(tmp_path)
