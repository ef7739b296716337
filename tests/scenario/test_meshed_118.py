"""What configs/meshed-118 shows: a fleet on a meshed grid makes the prices it pays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.results.result import RunResult
from sim.scenario import Scenario
from sim.types import Floats
from sim.world.topology import compile_topology
from tests.conftest import ROOT

OUTAGE_HOUR = 34  # of the two days: 10 in the morning of 2 June in Texas
OUTAGE = {"from_node": "23", "to_node": "25", "start_utc": "2024-08-20T15:00:00Z", "hours": 6}


def hourly(result: RunResult, column: str) -> Floats:
    """A column of the table of sites (hour, site)."""
    values = np.asarray(result.table("sites")[column], dtype=np.float64)
    return values.reshape(-1, len(result.scenario.sites))


def loaded(data: Path, **changed: Any) -> Scenario:
    hot = {"horizon.start_utc": "2024-08-19T05:00:00Z", "horizon.days": 2}
    base = {"data_dir": str(data), **hot}
    return sim.load(ROOT / "configs/meshed-118", {**base, **changed})


def halved(scenario: Scenario) -> Scenario:
    """The same sites with half of their machines."""
    asics = tuple(g.model_copy(update={"count": g.count // 2}) for g in scenario.asics)
    gpus = tuple(g.model_copy(update={"nodes": g.nodes // 2}) for g in scenario.gpus)
    return scenario.model_copy(update={"asics": asics, "gpus": gpus})


@pytest.fixture(scope="module")
def whole(data: Path) -> RunResult:
    """Two days, everything on."""
    return sim.run(loaded(data), "static")


def test_forty_sites_hang_on_buses_of_the_case(data: Path) -> None:
    scenario = loaded(data)
    topology = compile_topology(scenario)
    assert scenario.case is not None
    assert topology.mesh is not None
    assert len(scenario.case.bus_number) == 118
    buses = [str(scenario.case.bus_number[bus]) for bus in topology.mesh.site_bus]
    assert buses == [site.grid_node for site in scenario.sites]
    assert len(set(buses)) == 40
    assert len(topology.link_names) == 186
    assert "23 → 25" in topology.link_names


def test_prices_differ_between_buses(whole: RunResult) -> None:
    price = hourly(whole, "price_usd_per_mwh")
    assert price.shape == (48, 40)
    assert np.isfinite(price).all()
    spread = price.max(axis=1) - price.min(axis=1)
    assert spread.max() > 10.0
    assert (price.mean(axis=1) > price.mean(axis=1).min() + 1.0).any(), "and between hours"


def test_the_fleet_draws_what_its_lines_let_it(whole: RunResult) -> None:
    meter_mw = hourly(whole, "meter_mw")
    limit_mw = [site.power_limit_mw for site in whole.scenario.sites]
    assert (meter_mw <= np.array(limit_mw) + 1e-6).all()
    assert meter_mw.sum(axis=1).max() > 0.5 * sum(limit_mw)


def test_half_the_fleet_pays_no_higher_price(whole: RunResult) -> None:
    """The fleet is a price-maker: each hour's mean over the buses falls with its load."""
    half = sim.run(halved(whole.scenario), "static")
    assert hourly(half, "meter_mw").mean() < 0.6 * hourly(whole, "meter_mw").mean()
    fewer = hourly(half, "price_usd_per_mwh").mean(axis=1)
    all_of_it = hourly(whole, "price_usd_per_mwh").mean(axis=1)
    assert (fewer <= all_of_it + 1e-6).all()
    assert fewer.mean() < all_of_it.mean() - 1.0


def test_an_outage_changes_prices_when_it_begins(whole: RunResult, data: Path) -> None:
    result = sim.run(loaded(data, **{"grid.outages": [OUTAGE]}), "static")
    events = result.table("events").to_pylist()
    links = [(e["t_s"], e["event"], e["subject"]) for e in events if e["event"].startswith("link")]
    begin_s = OUTAGE_HOUR * 3600
    assert links == [(begin_s, "link out", "23 → 25"), (begin_s + 21_600, "link back", "23 → 25")]
    assert not any(e["event"].startswith("link") for e in whole.table("events").to_pylist())
    change = np.abs(hourly(result, "price_usd_per_mwh") - hourly(whole, "price_usd_per_mwh")).max(
        axis=1
    )
    assert change[:OUTAGE_HOUR].max() == 0.0
    assert change[OUTAGE_HOUR] > 1.0
