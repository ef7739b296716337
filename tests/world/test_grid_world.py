"""The grid's side of the world: rings, outages, calls, sun, carbon, prices a day ahead."""

import csv
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.results.result import RunResult
from sim.scenario import Scenario
from sim.streams import Streams
from sim.world.calls import ProgrammeCall, programme_calls
from sim.world.energy import (
    carbon_intensity,
    clear_sky,
    day_ahead,
    generation,
    reserve_prices,
)
from sim.world.outages import LinkChange, link_changes
from sim.world.region import Regions
from sim.world.topology import compile_topology, is_meshed
from tests.builders.regions import NOWHERE
from tests.conftest import ROOT, build_scenario

HOUR = 3600
START = datetime(2026, 1, 1, tzinfo=UTC)


def gridded(
    links: list[tuple[str, str]],
    zones: str = "a",
    tables: dict[str, Any] | None = None,
    **link: Any,
) -> Scenario:
    """Two sites at the ends of links between nodes of one letter; `zones` are where power comes."""
    names = sorted({name for ends in links for name in ends})
    return build_scenario(
        tables,
        sites=[
            {"name": "alpha", "grid_node": names[-1]},
            {"name": "bravo", "grid_node": names[-2]},
        ],
        grid={
            "grid_nodes": [
                {"name": n, "kind": "zone" if n in zones else "substation"} for n in names
            ],
            "grid_links": [
                {"from_node": a, "to_node": b, "capacity_mw": 4, "reactance_pu": 0.1, **link}
                for a, b in links
            ],
        },
    )


def out(a: str, b: str, from_h: float, hours: float, **keys: Any) -> dict[str, Any]:
    """A dated outage, its start in hours of the run."""
    start = (START + timedelta(hours=from_h)).isoformat()
    return {"from_node": a, "to_node": b, "start_utc": start, "hours": hours, **keys}


def changes(scenario: Scenario, seed: int = 1) -> tuple[LinkChange, ...]:
    return link_changes(scenario, Streams(seed))


