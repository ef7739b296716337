"""Fixed priority of one workload over the other, whatever each earns: two simple rules."""

import numpy as np

from sim.policies.dispatch import (
    Dispatch,
    obedient,
    prices,
)
from sim.policy import Decision, Observation
from sim.types import Floats
from sim.units import J_PER_MWH, SECONDS_PER_HOUR


class _OneFirst:
    """Run whatever earns more than its power costs, in a fixed order of workloads."""

    def __init__(self) -> None:
        self._dispatch = Dispatch()

    def decide(self, observation: Observation) -> Decision:
        """Fill the limits with one workload, then with the other."""
        gpu = observation.gpu
        price = prices(observation, avoid_peaks=False, reserves=False)
        cost = price[1, gpu.site] / J_PER_MWH * gpu.node_w * gpu.meter_factor  # USD/s of a node
        earned = (gpu.usd_per_h + gpu.credit_usd_per_h) / SECONDS_PER_HOUR
        asic_share, gpu_share = self._dispatch.shares(
            observation,
            price,
            obedient(observation),
            node_usd_per_s=np.where(earned > cost, self._rank(cost), 0.0),
        )
        return Decision(asic_share, gpu_share)

    def _rank(self, cost_usd_per_s: Floats) -> Floats:
        """Earnings assigned to a node worth running (node,) [USD/s]."""
        raise NotImplementedError


class MiningFirst(_OneFirst):
    """ASICs that earn more than their power costs, then nodes in what room is left.

    Where limits cut a wish the fleet sheds ASICs before nodes, so nodes are held back beforehand.
    """

    def _rank(self, cost_usd_per_s: Floats) -> Floats:
        return cost_usd_per_s + 1e-12 * (1.0 + np.abs(cost_usd_per_s))


class GpuFirst(_OneFirst):
    """Nodes that earn more than their power costs, then ASICs in what room is left."""

    def _rank(self, cost_usd_per_s: Floats) -> Floats:
        return np.abs(cost_usd_per_s) + 1e6
