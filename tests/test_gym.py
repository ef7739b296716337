"""The simulation as a Gymnasium environment, and trained agents as policies."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="the extra hashwatt[rl] is not installed")

from gymnasium.utils.env_checker import check_env  # noqa: E402

import sim  # noqa: E402
from sim.gym import ID, AgentPolicy, Codec, FleetEnv  # noqa: E402
from sim.policy import Decision, Observation, PolicyError  # noqa: E402
from sim.results.result import RunResult  # noqa: E402
from sim.scenario import Scenario  # noqa: E402
from tests.conftest import ROOT, Build  # noqa: E402

BATTERY = {"site": "alpha", "power_mw": 2, "energy_mwh": 4}
RESERVE = {"model": "reserve", "usd_per_mw_h": 4.0, "calls_per_year": 700, "offer_fraction": 0.5}


class Recorded:
    """Another policy, with what it said in the terms of the control "group"."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.actions: list[Any] = []

    def decide(self, observation: Observation) -> Decision:
        decision: Decision = self.policy.decide(observation)
        battery_w = np.zeros(0) if decision.battery_w is None else decision.battery_w
        parts = (decision.asic_share.ravel(), decision.gpu_share)
        self.actions.append(np.concatenate([*parts, battery_w / observation.energy.battery[:, 0]]))
        return decision


class Wobbling:
    """An agent: a fixed linear rule squeezed between 0 and 1, different for every input."""

    def __init__(self, actions: int) -> None:
        self.actions = actions

    def predict(self, seen: Any) -> tuple[Any, None]:
        weights = np.random.default_rng(3).normal(0.0, 1.0, (self.actions, len(seen)))
        return 0.5 + 0.5 * np.tanh(weights @ seen), None


def episode(env: FleetEnv, actions: Any, seed: int) -> list[float]:
    """Rewards under actions, or under an agent."""
    seen, _ = env.reset(seed=seed)
    rewards, over = [], False
    while not over:
        action = actions.predict(seen)[0] if hasattr(actions, "predict") else actions[len(rewards)]
        seen, reward, terminated, truncated, _ = env.step(action)
        assert env.observation_space.contains(seen)
        rewards.append(reward)
        over = terminated or truncated
    return rewards


def assert_same(one: RunResult, other: RunResult) -> None:
    assert one.kpis == other.kpis
    for name, table in one.tables.items():
        assert table.equals(other.table(name)), name


def test_check_env_has_nothing_to_say() -> None:
    made = gymnasium.make(f"sim.gym:{ID}", scenario=ROOT / "configs/tiny", seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made.unwrapped)


@pytest.mark.parametrize("control", ["site", "group"])
def test_everything_on_earns_what_static_earns_to_the_last_byte(
    tiny: Scenario, control: Any
) -> None:
    """In the control "group" everything on is the scenario's own mode of each group."""
    env = FleetEnv(tiny, control=control)
    full = env.codec.high.copy()
    if control == "group":
        static = Recorded(sim.policy.load_policy("static", {}, {"static": STATIC}))
        sim.run(tiny, static, 4)
        full = static.actions[0]
    rewards = episode(env, [full] * tiny.horizon.steps, 4)
    run = sim.run(tiny, "static", 4)
    assert sum(rewards) == pytest.approx(run.kpis["gross_margin_usd"], rel=1e-9)
    assert_same(env.result(), run)


STATIC = "sim.policies.static:Static"
MERIT_ORDER = "sim.policies.merit_order:MeritOrder"


def test_actions_of_merit_order_earn_what_it_earns(build: Build) -> None:
    """Modes, batteries, failures and tight limits: the same ledger, the same hours of all sites."""
    scenario = build(
        {"faults": {"asic": {"mtbf_h": 400}}, "horizon": {"days": 4}},
        batteries=[BATTERY | {"power_mw": 2.097152}],  # 2^21 W: shares are exact
        feeder_mw=7,
    )
    policy = Recorded(sim.policy.load_policy("m", {}, {"m": MERIT_ORDER}))
    run = sim.run(scenario, policy, 2)
    env = FleetEnv(scenario, control="group")
    rewards = episode(env, policy.actions, 2)
    assert len(rewards) == scenario.horizon.steps
    assert sum(rewards) == pytest.approx(run.kpis["gross_margin_usd"], rel=1e-9)
    assert_same(env.result(), run)


def test_rewards_hold_what_a_day_s_end_settles(build: Build) -> None:
    """Performance of reserves, demand charges, penalties, hosts' fees are in some step's reward."""
    scenario = build(
        {
            "programmes": {"reserve": RESERVE},
            "horizon": {"days": 3},
            "hosts": {"co": {"sites": ["alpha"], "usd_per_machine_month": 40, "profit_share": 0.5}},
        },
        sites=[{"name": "alpha", "demand_charge_usd_per_mw_month": 5000}, {"name": "bravo"}],
        batteries=[BATTERY],
    )
    env = FleetEnv(scenario)
    rewards = episode(env, Wobbling(env.action_space.shape[0]), 5)
    kpis = env.result().kpis
    assert kpis["grid_services_usd"]
    assert kpis["demand_charges_usd"]
    assert sum(rewards) == pytest.approx(kpis["gross_margin_usd"], rel=1e-9)
    assert min(rewards) < -1000.0  # the month's demand charge, at its end


