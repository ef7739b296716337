"""Uses of power at the meters, with their earnings, for battery and demand-charge plans."""

import numpy as np

from sim.policies.dispatch import Dispatch
from sim.policy import Observation
from sim.types import Floats, Ints
from sim.units import J_PER_MWH


class Uses:
    """Increments of firmware modes, then groups of nodes. Shape: `item`.

    `price` (2, site) is the price of energy for ASICs and nodes; the difference is standby pay.
    """

    def __init__(self, observation: Observation, made: Dispatch, price: Floats) -> None:
        asic, gpu = observation.asic, observation.gpu
        able = (asic.available * asic.heat * asic.meter_factor)[:, None]
        self.asic_w = made.hulls.w * able
        node_w = gpu.node_w * gpu.meter_factor
        w = made.hulls.w * asic.meter_factor[:, None]
        usd_per_j = made.hulls.ths * observation.usd_per_th / np.where(w > 0.0, w, np.inf)
        paid = (price[1] - price[0])[asic.site]  # for standing by as reserve
        asic_usd = usd_per_j * J_PER_MWH + np.where(w > 0.0, paid[:, None], 0.0)
        node_usd = made.node_usd_per_s / np.maximum(node_w, 1e-300) * J_PER_MWH
        self.site: Ints = np.concatenate([np.repeat(asic.site, w.shape[1]), gpu.site])
        self.watts = np.concatenate([self.asic_w.ravel(), gpu.available * node_w])
        self.usd_per_mwh = np.concatenate([asic_usd.ravel(), node_usd])

    def drawn_w(self, observation: Observation) -> Floats:
        """Draw of the machines of each site under the present controls (site,) [W]."""
        asic, gpu = observation.asic, observation.gpu
        count = len(observation.limits.cap_w)
        asic_w = (asic.share * asic.mode_w).sum(axis=1) * asic.available * asic.heat
        node_w = gpu.share * gpu.available * gpu.node_w * gpu.meter_factor
        drawn = np.bincount(asic.site, asic_w * asic.meter_factor, count)
        return np.asarray(drawn + np.bincount(gpu.site, node_w, count))
