"""A region's market as one process: theory, luck that is shared, and the recording beside it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from experiments.calibrate_region import describe, recorded
from sim.scenario import Scenario
from sim.streams import Streams
from sim.types import Floats
from sim.world.region import (
    DEVIATES,
    LEVELS_PCT,
    TEMPERATURE,
    RegionPath,
    load_regions,
    long_run_mean,
    read,
    stress_season,
)
from sim.world.world import World, build_world
from tests.conftest import build_scenario

START = datetime(2025, 1, 1, 6, tzinfo=UTC)
YEAR_H = 8760
ERCOT = load_regions()["ercot"]
BOTH = {
    "west": {"model": "regional", "profile": "ercot-west"},
    "hub": {"model": "regional", "profile": "ercot-hub"},
}


def path(hours: int = YEAR_H, seed: int = 1) -> RegionPath:
    return RegionPath("ercot", START, hours, Streams(seed))


def world(
    zones: dict[str, Any], days: int = 60, seed: int = 1, **tables: Any
) -> tuple[Scenario, World]:
    """Two sites, one on each zone."""
    scenario = build_scenario(
        {"horizon": {"days": days}, "prices": {"zones": zones}, **tables},
        sites=[
            {"name": name, "price_zone": zone}
            for name, zone in zip(("alpha", "bravo"), zones, strict=True)
        ],
    )
    return scenario, build_world(scenario, Streams(seed))


def test_the_memories_add_up_to_a_standard_normal_value() -> None:
    total = np.einsum("cij,ckj->ik", ERCOT.factor, ERCOT.factor)
    np.testing.assert_allclose(np.diag(total), 1.0, atol=1e-4)
    assert (np.abs(total) <= 1.0 + 1e-4).all()
    assert (np.diff(ERCOT.levels, axis=-1) >= 0.0).all()


def test_deviates_have_the_covariances_of_their_factors() -> None:
    """Over 40 years, at once and after a day, for every pair; heat is turned over in winter."""
    made = path(40 * YEAR_H)
    kept = [i for i, name in enumerate(ERCOT.variables) if name != TEMPERATURE]
    z = made.deviates[kept]
    shares = np.einsum("cij,ckj->cik", ERCOT.factor, ERCOT.factor)[:, kept][:, :, kept]
    for lag in (0, 1, 24):
        wanted = np.einsum("c,cij->ij", ERCOT.ar1_per_h**lag, shares)
        found = z[:, : z.shape[1] - lag] @ z[:, lag:].T / (z.shape[1] - lag)
        np.testing.assert_allclose(found, wanted, atol=0.08)
    warmth = made.warmth
    assert warmth.std() == pytest.approx(1.0, abs=0.1)
    stress = made.deviates[ERCOT.variables.index("load")]
    summer, winter = (stress_season(made.day) * sign > 0.7 for sign in (1.0, -1.0))
    assert np.corrcoef(warmth[summer], stress[summer])[0, 1] > 0.3
    assert np.corrcoef(warmth[winter], stress[winter])[0, 1] < -0.3


def test_a_deviate_is_read_between_its_levels() -> None:
    levels = np.broadcast_to(np.arange(10.0) * 10.0, (5, 10))
    deviates = np.array([0.0, DEVIATES[3], (DEVIATES[3] + DEVIATES[4]) / 2.0, -9.0, 9.0])
    got = read(levels, deviates)
    np.testing.assert_allclose(got[:3], [40.0, 30.0, 35.0])
    assert -15.0 < got[3] < 0.0  # beyond the outermost levels on along the last piece, to 4
    assert 90.0 < got[4] < 110.0
    assert len(LEVELS_PCT) == len(DEVIATES)


def test_the_same_luck_gives_the_same_bytes_and_no_horizon_changes_the_past() -> None:
    long = path(65 * 24).hourly("west-rt")
    assert path(40 * 24).hourly("west-rt").tobytes() == long[: 40 * 24].tobytes()
    assert path(65 * 24, seed=2).hourly("west-rt").tobytes() != long.tobytes()


def test_zones_of_a_region_share_their_luck_and_know_the_day_ahead() -> None:
    _, found = world(BOTH)
    west, hub = found.zone_usd_per_mwh.T
    assert np.corrcoef(np.arcsinh(west), np.arcsinh(hub))[0, 1] > 0.6
    ahead = found.day_ahead_usd_per_mwh
    assert ahead is not None
    assert not np.isnan(ahead).any()
    assert np.corrcoef(np.arcsinh(ahead[:, 1]), np.arcsinh(hub))[0, 1] > 0.6
    np.testing.assert_array_equal(hub.reshape(-1)[: 24 * 4].reshape(24, 4).std(axis=1), 0.0)


def test_a_mean_lifts_both_prices_of_a_zone_alike() -> None:
    _, plain = world(BOTH)
    mean = long_run_mean("ercot", "west-rt")
    dear = {**BOTH, "west": {**BOTH["west"], "mean_usd_per_mwh": 2.0 * mean}}
    _, lifted = world(dear)
    usual = np.abs(plain.zone_usd_per_mwh[:, 0]) < 100.0
    for one, other in (
        (plain.zone_usd_per_mwh, lifted.zone_usd_per_mwh),
        (plain.day_ahead_usd_per_mwh, lifted.day_ahead_usd_per_mwh),
    ):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(other[usual, 0], 2.0 * one[usual, 0])
        np.testing.assert_array_equal(other[:, 1], one[:, 1])


def test_sites_of_a_region_have_its_warm_days() -> None:
    scenario, found = world(BOTH, days=365)
    warmth = np.repeat(path_of(scenario).warmth, 4)[: len(found.ambient_c) - 1]
    season = found.ambient_c[:-1, 0].reshape(-1, 96).mean(axis=1)
    month = np.arange(365) // 30
    left = season - np.array([season[month == m].mean() for m in range(13)])[month]
    daily = warmth.reshape(-1, 96).mean(axis=1)
    assert np.corrcoef(left, daily)[0, 1] > 0.6
    _, apart = world(
        {
            "one": {"model": "fixed", "usd_per_mwh": 40},
            "two": {"model": "fixed", "usd_per_mwh": 40},
        },
        days=365,
    )
    season = apart.ambient_c[:-1, 0].reshape(-1, 96).mean(axis=1)
    left = season - np.array([season[month == m].mean() for m in range(13)])[month]
    assert abs(np.corrcoef(left, daily)[0, 1]) < 0.3


def path_of(scenario: Scenario) -> RegionPath:
    horizon = scenario.horizon
    return RegionPath("ercot", horizon.start_utc, horizon.steps // 4 + 1, Streams(1))


def test_reserves_and_coincident_peaks_without_a_record() -> None:
    """Prices of a product, and the peaks of a summer's load, out of the same luck."""
    tables = {
        "horizon": {"start_utc": "2025-06-01T05:00:00Z", "days": 30},
        "programmes": {"rrs": {"model": "reserve", "product": "ercot-rrs"}},
        "coincident_peak": {"region": "ercot", "usd_per_mw_year": 60_000.0, "utc_offset_h": -5},
        "prices": {"zones": {"zone": {"model": "regional", "profile": "ercot-hub"}}},
    }
    scenario = build_scenario(tables)
    found = build_world(scenario, Streams(1))
    region = path_of(scenario)
    assert found.reserve_usd_per_mw_h is not None
    np.testing.assert_array_equal(found.reserve_usd_per_mw_h[:-1:4, 0], region.hourly("rrs")[:-1])
    assert found.peaks is not None
    assert found.peaks.peak_steps.tolist() == [4 * int(region.hourly("load")[:720].argmax())]
    paid = sim.run(scenario, "merit-order").kpis["grid_services_usd"]
    assert paid is not None
    assert paid > 0.0


