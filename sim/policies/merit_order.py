"""Each megawatt to its best use: mining by firmware mode, GPU, or off, under all limits."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sim.kernels.dispatch import frontier, merit_order
from sim.kernels.jit import specialise
from sim.policy import Decision, Observation
from sim.units import J_PER_MWH, SECONDS_PER_HOUR


class MeritOrder:
    """The most margin of this step, as if there were no other: exact but short-sighted.

    It does not weigh restarts, ramps or pauses, and expects the present price to last the step.
    """

    def __init__(self) -> None:
        self._modes: Any = None  # the mode table that what follows was made for
        self._frontier: tuple[Any, ...] = ()
        self._fill: Callable[..., None] | None = None

    def decide(self, observation: Observation) -> Decision:
        """Fill the limits with the uses of power that earn more than they cost, best first."""
        asic, gpu = observation.asic, observation.gpu
        if self._modes is not asic.mode_ths:
            self._modes = asic.mode_ths
            shape = asic.mode_ths.shape
            self._frontier = (np.empty(shape, dtype=np.int64), np.empty(shape), np.empty(shape))
            frontier(asic.mode_ths, asic.mode_w, *self._frontier)
            self._fill = None
        asic_share = np.empty(asic.mode_ths.shape)
        gpu_share = np.empty(gpu.available.shape)
        arguments = (
            *self._frontier,
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
        if self._fill is None:
            self._fill = specialise(merit_order, *arguments)
        self._fill(*arguments)
        return Decision(asic_share, gpu_share)

    def __reduce__(self) -> tuple[type["MeritOrder"], tuple[()]]:
        return MeritOrder, ()  # what is kept is a cache
