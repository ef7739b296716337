"""What is billed over a step counts by its mean: recorded intervals, whatever the step."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.scenario.model import SeriesSpec
from sim.scenario.series import Series, read_series
from sim.streams import Streams
from sim.world.energy import coincident_peaks, day_ahead, reserve_prices
from sim.world.prices import SeasonalJumpPrice, load_price_profiles
from tests.builders.regions import NOWHERE

START = "2026-03-01T00:00:00Z"
LOAD_MW = 3.5
TOML = """
[horizon]
start_utc = {start}
days = 1
step_s = {step_s}
record_s = {record_s}
[network]
model = "growth"
volatility_per_year = 0
[mining]
restart_s = 0
min_off_s = 0
ramp_up_per_min = 1000
[faults]
enabled = false
[prices.zones.z]
model = "replay"
series = "p"
column = "p"
day_ahead_column = "p"
[series.p]
file = "p.csv"
[coincident_peak]
series = "p"
column = "load"
usd_per_mw_year = 1
[programmes.reserve]
model = "reserve"
sites = ["alpha"]
series = "p"
column = "p"
"""
SITES = (
    "name,utc_offset_h,climate,price_zone,power_limit_mw,pue_base,pue_slope_per_c,contract,"
    "adder_usd_per_mwh\nalpha,-6,midland-tx,z,100,1,0,market,0\n"
)


def folder(at: Path, interval_s: int, prices: list[float], step_s: int) -> Path:
    """A day of recorded prices in intervals, for a load that never changes."""
    count = 86_400 // interval_s
    times = np.datetime64("2026-03-01T00:00:00") + np.arange(count) * np.timedelta64(interval_s)
    values = np.resize(np.array(prices), count)
    rows = [f"{t}Z,{p},{1000 + p}\n" for t, p in zip(times, values, strict=True)]
    (at / "p.csv").write_text("time_utc,p,load\n" + "".join(rows))
    text = TOML.format(start=START, step_s=step_s, record_s=max(step_s, 3600))
    (at / "scenario.toml").write_text(text)
    (at / "sites.csv").write_text(SITES)
    (at / "asics.csv").write_text("site,model,count\nalpha,Antminer S21,1000\n")
    return at


@pytest.mark.parametrize(
    ("interval_s", "prices", "step_s", "usd"),
    [
        (300, [0, 0, 300], 900, 8_400.0),
        (900, [20, 20, 4_000, 20], 3_600, 85_260.0),
        (900, [20, 20, 4_000, 20], 900, 85_260.0),
    ],
)
def test_a_constant_load_pays_every_interval(
    tmp_path: Path, interval_s: int, prices: list[float], step_s: int, usd: float
) -> None:
    scenario = sim.load(folder(tmp_path, interval_s, prices, step_s))
    kpis = sim.run(scenario, "static", seed=1).kpis
    assert kpis["energy_mwh"] == pytest.approx(LOAD_MW * 24.0, rel=1e-9)
    assert kpis["power_cost_usd"] == pytest.approx(usd, rel=1e-9)


@pytest.mark.parametrize("step_s", [300, 1_800, 3_600, 21_600, 86_400])
def test_law_the_step_does_not_change_what_a_constant_load_pays(
    tmp_path: Path, step_s: int
) -> None:
    """Real time, day ahead and reserves alike: the mean over the run is that of the record."""
    prices = np.random.default_rng(7).normal(40.0, 90.0, 288).tolist()
    scenario = sim.load(folder(tmp_path, 300, prices, step_s))
    t_s = np.arange(scenario.horizon.steps, dtype=np.int64) * step_s
    ahead, reserve = day_ahead(scenario, t_s, NOWHERE), reserve_prices(scenario, t_s, NOWHERE)
    assert ahead is not None
    assert reserve is not None
    assert ahead.mean() == pytest.approx(np.mean(prices), rel=1e-12)
    assert reserve.mean() == pytest.approx(np.mean(prices), rel=1e-12)
    kpis = sim.run(scenario, "static", seed=1).kpis
    assert kpis["power_cost_usd"] == pytest.approx(LOAD_MW * 24 * np.mean(prices), rel=1e-6)


def series(at: Path, text: str, **keys: Any) -> Series:
    file = at / "s.csv"
    file.write_text(text)
    return read_series(file, SeriesSpec.model_validate({"file": "s.csv", **keys}))


@given(
    st.lists(st.sampled_from([300, 900, 3_600, 1_234]), min_size=1, max_size=40),
    st.integers(0, 4_000),
    st.sampled_from([60, 700, 3_600, 50_000]),
    st.integers(0, 1_000),
)
def test_a_mean_is_that_of_every_second(
    lengths: list[int], offset_s: int, step_s: int, seed: int
) -> None:
    """Plain twin: the values of all seconds, added up."""
    start_s = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.random.default_rng(seed).normal(size=len(start_s))
    length_s = np.append(np.diff(start_s), 3_600)
    s = Series("events", start_s, length_s, 0, 0, pa.table({"v": values}))
    at_s = np.array([offset_s, offset_s + step_s], dtype=np.int64)
    for begin, mean, most in zip(
        at_s, s.mean("v", at_s, step_s), s.most("v", at_s, step_s), strict=True
    ):
        every = s.sample("v", begin + np.arange(step_s))
        assert mean == pytest.approx(every.mean(), abs=1e-9)
        assert most == every.max()


def test_within_one_row_a_mean_is_its_value_to_the_bit(tmp_path: Path) -> None:
    s = series(tmp_path, "time_utc,v\n2026-01-01T00:00:00Z,0.1\n2026-01-01T01:00:00Z,0.3\n")
    at_s = s.start_s[0] + np.arange(0, 7_200, 300)
    assert s.mean("v", at_s, 300).tolist() == s.sample("v", at_s).tolist()


def test_from_hours_to_quarters_within_a_file(tmp_path: Path) -> None:
    """The market of Europe on 30 September 2025: each row lasts until the next."""
    hours = [f"2025-09-30T{h:02d}:00:00Z,{h}" for h in range(24)]
    quarters = [f"2025-10-01T{h:02d}:{m:02d}:00Z,{m}" for h in range(24) for m in (0, 15, 30, 45)]
    s = series(tmp_path, "time_utc,v\n" + "\n".join(hours + quarters) + "\n")
    assert s.length_s.tolist() == [3_600] * 24 + [900] * 96
    day = s.start_s[0] + 86_400 * np.arange(2)
    assert s.mean("v", day, 86_400).tolist() == [11.5, 22.5]


def test_the_peak_is_the_step_of_the_highest_interval(tmp_path: Path) -> None:
    """A quarter of 9,000 MW beside three of 1,000 is the month's peak; 4,000 MW all along not."""
    at = folder(tmp_path, 900, [0.0], 3_600)
    times = np.datetime64("2026-06-01T06:00:00") + np.arange(30 * 96) * np.timedelta64(900)
    load = np.full(30 * 96, 1_000.0)
    load[400:404] = 4_000.0
    load[802] = 9_000.0
    rows = [f"{t}Z,20,{x}\n" for t, x in zip(times, load, strict=True)]
    (at / "p.csv").write_text("time_utc,p,load\n" + "".join(rows))
    changes = {"horizon.start_utc": "2026-06-01T06:00:00Z", "horizon.days": 30}
    scenario = sim.load(at, changes)
    found = coincident_peaks(scenario, np.arange(720, dtype=np.int64) * 3_600, 3_600, NOWHERE)
    assert found is not None
    assert found.peak_steps.tolist() == [802 // 4]


@pytest.mark.parametrize("step_s", [5_400, 10_800, 86_400])
def test_synthetic_prices_of_long_steps_are_means_of_their_hours(step_s: int) -> None:
    price = SeasonalJumpPrice(
        load_price_profiles()["ercot-hub"],
        mean_usd_per_mwh=None,
        start_utc=datetime(2026, 1, 1, tzinfo=UTC),
        utc_offset_h=-6.0,
        horizon_s=10 * 86_400,
        zone="z",
        streams=Streams(3),
    )
    steps = np.arange(0, 10 * 86_400, step_s)
    assert price.mean(steps, step_s).mean() == pytest.approx(price.usd_per_mwh.mean(), rel=1e-12)
