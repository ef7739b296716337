"""Prices by date and by hour of the day, in zones and in sites' own contracts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.scenario import Scenario, ScenarioError
from sim.scenario.tariffs import Tariff
from sim.world.tariffs import TariffPath

# Ethiopian Electric Power for data miners, all with VAT: 2025-12-01, 2026-07-08.
ETHIOPIA: dict[str, Any] = {
    "utc_offset_h": 3,
    "prices": [
        {"usd_per_mwh": 35},
        {"usd_per_mwh": 45, "from_hour": 5, "to_hour": 9},
        {"usd_per_mwh": 60, "from_hour": 18, "to_hour": 22},
        {"usd_per_mwh": 46.5, "start_utc": "2026-07-07T21:00:00Z"},
        {"usd_per_mwh": 55.5, "from_hour": 5, "to_hour": 9, "start_utc": "2026-07-07T21:00:00Z"},
        {"usd_per_mwh": 63, "from_hour": 18, "to_hour": 22, "start_utc": "2026-07-07T21:00:00Z"},
    ],
}
Build = Callable[..., Scenario]


def path(tariff: dict[str, Any], start: str) -> TariffPath:
    return TariffPath(Tariff.model_validate(tariff), datetime.fromisoformat(start))


def test_a_day_in_ethiopia_by_hand() -> None:
    """Local midnight is 21 h UTC: 5 h at 35, 4 at 45, 9 at 35, 4 at 60, 2 at 35."""
    day = path(ETHIOPIA, "2026-01-09T21:00:00Z").mean(np.arange(24) * 3600, 3600)
    assert day.tolist() == [35.0] * 5 + [45.0] * 4 + [35.0] * 9 + [60.0] * 4 + [35.0] * 2
    assert day.mean() == pytest.approx(40.8, abs=0.05), "published as an average of 40"


def test_a_rise_by_date_within_a_step() -> None:
    """The day of the rise begins at 21 h UTC: a step of 6 h from 18 h has half of it."""
    rise = path(ETHIOPIA, "2026-07-07T18:00:00Z")
    (mean,) = rise.mean(np.array([0]), 21_600)
    assert mean == pytest.approx((60 + 35 * 2 + 46.5 * 3) / 6)  # 21 to 22 h local are still peak
    later = path(ETHIOPIA, "2026-09-01T21:00:00Z").mean(np.array([0]), 86_400)
    assert later[0] == pytest.approx((16 * 46.5 + 4 * 55.5 + 4 * 63) / 24)


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = {"usd_per_mwh": 9, "from_hour": 22, "to_hour": 6, "days": "weekend"}
    tariff = {"utc_offset_h": 0, "prices": [{"usd_per_mwh": 50}, night]}
    week = path(tariff, "2026-01-05T00:00:00Z").at(np.arange(8 * 24) * 3600)  # from a Monday
    cheap = {divmod(int(h), 24) for h in np.flatnonzero(week == 9.0)}
    saturday = {(5, 22), (5, 23), *((6, h) for h in range(6))}
    sunday = {(6, 22), (6, 23), *((7, h) for h in range(6))}
    assert cheap == saturday | sunday | {(0, h) for h in range(6)}, "the run begins in a night"


def test_hours_follow_the_clock_of_a_time_zone() -> None:
    peak = {"usd_per_mwh": 90, "from_hour": 17, "to_hour": 18, "months": [3, 4]}
    tariff = {"timezone": "America/Chicago", "prices": [{"usd_per_mwh": 30}, peak]}
    before = path(tariff, "2026-03-07T00:00:00Z").at(np.arange(24) * 3600)
    after = path(tariff, "2026-03-09T00:00:00Z").at(np.arange(24) * 3600)
    assert np.flatnonzero(before == 90.0).tolist() == [23]
    assert np.flatnonzero(after == 90.0).tolist() == [22], "clocks went forward on the 8th"


def plain(tariff: Tariff, when: datetime) -> float:
    """The price of an instant, as one reads a tariff."""
    zone: Any = ZoneInfo(tariff.timezone) if tariff.timezone else None
    local = when.astimezone(zone) if zone else when + timedelta(hours=tariff.utc_offset_h or 0.0)
    hour, found = local.hour + local.minute / 60, 0.0
    for price in tariff.prices:
        day = local
        if price.to_hour > price.from_hour:
            holds = price.from_hour <= hour < price.to_hour
        else:
            holds = hour >= price.from_hour or hour < price.to_hour
            day = local - timedelta(days=1) if hour < price.to_hour else local
        weekend = day.weekday() >= 5
        holds &= {"all": True, "weekend": weekend, "workdays": not weekend}[price.days]
        holds &= not price.months or day.month in price.months
        holds &= price.start_utc is None or when >= price.start_utc
        found = price.usd_per_mwh if holds else found
    return found


ODD = "2026-01-01T00:01:00Z"
QUARTERS = st.integers(0, 95).map(lambda q: q / 4)
LATER = st.fixed_dictionaries(
    {"usd_per_mwh": st.integers(-50, 200), "from_hour": QUARTERS, "to_hour": QUARTERS},
    optional={
        "days": st.sampled_from(["all", "workdays", "weekend"]),
        "months": st.lists(st.integers(1, 12), min_size=1, max_size=4),
        "start_utc": st.integers(0, 4 * 24 * 60).map(
            lambda q: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=15 * q)
        ),
    },
)


@given(st.lists(LATER, max_size=5), st.sampled_from([900, 3600, 10_800]), st.integers(0, 300))
def test_the_mean_of_a_step_is_that_of_its_minutes(
    later: list[dict[str, Any]], step_s: int, hours: int
) -> None:
    tariff = Tariff.model_validate(
        {"timezone": "Europe/Berlin", "prices": [{"usd_per_mwh": 40}, *later]}
    )
    start = datetime(2026, 3, 27, tzinfo=UTC) + timedelta(hours=hours)
    got = TariffPath(tariff, start).mean(np.arange(12) * step_s, step_s)
    pieces = [start + timedelta(seconds=900 * k) for k in range(12 * step_s // 900)]
    each = np.array([plain(tariff, when) for when in pieces])
    assert got == pytest.approx(each.reshape(12, -1).mean(axis=1))


def test_a_site_and_a_zone_pay_a_tariff(build: Build) -> None:
    """alpha has a contract of its own, bravo buys in a zone with the tariff and pays an adder."""
    scenario = build(
        {
            "horizon": {"start_utc": "2026-07-06T00:00:00Z", "days": 3, "step_s": 3600},
            "tariffs": {"eep": ETHIOPIA},
            "prices": {"zones": {"zone": {"model": "fixed", "tariff": "eep"}}},
            "what_if": {"energy_price_factor": 2.0},
        },
        sites=[
            {"name": "alpha", "contract": "fixed", "tariff": "eep", "price_zone": ""},
            {"name": "bravo", "adder_usd_per_mwh": 5},
        ],
    )
    table = sim.run(scenario, "static").table("sites").to_pylist()
    wanted = path(ETHIOPIA, "2026-07-06T00:00:00Z").mean(np.arange(72) * 3600, 3600)
    for name, adder in (("alpha", 0.0), ("bravo", 5.0)):
        rows = [row for row in table if row["site"] == name]
        assert [r["price_usd_per_mwh"] for r in rows] == pytest.approx(2.0 * wanted + adder)
        for r in rows:
            mwh = r["meter_mw"] * 1.0
            assert r["energy_usd"] == pytest.approx(mwh * r["price_usd_per_mwh"])


@pytest.mark.parametrize(
    ("tables", "site", "words"),
    [
        ({}, {"contract": "fixed", "tariff": "eep", "energy_usd_per_mwh": 40}, "not both"),
        ({}, {"tariff": "eep"}, "tariff: contract 'market' takes its price from the zone"),
        ({}, {"contract": "hosted"}, "contract 'hosted' needs it, or a tariff"),
        ({}, {"contract": "hosted", "tariff": "epp"}, "did you mean 'eep'?"),
        ({"prices": {"zones": {"zone": {"model": "fixed", "tariff": "no"}}}}, {}, "allowed: eep"),
        (
            {"prices": {"zones": {"zone": {"model": "fixed", "tariff": "eep", "usd_per_mwh": 4}}}},
            {},
            "give one of usd_per_mwh and tariff",
        ),
        ({"prices": {"zones": {"zone": {"model": "fixed"}}}}, {}, "give one of usd_per_mwh and"),
    ],
)
def test_what_is_refused(
    build: Build, tables: dict[str, Any], site: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScenarioError, match=words.replace("?", r"\?")):
        build({"tariffs": {"eep": ETHIOPIA}, **tables}, sites=[{"name": "alpha", **site}], asics=[],
              gpus=[])  # fmt: skip


@pytest.mark.parametrize(
    ("tariff", "words"),
    [
        ({"prices": []}, "must name at least one"),
        ({"prices": [{"usd_per_mwh": 4, "from_hour": 5}]}, "the first must hold at any time"),
        ({"prices": [{"usd_per_mwh": 4, "start_utc": "2026-01-01T00:00:00Z"}]}, "must hold at any"),
        (
            {"prices": [{"usd_per_mwh": 4}, {"usd_per_mwh": 5, "from_hour": 5}]},
            "need one of utc_offset_h and timezone",
        ),
        (
            {"utc_offset_h": 0, "prices": [{"usd_per_mwh": 4}, {"usd_per_mwh": 5, "to_hour": 5.1}]},
            "must be a quarter of an hour",
        ),
        (
            {"utc_offset_h": 0, "prices": [{"usd_per_mwh": 4}, {"usd_per_mwh": 5, "months": [13]}]},
            "13: months are 1 to 12",
        ),
        ({"timezone": "Mars/Base", "prices": [{"usd_per_mwh": 4}]}, "not an IANA time zone"),
        (
            {"prices": [{"usd_per_mwh": 4}, {"usd_per_mwh": 5, "start_utc": ODD}]},
            "must be a quarter-hour",
        ),
    ],
)  # fmt: skip
def test_a_tariff_that_leaves_a_question_is_refused(
    build: Build, tariff: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScenarioError, match=words):
        build({"tariffs": {"mine": tariff}})