def table(result: RunResult, column: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """A column of the table of sites (record, site)."""
    sites = len(result.scenario.sites)
    return np.asarray(result.table("sites")[column]).reshape(-1, sites)


def link_events(result: RunResult) -> list[dict[str, Any]]:
    rows = result.table("events").to_pylist()
    return [row for row in rows if row["event"] in ("link out", "link back")]


@pytest.mark.parametrize(
    ("links", "zones", "meshed"),
    [
        ([("a", "b"), ("b", "c"), ("b", "d")], "a", False),
        ([("a", "b"), ("c", "d")], "ac", False),
        ([("a", "b"), ("b", "c"), ("a", "c")], "a", True),
        ([("a", "b"), ("a", "b"), ("b", "c")], "a", True),
        ([("a", "b"), ("b", "a"), ("b", "c")], "a", True),
        ([("a", "b"), ("b", "c")], "ac", True),
    ],
    ids=["tree", "two trees", "ring", "parallel", "parallel turned", "two zones in one part"],
)
def test_a_grid_is_meshed_where_power_has_two_ways(
    links: list[tuple[str, str]], zones: str, meshed: bool
) -> None:
    scenario = gridded(links, zones)
    assert is_meshed(scenario) is meshed
    assert (compile_topology(scenario).mesh is not None) is meshed


def test_an_outage_on_a_date_has_a_start_and_an_end() -> None:
    tables = {"grid": {"outages": [out("b", "c", 6, 3.5, left_fraction=0.25)]}}
    dated = gridded([("a", "b"), ("b", "c")], tables=tables)
    assert changes(dated) == ((6 * HOUR, 1, 0.25), (int(9.5 * HOUR), 1, 1.0))
    assert changes(dated) == changes(dated, seed=2)


def test_an_outage_means_one_circuit_or_all_in_either_direction() -> None:
    links = [("a", "b"), ("a", "b"), ("b", "a"), ("b", "c")]
    for circuit, rows in ((None, [0, 1, 2]), (1, [0]), (3, [2])):
        tables = {"grid": {"outages": [out("b", "a", 1, 1, circuit=circuit)]}}
        found = changes(gridded(links, tables=tables))
        assert [c.link for c in found if c.left == 0.0] == rows


def test_an_outage_counts_from_where_the_run_has_it() -> None:
    outages = [out("a", "b", -10, 12), out("b", "c", -10, 5), out("b", "c", 99, 5)]
    found = changes(gridded([("a", "b"), ("b", "c")], tables={"grid": {"outages": outages}}))
    assert found == ((0, 0, 0.0), (2 * HOUR, 0, 1.0))


def test_outages_at_random_come_as_often_as_they_should() -> None:
    tables = {"horizon": {"days": 3650}}
    scenario = gridded([("a", "b"), ("b", "c")], tables=tables, mtbf_h=200, repair_h=20)
    found = changes(scenario)
    for link in (0, 1):
        own = [c for c in found if c.link == link]
        assert [c.left for c in own[:6]] == [0.0, 1.0] * 3
        assert all(a.t_s < b.t_s for a, b in zip(own, own[1:], strict=False))
        starts, ends = own[::2], own[1::2]
        out_s = sum(b.t_s - a.t_s for a, b in zip(starts, ends, strict=True))
        assert len(starts) == pytest.approx(87_600 / 220, rel=0.15)
        assert out_s / scenario.horizon.seconds == pytest.approx(20 / 220, rel=0.2)
    assert [c.t_s for c in found if c.link == 0] != [c.t_s for c in found if c.link == 1]
    assert found != changes(scenario, seed=2)


def test_the_luck_of_a_link_is_its_own() -> None:
    """Neither a link before it nor a longer run changes when it fails."""
    fails = {"mtbf_h": 30, "repair_h": 5}
    few = gridded([("a", "b"), ("b", "c")], **fails)
    more = gridded([("a", "d"), ("a", "b"), ("b", "c")], **fails)
    longer = gridded([("a", "b"), ("b", "c")], tables={"horizon": {"days": 20}}, **fails)
    own = [c._replace(link=0) for c in changes(few) if c.link == 1]
    assert own
    assert own == [c._replace(link=0) for c in changes(more) if c.link == 2]
    assert own[:-1] == [c._replace(link=0) for c in changes(longer) if c.link == 1][: len(own) - 1]


def test_capacity_follows_and_is_the_same_for_every_policy() -> None:
    tables = {"grid": {"outages": [out("a", "b", 6, 6, left_fraction=0.5), out("b", "c", 20, 4)]}}
    scenario = gridded([("a", "b"), ("b", "c")], tables=tables, mtbf_h=60, repair_h=2)
    runs = [sim.run(scenario, policy) for policy in ("static", "merit-order")]
    seen = [link_events(result) for result in runs]
    assert seen[0] == seen[1]
    assert len(seen[0]) > 4
    for result in runs:
        meter_mw = table(result, "meter_mw")
        step_s = scenario.horizon.seconds // len(meter_mw)
        at = np.arange(len(meter_mw)) * step_s / HOUR
        assert meter_mw.sum(axis=1).max() > 3.0
        assert (meter_mw[(at >= 6) & (at < 12)].sum(axis=1) <= 2.0 + 1e-6).all()
        assert (meter_mw[(at >= 20) & (at < 24), 0] <= 1e-6).all()


def programmes(**changed: Any) -> dict[str, Any]:
    often = {"calls_per_year": 1000, "call_h": 6}
    return {
        "ers": {"model": "emergency", "notice_s": 1800, **often, **changed},
        "rrs": {"model": "reserve", "usd_per_mw_h": 9, "notice_s": 600, **often, **changed},
    }


def calls(tables: dict[str, Any], seed: int, days: float = 60) -> tuple[ProgrammeCall, ...]:
    scenario = build_scenario({"horizon": {"days": days}, "programmes": tables})
    return programme_calls(scenario, Streams(seed))


@given(st.integers(0, 10_000))
def test_calls_of_a_programme_do_not_overlap(seed: int) -> None:
    found = calls(programmes(), seed)
    assert list(found) == sorted(found)
    for programme, notice_s in ((0, 1800), (1, 600)):
        own = [c for c in found if c.programme == programme]
        assert len(own) > 50
        for call in own:
            assert call.notice_s == max(call.start_s - notice_s, 0)
            assert call.end_s - call.start_s == 6 * HOUR
        for before, after in zip(own, own[1:], strict=False):
            assert before.end_s <= after.notice_s


def test_calls_are_the_same_whatever_is_offered() -> None:
    plain = calls(programmes(), 5)
    for offered in (
        {"offer_fraction": 1.0},
        {"sites": ["bravo"]},
        {"response": "manual"},
        {"max_mw": 0.1, "penalty_usd_per_mwh": 500},
    ):
        assert calls(programmes(**offered), 5) == plain
    alone = calls({"rrs": programmes()["rrs"]}, 5)
    assert [c._replace(programme=1) for c in alone] == [c for c in plain if c.programme == 1]
    assert calls(programmes(), 6) != plain


def test_calls_on_dates_come_with_their_notice() -> None:
    tables = programmes(
        calls_per_year=0,
        calls=[{"start_utc": "2026-01-01T10:00:00Z", "hours": 2},
               {"start_utc": "2025-12-31T10:00:00Z", "hours": 2},
               {"start_utc": "2026-01-01T04:00:00-06:00", "hours": 2}][:2],
    )  # fmt: skip
    assert calls(tables, 1) == (
        (10 * HOUR - 1800, 10 * HOUR, 12 * HOUR, 0),
        (10 * HOUR - 600, 10 * HOUR, 12 * HOUR, 1),
    )


def sunny(start: str, latitude: float, longitude: float = 0.0, days: float = 1) -> Scenario:
    return build_scenario(
        {"horizon": {"start_utc": start, "days": days}},
        sites=[{"name": "alpha", "latitude": latitude, "longitude": longitude}],
        asics=[], gpus=[], generators=[{"site": "alpha", "kind": "solar", "mw": 2}],
    )  # fmt: skip


def sun(scenario: Scenario, every_s: int = 60) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    t_s = np.arange(0, scenario.horizon.seconds, every_s, dtype=np.int64)
    return clear_sky(scenario.sites[0], scenario, t_s)


# the sun's declination at equinoxes and solstices [deg]
SEASONS = {"2025-03-20": 0.0, "2025-06-21": 23.44, "2025-09-22": 0.0, "2025-12-21": -23.44}


@pytest.mark.parametrize("latitude", [-23.4, 0.0, 31.4, 40.0])
@pytest.mark.parametrize("day", SEASONS)
def test_the_sun_at_noon_stands_as_high_as_astronomers_say(day: str, latitude: float) -> None:
    height = sun(sunny(f"{day}T00:00:00Z", latitude))
    assert height[0] == 0.0, "midnight"
    assert height.argmax() == 12 * 60, "noon"
    assert height.max() == pytest.approx(np.cos(np.radians(latitude - SEASONS[day])), abs=0.01)


def test_days_are_as_long_as_astronomers_say() -> None:
    day_h = {
        latitude: (sun(sunny("2025-06-21T00:00:00Z", latitude)) > 0.0).sum() / 60
        for latitude in (0.0, 40.0, 70.0, -70.0)
    }
    assert day_h[0.0] == pytest.approx(12.0, abs=0.05)
    assert day_h[40.0] == pytest.approx(14.85, abs=0.1)  # 15.0 with refraction and the sun's disc
    assert day_h[70.0] == 24.0
    assert day_h[-70.0] == 0.0


def test_noon_follows_longitude_and_no_way_of_writing_the_start() -> None:
    texas = sun(sunny("2025-06-21T00:00:00Z", 31.4, -102.0))
    assert texas.argmax() == pytest.approx((12 + 102 / 15) * 60)
    local = sun(sunny("2025-06-20T18:00:00-06:00", 31.4, -102.0))
    np.testing.assert_array_equal(local, texas)


def test_what_a_solar_generator_can_give() -> None:
    scenario = sunny("2025-06-21T00:00:00Z", 31.4)
    available_w = generation(scenario, np.array([0, 12 * HOUR], dtype=np.int64))
    assert available_w is not None
    assert available_w[:, 0].tolist() == pytest.approx([0.0, 2e6 * np.cos(np.radians(7.95))])


def test_generation_by_a_series_is_cut_to_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "wind.csv"
    file.write_text("time_utc,share\n2026-01-01T00:00:00Z,0.4\n2026-01-01T01:00:00Z,1.05\n"
                    "2026-01-01T02:00:00Z,-0.02\n")  # fmt: skip
    scenario = build_scenario(
        {"horizon": {"days": 0.125}, "series": {"w": {"file": str(file)}}},
        generators=[
            {"site": "alpha", "kind": "solar", "mw": 5, "series": "w", "column": "share"},
            {"site": "bravo", "kind": "flare", "mw": 2, "availability": 0.9},
        ],
    )
    available_w = generation(scenario, np.array([0, 1800, HOUR, 2 * HOUR], dtype=np.int64))
    assert available_w is not None
    assert available_w[:, 0].tolist() == pytest.approx([2e6, 2e6, 5e6, 0.0])
    assert available_w[:, 1].tolist() == pytest.approx([1.8e6] * 4)


def regions_of(scenario: Scenario) -> Regions:
    horizon = scenario.horizon
    return Regions(horizon.start_utc, horizon.seconds, Streams(1))


def test_carbon_is_that_of_the_zone_that_a_site_names() -> None:
    fixed = {name: {"model": "fixed", "kg_per_mwh": kg} for name, kg in (("a", 400), ("b", 30))}
    rows = [{"name": "x", "carbon_zone": "b"}, {"name": "y"}, {"name": "z", "carbon_zone": "a"}]
    scenario = build_scenario({"carbon": {"zones": fixed}}, sites=rows, asics=[], gpus=[])
    found = carbon_intensity(scenario, np.array([0, HOUR], dtype=np.int64), regions_of(scenario))
    assert found is not None
    assert found.tolist() == [[30.0, 0.0, 400.0]] * 2
    none = build_scenario()
    assert carbon_intensity(none, np.array([0], dtype=np.int64), regions_of(none)) is None


@pytest.fixture(scope="module")
def ercot(data: Path) -> Scenario:
    """48 sites on the recorded year 2024."""
    return sim.load(ROOT / "configs/ercot-2024", {"data_dir": str(data)})


def recorded(data: Path, file: str, key: str, **wanted: str) -> list[dict[str, str]]:
    """Rows of a recorded file whose column `key` has one of the values wanted, in their order."""
    with gzip.open(data / file, "rt", newline="") as stream:
        rows = {row[key]: row for row in csv.DictReader(stream) if row[key] in wanted.values()}
    return [rows[value] for value in wanted.values()]


def run_s(scenario: Scenario, *times: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    start = scenario.horizon.start_utc
    seconds = [(datetime.fromisoformat(t + "+00:00") - start).total_seconds() for t in times]
    return np.array(seconds, dtype=np.int64)


def test_a_recorded_year_of_carbon_serves_another(ercot: Scenario, data: Path) -> None:
    """Hours of 2022 for 2024; 29 February repeats the 28th, later days keep their date."""
    rows = recorded(
        data, "carbon_intensity/erco_2022.csv.gz", "timestamp",
        a="2022-02-28 17:00:00+00:00", b="2022-03-01 17:00:00+00:00", c="2022-07-04 05:00:00+00:00",
    )  # fmt: skip
    a, b, c = (float(row["avg_CI"]) for row in rows)
    times = "2024-02-28T17:30", "2024-02-29T17:30", "2024-03-01T17:30", "2024-07-04T05:00"
    found = carbon_intensity(ercot, run_s(ercot, *times), regions_of(ercot))
    assert found is not None
    assert found.shape == (4, len(ercot.sites))
    assert found[:, 0].tolist() == [a, a, b, c]


def test_recorded_prices_stand_at_their_hours(ercot: Scenario, data: Path) -> None:
    """Central prevailing time: winter is UTC-6, summer UTC-5."""
    at = run_s(ercot, "2024-01-01T06:00", "2024-01-15T12:45", "2024-08-20T22:00")
    local = {"a": "2024-01-01 00:00:00", "b": "2024-01-15 06:00:00", "c": "2024-08-20 17:00:00"}
    folder, key = "electricity_prices/", "hour_beginning_cpt"
    zones = recorded(data, f"{folder}ercot_zones_hourly_2024_2026.csv.gz", key, **local)
    reserves = recorded(
        data, f"{folder}ercot_genmix_ancillary_hourly_2024_2026.csv.gz", key, **local
    )
    ahead, reserve = day_ahead(ercot, at, NOWHERE), reserve_prices(ercot, at, NOWHERE)
    assert ahead is not None
    assert reserve is not None
    for i, site in enumerate(ercot.sites):
        column = site.price_zone.replace("-", "_") + "_dam"
        assert ahead[:, i].tolist() == [float(row[column]) for row in zones]
    called = [name for name, p in ercot.programmes.items() if p.model != "economic"]
    for name in ("rrs", "ecrs"):
        assert reserve[:, called.index(name)].tolist() == [float(row[name]) for row in reserves]


def test_a_day_ahead_price_is_unknown_where_nobody_makes_one() -> None:
    zones = {"zone": {"model": "seasonal-jump"}, "flat": {"model": "fixed", "usd_per_mwh": 40}}
    rows = [{"name": "alpha"}, {"name": "bravo", "price_zone": "flat"}]
    ahead = day_ahead(
        build_scenario({"prices": {"zones": zones}}, sites=rows),
        np.array([0], dtype=np.int64),
        NOWHERE,
    )
    assert ahead is not None
    assert np.isnan(ahead[0, 0])
    assert ahead[0, 1] == 40.0
    assert day_ahead(build_scenario(), np.array([0], dtype=np.int64), NOWHERE) is None
