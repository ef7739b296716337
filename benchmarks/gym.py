"""Steps a second of the Gymnasium environment, of its own and inside vector environments.

    python benchmarks/gym.py [--smoke] [--json]

The fleet is that of cango-2026 without failures and tenants: 48 sites at 900 s, all machines on.
Times are of the process, for several processes of the wall: the quickest of the rounds, and the
median. Each is also given as a multiple of a simpy timeout measured in the same rounds, since
machines differ. Before anything is timed an episode must earn what `sim.run` earns.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import simpy

sys.path.insert(0, str(Path(__file__).parent.parent))

import sim
from sim.engine import Engine
from sim.gym import FleetEnv
from sim.policies.static import Static
from sim.scenario import Scenario

CONFIGS = Path(__file__).parent.parent / "configs"

Row = dict[str, Any]


def timeout_us(count: int) -> float:
    """A simpy timeout of one process that does nothing else [µs]."""
    env = simpy.Environment()

    def process() -> Any:
        while True:
            yield env.timeout(1)

    env.process(process())
    began = time.process_time()
    env.run(count)
    return (time.process_time() - began) / count * 1e6


def fleet(days: float, record_s: int = 3600) -> Scenario:
    """48 sites without failures and tenants."""
    overrides = {"horizon.days": days, "horizon.record_s": record_s, "faults.enabled": False}
    scenario = sim.load(CONFIGS / "cango-2026", overrides)
    nodes = tuple(g for g in scenario.gpus if g.state != "serving")
    return scenario.model_copy(update={"gpus": nodes, "tenants": ()})


def alone(env: FleetEnv) -> tuple[float, float]:
    """Time of a step in an episode with everything on [µs], and the sum of its rewards [USD]."""
    action, total, over = env.action_space.high, 0.0, False
    env.reset(seed=1)
    began = time.process_time()
    while not over:
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        over = terminated or truncated
    return (time.process_time() - began) / env.scenario.horizon.steps * 1e6, total


def together(vector: Any, steps: int, count: int, clock: Callable[[], float]) -> float:
    """Time of a step of one of `count` environments [µs]."""
    vector.reset(seed=1)
    actions = np.tile(vector.single_action_space.high, (count, 1))
    began = clock()
    for _ in range(steps):
        vector.step(actions)
    return (clock() - began) / steps / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a day, once: does it run?")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    days, rounds, count = (1.0, 1, 2) if chosen.smoke else (30.0, 7, 2)
    scenario = fleet(days)
    env = FleetEnv(scenario)
    rarely = FleetEnv(fleet(days, 86_400))
    margin_usd = sim.run(scenario, "static", 1).kpis["gross_margin_usd"]
    assert margin_usd is not None
    for each in (env, rarely):
        assert abs(alone(each)[1] - margin_usd) < 1e-9 * abs(margin_usd)
    steps = scenario.horizon.steps

    def run_us() -> float:
        engine = Engine(scenario, Static(), 1)
        began = time.process_time()
        engine.run()
        return (time.process_time() - began) / steps * 1e6

    def make() -> FleetEnv:
        return FleetEnv(scenario)

    vectors = {
        name: (kind([make] * count), clock)
        for name, kind, clock in (
            ("SyncVectorEnv", gymnasium.vector.SyncVectorEnv, time.process_time),
            ("AsyncVectorEnv (wall)", gymnasium.vector.AsyncVectorEnv, time.perf_counter),
        )
    }
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        unit = timeout_us(10_000 if chosen.smoke else 50_000)
        for name, took_us in (
            ("a simpy timeout", unit),
            ("Engine.run with static", run_us()),
            ("FleetEnv.step", alone(env)[0]),
            ("the same, recorded by the day", alone(rarely)[0]),
            *(
                (f"each of {count} in {n}", together(v, min(steps - 1, 960), count, clock))
                for n, (v, clock) in vectors.items()
            ),
        ):
            times.setdefault(name, []).append(took_us)
    for vector, _ in vectors.values():
        vector.close()
    units = times["a simpy timeout"]
    rows: list[Row] = [
        {
            "what": name,
            "quickest_us": min(us),
            "median_us": statistics.median(us),
            "per_s": 1e6 / min(us),
            "simpy_timeouts": statistics.median(a / b for a, b in zip(us, units, strict=True)),
        }
        for name, us in times.items()
    ]
    if chosen.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(
            f"{row['what']:36s}{row['quickest_us']:>8.1f} µs (median {row['median_us']:.1f})"
            f"{row['per_s']:>10,.0f} a second{row['simpy_timeouts']:>7.0f} simpy timeouts"
        )


if __name__ == "__main__":
    main()
