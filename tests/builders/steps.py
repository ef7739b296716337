"""A policy that draws what it is told, step by step."""

from typing import Any

import numpy as np

from sim.policy import Decision, Observation


class Steps:
    """Runs a share of the machines, step by step."""

    def __init__(self, share: Any) -> None:
        self.share = np.asarray(share, dtype=np.float64)

    def decide(self, observation: Observation) -> Decision:
        share = self.share[observation.t_s // observation.step_s]
        return Decision(observation.asic.default_share * share, np.ones(0))
