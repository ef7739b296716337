"""Milliseconds a decision for every policy at 48 sites, and how long the clairvoyant bound takes.

    python benchmarks/policies.py [--smoke] [--json] [--days D] [--bound-days D]

Each policy decides in a run of its own; times are processor times of `decide` alone, the first day
left out; that of the bound is by the clock.
cango-2026 has no batteries, ercot-2024 (where HASHWATT_DATA is set) has two, and contracts,
reserves and peaks. The bound is that of a whole run in steps of an hour, with its peak memory so
far. Times depend on the machine, so a simpy timeout measured in the same run stands beside them.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import sim
from benchmarks.steps import simpy_timeout_us
from sim.policies import BUILTIN
from sim.policy import Decision, Observation, Policy, load_policy
from sim.scenario import Scenario

CONFIGS = Path(__file__).parent.parent / "configs"
Row = dict[str, Any]


class Timed:
    """A policy whose decisions are timed."""

    def __init__(self, inner: Policy) -> None:
        self.inner = inner
        self.took_ms: list[float] = []

    def decide(self, observation: Observation) -> Decision:
        began = time.process_time()
        decision = self.inner.decide(observation)
        self.took_ms.append(1e3 * (time.process_time() - began))
        return decision


def decisions(scenario: Scenario, name: str) -> Row:
    """Median and 99th percentile of a policy's decisions after the first day [ms]."""
    policy = Timed(load_policy(name, {}, BUILTIN))
    sim.run(scenario, policy, 1)
    took_ms = policy.took_ms[86_400 // scenario.horizon.step_s :]
    return {
        "scenario": scenario.name,
        "what": name,
        "decisions": len(took_ms),
        "median_ms": statistics.median(took_ms),
        "p99_ms": float(np.quantile(took_ms, 0.99)),
    }


def bound(scenario: Scenario) -> Row:
    """How long the bound takes [s], and the largest memory of this process so far."""
    began = time.perf_counter()
    found = sim.bound(scenario, 1)
    return {
        "scenario": scenario.name,
        "what": f"bound of {scenario.horizon.days:g} days",
        "programmes": found.pieces,
        "seconds": time.perf_counter() - began,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two days: does it run?")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--days", type=float, default=14, help="of the runs of policies")
    parser.add_argument("--bound-days", type=float, default=365)
    arguments = parser.parse_args()
    days, bound_days = (2, 2) if arguments.smoke else (arguments.days, arguments.bound_days)
    names = ["cango-2026"] + ["ercot-2024"] * ("HASHWATT_DATA" in os.environ)
    rows = []
    for name in names:
        scenario = sim.load(CONFIGS / name, {"horizon.step_s": 3600, "horizon.days": days})
        serves = tuple(g for g in scenario.gpus if g.state != "serving")
        quiet = scenario.model_copy(update={"gpus": serves, "tenants": ()})
        rows += [decisions(quiet, policy) for policy in BUILTIN]
    for name in names:
        scenario = sim.load(CONFIGS / name, {"horizon.step_s": 3600, "horizon.days": bound_days})
        rows.append(bound(scenario))
    unit_us = statistics.median(simpy_timeout_us() for _ in range(3))
    if arguments.json:
        print(json.dumps({"simpy_timeout_us": unit_us, "rows": rows}))
        return
    print(f"a simpy timeout takes {unit_us:.2f} µs here")
    for row in rows:
        if "median_ms" in row:
            figures = f"{row['median_ms']:8.3f} ms a decision, 99 % below {row['p99_ms']:.3f} ms"
        else:
            figures = (
                f"{row['seconds']:8.1f} s, {row['programmes']} programmes, "
                f"peak memory {row['peak_gib']:.2f} GiB"
            )
        print(f"{row['scenario']:12s} {row['what']:20s} {figures}")


if __name__ == "__main__":
    main()