@pytest.mark.parametrize("control", ["site", "group"])
def test_an_agent_earns_the_same_as_a_policy_and_in_the_environment(
    build: Build, control: Any
) -> None:
    """Also where calls and failing links ask for decisions within a control step."""
    scenario = build(
        {"programmes": {"reserve": RESERVE}, "horizon": {"days": 3, "step_s": 3600}},
        batteries=[BATTERY],
    )
    env = FleetEnv(scenario, control=control)
    agent = Wobbling(env.action_space.shape[0])
    rewards = episode(env, agent, 6)
    run = sim.run(scenario, AgentPolicy(agent, control), 6)
    calls = run.table("events").to_pylist()
    assert any(e["event"] == "call" and e["t_s"] % 3600 for e in calls)
    assert sum(rewards) == pytest.approx(run.kpis["gross_margin_usd"], rel=1e-9)
    assert_same(env.result(), run)


def test_an_agent_is_a_policy_in_good_order(tiny: Scenario) -> None:
    policy = AgentPolicy(Wobbling(6))
    assert sim.check_policy(policy, fleets=("mixed",)) == []  # whose shapes it was made for
    copy = pickle.loads(pickle.dumps(policy))
    steps = FleetEnv(tiny).action_space.shape[0]
    policy, copy = (
        AgentPolicy(Wobbling(steps)),
        AgentPolicy(lambda seen: Wobbling(steps).predict(seen)[0]),
    )
    assert sim.run(tiny, policy, 1).kpis == sim.run(tiny, copy, 1).kpis
    with pytest.raises(ValueError, match="allowed: an object with predict, or a callable"):
        AgentPolicy(3)


def test_fields_are_what_they_are_called(build: Build) -> None:
    scenario = build(batteries=[BATTERY])
    run = sim.run(scenario, "static", 3)
    env = FleetEnv(scenario, normalised=False)
    seen, info = env.reset(seed=3)
    fields = env.codec.fields
    hour = 0
    while hour < 30:
        sites = run.table("sites").slice(2 * hour, 2).to_pydict()
        fleet = run.table("fleet").slice(hour, 1).to_pydict()
        assert info["t_s"] == 3600 * hour == fleet["t_s"][0]
        assert seen[fields["day_sin"]] == pytest.approx(np.sin(2 * np.pi * hour / 24), abs=1e-6)
        assert seen[fields["week_cos"]] == pytest.approx(np.cos(2 * np.pi * hour / 168), abs=1e-6)
        for name in ("day_ahead_usd_per_mwh", "price_usd_per_mwh"):  # no day-ahead price is known
            assert seen[fields[name]].tolist() == seen[fields["price_usd_per_mwh"]].tolist()
        assert seen[fields["stored"]] == pytest.approx(0.5)
        assert seen[fields["gpu_on"]].tolist() == [1.0, 1.0]
        assert not seen[fields["called"]].any()
        prices = [seen[fields["price_usd_per_mwh"]]]
        for _ in range(4):
            seen, *_, info = env.step(env.codec.high * [1, 1, 1, 1, 0])
            prices.append(seen[fields["price_usd_per_mwh"]])
        np.testing.assert_allclose(
            np.mean(prices[:4], axis=0), sites["price_usd_per_mwh"], rtol=1e-5
        )
        assert seen[fields["usd_per_btc"]] == pytest.approx(fleet["usd_per_btc"][0], rel=1e-5)
        hour += 1
    assert seen[fields["month_peak_w"]].min() > 1e5
    scaled, _ = FleetEnv(scenario).reset(seed=3)
    plain, _ = env.reset(seed=3)
    price = fields["price_usd_per_mwh"]
    np.testing.assert_allclose(scaled[price] * 50.0, plain[price], rtol=1e-6)


def test_what_was_seen_stays_as_it_was(tiny: Scenario) -> None:
    """The environment looks at live arrays; what it hands out does not change afterwards."""
    env = FleetEnv(tiny)
    first, _ = env.reset(seed=1)
    kept = first.copy()
    second, *_ = env.step(np.zeros(env.action_space.shape))
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    assert not env._engine.observation.asic.share.flags.writeable  # type: ignore[union-attr]


