"""Each megawatt to its best use: mining by firmware mode, GPU, or off, under all limits."""

import numpy as np

from sim.kernels.dispatch import frontier, merit_order
from sim.policy import Decision, Observation
from sim.units import J_PER_MWH, SECONDS_PER_HOUR


class MeritOrder:
    """The most margin of this step, as if there were no other: exact but short-sighted.

    It does not weigh restarts, ramps or pauses, and expects the present price to last the step.
    """

    def decide(self, observation: Observation) -> Decision:
        """Fill the limits with the uses of power that earn more than they cost, best first."""
        asic, gpu = observation.asic, observation.gpu
        shape = asic.mode_ths.shape
        rank_mode = np.empty(shape, dtype=np.int64)
        rank_ths, rank_w, asic_share = np.empty(shape), np.empty(shape), np.empty(shape)
        gpu_share = np.empty(gpu.available.shape)
        frontier(asic.mode_ths, asic.mode_w, rank_mode, rank_ths, rank_w)
        merit_order(
            rank_mode,
            rank_ths,
            rank_w,
            asic.site,
            asic.available,
            asic.heat,
            gpu.site,
            gpu.available,
            gpu.node_w,
            (gpu.usd_per_h + gpu.credit_usd_per_h) / SECONDS_PER_HOUR,
            observation.price_usd_per_mwh / J_PER_MWH,
            observation.meter_factor,
            observation.limits,
            observation.usd_per_th,
            asic_share,
            gpu_share,
        )
        return Decision(asic_share, gpu_share)
