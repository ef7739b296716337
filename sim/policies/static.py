"""Everything runs, always, in the firmware mode the scenario names."""

import numpy as np

from sim.policy import Decision, Observation


class Static:
    """The fleet as it was set up: what a miner without curtailment does."""

    def decide(self, observation: Observation) -> Decision:
        """All machines on."""
        return Decision(observation.asic.default_share, np.ones_like(observation.gpu.available))
