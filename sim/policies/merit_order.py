"""Each megawatt to its best use: mining by firmware mode, GPU, or off, under all limits."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sim.kernels.dispatch import arbitrage, frontier, merit_order, offer_load
from sim.kernels.jit import specialise
from sim.policy import Decision, Observation
from sim.units import J_PER_MWH, SECONDS_PER_DAY, SECONDS_PER_HOUR

Floats = npt.NDArray[np.float64]
WEEK_H: Final = 168


class MeritOrder:
    """The most margin of this step, as if there were no other: exact but short-sighted.

    It does not weigh restarts, ramps, pauses or demand charges, and expects the present price to
    last the step. What it does beyond the step is by rule: the chance of a coincident peak counts
    as a price; ASICs that are worth running offer themselves as reserve where that pays most; calls
    are obeyed; batteries charge in the cheap hours of the last week and discharge in the dear ones.

    Args:
        avoid_peaks: step back where a coincident peak is likely enough.
        reserves: offer load to the programmes.
        cheap: share of the last week's hours that count as cheap, and as dear.
    """

    def __init__(
        self, avoid_peaks: bool = True, reserves: bool = True, cheap: float = 0.25
    ) -> None:
        if not 0.0 < cheap < 0.5:
            raise ValueError(f"cheap is {cheap}; allowed: above 0 and below 0.5")
        self.avoid_peaks = avoid_peaks
        self.reserves = reserves
        self.cheap = cheap
        self._modes: Any = None  # the mode table that what follows was made for
        self._frontier: tuple[Any, ...] = ()
        self._node_usd_per_s = np.empty(0)  # what a node earns
        self._fill: Callable[..., None] | None = None
        self._seen: Floats | None = None  # (hour of the last week, battery) prices
        self._band: tuple[Floats, Floats] = (np.empty(0), np.empty(0))

    def decide(self, observation: Observation) -> Decision:
        """Fill the limits with the uses of power that earn more than they cost, best first."""
        asic, gpu, energy = observation.asic, observation.gpu, observation.energy
        if self._modes is not asic.mode_ths:
            self._modes = asic.mode_ths
            shape = asic.mode_ths.shape
            self._frontier = (np.empty(shape, dtype=np.int64), np.empty(shape), np.empty(shape))
            frontier(asic.mode_ths, asic.mode_w, *self._frontier)
            self._node_usd_per_s = (gpu.usd_per_h + gpu.credit_usd_per_h) / SECONDS_PER_HOUR
            self._fill = None
        asic_share = np.empty(asic.mode_ths.shape)
        gpu_share = np.empty(gpu.available.shape)
        limits = observation.limits
        paid = energy.reserve_usd_per_mw_h
        if len(paid):
            limits = limits._replace(cap_w=np.minimum(limits.cap_w, energy.called_w[0]))
        price = np.empty((2, len(observation.price_usd_per_mwh)))
        price[:] = observation.price_usd_per_mwh
        if self.avoid_peaks and energy.peak_risk > 0.0:
            hours = observation.step_s / SECONDS_PER_HOUR
            price += energy.peak_risk * energy.peak_usd_per_mw / hours
        if self.reserves and len(paid):
            price[0] -= paid.max(axis=0)
        arguments = (
            *self._frontier,
            asic.site,
            asic.available,
            asic.heat,
            asic.meter_factor,
            gpu.site,
            gpu.available,
            gpu.node_w,
            gpu.meter_factor,
            self._node_usd_per_s,
            price / J_PER_MWH,
            energy.block_w,
            energy.block_usd_per_mwh / J_PER_MWH,
            limits,
            observation.usd_per_th,
            asic_share,
            gpu_share,
        )
        if self._fill is None:
            self._fill = specialise(merit_order, *arguments)
        self._fill(*arguments)
        return Decision(
            asic_share,
            gpu_share,
            battery_w=self._charge(observation, price[1]) if len(energy.stored_j) else None,
            offer_w=self._offer(observation, asic_share) if len(paid) else None,
        )

    def _offer(self, observation: Observation, asic_share: Floats) -> Floats:
        """All ASIC load that will run, to the programme that pays its site most."""
        asic, paid = observation.asic, observation.energy.reserve_usd_per_mw_h
        offer_w = np.zeros(paid.shape)
        if self.reserves:
            offer_load(
                asic.site, asic.available, asic.heat, asic.meter_factor, asic.mode_w, asic_share,
                paid, offer_w,
            )  # fmt: skip
        return offer_w

    def _charge(self, observation: Observation, price: Floats) -> Floats:
        """Charge below the cheap hours of the last week, discharge above the dear ones.

        Hours are kept as they pass, the band is drawn anew once a day.
        """
        t_s, here = observation.t_s, price[observation.energy.battery_site]
        hour = t_s // SECONDS_PER_HOUR
        if self._seen is None:
            self._seen = np.tile(here, (WEEK_H, 1))
            self._band = here, here
        if t_s % SECONDS_PER_HOUR == 0:
            self._seen[hour % WEEK_H] = here
        if t_s % SECONDS_PER_DAY == 0:
            low, high = np.quantile(self._seen, [self.cheap, 1.0 - self.cheap], axis=0)
            self._band = low, high
        power_w = np.empty(len(here))
        energy = observation.energy
        arbitrage(energy.battery_site, energy.battery, price, *self._band, power_w)
        return power_w

    def __reduce__(self) -> tuple[type["MeritOrder"], tuple[bool, bool, float]]:
        return MeritOrder, (self.avoid_peaks, self.reserves, self.cheap)  # the rest is memory
