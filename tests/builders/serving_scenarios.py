"""Serving sites, requests that are given, and a policy that switches everything off and on."""

from typing import Any

import numpy as np

import sim
from sim.kernels.traffic import (
    ARRIVED,
    EXPIRED,
    LANE_EXPIRED,
    LANE_REJECTED,
    LANE_RETURNED,
    LANE_SENT,
    LANE_SERVED,
    REJECTED,
    SERVED,
    Day,
)
from sim.scenario.scenario import Scenario
from sim.serving_fleet import ServingFleet
from tests.conftest import build_scenario

MODEL = "llama-3.1-8b"


SITES = [
    {"name": "alpha", "latitude": 32.0, "longitude": -100.0, "country": "US"},
    {"name": "bravo", "latitude": 45.0, "longitude": -75.0, "country": "CA"},
]


EAST = {"regions": {"east": {"latitude": 40.0, "longitude": -75.0}}}


def scenario_with(
    tenants: list[dict[str, Any]] | None = None,
    demand: dict[str, Any] | None = None,
    days: float = 1,
    nodes: int = 2,
    sites: list[dict[str, Any]] | None = None,
    **tables: Any,
) -> Scenario:
    """Two sites of `nodes` nodes, each with two engines of an 8B model."""
    node = {"gpu": "h100-sxm", "nodes": nodes, "model": MODEL, "state": "serving"}
    chosen = sites or SITES
    return build_scenario(
        tables={"horizon": {"days": days}, "demand": EAST | (demand or {}), **tables},
        sites=chosen,
        asics=[{"site": s["name"], "model": "Antminer S21", "count": 100} for s in chosen],
        gpus=[{**node, "site": s["name"], "gpus_per_node": 2, "tp": 1} for s in chosen],
        tenants=[
            {"region": "east", "model": MODEL, "rate_rps": 2.0, **t}
            for t in tenants or [{"name": "acme"}]
        ],
    )


class Storm:
    """Switches the nodes of each site off and on at its own rhythm."""

    def decide(self, observation: sim.Observation) -> sim.Decision:
        step = observation.t_s // observation.step_s
        on = np.array([1.0 - 0.5 * (step // 3 % 3), float(step % 5 != 0)])
        return sim.Decision(observation.asic.default_share, on[observation.gpu.site])


def assert_nobody_is_lost(x: ServingFleet) -> None:
    """Law 1, for each tenant and for each tenant at each site."""
    present, tally = x.present(), x.tally
    tenants = len(x.scenario.tenants)
    here = np.bincount(x.lane_tenant, present.waiting + present.running, tenants).astype(np.int64)
    ended = tally.tenants[[SERVED, REJECTED, EXPIRED]].sum(axis=0)
    assert np.array_equal(tally.tenants[ARRIVED], ended + here + present.held)
    gone = tally.lanes[[LANE_SERVED, LANE_REJECTED, LANE_EXPIRED, LANE_RETURNED]].sum(axis=0)
    assert np.array_equal(tally.lanes[LANE_SENT], gone + present.waiting + present.running)


class Given:
    """Requests that a test has made."""

    def __init__(self, day: Day) -> None:
        self.given = day

    def day(self, number: int) -> Day:
        assert number == 0
        return self.given


def requests(count: int, seed: int = 1, rate: float = 3.0, tenants: int = 1) -> Day:
    draw = np.random.default_rng(seed)
    return Day(
        sent_s=np.cumsum(draw.exponential(1 / rate, count)),
        tenant=draw.integers(0, tenants, count),
        prompt=draw.integers(1, 3000, count),
        output=draw.integers(1, 300, count),
        hit=np.zeros(count, dtype=np.int64),
        luck=draw.random((count, 2)),
    )
