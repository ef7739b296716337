"""What a run says of itself, worked out by hand: events, limits, availability, dark sites."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine
from sim.policies.static import Static
from sim.results.recorder import Recorder
from tests.builders.firms import GPU_PROJECT, MONTH, S21, SITES
from tests.conftest import Build, build_scenario

HOUR, DAY = 3600, 86_400
JANUARY = "2026-01-{:02d}T00:00:00Z"


def month(build: Build, tables: dict[str, Any], **sheets: Any) -> sim.Scenario:
    asics, gpus = sheets.pop("asics", [S21]), sheets.pop("gpus", [])
    return build({**MONTH, **tables}, sites=SITES, asics=asics, gpus=gpus, **sheets)


def said(scenario: sim.Scenario) -> list[tuple[float, str, str, str, str]]:
    """Day, event, site, subject and detail of all events but those of the network."""
    rows = sim.run(scenario, "static").table("events").to_pylist()
    return [
        (r["t_s"] / DAY, r["event"], r["site"], r["subject"], r["detail"])
        for r in rows
        if r["subject"] != "network"
    ]


def test_incidents_are_told_in_full(build: Build) -> None:
    incidents = [
        {"kind": "outage", "sites": ["alpha"], "start_utc": JANUARY.format(3), "hours": 12},
        {"kind": "cooling", "sites": ["bravo"], "start_utc": JANUARY.format(5), "hours": 6,
         "left_fraction": 0.4},
        {"kind": "fire", "sites": ["alpha"], "start_utc": JANUARY.format(7),
         "destroyed_fraction": 0.25},
    ]  # fmt: skip
    tables = {
        "faults": {"enabled": False, "incidents": incidents},
        "firm": {"asic_usd_per_th": 10},
        "insurance": {"mutual": {"delay_days": 20, "deductible_usd": 20_000}},
    }
    book_usd = 25 * 2000 * (1 - 6 / (3 * 365.25))
    assert said(month(build, tables)) == [
        (2.0, "outage", "alpha", "incident", "12.0 h"),
        (2.5, "outage over", "alpha", "incident", ""),
        (4.0, "cooling", "bravo", "incident", "6.0 h, 40% left"),
        (4.25, "cooling over", "bravo", "incident", ""),
        (6.0, "fire", "alpha", "incident", "25% of the machines destroyed"),
        (6.0, "machines destroyed", "alpha", "fire", "25"),
        (6.0, "insurance claim", "", "mutual",
         f"loss {book_usd:,.0f} USD, pays {book_usd - 20_000:,.0f} USD in 20 days"),
    ]  # fmt: skip


def test_projects_and_hosts_are_told_in_full(build: Build) -> None:
    tables = {
        "projects": {"hall": {**GPU_PROJECT, "failed_fraction": 0.1}},
        "hosts": {"dome": {"sites": ["alpha"], "notice_days": 5, "downtime_days": 7,
                           "move_to": "bravo"}},
        "faults": {
            "enabled": False,
            "incidents": [
                {"kind": "delivery-delay", "projects": ["hall"], "days": 1.5,
                 "start_utc": JANUARY.format(4)},
                {"kind": "termination", "hosts": ["dome"], "start_utc": JANUARY.format(6)},
            ],
        },
    }  # fmt: skip
    asics = [S21, {**S21, "site": "bravo", "count": 30, "project": "hall"}]
    assert said(month(build, tables, asics=asics)) == [
        (2.0, "project ordered", "", "hall", "1,000,000 USD"),
        (3.0, "delivery-delay", "hall", "incident", "1.5 days later"),
        (5.0, "termination", "dome", "incident", ""),
        (8.5, "project delivered", "", "hall", "+1.5 days against the plan"),
        (10.0, "host ended", "alpha", "dome", "100 machines leave for bravo"),
        (10.5, "project live", "", "hall", "27 machines"),
        (17.0, "machines moved", "bravo", "dome", "100 machines from dome"),
    ]


def test_a_limit_is_said_to_bind_in_the_steps_in_which_it_does(build: Build) -> None:
    curtailed = {"kind": "curtailment", "sites": ["alpha"], "left_fraction": 0.01, "hours": 4,
                 "start_utc": "2026-01-02T06:00:00Z"}  # fmt: skip
    scenario = month(build, {"faults": {"enabled": False, "incidents": [curtailed]}})
    table = sim.run(scenario, "static").table("limits")
    rows = [(r["t_s"] // HOUR, r["site"], r["limit"]) for r in table.to_pylist()]
    assert rows == [(hour, "alpha", "site alpha") for hour in (30, 31, 32, 33)]


def test_machines_that_burn_while_they_are_down_are_down_until_then(build: Build) -> None:
    """Four nodes fail on day 2; on day 4 the last two burn; the others are back on day 6."""
    incidents = [
        {"kind": "node-failure", "sites": ["alpha"], "left_fraction": 0.0, "hours": 96,
         "start_utc": JANUARY.format(3)},
        {"kind": "fire", "sites": ["alpha"], "destroyed_fraction": 0.5,
         "start_utc": JANUARY.format(5)},
    ]  # fmt: skip
    gpus = [{"site": "alpha", "gpu": "h100-sxm", "nodes": 4}]
    tables = {"faults": {"enabled": False, "incidents": incidents}}
    engine = Engine(month(build, tables, gpus=gpus), Static())
    recorder = engine.run()
    down_days, there_days = 2 * 2 + 2 * 4, 4 * 4 + 2 * 27
    assert recorder.availability("gpu") == pytest.approx(1 - down_days / there_days)
    # of the ASICs half burn in good health
    assert recorder.fleet_table()["asics"].to_pylist() == [100.0] * 4 + [50.0] * 27
    assert recorder.availability("asic") == 1.0


def test_availability_counts_machines_while_they_are_there() -> None:
    recorder = Recorder(build_scenario(), None)
    assert np.isnan(recorder.availability("asic"))
    horizon_s = 2 * DAY
    recorder.count_machines(0, "asic", 10)
    recorder.count_machines(DAY, "asic", -4)
    recorder.failed(HOUR, "asic", 0, 1)
    recorder.repaired(3 * HOUR, "asic", 0, 1)
    recorder.failed(20 * HOUR, "asic", 0, 9)
    recorder.gone(DAY, "asic")
    recorder.failed(40 * HOUR, "asic", 0, 2)  # to the end
    down_h, there_h = 2 + 4 + 8, 10 * 48 - 4 * 24
    assert horizon_s == 48 * HOUR
    assert recorder.availability("asic") == pytest.approx(1 - down_h / there_h)
    assert recorder.count("failure", "asic") == 3
    assert recorder.count("repair", "asic") == 1
    assert recorder.count("failure", "gpu") == 0


def test_sites_without_supply_are_named(build: Build) -> None:
    nodes = [
        {"name": n, "kind": k} for n, k in (("root", "zone"), ("a", "feeder"), ("b", "feeder"))
    ]
    ends = [{"from_node": "root", "to_node": n, "capacity_mw": 9} for n in "ab"]
    outages = [
        {"from_node": "root", "to_node": "b", "start_utc": "2026-01-03T00:00:00Z", "hours": 5},
    ]
    sites = [{**site, "grid_node": n} for site, n in zip(SITES, "ab", strict=True)]
    scenario = build(
        {**MONTH, "grid": {"outages": outages}},
        sites=sites,
        asics=[S21, {**S21, "site": "bravo"}],
        gpus=[],
        grid={"grid_nodes": nodes, "grid_links": ends},
    )
    assert said(scenario) == [
        (2.0, "link out", "", "root → b", "0% of its capacity"),
        (2.0, "site without supply", "bravo", "grid", "a link is out"),
        (2.0 + 5 / 24, "link back", "", "root → b", "100% of its capacity"),
    ]
    plant = Engine(scenario, Static()).plant
    assert plant.set_links({0: 0.0}) == ["alpha"]
    assert plant.set_links({1: 0.0}) == ["alpha", "bravo"]
    assert plant.set_links({0: 0.5}) == ["bravo"]
    assert plant.set_links({1: 1.0}) == []
