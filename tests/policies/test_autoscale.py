"""Nodes follow the requests: by hand at the contract, then in a day with a quiet night."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.policies.autoscale import AutoScale, by_free_seats
from sim.policy import Observation, ServingView
from tests.builders.observations import seen
from tests.builders.serving_scenarios import scenario_with

MINUTE = 60


def asked(outstanding: float, t_s: int = 0, price: float = 40.0) -> Observation:
    """Ten reserved nodes, and ten that serve, each with 100 seats."""
    plain = seen(price, t_s=t_s)
    serving = ServingView(
        rate_rps=np.array([1.0]),
        latency_s=np.array([[0.01]]),
        outstanding=np.array([0.0, outstanding]),
        waiting=np.zeros(2),
        seats=np.array([0.0, 100.0]),
        ttft_s=np.array([np.nan]),
    )
    gpu = plain.gpu._replace(contracted=np.array([1.0, 0.5]))
    return plain._replace(gpu=gpu, serving=serving)


@pytest.mark.parametrize(
    ("outstanding", "nodes"),
    [(0, 1), (60, 1), (61, 2), (350, 6), (599, 10), (5_000, 10)],  # 60 requests to a node
)
def test_as_many_nodes_as_the_requests_need(outstanding: float, nodes: int) -> None:
    decision = AutoScale(target=0.6).decide(asked(outstanding))
    assert decision.gpu_share == pytest.approx([1.0, nodes / 10])


def test_up_at_once_and_down_after_the_cool_down() -> None:
    policy = AutoScale(target=0.6, cool_down_s=30 * MINUTE)
    took = [
        10 * float(policy.decide(asked(requests, minute * MINUTE)).gpu_share[1])
        for minute, requests in [(0, 350), (15, 0), (30, 120), (45, 0), (60, 0), (75, 0)]
    ]
    assert took == pytest.approx([6, 6, 6, 2, 2, 1])


def test_what_is_off_leaves_its_power_to_machines() -> None:
    """0.6 MW: ten reserved nodes draw 0.1, one serving node 0.01, ASICs get the rest but 2 %."""
    tight = asked(0.0)._replace(limits=seen(40.0, room_mw=0.6).limits)
    assert AutoScale().decide(tight).asic_share[0, 0] == pytest.approx(0.588 - 0.11)


def test_failed_nodes_are_not_asked_for() -> None:
    observation = asked(5_000)
    gpu = observation.gpu._replace(available=np.array([10.0, 4.0]))
    assert AutoScale().decide(observation._replace(gpu=gpu)).gpu_share[1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target": 0.0}, "target is 0.0; allowed: above 0, up to 1"),
        ({"cool_down_s": -1}, "cool_down_s is -1; allowed: 0 or more"),
        ({"least": 0}, "least is 0; allowed: whole numbers from 1"),
        ({"headroom": 1.0}, "headroom is 1.0"),
    ],
)
def test_parameters_out_of_range(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoScale(**parameters)


def test_requests_go_where_seats_are_free() -> None:
    """Alpha: two nodes with 150 of 200 taken; bravo: four with 100 of 400: 50 to 300 free."""
    one = asked(0.0)
    gpu = one.gpu._replace(site=np.array([0, 1]), available=np.array([2.0, 4.0]), share=np.ones(2))
    serving = one.serving._replace(
        latency_s=np.array([[0.01, 0.02], [np.nan, 0.02]]),
        outstanding=np.array([150.0, 100.0]),
        seats=np.array([100.0, 100.0]),
    )
    two = one._replace(gpu=gpu, serving=serving, price_usd_per_mwh=np.zeros(2))
    weight = by_free_seats(two)
    requests = weight[0] * np.array([2.0, 4.0])  # a weight is that of an open engine
    assert requests[1] / requests[0] == pytest.approx(6.0)
    assert weight[1, 0] == 0.0  # may not serve it
    full = by_free_seats(two._replace(serving=serving._replace(outstanding=np.full(2, 1e4))))
    assert (full[0] > 0.0).all()


@pytest.mark.parametrize("fidelity", ["exact", "fluid"])
def test_a_day_takes_fewer_nodes_and_keeps_the_promise(fidelity: str) -> None:
    scenario = scenario_with(demand={"fidelity": fidelity}, nodes=8)
    even, scaled = (sim.run(scenario, policy) for policy in ("slo-guard", "autoscale"))
    on = [r.table("fleet")["gpu_mw"].to_numpy().mean() for r in (even, scaled)]
    assert on[1] < 0.5 * on[0]
    for result in (even, scaled):
        kpis = result.kpis
        assert kpis["requests_served"] == pytest.approx(kpis["requests_arrived"], rel=0.001)
        assert (kpis["slo_attainment_pct"] or 0.0) > 99.0


class Look(AutoScale):
    """Keeps what it has seen of serving."""

    def __init__(self) -> None:
        super().__init__()
        self.views: list[ServingView] = []

    def decide(self, observation: Observation) -> sim.Decision:
        self.views.append(observation.serving)
        return super().decide(observation)


def test_what_is_seen_of_serving() -> None:
    """Little's law: outstanding is about rate times time inside; P95 is that of the KPIs."""
    exact, fluid = Look(), Look()
    result = sim.run(scenario_with(nodes=1), exact)
    sim.run(scenario_with(nodes=1, demand={"fidelity": "fluid"}), fluid)
    mean = [np.mean([v.outstanding.sum() for v in p.views[4:]]) for p in (exact, fluid)]
    assert mean[1] == pytest.approx(mean[0], rel=0.25)
    recent = np.nanmean([v.ttft_s[0] for v in exact.views[1:]])
    assert recent == pytest.approx(result.kpis["ttft_p95_s"], rel=0.1)
    assert np.isnan([v.ttft_s for v in fluid.views]).all()
    for view in (*exact.views, *fluid.views):
        assert (view.waiting <= view.outstanding).all()
        assert (view.seats > 1.0).all()
