"""ASICs stop where energy costs more than a threshold: the usual curtailment rule."""

import numpy as np

from sim.policy import Decision, Observation


class PriceThreshold:
    """Sites above the threshold stop hashing; GPU nodes always run.

    Args:
        max_usd_per_mwh: price above which a site's ASICs stop [USD/MWh] (60: assumed).
    """

    def __init__(self, max_usd_per_mwh: float = 60.0) -> None:
        if not np.isfinite(max_usd_per_mwh):
            raise ValueError(f"max_usd_per_mwh is {max_usd_per_mwh}; allowed: a finite number")
        self.max_usd_per_mwh = max_usd_per_mwh

    def decide(self, observation: Observation) -> Decision:
        """The scenario's own modes where the price is at most the threshold."""
        asic = observation.asic
        cheap = observation.price_usd_per_mwh[asic.site] <= self.max_usd_per_mwh
        share = asic.default_share * cheap[:, None]
        return Decision(share, np.ones_like(observation.gpu.available))
