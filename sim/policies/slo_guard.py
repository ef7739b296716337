"""Serving and reserved nodes first: nodes keep running, ASICs are the flexible load."""

import numpy as np

from sim.kernels.arrays import BY_THE_HOUR
from sim.policies.dispatch import (
    Dispatch,
    obedient,
    offers,
    prices,
)
from sim.policies.reserves import Seller
from sim.policy import Bids, Decision, Observation, ReserveOffers
from sim.types import Floats, Ints

ALWAYS_USD_PER_S = 1e6  # assigned to committed nodes: above any other use


class SloGuard:
    """Reserved nodes and nodes that serve tokens run at any price; ASICs step back for them.

    Batch nodes and ASICs run where they earn more than their power costs. ASICs leave a share of
    every limit free, so that nodes which come back or draw more in heat have room at once. ASICs
    answer calls, announced or in force, as far as they can; only they are offered as reserve.

    Args:
        headroom: share of every limit that ASICs leave free (0.02: assumed).
    """

    def __init__(self, headroom: float = 0.02) -> None:
        if not 0.0 <= headroom < 1.0:
            raise ValueError(f"headroom is {headroom}; allowed: 0 to below 1")
        self.headroom = headroom
        self._dispatch = Dispatch()
        self._seller = Seller()

    def decide(self, observation: Observation) -> Decision:
        """Run committed nodes, then the rest by margin in the remaining headroom."""
        made, gpu, energy = self._dispatch, observation.gpu, observation.energy
        made.look(observation)
        self._seller.see(observation)
        price = prices(observation, avoid_peaks=True, reserves=True)
        promised = gpu.way != BY_THE_HOUR
        limits = obedient(observation)
        soon_w = energy.called_w.min(axis=0)
        limits = limits._replace(
            cap_w=np.minimum(limits.cap_w, soon_w),
            room_w=limits.room_w * (1.0 - self.headroom),
        )
        worth = self._worth(observation)
        asic_share, gpu_share = made.shares(observation, price, limits, node_usd_per_s=worth)
        gpu_share[promised] = 1.0  # only limits and relays may cut it
        return Decision(asic_share, gpu_share, offer_w=offers(observation, asic_share))

    def offer(self, observation: Observation, begins_s: Ints) -> ReserveOffers:
        """Offer the ASIC load expected tomorrow."""
        return self._seller.offer(observation, begins_s, self._dispatch)

    def bid(self, observation: Observation) -> Bids:
        """Bids: committed nodes at any price, the rest at its earnings."""
        self._dispatch.look(observation)
        price = prices(observation, avoid_peaks=True, reserves=True)
        worth = self._worth(observation)
        return self._dispatch.bids(observation, price, node_usd_per_s=worth)

    def _worth(self, observation: Observation) -> Floats:
        """Earnings assigned to a node (node,) [USD/s]."""
        promised = observation.gpu.way != BY_THE_HOUR
        return np.where(promised, ALWAYS_USD_PER_S, self._dispatch.node_usd_per_s)

    def __reduce__(self) -> tuple[type["SloGuard"], tuple[float]]:
        return SloGuard, (self.headroom,)  # all other attributes are run state
