"""hashwatt: hashes and tokens per watt, and whether the firm survives the year.

Everything public is imported on first use, so that `hashwatt --help` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.policy import Decision, Observation, Policy, PolicyError
    from sim.policy_check import check_policy
    from sim.results.result import RunResult
    from sim.results.store import Results, open_results
    from sim.runner import run
    from sim.scenario import Scenario, ScenarioError, load
    from sim.studies.bound.clairvoyant import Bound, BoundError, bound
    from sim.studies.compare import Comparison, compare
    from sim.studies.sweep import Sweep, sweep

__version__ = "0.1.0"
__all__ = [
    "Bound",
    "BoundError",
    "Comparison",
    "Decision",
    "Observation",
    "Policy",
    "PolicyError",
    "Results",
    "RunResult",
    "Scenario",
    "ScenarioError",
    "Sweep",
    "bound",
    "check_policy",
    "compare",
    "load",
    "open_results",
    "run",
    "sweep",
]

_HOMES = {
    **dict.fromkeys(("Decision", "Observation", "Policy", "PolicyError"), "policy"),
    "check_policy": "policy_check",
    **dict.fromkeys(("Scenario", "ScenarioError", "load"), "scenario"),
    **dict.fromkeys(("Bound", "BoundError", "bound"), "studies.bound"),
    "RunResult": "results.result",
    **dict.fromkeys(("Results", "open_results"), "results.store"),
    **dict.fromkeys(("Comparison", "compare"), "studies.compare"),
    **dict.fromkeys(("Sweep", "sweep"), "studies.sweep"),
    "run": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    return getattr(import_module(f"sim.{_HOMES[name]}"), name)
