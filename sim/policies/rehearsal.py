"""Run a policy once on an example, so that the kernels it calls are compiled."""

from typing import Any

from sim.example_fleets import trying
from sim.policies import BUILTIN
from sim.policy import load_policy


def rehearse(name: str, parameters: dict[str, Any]) -> None:
    """Let a policy decide once, for one site of ASICs."""
    load_policy(name, parameters, BUILTIN).decide(trying(0, "one site of ASICs"))
