"""Plans over the hours to come, on its own forecast: restarts, batteries, demand charges."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sim.kernels.arrays import Limits
from sim.policies.batteries import Batteries
from sim.policies.dispatch import Dispatch, obedient, offers, prices
from sim.policies.forecast import PriceForecast
from sim.policies.uses import Uses
from sim.policy import Bids, Decision, Observation
from sim.units import J_PER_MWH, SECONDS_PER_DAY, SECONDS_PER_HOUR

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
DAY_H: Final = 24


class LookAhead:
    """Merit order within the step, and what couples the step to later ones on top of it.

    What does not couple in time is left to the greedy order, which is exact; the rest is planned
    over a rolling horizon, each part by what is exact for it on the forecast:

    - restarts: whether a group that runs stays on through a dear hour, and whether one that is off
      is worth starting, by dynamic programming over the hours, all groups at once; limits that may
      bind later are not foreseen;
    - batteries: a linear programme (HiGHS, warm-started) of each site's with the uses of power
      beside it, as in merit-order (`policies/storage.py`);
    - demand charges: the load of a site whose margin over the rest of the month is above what the
      month's peak would rise by; days are taken to be like the forecast day.

    Blocks, peaks by their chance, reserves and calls as in merit-order. It does not see generators'
    export, take-or-pay or the heat to come.

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
        self._batteries: Batteries | None = None
        self._held: Floats | None = None  # (group, rank) with what restarts are worth, last time
        self._peak_w: Floats = np.empty(0)  # (site,) of machines in the billing month
        self._month_left_s: Floats = np.empty(0)

    def decide(self, observation: Observation) -> Decision:
        """Plan, then fill the limits best first with what the plan leaves."""
        self._dispatch.look(observation)
        expected = self._forecast.expect(observation)
        now = prices(observation, self.avoid_peaks, self.reserves)
        uses = Uses(observation, self._dispatch, now)
        expected = np.concatenate([now[1:], expected[1:]])
        limits, battery_w, block = obedient(observation), None, None
        wanted = None
        if observation.energy.demand_usd_per_mw.any():
            wanted = self._worth_a_month(observation, uses, expected)
        if len(observation.energy.stored_j):
            batteries = self._batteries_of(observation, uses)
            if batteries.due(observation, limits):
                batteries.plan(observation, uses, expected[:, batteries.sites], limits, wanted)
            battery_w, limits, block = batteries.beside(observation, limits)
        if wanted is not None:
            limits = self._cap_months(observation, uses, wanted, limits)
        rank_ths = self._held = self._hold(observation, expected - (now[1] - now[0]))
        asic_share, gpu_share = self._dispatch.shares(
            observation, now, limits, rank_ths, block=block
        )
        offer_w = offers(observation, asic_share) if self.reserves else None
        return Decision(asic_share, gpu_share, battery_w=battery_w, offer_w=offer_w)

    def bid(self, observation: Observation) -> Bids:
        """Every use of power at what it earns, with what restarts were worth in the last step."""
        price = prices(observation, self.avoid_peaks, self.reserves)
        return self._dispatch.bids(observation, price, self._held)

    def _hold(self, observation: Observation, price: Floats) -> Floats:
        """Hashrates (group, rank) [TH/s] whose first mode is worth what being on is worth later.

        `price` (hour, site) is that of ASICs. Being on is worth at most a start more than being
        off, and never less: the difference is what the recursion keeps.
        """
        asic, made = observation.asic, self._dispatch
        usd_per_th, factor = max(observation.usd_per_th, 1e-300), asic.meter_factor
        rank_usd = made.rank_ths * usd_per_th  # per second and machine
        watts = made.rank_w * factor[:, None]
        ran = rank_usd > watts * price[0, asic.site, None] / J_PER_MWH
        ran[:, 0] = True  # a start loses the hashes of the modes that would run now
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
        return _with_bonus(made.rank_ths, made.rank_w, bonus_usd / observation.step_s / usd_per_th)

    def _worth_a_month(self, observation: Observation, uses: Uses, expected: Floats) -> Bools:
        """Uses (item,) whose margin over the rest of the month is above the demand charge."""
        energy = observation.energy
        margin = np.maximum(uses.usd_per_mwh - expected[:DAY_H][:, uses.site], 0.0).mean(axis=0)
        rest_h = energy.month_left_s[uses.site] / SECONDS_PER_HOUR
        return np.asarray(margin * rest_h > energy.demand_usd_per_mw[uses.site])

    def _cap_months(
        self, observation: Observation, uses: Uses, wanted: Bools, limits: Limits
    ) -> Limits:
        """Caps of sites with a demand charge: what is worth more than a higher peak of the month.

        The policy counts the peak of the machines itself: overhead is there in any case.
        """
        energy = observation.energy
        begun = np.ones(len(energy.month_left_s), dtype=np.bool_)
        if len(self._peak_w) == len(begun):  # not the first look: before it nothing was drawn
            begun = energy.month_left_s > self._month_left_s
        else:
            self._peak_w = np.zeros(len(begun))
        drawn_w = np.where(begun, 0.0, uses.drawn_w(observation))
        self._peak_w = np.maximum(np.where(begun, 0.0, self._peak_w), drawn_w)
        self._month_left_s = energy.month_left_s
        worth_w = np.bincount(uses.site, uses.watts * wanted, len(limits.cap_w))
        cap_w = np.where(energy.demand_usd_per_mw > 0.0, np.maximum(worth_w, self._peak_w), np.inf)
        return limits._replace(cap_w=np.minimum(limits.cap_w, cap_w))

    def _batteries_of(self, observation: Observation, uses: Uses) -> Batteries:
        if self._batteries is None or self._batteries.battery is not observation.energy.battery:
            self._batteries = Batteries(self.hours, observation, uses, self.shave)
        return self._batteries

    def __reduce__(self) -> tuple[type["LookAhead"], tuple[Any, ...]]:
        return LookAhead, self.arguments  # the rest is memory


def _with_bonus(rank_ths: Floats, rank_w: Floats, more_ths: Floats) -> Floats:
    """Hulls (group, rank) whose way from off is longer or shorter by `more_ths` (group,) [TH/s].

    A bonus makes the first mode better. A malus is made good by the modes together that have the
    best mean hashrate per watt with it: the dispatch needs hulls that fall.
    """
    ths = rank_ths.copy()
    ths[:, 0] += more_ths
    mean = ths.cumsum(axis=1) / np.maximum(rank_w.cumsum(axis=1), 1e-300)
    last = mean.argmax(axis=1)
    rank = np.arange(ths.shape[1])
    spread = (rank <= last[:, None]) & (more_ths < 0.0)[:, None]
    falling = 1.0 - 1e-9 * rank  # rounding must not turn equal ones around
    level = mean[np.arange(len(last)), last, None]
    return np.where(spread, level * np.where(level > 0.0, falling, 2.0 - falling) * rank_w, ths)
