"""A control step on a market whose price the fleet's own load moves: bids, clearing, price."""

from typing import Final

import numpy as np

from sim.finance.contracts import EnergyTerms
from sim.plant import Plant
from sim.policy import Bidder, Bids, Observation, Policy, PolicyError, bid_problems
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.world.market import Offers, PowerMarket

BELOW: Final = 1e-9  # share of a price: rounding must not make what was bought too dear
SAME_W: Final = 1.0  # below it a draw is what was bought; the solver's tolerance is 1e-7 MW


class Clearing:
    """Market prices of a step.

    A policy that bids buys at the price that its own load sets, and decides at that price. A policy
    that does not bid decides at the price of the load that it draws already, and pays the price of
    the load that it is then granted. A bidder that draws something other than it bought pays
    likewise. Changes within a step are billed at the step's price. If not `felt_by_market`, prices
    are those of the grid without the fleet. Shapes: `site`, `bid`.
    """

    def __init__(
        self,
        scenario: Scenario,
        market: PowerMarket,
        policy: Policy,
        plant: Plant,
        terms: EnergyTerms,
        felt_by_market: bool = True,
    ) -> None:
        self.market = market
        self.share = 1.0 if felt_by_market else 0.0
        self.plant = plant
        self.terms = terms
        bids = market.makes_prices and isinstance(policy, Bidder)
        self.bidder: Bidder | None = policy if bids and isinstance(policy, Bidder) else None
        self.felt = np.array([s.contract == "market" for s in scenario.sites])
        self._cap_w: Floats | None = None  # (site,) cap on machines, from what was bought
        self._seen: Floats = np.empty(0)  # (site,) its price, with delivery
        self._bought_w: Floats | None = None  # (site,) total bought

    def look(self, t_s: int, step: int) -> None:
        """Set the grid and price that a policy finds at the beginning of a step."""
        if self.bidder is None or not self.market.makes_prices:
            self._clear(t_s, step, self.plant.site.granted_w)
        if self.market.due(t_s):
            self._cap_w = self._bought_w = None
        if self.market.makes_prices:
            self.terms.learn(step, self.market.lmp_usd_per_mwh)

    def bid(self, observation: Observation, step: int) -> Observation:
        """Clear the bids that are due. Returns the observation with the resulting price and cap."""
        t_s = observation.t_s
        if self.bidder is None:
            return observation
        if self._cap_w is None and self.market.due(t_s):
            self._buy(self.bidder.bid(observation), observation, step)
        if self._cap_w is None:
            return observation
        limits = observation.limits
        cap_w = np.minimum(limits.cap_w, self._cap_w)
        price = np.where(self.felt, self._seen, observation.price_usd_per_mwh)
        return observation._replace(price_usd_per_mwh=price, limits=limits._replace(cap_w=cap_w))

    def close(self, t_s: int, step: int) -> bool:
        """Price what was granted, where it differs from what was bought. True: the price is new."""
        if not self.market.makes_prices or not self.market.due(t_s):
            return False
        granted_w = self.plant.site.granted_w
        if self._bought_w is None or (np.abs(granted_w - self._bought_w) > SAME_W).any():
            self._clear(t_s, step, granted_w)
        self.terms.learn(step, self.market.lmp_usd_per_mwh)
        return True

    def _clear(self, t_s: int, step: int, fleet_w: Floats) -> None:
        cleared = self.market.clear(t_s, step, fleet_w * self.share)
        if cleared is not None:
            self.plant.set_background(cleared)

    def _buy(self, bids: Bids, observation: Observation, step: int) -> None:
        """Clear bids: set what each site may draw now, and the price at which it bought.

        That price is the site's or the lowest of its accepted bids. They differ only by the
        solver's tolerance; taking the lower keeps every accepted bid from looking too dear.

        Raises:
            PolicyError: if the bids are invalid.
        """
        plant, count = self.plant, len(self.felt)
        if told := bid_problems(bids, count):
            raise PolicyError(f"bids at t = {observation.t_s} s: {told}")
        fixed_w = plant.sites.overhead_w * plant.supply.powered / (1.0 - plant.sites.loss)
        own_w = np.maximum(plant.limits.local_w - fixed_w, 0.0)
        offers, sure_w = self._offers(bids, observation, own_w)
        any_w = np.maximum(fixed_w - plant.limits.local_w, 0.0) + sure_w
        cleared = self.market.clear(observation.t_s, step, any_w, offers)
        assert cleared is not None
        plant.set_background(cleared)
        bought_w = np.bincount(offers.site, cleared.bought_w, count)
        self._bought_w = any_w + bought_w
        self._cap_w = own_w + sure_w + bought_w
        lowest = np.full(count, np.inf)
        taken = cleared.bought_w > SAME_W
        np.minimum.at(lowest, offers.site[taken], offers.lmp_usd_per_mwh[taken])
        lmp = np.minimum(self.market.lmp_usd_per_mwh, lowest)
        seen = lmp * self.terms.factor + self.terms.adder
        self._seen = seen - BELOW * np.maximum(np.abs(seen), 1.0)

    def _offers(self, bids: Bids, observation: Observation, own_w: Floats) -> tuple[Offers, Floats]:
        """Bids in the form that the market takes, and what a site draws at any price (site,) [W].

        On-site supply and contract blocks go to the best uses, up to what the connection carries.
        Where a contract sets the price, load does not respond to the market.
        """
        limits, energy = observation.limits, observation.energy
        room_w = np.where(limits.path >= 0, limits.room_w[limits.path], np.inf).min(axis=1)
        room_w = np.maximum(np.minimum(room_w + own_w, limits.cap_w), 0.0)
        left_w, block_w = own_w.copy(), energy.block_w.copy()
        price = observation.price_usd_per_mwh
        sure_w = np.zeros(len(own_w))
        held_w = np.maximum(energy.ramp_w[0] - energy.overhead_w + limits.local_w, 0.0)
        power_w = np.zeros(len(bids.power_w))
        for i in np.argsort(-bids.usd_per_mwh, kind="stable").tolist():
            s, worth = bids.site[i], bids.usd_per_mwh[i]
            asked_w = min(bids.power_w[i], room_w[s])
            room_w[s] -= asked_w
            own = min(asked_w, left_w[s])
            left_w[s] -= own
            asked_w -= own
            if worth >= energy.block_usd_per_mwh[s]:
                block = min(asked_w, block_w[s])
                block_w[s] -= block
                sure_w[s] += block
                asked_w -= block
            held = min(asked_w, held_w[s])  # a ramp keeps the site from shedding it
            held_w[s] -= held
            sure_w[s] += held
            asked_w -= held
            if self.felt[s]:
                power_w[i] = asked_w
            elif worth >= price[s]:
                sure_w[s] += asked_w
        lmp = (bids.usd_per_mwh - self.terms.adder[bids.site]) / self.terms.factor
        dear = lmp >= self.market.voll
        np.add.at(sure_w, bids.site[dear], power_w[dear])
        power_w[dear] = 0.0
        return Offers(bids.site, power_w, lmp), sure_w
