"""Shared by all tests: small fleets, and where the recorded data lie."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

import sim
from sim.scenario import Scenario, assemble

pytest.register_assert_rewrite("tests.builders")

ROOT = Path(__file__).parent.parent

# The same examples in every run; compilation inside the first example is no failure.
settings.register_profile(
    "hashwatt",
    derandomize=True,
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(  # for planted defects: that something fails is all they ask
    "unshrunk", settings.get_profile("hashwatt"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("hashwatt")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of recorded data, or a skip with the reason."""
    folder = Path(os.environ.get("HASHWATT_DATA", ROOT.parent / "shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder} (HASHWATT_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny() -> Scenario:
    """The shipped scenario of two sites, for two days."""
    return sim.load(ROOT / "configs/tiny", {"horizon.days": 2})


Build = Callable[..., Scenario]


@pytest.fixture(scope="session")
def build() -> Build:
    """A scenario out of a few values: two sites on a feeder, unless told otherwise."""
    return build_scenario


def build_scenario(
    tables: dict[str, Any] | None = None,
    *,
    sites: list[dict[str, Any]] | None = None,
    asics: list[dict[str, Any]] | None = None,
    gpus: list[dict[str, Any]] | None = None,
    tenants: list[dict[str, Any]] | None = None,
    feeder_mw: float | None = None,
    grid: dict[str, list[dict[str, Any]]] | None = None,
    **sheets: list[dict[str, Any]],
) -> Scenario:
    site = {
        "climate": "midland-tx",
        "price_zone": "zone",
        "utc_offset_h": -6,
        "power_limit_mw": 10,
        "overhead_mw": 0.05,
        "technicians": 2,
    }
    rows = sites or [{"name": "alpha"}, {"name": "bravo", "climate": "massena-ny"}]
    grid = grid or {}
    if feeder_mw is not None:
        grid = {
            "grid_nodes": [{"name": "root", "kind": "zone"}, {"name": "feeder", "kind": "feeder"}],
            "grid_links": [
                {
                    "from_node": "root",
                    "to_node": "feeder",
                    "capacity_mw": feeder_mw,
                    "loss_fraction": 0.01,
                }
            ],
        }
        site["grid_node"] = "feeder"
    return assemble(
        {
            "horizon": {"days": 2},
            "prices": {"zones": {"zone": {"model": "seasonal-jump", "profile": "ercot-west"}}},
            **(tables or {}),
        },
        {
            "sites": [{**site, **row} for row in rows],
            "asics": asics
            if asics is not None
            else [
                {"site": "alpha", "model": "Antminer S19 XP", "count": 900},
                {"site": "alpha", "model": "Antminer S21", "count": 400},
                {"site": "bravo", "model": "Antminer S19j Pro 104T", "count": 1100},
            ],
            "gpus": gpus
            if gpus is not None
            else [
                {"site": "alpha", "gpu": "h100-sxm", "nodes": 4},
                {"site": "bravo", "gpu": "h100-sxm", "nodes": 3, "state": "batch"},
            ],
            "tenants": tenants or [],
            **grid,
            **sheets,
        },
        name="built",
    )