def test_each_number_of_an_action_reaches_its_machines(build: Build) -> None:
    """GPU nodes at the second site only: [alpha, bravo, nodes of bravo, battery]."""
    scenario = build(
        gpus=[{"site": "bravo", "gpu": "h100-sxm", "nodes": n} for n in (3, 2)],
        batteries=[BATTERY],
    )
    example = sim.gym._outline(scenario)
    codec = Codec(example)
    assert codec.low.tolist() == [0.0, 0.0, 0.0, -1.0]
    decision = codec.decision()
    codec.fill(decision, np.array([0.25, 0.5, 0.75, -0.5]))
    on = decision.asic_share.sum(axis=1)
    assert on.tolist() == [0.25, 0.25, 0.5]
    assert ((decision.asic_share > 0.0) == (example.asic.default_share > 0.0)).all()
    assert decision.gpu_share.tolist() == [0.75, 0.75]
    assert decision.battery_w is not None
    assert decision.battery_w.tolist() == [-1e6]
    codec = Codec(example, "group")
    wanted = np.arange(example.asic.mode_w.size).reshape(example.asic.mode_w.shape) / 100.0
    decision = codec.decision()
    codec.fill(decision, np.concatenate([wanted.ravel(), [0.1, 0.2], [1.0]]))
    assert (decision.asic_share == wanted * (example.asic.mode_w > 0.0)).all()
    assert decision.gpu_share.tolist() == [0.1, 0.2]
    assert decision.battery_w is not None
    assert decision.battery_w.tolist() == [2e6]


def test_actions_are_held_to_the_space_and_nan_is_refused(build: Build) -> None:
    scenario = build(batteries=[BATTERY])
    env = FleetEnv(scenario, control="group")
    example = sim.gym._outline(scenario)
    codec, decision = env.codec, env.codec.decision()
    codec.fill(decision, np.full(codec.low.shape, 7.0))
    assert decision.asic_share.sum(axis=1) == pytest.approx(1.0)
    assert (decision.asic_share[example.asic.mode_w == 0.0] == 0.0).all()
    assert decision.battery_w.tolist() == [2e6]  # type: ignore[union-attr]
    codec.fill(decision, np.full(codec.low.shape, -7.0))
    assert not decision.asic_share.any()
    assert decision.battery_w.tolist() == [-2e6]  # type: ignore[union-attr]
    env.reset(seed=1)
    with pytest.raises(PolicyError, match=r"asic_share has NaN at index \(0, 0\)"):
        env.step(np.full(codec.low.shape, np.nan))
    with pytest.raises(ValueError, match=r"action has shape \(3,\); allowed: "):
        env.step(np.zeros(3))
    with pytest.raises(ValueError, match="control is 'machine'; allowed: site, group"):
        Codec(example, "machine")  # type: ignore[arg-type]


def test_seeds_belong_to_the_environment(tiny: Scenario) -> None:
    """No global generator: the same seed is the same world, no seed is another one each time."""
    one, other = FleetEnv(tiny, seed=9), FleetEnv(tiny)
    np.random.seed(0)  # noqa: NPY002 - must not matter
    first, info = one.reset()
    assert info["seed"] == 9
    assert np.array_equal(first, other.reset(seed=9)[0])
    later = [env.reset()[1]["seed"] for env in (one, other)]
    assert later[0] == later[1] != 9
    with pytest.raises(ValueError, match="allowed: none"):
        one.reset(options={"days": 3})


def test_an_episode_ends_at_the_horizon_or_with_the_firm(build: Build) -> None:
    env = FleetEnv(build({"horizon": {"days": 1}}))
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.codec.high)
    env.reset(seed=1)
    ends = [env.step(env.codec.high)[2:4] for _ in range(96)]
    assert ends == [(False, False)] * 95 + [(False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.codec.high)
    poor = {
        "treasury": {"opening_usd": 1000, "opening_btc": 0},
        "firm": {"overhead_usd_per_month": 5e6},
    }
    env = FleetEnv(build({**poor, "horizon": {"days": 40}}))
    env.reset(seed=1)
    over, steps = False, 0
    while not over:
        *_, terminated, truncated, info = env.step(np.zeros(env.action_space.shape))
        over, steps = terminated or truncated, steps + 1
    assert terminated
    assert not truncated
    assert info["t_s"] < 40 * 86_400
    with pytest.raises(gymnasium.error.ResetNeeded, match="horizon"):
        env.result()


def test_it_can_be_vectorised(tiny: Scenario) -> None:
    short = tiny.model_copy(update={"horizon": tiny.horizon.model_copy(update={"days": 0.25})})
    vector = gymnasium.vector.SyncVectorEnv([lambda: FleetEnv(short) for _ in range(2)])
    seen, info = vector.reset(seed=[5, 6])
    assert info["seed"].tolist() == [5, 6]
    alone, _ = FleetEnv(short).reset(seed=6)
    assert np.array_equal(seen[1], alone)
    ends = [vector.step(vector.action_space.sample())[3] for _ in range(24)]
    assert ends[-1].all()
    assert not np.any(ends[:-1])


def test_a_short_training_beats_static_on_seeds_it_has_not_seen() -> None:
    """The shipped example, with fewer rounds: the interval of the paired gain is above zero."""
    import runpy

    example = runpy.run_path(str(Path(ROOT) / "examples/train_fleet.py"))
    agent = example["train"](rounds=3, population=12, seeds=1, days=2)
    gain = example["evaluate"](agent, seeds=range(1000, 1006), days=2)
    assert gain.mean - gain.half_width > 0.0
