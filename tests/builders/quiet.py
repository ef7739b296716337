"""A fleet to which nothing happens but what a test brings about."""

from collections.abc import Callable
from typing import Any

import numpy as np

import sim
from sim.results.result import RunResult
from sim.scenario import Scenario

Build = Callable[..., Scenario]


QUIET: dict[str, Any] = {
    "horizon": {"days": 2, "start_utc": "2026-01-01T00:00:00Z"},
    "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 30}}},
    "weather": {"climates": {"cool": {"model": "seasonal", "climate": "reykjavik-is"}}},
    "faults": {"enabled": False},
}


COOL = [{"name": "alpha", "climate": "cool"}, {"name": "bravo", "climate": "cool"}]


def quiet(build: Build, *incidents: dict[str, Any], **more: Any) -> RunResult:
    """A run of two sites without luck, but for these incidents."""
    tables = {**QUIET, **more.pop("tables", {})}
    faults = {"enabled": False, "incidents": list(incidents)}
    scenario = build({**tables, "faults": faults}, sites=more.pop("sites", COOL), **more)
    return sim.run(scenario, "static")


def column(result: RunResult, site: str, name: str) -> np.ndarray[Any, Any]:
    """A column of the sites table at one site, by the hour."""
    table = result.table("sites")
    here = np.array(table["site"].to_pylist()) == site
    return np.asarray(table[name].to_numpy()[here])


def events(result: RunResult) -> list[tuple[int, str]]:
    table = result.table("events")
    return list(zip(table["t_s"].to_pylist(), table["event"].to_pylist(), strict=True))