def test_carbon_of_a_region_goes_with_its_prices() -> None:
    """More wind: cheap and clean. Hours of a site's zone are the region's own, none below zero."""
    made = path(20 * YEAR_H)
    cheap, clean = made.hourly("hub-da"), made.hourly("carbon")
    assert np.corrcoef(np.arcsinh(cheap / 20.0), clean)[0, 1] > 0.4
    assert 300.0 < clean.mean() < 360.0
    named = build_scenario(
        {
            "horizon": {"days": 30},
            "prices": {"zones": BOTH},
            "carbon": {"zones": {"texas": {"model": "regional", "region": "ercot"}}},
        },
        sites=[
            {"name": "alpha", "price_zone": "hub", "carbon_zone": "texas"},
            {"name": "bravo", "price_zone": "west"},
        ],
    )
    kg_per_mwh = build_world(named, Streams(1)).carbon_kg_per_mwh
    assert kg_per_mwh is not None
    np.testing.assert_array_equal(kg_per_mwh[:-1:4, 0], path_of(named).hourly("carbon")[:720])
    assert (kg_per_mwh[:, 1] == 0.0).all()  # names no zone


def simulated() -> dict[str, Floats]:
    made = RegionPath("ercot", datetime(2024, 1, 1, 6, tzinfo=UTC), 40 * YEAR_H, Streams(1))
    return {name: made.hourly(name) for name in ERCOT.variables}


# How far a statistic of 40 synthetic years may lie from two recorded ones: as a share, or absolute.
BOUNDS = {
    "mean": (0.15, 0.2),
    "p1": (0.25, 1.0),
    "p5": (0.15, 0.8),
    "p50": (0.07, 0.3),
    "p95": (0.12, 0.5),
    "p99": (0.15, 1.0),
    "p99.9": (0.45, 1.0),
    "1 h": (0.0, 0.13),
    "24 h": (0.0, 0.20),
}


@pytest.mark.needs_data
def test_like_ercot(data: Path) -> None:
    """149 statistics: levels, tails, memory, correlations, spikes, negative hours, heat."""
    real, made = describe(recorded(data)), describe(simulated())
    assert len(real) > 30
    wrong = []
    for key, value in real.items():
        kind = next((k for k in BOUNDS if key.endswith(f" {k}")), "")
        share, least = BOUNDS.get(kind, (0.15, 0.0))
        if key.startswith("correlation"):
            share, least = 0.0, 0.1 if "rrs" not in key else 0.25
        elif key.endswith("-da p5"):  # near zero USD/MWh; another luck of 40 years moves it by 0.5
            least = 1.6
        if abs(made[key] - value) > max(share * abs(value), least):
            wrong.append(f"{key}: recorded {value:.4g}, synthetic {made[key]:.4g}")
    assert wrong == []
