"""Merit order: each megawatt to its best use, by firmware mode, GPU or off, under all limits."""

from typing import Final

from sim.kernels.arrays import Limits
from sim.policies.batteries import Batteries, idle_w, stands_by_w
from sim.policies.dispatch import Dispatch, obedient, offers, prices
from sim.policies.forecast import PriceForecast
from sim.policies.reserves import Seller
from sim.policies.uses import Uses
from sim.policy import Bids, Decision, Observation, ReserveOffers
from sim.types import Floats, Ints

PERSISTENCE: Final = 0.6  # assumed, as in look-ahead


class MeritOrder:
    """The most margin of this step, as if there were no other: exact but short-sighted.

    It ignores restarts, ramps, pauses and what machines add to demand charges, and expects the
    present price to last the step. Beyond the step: the expected cost of a coincident peak is added
    to the price; reserves are offered a day ahead for load expected to run, and held while that
    costs less than the shortfall (`reserves`); calls are obeyed; batteries follow their site's plan
    over the hours ahead (`batteries`), on published day-ahead prices or else on its own forecast
    (`forecast`), keep the energy of sold reserves, and never raise a month's peak for less than it
    costs.

    Args:
        avoid_peaks: step back where a coincident peak is likely enough.
        reserves: offer load to the programmes.
        hours: horizon of the batteries [h] (36: assumed); day-ahead prices are out for up to 34.
        shave: let batteries hold a month's peak below what the load makes of it, as if the rest of
            the month were like the hours ahead; else they only never raise it.
    """

    def __init__(
        self,
        avoid_peaks: bool = True,
        reserves: bool = True,
        hours: int = 36,
        shave: bool = False,
    ) -> None:
        if not 2 <= hours <= 168:
            raise ValueError(f"hours is {hours}; allowed: 2 to 168")
        self.avoid_peaks = avoid_peaks
        self.reserves = reserves
        self.hours = hours
        self.shave = shave
        self._dispatch = Dispatch()
        self._forecast = PriceForecast(hours, PERSISTENCE)
        self._zones = PriceForecast(hours, PERSISTENCE)  # export prices
        self._batteries: Batteries | None = None
        self._seller = Seller()

    def decide(self, observation: Observation) -> Decision:
        """Fill the limits with the uses of power that earn more than they cost, best first."""
        price = prices(observation, self.avoid_peaks, self.reserves)
        limits, battery_w, block, stored_w = obedient(observation), None, None, None
        if self.reserves:
            self._seller.see(observation)
        if len(observation.energy.stored_j):
            battery_w, limits, block = self._store(observation, price, limits)
            stored_w = stands_by_w(observation, battery_w)
        asic_share, gpu_share = self._dispatch.shares(
            observation, price, limits, block=block, stored_w=stored_w
        )
        return Decision(
            asic_share,
            gpu_share,
            battery_w=battery_w,
            offer_w=offers(observation, asic_share) if self.reserves else None,
        )

    def offer(self, observation: Observation, begins_s: Ints) -> ReserveOffers:
        """Offer the load expected to run tomorrow; nothing without `reserves`."""
        return (self._seller if self.reserves else Seller()).offer(
            observation, begins_s, self._dispatch
        )

    def bid(self, observation: Observation) -> Bids:
        """Bids: every use of power at its earnings."""
        price = prices(observation, self.avoid_peaks, self.reserves)
        return self._dispatch.bids(observation, price, stored_w=idle_w(observation))

    def _store(
        self, observation: Observation, price: Floats, limits: Limits
    ) -> tuple[Floats, Limits, tuple[Floats, Floats] | None]:
        """Planned battery power, and what remains for machines: as `Batteries.beside`."""
        batteries = self._batteries
        self._dispatch.look(observation)
        if batteries is None or batteries.battery is not observation.energy.battery:
            uses = Uses(observation, self._dispatch, price)
            self._batteries = batteries = Batteries(self._zones, observation, uses, self.shave)
        if batteries.due(observation, limits):
            expected = self._forecast.expect(observation, batteries.sites)
            expected[0] = price[1, batteries.sites]
            uses = Uses(observation, self._dispatch, price)
            batteries.plan(observation, uses, expected, limits)
        return batteries.beside(observation, limits)

    def __reduce__(self) -> tuple[type["MeritOrder"], tuple[bool, bool, int, bool]]:
        made = self.avoid_peaks, self.reserves, self.hours, self.shave
        return MeritOrder, made  # all other attributes are run state
