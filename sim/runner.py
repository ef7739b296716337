"""`sim.run`: run a scenario under a policy and return the result."""

import time
from collections.abc import Callable
from typing import Any

from sim.arithmetic import strict
from sim.engine import Engine
from sim.kernels import flows
from sim.kernels.ahead import Task
from sim.policies import BUILTIN
from sim.policy import Policy, load_policy, policy_spec, refuse_code
from sim.results.kpi import Totals
from sim.results.kpis import evaluate
from sim.results.result import RunResult
from sim.scenario.scenario import Scenario
from sim.types import OnProgress


def run(
    scenario: Scenario,
    policy: str | Policy | None = None,
    seed: int = 1,
    progress: Callable[[int], None] | None = None,
    keep_requests: bool = False,
    *,
    allow_code: bool = False,
    compiling: OnProgress | None = None,
    measuring: OnProgress | None = None,
) -> RunResult:
    """Run a scenario once.

    Args:
        scenario: from `sim.load`.
        policy: a name, "package.module:Class", either with parameters ("name:key=value,…"), or an
            object; default: the scenario's.
        seed: of the random draws; the same draws for every policy.
        progress: called with the day's number once a simulated day.
        keep_requests: keep a row for each request in the table `requests`, instead of histograms.
        allow_code: let the scenario itself name code as its policy.
        compiling: called with (done, of how many) while kernels that are new to this machine are
            compiled, then in processes side by side; default: compile each when it is first needed.
        measuring: likewise, for serving engines that are modelled as a fluid and not yet measured.

    Raises:
        PolicyError: if the policy cannot be loaded, or a decision is invalid.
        RunError: if numbers overflow, in the run or in its policy, or the ledger refuses one.
    """
    name, parameters = policy_of(scenario, policy)
    if policy is None:
        refuse_code(name, BUILTIN, allowed=allow_code)
    decider = (
        load_policy(name, parameters, BUILTIN)
        if policy is None or isinstance(policy, str)
        else policy
    )
    began = time.perf_counter()
    now: list[Engine] = []
    with strict(lambda: now[0].now_s if now else 0):
        rehearsal = Task("sim.policies.rehearsal", "rehearse", (name, parameters))
        engine = Engine(
            scenario,
            decider,
            seed,
            keep_requests,
            compiling=compiling,
            measuring=measuring,
            rehearsal=rehearsal if name in BUILTIN else None,
        )
        now.append(engine)
        built = time.perf_counter()
        engine.run(progress)
        ended = time.perf_counter()
        timing = {"build_s": built - began, "simulate_s": ended - built}
        return result_of(engine, name, parameters, seed, timing, keep_requests, type(decider))


def policy_of(scenario: Scenario, policy: str | Policy | None) -> tuple[str, dict[str, Any]]:
    """Name and parameters of the policy; the scenario's parameters apply to its own policy."""
    if policy is None or policy == scenario.policy.name:
        return scenario.policy.name, scenario.policy.parameters
    if isinstance(policy, str):
        return policy_spec(policy)
    return f"{type(policy).__module__}:{type(policy).__qualname__}", {}


def result_of(
    engine: Engine,
    policy: str,
    parameters: dict[str, Any],
    seed: int,
    timing: dict[str, float],
    keep_requests: bool = False,
    policy_class: type | None = None,
) -> RunResult:
    """The result of a run that has reached its horizon."""
    recorder, scenario = engine.recorder, engine.scenario
    flow = recorder.flow.sum(axis=0)
    hosting_usd = float((flow[flows.ENERGY_USD] * engine.firm.books.hosted).sum())
    stored_j = float(engine.plant.asset.stored_j.sum()) - engine.stored_at_start_j
    totals = Totals(
        flow.sum(axis=1), hosting_usd, scenario.horizon.seconds, recorder, engine.firm, stored_j
    )
    return RunResult(
        scenario=scenario,
        policy=policy,
        parameters=parameters,
        seed=seed,
        kpis=evaluate(totals),
        recorder=recorder,
        firm=engine.firm,
        timing=timing,
        keep_requests=keep_requests,
        policy_class=policy_class,
    )
