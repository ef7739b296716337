"""Steps a second of the Gymnasium environment, of its own and inside vector environments.

    python benchmarks/gym.py [--smoke] [--json]

The fleet is that of cango-2026 without failures and tenants, 48 sites at 900 s, everything on. Times
are of the process (of the wall for several processes); the quickest of the rounds and their median.
Each is also given as a multiple of a simpy timeout measured in the same rounds, since machines
differ. What is timed must earn first what `sim.run` earns.
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

sys.path.insert(0, str(Path(__file__).parent.parent))

import sim
from benchmarks.steps import CONFIGS, simpy_timeout_us
from sim.gym import FleetEnv
from sim.scenario import Scenario

Row = dict[str, Any]


def fleet(days: float) -> Scenario:
    """48 sites without failures and tenants."""
    overrides = {"horizon.days": days, "faults.enabled": False}
    scenario = sim.load(CONFIGS / "cango-2026", overrides)
    nodes = tuple(g for g in scenario.gpus if g.state != "serving")
    return scenario.model_copy(update={"gpus": nodes, "tenants": ()})


def alone(env: FleetEnv, clock: Callable[[], float]) -> tuple[float, float]:
    """Time of a step in an episode with everything on [µs], and the sum of its rewards [USD]."""
    action, total, over = env.action_space.high, 0.0, False
    env.reset(seed=1)
    began = clock()
    while not over:
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        over = terminated or truncated
    return (clock() - began) / env.scenario.horizon.steps * 1e6, total


def together(vector: Any, steps: int, count: int) -> float:
    """Wall time of a step of one of `count` environments [µs]."""
    vector.reset(seed=1)
    actions = np.tile(vector.single_action_space.high, (count, 1))
    began = time.perf_counter()
    for _ in range(steps):
        vector.step(actions)
    return (time.perf_counter() - began) / steps / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a day, once: does it run?")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    days, rounds, count = (1.0, 1, 2) if chosen.smoke else (30.0, 7, 2)
    scenario = fleet(days)
    env = FleetEnv(scenario)
    margin_usd = sim.run(scenario, "static", 1).kpis["gross_margin_usd"]
    earned_usd = alone(env, time.process_time)[1]
    assert margin_usd is not None
    assert abs(earned_usd - margin_usd) < 1e-9 * abs(margin_usd)

    def run_us() -> float:
        return sim.run(scenario, "static", 1).timing["simulate_s"] / scenario.horizon.steps * 1e6

    steps = scenario.horizon.steps - 1

    def make() -> FleetEnv:
        return FleetEnv(scenario)

    vectors = {
        f"{count} in SyncVectorEnv": gymnasium.vector.SyncVectorEnv([make] * count),
        f"{count} in AsyncVectorEnv": gymnasium.vector.AsyncVectorEnv([make] * count),
    }
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        units = times.setdefault("a simpy timeout", [])
        units.append(simpy_timeout_us(10_000 if chosen.smoke else 100_000))
        times.setdefault("sim.run with static (wall)", []).append(run_us())
        times.setdefault("FleetEnv.step (process)", []).append(alone(env, time.process_time)[0])
        for name, vector in vectors.items():
            took = together(vector, min(steps, 960), count)
            times.setdefault(f"{name}, each (wall)", []).append(took)
    for vector in vectors.values():
        vector.close()
    unit = times["a simpy timeout"]
    rows: list[Row] = [
        {
            "what": name,
            "quickest_us": min(us),
            "median_us": statistics.median(us),
            "per_s": 1e6 / min(us),
            "simpy_timeouts": statistics.median(a / b for a, b in zip(us, unit, strict=True)),
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
