"""Conversations of tenants, block caches in a fleet, and what switching off costs."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine as Run
from sim.kernels.traffic import LANE_CACHED_TOKENS, LANE_TOKENS_IN
from sim.scenario.demand import Tenant
from sim.scenario.problems import ScenarioError
from sim.serving_fleet import ServingFleet
from sim.world.talks import talks
from tests.builders.serving_scenarios import (
    SITES,
    Given,
    Storm,
    assert_nobody_is_lost,
    requests,
    scenario_with,
)

TENANT = Tenant(name="t", region="r", model="m", turns=4.0, think_s=30.0, system_prompt_tokens=100)


def test_a_turn_asks_with_all_that_was_said_before() -> None:
    draw = np.random.default_rng(1)
    sent_s = np.cumsum(draw.exponential(1.0, 5000))
    text, output = draw.integers(1, 50, 5000), draw.integers(1, 50, 5000)
    found = talks(TENANT, sent_s, text, output, draw)
    said: dict[int, int] = {}
    last_s: dict[int, float] = {}
    gaps_s = []
    for i, which in enumerate(found.talk.tolist()):
        assert found.prompt[i] == said.get(which, 100) + text[i]
        said[which] = int(found.prompt[i] + output[i])
        if which in last_s:
            gaps_s.append(sent_s[i] - last_s[which])
        last_s[which] = float(sent_s[i])
    assert 5000 / len(said) == pytest.approx(4.0, rel=0.1)
    assert np.mean(gaps_s) == pytest.approx(31.0, rel=0.1)  # and a wait for the next request


def test_a_conversation_ends_before_it_is_too_long() -> None:
    short = TENANT.model_copy(update={"max_tokens": 300, "turns": 1e4})
    draw = np.random.default_rng(2)
    text, output = draw.integers(1, 90, 1000), draw.integers(1, 90, 1000)
    found = talks(short, np.arange(1000.0), text, output, draw)
    assert (found.prompt <= 300).all()
    assert len(np.unique(found.talk)) > 100


def chatting(count: int = 1500, **demand: Any) -> tuple[ServingFleet, float]:
    day = requests(count, rate=6.0)
    draw = np.random.default_rng(3)
    made = talks(TENANT, day.sent_s, 1 + day.prompt // 10, day.output, draw)
    day = day._replace(prompt=made.prompt, leaf=made.talk, told=made.prompt + day.output)
    scenario = scenario_with(sites=SITES[:1], demand=demand)
    fleet = ServingFleet(scenario, {("east", "alpha"): 0.0}, Given(day), keep_all=True)
    fleet.advance(5000.0)
    rows = fleet.tally.lanes
    return fleet, float(rows[LANE_CACHED_TOKENS].sum() / rows[LANE_TOKENS_IN].sum())


def test_a_balancer_that_knows_prefixes_finds_more_of_them() -> None:
    _, off = chatting()
    _, blind = chatting(prefix_cache=True, balancing="least-outstanding")
    _, aware = chatting(prefix_cache=True, balancing="prefix-aware")
    assert off == 0.0
    assert 0.1 < blind < 0.8 * aware
    assert aware > 0.6


def test_switching_off_forgets_what_was_warm() -> None:
    fleet, _ = chatting(prefix_cache=True)
    assert not fleet.forgotten_tokens.any()
    fleet.switch(np.zeros(len(fleet.load_s)))
    assert (fleet.forgotten_tokens > 1000).all()
    once = fleet.forgotten_tokens.copy()
    fleet.switch(np.ones(len(fleet.load_s)))
    fleet.switch(np.zeros(len(fleet.load_s)))
    assert fleet.forgotten_tokens.tolist() == once.tolist()


@pytest.mark.parametrize(
    ("demand", "columns", "what"),
    [
        ({"prefix_cache": True}, {"prefix_share": 0.5}, "a cache of another kind"),
        ({"fidelity": "fluid"}, {"turns": 3.0}, "a fluid knows no conversations"),
        ({"fidelity": "fluid", "prefix_cache": True}, {}, "a fluid has no block cache"),
        ({}, {"system_prompt_tokens": 20_000}, "must be below max_tokens = 16384"),
    ],
)
def test_what_contradicts_itself_is_refused(
    demand: dict[str, Any], columns: dict[str, Any], what: str
) -> None:
    with pytest.raises(ScenarioError, match=what):
        scenario_with(demand=demand, tenants=[{"name": "acme", **columns}])


def test_a_run_tells_the_share_that_was_found() -> None:
    turns = {"name": "acme", "turns": 5.0, "think_s": 20.0, "system_prompt_tokens": 500}
    warm = sim.run(scenario_with(days=0.25, demand={"prefix_cache": True}, tenants=[turns]))
    cold = sim.run(scenario_with(days=0.25, tenants=[turns]))
    assert cold.kpis["prefix_hit_pct"] == 0.0
    assert (warm.kpis["prefix_hit_pct"] or 0.0) > 20.0
    assert warm.kpis["requests_arrived"] == cold.kpis["requests_arrived"]


@pytest.mark.parametrize("curtailment", ["preempt", "drain", "migrate"])
def test_with_caches_too_no_request_is_lost_whatever_is_switched_off(curtailment: str) -> None:
    talking = {"turns": 4.0, "think_s": 20.0, "system_prompt_tokens": 700, "patience_s": 3.0}
    scenario = scenario_with(
        [{"name": "acme", "rate_rps": 6.0, "retries": 1, **talking}, {"name": "bits"}],
        {"curtailment": curtailment, "balancing": "prefix-aware", "prefix_cache": True},
        days=0.125,
        faults={"gpu": {"mtbf_h": 5.0}},
    )
    run = Run(scenario, Storm(), seed=3)
    assert run.serving_fleet is not None

    def record() -> None:
        Run.record(run)
        assert run.serving_fleet is not None
        assert_nobody_is_lost(run.serving_fleet)

    run.phases = (*run.phases[:-1], record)
    run.run()
    assert run.serving_fleet.forgotten_tokens.sum() > 0
