"""Tenants, router and operations: whatever happens to the nodes, no request is lost."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine as Run
from sim.kernels.bins import BIN_EDGES, BIN_LOG, BINS, FIRST_BIN_S, bins_of
from sim.kernels.requests import OUTSTANDING
from sim.kernels.routing import _redrawn
from sim.kernels.traffic import (
    EXPIRED,
    LANE_LOST_TOKENS,
    LANE_RETURNED,
    LANE_SENT,
    REJECTED,
    RETRIED,
    SENT,
    SERVED,
    Day,
)
from sim.policies.static import Static
from sim.serving import Engine, IterationTime, serve
from sim.serving_fleet import ServingFleet
from sim.serving_fleet.histograms import percentile_s
from tests.builders.serving_scenarios import (
    MODEL,
    SITES,
    Given,
    Storm,
    assert_nobody_is_lost,
    requests,
    scenario_with,
)


@pytest.mark.parametrize("curtailment", ["preempt", "drain", "migrate"])
@pytest.mark.parametrize("balancing", ["power-of-two", "round-robin", "least-outstanding"])
def test_no_request_is_lost_whatever_is_switched_off(curtailment: str, balancing: str) -> None:
    long = {"prompt_mean_tokens": 4000.0, "output_mean_tokens": 1500.0}
    hurried = {"patience_s": 3.0, "retries": 1, "backoff_s": 20.0}
    scenario = scenario_with(
        [
            {"name": "acme", "rate_rps": 6.0, **long, **hurried},
            {"name": "bits", "rate_rps": 2.0, **long, "residency": "ca", "arrivals": "gamma"},
        ],
        {"curtailment": curtailment, "balancing": balancing, "queue_limit": 500},
        days=0.25,
        nodes=1,
        faults={"gpu": {"mtbf_h": 5.0}},
    )
    run = Run(scenario, Storm(), seed=3)
    assert run.serving_fleet is not None
    checked = []

    def record() -> None:
        Run.record(run)
        assert run.serving_fleet is not None
        assert_nobody_is_lost(run.serving_fleet)
        checked.append(run.now_s)

    run.phases = (*run.phases[:-1], record)
    run.run()
    assert len(checked) == scenario.horizon.steps
    tally = run.serving_fleet.tally
    for row in (SERVED, REJECTED, EXPIRED, RETRIED):
        assert tally.tenants[row].sum() > 0, row
    returned = tally.lanes[LANE_RETURNED].sum()
    assert returned > 0
    assert (
        tally.lanes[LANE_LOST_TOKENS].sum() > 0
    )  # failures lose KV even where curtailment does not


def test_the_tables_say_the_same_and_nobody_is_lost_in_them() -> None:
    result = sim.run(scenario_with(days=0.5), Storm(), seed=2)
    table = result.table("tenants").to_pydict()
    total = {k: sum(v) for k, v in table.items() if k not in ("t_s", "utc", "tenant", "site")}
    last = [t == max(table["t_s"]) for t in table["t_s"]]
    still = sum(
        sum(n for n, now in zip(table[state], last, strict=True) if now)
        for state in ("requests_waiting", "requests_running", "requests_held")
    )
    ended = total["requests_served"] + total["requests_rejected"] + total["requests_expired"]
    assert total["requests_arrived"] == ended + still
    assert total["requests_served"] == result.kpis["requests_served"]
    fleet = result.table("serving").to_pylist()[0]
    assert fleet["requests_served"] == total["requests_served"]
    rows = result.table("serving").to_pylist()
    for scope in ("tenant", "site"):
        mine = [r for r in rows if r["scope"] == scope]
        assert sum(r["token_revenue_usd"] for r in mine) == pytest.approx(
            result.kpis["token_revenue_usd"]
        )
        joules = sum(r["joules_per_token"] * r["tokens_out"] for r in mine if r["tokens_out"])
        assert joules / fleet["tokens_out"] == pytest.approx(result.kpis["joules_per_token"])
    assert fleet["energy_cost_usd_per_mtok"] == pytest.approx(
        result.kpis["energy_cost_usd_per_mtok"]
    )
    sites = result.table("sites").to_pydict()
    for column in ("requests_served", "requests_returned", "tokens_in", "tokens_out"):
        assert sum(sites[column]) == total[column]
    assert fleet["ttft_p95_s"] == result.kpis["ttft_p95_s"]


def test_same_cell_same_bytes_and_luck_is_not_the_policys() -> None:
    scenario = scenario_with(days=0.25)
    one, two = (sim.run(scenario, Storm(), seed=5) for _ in range(2))
    for name in ("tenants", "requests", "serving", "sites"):
        assert one.table(name).equals(two.table(name))
    calm = sim.run(scenario, "static", seed=5)
    assert calm.kpis["requests_arrived"] == one.kpis["requests_arrived"]
    assert calm.kpis["requests_returned"] == 0.0
    assert (one.kpis["requests_returned"] or 0.0) > 0.0


def inference_with(day: Day, engine: Engine | None = None, **demand: Any) -> ServingFleet:
    """One site with two nodes of two engines, next door to the clients."""
    scenario = scenario_with(sites=SITES[:1], demand=demand)
    made = ServingFleet(scenario, {("east", "alpha"): 0.0}, Given(day), keep_all=True)
    if engine is not None:
        from sim.serving.engine import compile_engines, fresh_state

        made.engines = compile_engines([engine], np.zeros(4, dtype=np.int64))
        made.state = fresh_state(made.engines, len(made.state.done))
        made._bind()
    return made


def log_of(x: ServingFleet) -> tuple[Any, Any]:
    counts = np.concatenate([c for c, _ in x.log])
    times = np.concatenate([t for _, t in x.log])
    order = np.argsort(counts[:, 0])
    return counts[order], times[order]


def test_round_robin_is_four_engines_with_a_quarter_each() -> None:
    day = requests(2000, rate=12.0)
    x = inference_with(day, balancing="round-robin")
    for until_s in np.sort(np.random.default_rng(1).uniform(0, 400, 50)):
        x.advance(float(until_s))
    x.advance(5000.0)
    counts, times = log_of(x)
    assert len(counts) == len(day.sent_s)
    engine = _engine_of(x)
    for k in range(4):
        mine = slice((k + 3) % 4, None, 4)  # the turn begins at the second engine
        alone = serve(day.sent_s[mine], day.prompt[mine], day.output[mine], engine)
        np.testing.assert_array_equal(times[mine, 1], alone.first_token_s)
        np.testing.assert_array_equal(times[mine, 2], alone.finish_s)


def _engine_of(x: ServingFleet) -> Engine:
    from sim.scenario.catalogue.serving import served

    return served(MODEL, "h100-sxm", 1).engine


@pytest.mark.parametrize("balancing", ["power-of-two", "least-outstanding"])
def test_the_shorter_queue_is_the_one_a_plain_twin_finds(balancing: str) -> None:
    """Batches of one and a fixed time per token: when an engine is free is known at arrival."""
    token_s = 0.01
    one = Engine(IterationTime(token_s, 0.0), max_seqs=1)
    day = requests(3000, seed=4, rate=3.0)
    x = inference_with(day, one, balancing=balancing)
    x.advance(80_000.0)
    _, times = log_of(x)
    ends: list[list[float]] = [[] for _ in range(4)]
    for i, t in enumerate(day.sent_s):
        load = [sum(end > t for end in e) for e in ends]
        pick = float(day.luck[i, 1])
        first = min(int(pick * 4), 3)
        second = min(int((pick * 4 - first) * 3), 2)
        looks = [first, second + (second >= first)] if balancing == "power-of-two" else range(4)
        k = min(looks, key=lambda e: load[e])  # the first of equals
        begins = max(t, ends[k][-1] if ends[k] else 0.0)
        iterations = -(-day.prompt[i] // 8192) + day.output[i] - 1
        ends[k].append(begins + iterations * token_s)
        assert times[i, 2] == pytest.approx(ends[k][-1], rel=1e-9)


def test_cut_anywhere_the_clients_see_the_same() -> None:
    logs = []
    for cuts in ([], np.sort(np.random.default_rng(2).uniform(0, 900, 300))):
        x = inference_with(requests(3000, seed=6, rate=4.0))
        energy_j = np.zeros(1)
        for until_s in (*cuts, 3000.0):
            energy_j += x.advance(float(until_s))
        logs.append((*log_of(x), energy_j))
    assert np.array_equal(logs[0][0], logs[1][0])
    assert logs[0][1].tobytes() == logs[1][1].tobytes()
    np.testing.assert_allclose(logs[0][2], logs[1][2], rtol=1e-9)


@pytest.mark.parametrize("balancing", ["power-of-two", "round-robin", "least-outstanding"])
def test_outcomes_do_not_depend_on_the_control_step(balancing: str) -> None:
    """Who is refused at a full engine is known when he arrives, not when somebody looks."""
    outcomes = []
    for step_s in (3600.0, 900.0, 7.0):
        scenario = scenario_with(
            [{"name": "acme", "retries": 1, "backoff_s": 3.0, "patience_s": 0.1}],
            sites=SITES[:1],
            demand={"balancing": balancing, "queue_limit": 25},
        )
        day = requests(6000, seed=8, rate=60.0)
        x = ServingFleet(scenario, {("east", "alpha"): 0.01}, Given(day), keep_all=True)
        for until_s in np.arange(step_s, 3600.0 + step_s, step_s):
            x.advance(float(until_s))
        counts, times = log_of(x)
        outcomes.append((counts.tobytes(), times.tobytes(), x.tally.tenants.tolist()))
        assert x.tally.tenants[RETRIED].sum() > 100
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize("nodes", [1, 2])
def test_an_engine_that_has_room_refuses_nobody(nodes: int) -> None:
    """Short requests a second apart: at most a few at a time, thousands between two looks."""
    day = requests(3000, seed=3, rate=1.0)._replace(
        prompt=np.full(3000, 100), output=np.full(3000, 20)
    )
    scenario = scenario_with(
        sites=SITES[:1], nodes=nodes, demand={"queue_limit": 12, "balancing": "round-robin"}
    )
    x = ServingFleet(scenario, {("east", "alpha"): 0.0}, Given(day), keep_all=True)
    x.advance(21_600.0)
    assert x.tally.tenants[REJECTED].sum() == 0
    assert x.tally.tenants[SERVED].sum() == 3000


def test_the_next_try_has_luck_of_its_own() -> None:
    """One of two equal sites is full for ever: of those it refuses, half meet the other one."""
    scenario = scenario_with(
        [{"name": "acme", "retries": 1, "backoff_s": 1.0}], demand={"queue_limit": 1}
    )
    count = 4000
    short = requests(count, seed=5, rate=1.0)._replace(
        prompt=np.full(count, 10), output=np.full(count, 2)
    )
    away_s = {("east", "alpha"): 0.0, ("east", "bravo"): 0.0}
    x = ServingFleet(scenario, away_s, Given(short))
    alpha = x.site_names.index("alpha")
    full = [site == alpha for site, _ in x.pools]
    x.state.counts[np.array(full)[x.pool_of], OUTSTANDING] = 1  # of what never ends
    x.advance(86_400.0)
    assert x.tally.tenants[RETRIED].sum() == pytest.approx(count / 2, abs=4 * np.sqrt(count / 4))
    refused = x.tally.tenants[REJECTED].sum()
    assert refused == pytest.approx(count / 4, abs=4 * np.sqrt(count * 3 / 16))


def test_an_idle_node_draws_its_idle_power_and_a_dark_one_nothing() -> None:
    nobody = requests(0)
    x = inference_with(nobody)
    idle_w = _engine_of(x).power.idle_w
    assert x.advance(900.0)[0] == pytest.approx(4 * idle_w * 900)
    assert x.switch(np.array([0.5]))[0] == 0.5
    assert x.advance(1800.0)[0] == pytest.approx(2 * idle_w * 900)
    assert x.switch(np.array([0.49]))[0] == 0.0  # whole nodes only
    assert x.advance(2700.0)[0] == 0.0


def test_a_node_that_comes_back_loads_its_weights_first() -> None:
    x = inference_with(requests(4000, rate=4.0))
    x.switch(np.array([0.0]))
    x.advance(100.0)
    assert (x.present().held > 0).all() or x.tally.tenants[REJECTED].sum() > 0
    refused = x.tally.tenants[REJECTED].sum()
    x.switch(np.array([1.0]))
    load_s = float(x.load_s[0])
    x.advance(100.0 + load_s)
    assert x.tally.lanes[LANE_SENT].sum() == 0
    assert x.tally.tenants[REJECTED].sum() > refused
    x.advance(100.0 + load_s + 60.0)
    assert x.tally.lanes[LANE_SENT].sum() > 0


def test_a_client_waits_twice_as_long_each_time_it_comes_back() -> None:
    """Sent at 5 s while all nodes are dark: back after 10, 20 and 40 s, then it gives up."""
    patient = {"name": "acme", "retries": 3, "backoff_s": 10.0}
    scenario = scenario_with([patient], sites=SITES[:1])
    one = requests(1)._replace(sent_s=np.array([5.0]))
    x = ServingFleet(scenario, {("east", "alpha"): 0.0}, Given(one), keep_all=True)
    x.switch(np.array([0.0]))
    seen = []
    for t_s in (4.9, 5.1, 14.9, 15.1, 34.9, 35.1, 74.9, 75.1):
        x.advance(t_s)
        seen.append((int(x.tally.tenants[RETRIED].sum()), int(x.tally.tenants[REJECTED].sum())))
    assert seen == [(0, 0), (1, 0), (1, 0), (2, 0), (2, 0), (3, 0), (3, 0), (3, 1)]


def test_migration_keeps_the_kv_and_preemption_computes_it_again() -> None:
    outcome = {}
    for how in ("preempt", "migrate"):
        x = inference_with(requests(40, rate=400.0), curtailment=how)
        x.advance(1.0)
        x.switch(np.array([0.5]))
        x.advance(2000.0)
        prefilled = int(x.state.counts[:, 14].sum())
        outcome[how] = (prefilled, int(x.tally.lanes[LANE_LOST_TOKENS].sum()))
        assert x.tally.tenants[SERVED].sum() == 40
        assert_nobody_is_lost(x)
    assert outcome["migrate"][0] < outcome["preempt"][0]
    assert outcome["migrate"][1] == 0 < outcome["preempt"][1]


def test_what_is_paid_and_what_is_given_back() -> None:
    strict = {"name": "acme", "slo_ttft_s": 1e-6, "credit_fraction": 0.5}
    result = sim.run(scenario_with([strict]), "static", seed=1)
    k = result.kpis
    tokens_in, tokens_out = k["tokens_in_mtok"] or 0.0, k["tokens_out_mtok"] or 0.0
    assert k["token_revenue_usd"] == pytest.approx(0.2 * tokens_in + 0.6 * tokens_out)
    assert k["credits_usd"] == pytest.approx(0.5 * (k["token_revenue_usd"] or 0.0))
    assert k["slo_attainment_pct"] == 0.0
    kept = sim.run(scenario_with([{"name": "acme", "slo_ttft_s": 60.0}]), "static", seed=1)
    assert kept.kpis["credits_usd"] == 0.0
    assert kept.kpis["slo_attainment_pct"] == 100.0


def test_histograms_keep_percentiles_within_a_percent() -> None:
    run = Run(scenario_with(days=0.25), Static(), seed=1, keep_requests=True)
    recorder = run.run()
    assert recorder.serving is not None
    rows = recorder.serving_tables()["requests"].to_pydict()
    sent, first, finish = (np.array(rows[k]) for k in ("sent_s", "first_token_s", "finish_s"))
    output = np.array(rows["output_tokens"])
    exact = {
        "ttft_s": first - sent,
        "e2e_s": finish - sent,
        "tpot_s": ((finish - first) / np.maximum(output - 1, 1))[output > 1],
    }
    for metric, values in exact.items():
        for q in (1, 50, 90, 99, 99.9):
            true = np.quantile(values, q / 100, method="inverted_cdf")
            assert recorder.serving.percentile_s(metric, q) == pytest.approx(true, rel=0.0101)
    assert np.isnan(percentile_s(np.zeros(4, dtype=np.int64), 50))


def test_a_bin_is_that_of_the_logarithm() -> None:
    """Found by the bits of a float: k where a time lies from 1.02^k to 1.02^(k + 1) x 0.1 ms."""
    draw = np.random.default_rng(3)
    times = np.exp(draw.uniform(np.log(2e-5), np.log(1e6), 20_000))
    wanted = np.clip(np.floor(np.log(times / FIRST_BIN_S) / BIN_LOG), 0, BINS - 1)
    assert bins_of(times).tolist() == wanted.astype(int).tolist()
    below = np.nextafter(BIN_EDGES[1:BINS], 0.0)
    assert bins_of(below).tolist() == list(range(BINS - 1))
    assert bins_of(BIN_EDGES[1:BINS]).tolist() == list(range(1, BINS))
    assert bins_of(np.array([0.0, np.inf])).tolist() == [0, BINS - 1]


def test_luck_is_redrawn_alike_with_and_without_a_compiler() -> None:
    """SplitMix64 in whole numbers, cut to 64 bits; no warning of what wraps around."""

    def plainly(luck: float) -> float:
        low = (1 << 64) - 1
        z = (int(luck * 2.0**53) + 0x9E3779B97F4A7C15) & low
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & low
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & low
        return float((z ^ (z >> 31)) >> 11) * 2.0**-53

    for luck in np.random.default_rng(2).random(1000):
        assert _redrawn(luck) == plainly(luck)


def test_who_is_answered_within_a_step_is_answered_alike_at_its_end() -> None:
    """Where every request is kept they are answered at the end of a step: the same counts."""
    impatient = {"name": "b", "patience_s": 0.1, "retries": 1, "backoff_s": 3.0}
    scenario = scenario_with(
        [{"name": "a"}, impatient], sites=SITES[:1], demand={"queue_limit": 25}
    )
    day = requests(6000, seed=8, rate=60.0, tenants=2)
    runs = [
        ServingFleet(scenario, {("east", "alpha"): 0.01}, Given(day), keep)
        for keep in (False, True)
    ]
    for x in runs:
        for step in range(1, 5):
            x.advance(900.0 * step)
    within, late = (x.tally for x in runs)
    assert within.tenants[RETRIED].sum() > 100
    for name in ("lanes", "tenants", "bins"):
        np.testing.assert_array_equal(getattr(within, name), getattr(late, name))
    assert runs[0].state.times.tobytes() == runs[1].state.times.tobytes()
    seats = [int((x.clients.times[:, SENT] > 0.0).sum()) for x in runs]
    assert seats[0] < seats[1] / 4, "seats that were answered come back at once"


def test_a_policy_may_steer_the_requests() -> None:
    class North(Static):
        def decide(self, observation: sim.Observation) -> sim.Decision:
            assert observation.serving.latency_s.shape == (1, 2)
            return super().decide(observation)._replace(route=np.array([[0.0, 1.0]]))

    result = sim.run(scenario_with(days=0.25), North(), seed=1)
    by_site = {r["name"]: r["requests_sent"] for r in result.table("serving").to_pylist()[2:]}
    assert by_site["alpha"] == 0 < by_site["bravo"]

    class Wrong(Static):
        def decide(self, observation: sim.Observation) -> sim.Decision:
            return super().decide(observation)._replace(route=np.array([[0.0, -1.0]]))

    with pytest.raises(sim.PolicyError, match=r"route is below 0 or not finite at index \(0, 1\)"):
        sim.run(scenario_with(days=0.25), Wrong(), seed=1)
