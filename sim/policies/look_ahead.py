"""Planning over the hours ahead on its own forecast: restarts, batteries, demand charges."""

import itertools
from typing import Any, Final

import numpy as np

from sim.kernels.arrays import Limits
from sim.kernels.dispatch import Hulls
from sim.policies.batteries import Batteries, idle_w, stands_by_w
from sim.policies.dispatch import Dispatch, obedient, offers, prices
from sim.policies.forecast import PriceForecast
from sim.policies.reserves import Seller
from sim.policies.uses import Uses
from sim.policy import Bids, Decision, Observation, ReserveOffers
from sim.types import Bools, Floats, Ints
from sim.units import J_PER_MWH, SECONDS_PER_DAY, SECONDS_PER_HOUR

DAY_H: Final = 24


class LookAhead:
    """Merit order within the step, and what couples the step to later ones on top of it.

    Choices that are independent between steps are left to the greedy order, which is exact. The
    rest is planned over a rolling horizon, each part by a method that is exact on the forecast:

    - restarts: whether a running group stays on through an expensive hour, and whether one that is
      off is worth starting, by dynamic programming over the hours, all groups at once; limits that
      may bind later are not anticipated;
    - batteries: a plan for each site together with its other uses of power, as in merit-order
      (`policies/batteries.py`);
    - demand charges: load runs where its margin in the measured hours of the rest of the month
      exceeds the rise in the month's charge; days are taken to resemble the forecast day, and
      later months of a ratchet are ignored.

    Blocks, the expected cost of peaks, reserves and calls as in merit-order. Generators' export,
    take-or-pay and future heat are ignored.

    Args:
        hours: horizon [h] (24: assumed).
        persistence: share of the present deviation from the usual price that is left after an hour
            (0.6: assumed).
        restart_s: what a start costs, in seconds of hashing at full power drawn [s] (300: as
            `restart_s` of [mining], assumed there).
        avoid_peaks: step back where a coincident peak is likely enough.
        reserves: offer load to the programmes.
        shave: as in merit-order.
    """

    def __init__(
        self,
        hours: int = 24,
        persistence: float = 0.6,
        restart_s: float = 300.0,
        avoid_peaks: bool = True,
        reserves: bool = True,
        shave: bool = False,
    ) -> None:
        if not 2 <= hours <= 168:
            raise ValueError(f"hours is {hours}; allowed: 2 to 168")
        if not 0.0 <= persistence <= 1.0:
            raise ValueError(f"persistence is {persistence}; allowed: 0 to 1")
        if not 0.0 <= restart_s <= SECONDS_PER_DAY:
            raise ValueError(f"restart_s is {restart_s}; allowed: 0 to {SECONDS_PER_DAY}")
        self.arguments = (hours, persistence, restart_s, avoid_peaks, reserves, shave)
        self.hours, self.persistence, self.restart_s = hours, persistence, restart_s
        self.avoid_peaks, self.reserves, self.shave = avoid_peaks, reserves, shave
        self._dispatch = Dispatch()
        self._forecast = PriceForecast(hours, persistence)
        self._zones = PriceForecast(hours, persistence)  # export prices
        self._batteries: Batteries | None = None
        self._seller = Seller()
        self._held: Floats | None = None  # (group, rank) with the value of restarts, last step
        self._peak_w: Floats = np.empty(0)  # (charge,) of machines in the billing month
        self._counted: Bools = np.empty(0, dtype=np.bool_)  # (charge,) measured in the last step
        self._left_s: Floats = np.empty(0)

    def decide(self, observation: Observation) -> Decision:
        """Plan, then fill the remaining limits, best use first."""
        self._dispatch.look(observation)
        expected = self._forecast.expect(observation)
        now = prices(observation, self.avoid_peaks, self.reserves)
        uses = Uses(observation, self._dispatch, now)
        expected = np.concatenate([now[1:], expected[1:]])
        limits, battery_w, block, stored_w = obedient(observation), None, None, None
        if self.reserves:
            self._seller.see(observation)
        accepts = None
        if len(observation.energy.demand.site):
            accepts = self._worth_a_month(observation, uses, expected)
        if len(observation.energy.stored_j):
            batteries = self._batteries_of(observation, uses)
            if batteries.due(observation, limits):
                batteries.plan(observation, uses, expected[:, batteries.sites], limits, accepts)
            battery_w, limits, block = batteries.beside(observation, limits)
            stored_w = stands_by_w(observation, battery_w)
        if accepts is not None:
            limits = self._cap_months(observation, uses, accepts, limits, battery_w)
        rank_ths = self._held = self._hold(observation, expected - (now[1] - now[0]))
        asic_share, gpu_share = self._dispatch.shares(
            observation, now, limits, rank_ths, block=block, stored_w=stored_w
        )
        offer_w = offers(observation, asic_share) if self.reserves else None
        return Decision(asic_share, gpu_share, battery_w=battery_w, offer_w=offer_w)

    def offer(self, observation: Observation, begins_s: Ints) -> ReserveOffers:
        """Offers as in merit-order."""
        return (self._seller if self.reserves else Seller()).offer(
            observation, begins_s, self._dispatch
        )

    def bid(self, observation: Observation) -> Bids:
        """Bids: every use of power at its earnings, with the last step's value of restarts."""
        price = prices(observation, self.avoid_peaks, self.reserves)
        return self._dispatch.bids(observation, price, self._held, stored_w=idle_w(observation))

    def _hold(self, observation: Observation, price: Floats) -> Floats:
        """Hashrates (group, rank) [TH/s] whose first mode includes the later value of being on.

        `price` (hour, site) is that of ASICs. Being on is worth between 0 and the cost of one start
        more than being off; the recursion carries this difference.
        """
        asic, made = observation.asic, self._dispatch
        usd_per_th, factor = max(observation.usd_per_th, 1e-300), asic.meter_factor
        rank_usd = made.hulls.ths * usd_per_th  # per second and machine
        watts = made.hulls.w * factor[:, None]
        ran = rank_usd > watts * price[0, asic.site, None] / J_PER_MWH
        ran[:, 0] = True  # a start loses the hashes of the modes that would run
        start_usd = self.restart_s * (rank_usd * ran).sum(axis=1)
        at = price[1:, asic.site] / J_PER_MWH
        on_usd = rank_usd[:, 0] - watts[:, 0] * at
        for rank in range(1, watts.shape[1]):
            on_usd += np.maximum(rank_usd[:, rank] - watts[:, rank] * at, 0.0)
        on_usd *= SECONDS_PER_HOUR
        worth = np.zeros(len(factor))
        for hour_usd in on_usd[::-1]:
            worth += hour_usd
            np.minimum(np.maximum(worth, 0.0, out=worth), start_usd, out=worth)
        share = asic.share.sum(axis=1)
        bonus_usd = worth - (share < 0.5) * start_usd
        return _with_bonus(made.hulls, bonus_usd / observation.step_s / usd_per_th)

    def _worth_a_month(self, observation: Observation, uses: Uses, expected: Floats) -> Bools:
        """Charges worth paying for each use of power (item, charge): the set with the most margin.

        A use runs free of a charge in hours that the charge does not measure. The rest of the month
        is taken to resemble the forecast day, in the measured hours of the week.
        """
        demand, hours = (
            observation.energy.demand,
            np.arange(len(observation.energy.demand.measured)),
        )
        accepts = demand.later | (
            demand.site != uses.site[:, None]
        )  # charges of other sites do not matter
        for s in np.unique(demand.site):
            at = np.flatnonzero((demand.site == s) & ~demand.later)
            items = np.flatnonzero(uses.site == s)
            left_h = max(float(demand.left_s[at].max(initial=0.0)) / SECONDS_PER_HOUR, 1.0)
            week = hours < left_h
            earned = uses.usd_per_mwh[items] - expected[hours % min(DAY_H, len(expected)), s, None]
            margin = np.maximum(earned, 0.0) * week[:, None] * (left_h / week.sum())
            best = np.full(len(items), -np.inf)
            for paid in itertools.product((False, True), repeat=len(at)):
                free = ~demand.measured[:, at[~np.array(paid, dtype=np.bool_)]].any(axis=1)
                worth = free @ margin - demand.usd_per_mw[at] @ np.array(paid, dtype=np.float64)
                better = worth > best
                best = np.where(better, worth, best)
                accepts[np.ix_(items[better], at)] = paid
        return np.asarray(accepts, dtype=np.bool_)

    def _cap_months(
        self,
        observation: Observation,
        uses: Uses,
        accepts: Bools,
        limits: Limits,
        battery_w: Floats | None,
    ) -> Limits:
        """Cap sites by the charges measured now, except for load worth a higher peak of the month.

        The policy tracks the peak of the machines itself, except where they also run on batteries;
        overhead is drawn anyway. Load up to what is billed anyway, less battery charging, costs
        nothing.
        """
        energy, demand = observation.energy, observation.energy.demand
        now = demand.measured[0] & ~demand.later
        if len(self._peak_w) != len(now):  # first step: nothing was drawn before
            self._peak_w, self._counted = np.zeros(len(now)), np.zeros(len(now), dtype=np.bool_)
            self._left_s = demand.left_s
        drawn_w = np.where(self._counted, uses.drawn_w(observation)[demand.site], 0.0)
        begun = demand.left_s > self._left_s
        self._peak_w = np.where(begun, 0.0, np.maximum(self._peak_w, drawn_w))
        self._counted, self._left_s = now, demand.left_s
        worth_w = np.bincount(uses.site, uses.watts * ~(~accepts @ now), len(limits.cap_w))
        cap_w = limits.cap_w.copy()
        billed_w = demand.peak_w - energy.overhead_w[demand.site]
        alone = ~np.isin(demand.site, energy.battery_site)
        billed_w[alone] = np.maximum(billed_w, self._peak_w)[alone]
        if battery_w is not None:
            at = energy.battery_site
            charged_w = np.bincount(at, np.maximum(battery_w, 0.0), len(cap_w))
            billed_w -= (charged_w / (1.0 - energy.loss))[demand.site]
        for c in np.flatnonzero(now & (demand.usd_per_mw > 0.0)):
            s = demand.site[c]
            cap_w[s] = min(cap_w[s], max(worth_w[s], billed_w[c]))
        return limits._replace(cap_w=cap_w)

    def _batteries_of(self, observation: Observation, uses: Uses) -> Batteries:
        if self._batteries is None or self._batteries.battery is not observation.energy.battery:
            self._batteries = Batteries(self._zones, observation, uses, self.shave)
        return self._batteries

    def __reduce__(self) -> tuple[type["LookAhead"], tuple[Any, ...]]:
        return LookAhead, self.arguments  # all other attributes are run state


def _with_bonus(hulls: Hulls, more_ths: Floats) -> Floats:
    """Hulls (group, rank) whose step from off is raised or lowered by `more_ths` (group,) [TH/s].

    A bonus improves the first mode. A malus is spread over the modes that together have the best
    mean hashrate per watt including it, because the dispatch needs concave hulls.
    """
    ths = hulls.ths.copy()
    ths[:, 0] += more_ths
    mean = ths.cumsum(axis=1) / np.maximum(hulls.w.cumsum(axis=1), 1e-300)
    last = mean.argmax(axis=1)
    rank = np.arange(ths.shape[1])
    spread = (rank <= last[:, None]) & (more_ths < 0.0)[:, None]
    falling = 1.0 - 1e-9 * rank  # rounding must not reorder equal ranks
    level = mean[np.arange(len(last)), last, None]
    steep = np.where(level > 0.0, falling, 2.0 - falling)
    return np.where(spread, level * steep * hulls.w, ths)
