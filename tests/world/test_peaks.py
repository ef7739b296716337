"""Coincident peaks: which hours they are, and a risk that knows no more than one can know."""

import csv
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import sim
from sim.scenario.energy import CoincidentPeak
from sim.types import Floats
from sim.world.energy import coincident_peaks
from sim.world.peaks import Peaks, find_peaks
from tests.builders.regions import NOWHERE
from tests.conftest import ROOT, build_scenario

HOUR = 3600
SUMMER = datetime(2024, 6, 28, 6, tzinfo=UTC)  # midnight in Texas
SPEC = CoincidentPeak(series="load", column="mw", usd_per_mw_year=60_000)


def loads(seed: int, days: int) -> Floats:
    """Days with an evening peak whose height differs by day [MW]."""
    draw = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    shape = 60_000 + 15_000 * np.sin(2 * np.pi * (hours - 11) / 24)
    level = np.repeat(draw.normal(1.0, 0.05, days), 24)
    return np.asarray(shape * level + draw.normal(0.0, 500.0, days * 24))


def found(load_mw: Floats, forecast_mw: Floats, start: datetime = SUMMER) -> Peaks:
    return find_peaks(SPEC, load_mw, forecast_mw, start, HOUR)


@given(st.integers(0, 10_000), st.integers(0, 10 * 24 - 2), st.floats(0.5, 1.5))
def test_the_risk_now_does_not_know_the_loads_to_come(seed: int, t: int, factor: float) -> None:
    """A load counts from the step after its own; before, only its forecast does."""
    assume(abs(factor - 1.0) > 0.01)
    load_mw, forecast_mw = loads(seed, 10), loads(seed + 1, 10)
    other_mw = load_mw.copy()
    other_mw[t:] *= factor
    one, other = found(load_mw, forecast_mw).risk, found(other_mw, forecast_mw).risk
    np.testing.assert_array_equal(one[: t + 1], other[: t + 1])
    rest = np.flatnonzero(one[t + 1 :] != other[t + 1 :])
    assert rest.size or t + 2 >= 240 or (t + 1) % 24 == 0


@given(st.integers(0, 10_000), st.integers(1, 10 * 24 - 2))
def test_yesterdays_load_as_a_forecast_does_not_know_them_either(seed: int, t: int) -> None:
    load_mw, lag = loads(seed, 10), 24
    other_mw = load_mw.copy()
    other_mw[t:] *= 1.3
    one, other = (
        found(x, np.concatenate([np.full(lag, x[0]), x[:-lag]])).risk for x in (load_mw, other_mw)
    )
    np.testing.assert_array_equal(one[: t + 1], other[: t + 1])


@given(st.integers(0, 10_000), st.floats(0.2, 5.0))
def test_risks_are_chances(seed: int, wrong: float) -> None:
    """However far the forecast is from the load; and none where no peak counts."""
    risk = found(loads(seed, 10), loads(seed + 1, 10) * wrong).risk
    assert ((risk >= 0.0) & (risk <= 1.0)).all()
    assert risk.max() > 0.0
    winter = found(loads(seed, 10), loads(seed, 10), datetime(2024, 1, 3, 6, tzinfo=UTC))
    assert winter.risk.max() == 0.0
    assert winter.peak_steps.size == 0


def test_the_evening_of_the_last_hot_day_is_the_likeliest() -> None:
    """A day hotter than the month before it, on its last day: no day is left to beat it."""
    load_mw = np.tile(60_000 + 15_000 * np.sin(2 * np.pi * (np.arange(24) - 11) / 24), 30)
    start = datetime(2024, 6, 1, 6, tzinfo=UTC)
    load_mw[-24:] *= 1.1
    peaks = found(load_mw, load_mw, start)
    assert peaks.peak_steps.tolist() == [29 * 24 + 17]
    assert peaks.year.tolist() == [2024]
    assert peaks.risk.argmax() == 29 * 24 + 17
    mild = load_mw.copy()
    mild[-24:] *= 0.8
    assert found(mild, mild, start).risk[-24:].max() < 0.01


def test_a_month_that_the_run_cuts_has_no_peak() -> None:
    """30 days from 28 June on hold neither June nor July."""
    assert found(loads(1, 30), loads(2, 30)).peak_steps.size == 0
    assert found(loads(1, 34), loads(2, 34)).peak_steps.size == 1


def test_a_run_shorter_than_a_day_has_risks(tmp_path: Path) -> None:
    """Without a forecast yesterday's load stands for it, of which such a run has none."""
    hours = (f"{SUMMER + timedelta(hours=h):%Y-%m-%dT%H:%M:%SZ},{50_000 + h}" for h in range(12))
    file = tmp_path / "load.csv"
    file.write_text("time_utc,mw\n" + "\n".join(hours) + "\n")
    scenario = build_scenario(
        {
            "horizon": {"start_utc": SUMMER.isoformat(), "days": 0.5},
            "series": {"load": {"file": str(file)}},
            "coincident_peak": {"series": "load", "column": "mw", "usd_per_mw_year": 60_000},
        }
    )
    t_s = np.arange(48, dtype=np.int64) * 900
    peaks = coincident_peaks(scenario, t_s, 900, NOWHERE)
    assert peaks is not None
    assert ((peaks.risk > 0.0) & (peaks.risk < 1.0)).all()


def test_the_four_peaks_of_2024_are_those_of_the_operators_file(data: Path) -> None:
    """The highest hour of each month from June to September, told in local time."""
    scenario = sim.load(ROOT / "configs/ercot-2024", {"data_dir": str(data)})
    t_s = np.arange(scenario.horizon.steps, dtype=np.int64) * 900
    peaks = coincident_peaks(scenario, t_s, 900, NOWHERE)
    assert peaks is not None
    with gzip.open(
        data / "electricity_prices/ercot_actual_load_hourly_2024.csv.gz", "rt", newline=""
    ) as stream:
        rows = [row for row in csv.DictReader(stream) if row["OperDay"].endswith("2024")]
    expected = []
    for month in ("06", "07", "08", "09"):
        of_month = [row for row in rows if row["OperDay"].startswith(month)]
        top = max(of_month, key=lambda row: float(row["TOTAL"]))
        day = datetime.strptime(top["OperDay"], "%m/%d/%Y").replace(tzinfo=UTC)
        expected.append(day + timedelta(hours=int(top["HourEnding"][:2]) - 1 + 5))  # summer time
    steps = [scenario.horizon.start_utc + timedelta(seconds=900 * int(k)) for k in peaks.peak_steps]
    assert steps == expected
    assert peaks.year.tolist() == [2024] * 4
    assert peaks.counted == 4
    risk = peaks.risk
    assert ((risk >= 0.0) & (risk <= 1.0)).all()
    hour = risk.reshape(-1, 4).sum(axis=1)
    likeliest = np.argsort(-hour)[:250]  # of 8760
    assert {int(k) // 4 for k in peaks.peak_steps} <= set(likeliest.tolist())
