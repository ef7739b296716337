"""Each megawatt to its best use: mining by firmware mode, GPU, or off, under all limits."""

from typing import Final

import numpy as np
import numpy.typing as npt

from sim.kernels.dispatch import arbitrage
from sim.policies.dispatch import Dispatch, obedient, offers, prices
from sim.policy import Bids, Decision, Observation
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

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
        cheap: share of the last week's hours that count as cheap, and as dear (0.25: assumed).
    """

    def __init__(
        self, avoid_peaks: bool = True, reserves: bool = True, cheap: float = 0.25
    ) -> None:
        if not 0.0 < cheap < 0.5:
            raise ValueError(f"cheap is {cheap}; allowed: above 0 and below 0.5")
        self.avoid_peaks = avoid_peaks
        self.reserves = reserves
        self.cheap = cheap
        self._dispatch = Dispatch()
        self._seen: Floats | None = None  # (hour of the last week, battery) prices
        self._band: tuple[Floats, Floats] = (np.empty(0), np.empty(0))

    def decide(self, observation: Observation) -> Decision:
        """Fill the limits with the uses of power that earn more than they cost, best first."""
        price = prices(observation, self.avoid_peaks, self.reserves)
        asic_share, gpu_share = self._dispatch.shares(observation, price, obedient(observation))
        energy = observation.energy
        return Decision(
            asic_share,
            gpu_share,
            battery_w=self._charge(observation, price[1]) if len(energy.stored_j) else None,
            offer_w=offers(observation, asic_share) if self.reserves else None,
        )

    def bid(self, observation: Observation) -> Bids:
        """Every use of power at what it earns."""
        price = prices(observation, self.avoid_peaks, self.reserves)
        return self._dispatch.bids(observation, price)

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
