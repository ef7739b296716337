"""hashwatt: hashes and tokens per watt, and whether the firm survives the year.

Everything public is imported on first use, so that `hashwatt --help` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.policy import Decision, Observation, Policy, PolicyError, check_policy
    from sim.results.result import RunResult
    from sim.runner import run
    from sim.scenario import Scenario, ScenarioError, load
    from sim.studies.bound import Bound, BoundError, bound

__version__ = "0.1.0"
__all__ = [
    "Bound",
    "BoundError",
    "Decision",
    "Observation",
    "Policy",
    "PolicyError",
    "RunResult",
    "Scenario",
    "ScenarioError",
    "bound",
    "check_policy",
    "load",
    "run",
]

_HOMES = {
    **dict.fromkeys(("Decision", "Observation", "Policy", "PolicyError", "check_policy"), "policy"),
    **dict.fromkeys(("Scenario", "ScenarioError", "load"), "scenario"),
    **dict.fromkeys(("Bound", "BoundError", "bound"), "studies.bound"),
    "RunResult": "results.result",
    "run": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    return getattr(import_module(f"sim.{_HOMES[name]}"), name)
