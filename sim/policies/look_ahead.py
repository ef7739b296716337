"""Plans over the hours to come, on its own forecast: restarts, batteries, demand charges."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sim.kernels.arrays import Limits
from sim.policies.dispatch import Dispatch, obedient, offers, prices
from sim.policies.forecast import PriceForecast
from sim.policies.storage import Hours, StoragePlan
from sim.policy import Bids, Decision, Observation
from sim.units import J_PER_MWH, SECONDS_PER_DAY, SECONDS_PER_HOUR, W_PER_MW

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DAY_H: Final = 24


class LookAhead:
    """Merit order within the step, and what couples the step to later ones on top of it.

    What does not couple in time is left to the greedy order, which is exact; the rest is planned
    over a rolling horizon, each part by what is exact for it on the forecast:

    - restarts: whether a group that runs stays on through a dear hour, and whether one that is off
      is worth starting, by dynamic programming over the hours, all groups at once; limits that may
      bind later are not foreseen;
    - batteries: a linear programme (HiGHS, warm-started) of each battery with the uses of power at
      its site: it stores, discharges into the machines, and shaves the month's peak;
    - demand charges: the load of a site whose margin over the rest of the month is above what the
      month's peak would rise by; days are taken to be like the forecast day.

    Blocks, peaks by their chance, reserves and calls as in merit-order. It does not see generators'
    export, take-or-pay or the heat to come.

    Args:
        hours: horizon [h].
        persistence: share of the present deviation from the usual price that is left after an hour
            (0.6: assumed).
        restart_s: what a start costs, in seconds of hashing at full power drawn [s] (300: as
            `restart_s` of [mining], assumed there).
        avoid_peaks: step back where a coincident peak is likely enough.
        reserves: offer load to the programmes.
    """

    def __init__(
        self,
        hours: int = 24,
        persistence: float = 0.6,
        restart_s: float = 300.0,
        avoid_peaks: bool = True,
        reserves: bool = True,
    ) -> None:
        if not 2 <= hours <= 168:
            raise ValueError(f"hours is {hours}; allowed: 2 to 168")
        if not 0.0 <= persistence <= 1.0:
            raise ValueError(f"persistence is {persistence}; allowed: 0 to 1")
        if not 0.0 <= restart_s <= SECONDS_PER_DAY:
            raise ValueError(f"restart_s is {restart_s}; allowed: 0 to {SECONDS_PER_DAY}")
        self.arguments = (hours, persistence, restart_s, avoid_peaks, reserves)
        self.hours, self.persistence, self.restart_s = hours, persistence, restart_s
        self.avoid_peaks, self.reserves = avoid_peaks, reserves
        self._dispatch = Dispatch()
        self._forecast = PriceForecast(hours, persistence)
        self._storage: _Storage | None = None
        self._held: Floats | None = None  # (group, rank) with what restarts are worth, last time
        self._peak_w: Floats = np.empty(0)  # (site,) of machines in the billing month
        self._month_left_s: Floats = np.empty(0)

    def decide(self, observation: Observation) -> Decision:
        """Plan, then fill the limits best first with what the plan leaves."""
        self._dispatch.look(observation)
        expected = self._forecast.expect(observation)
        now = prices(observation, self.avoid_peaks, self.reserves)
        uses = _Uses(observation, self._dispatch, now)
        expected = np.concatenate([now[1:], expected[1:]])
        limits = obedient(observation)
        if observation.energy.demand_usd_per_mw.any():
            limits = self._cap_months(observation, uses, expected, limits)
        battery_w, block = None, None
        if len(observation.energy.stored_j):
            battery_w, block = self._store(observation, uses, expected, limits)
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

    def _cap_months(
        self, observation: Observation, uses: "_Uses", expected: Floats, limits: Limits
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
        day = expected[:DAY_H]
        margin = np.maximum(uses.usd_per_mwh - day[:, uses.site], 0.0).mean(axis=0)
        rest_h = energy.month_left_s[uses.site] / SECONDS_PER_HOUR
        wanted = margin * rest_h > energy.demand_usd_per_mw[uses.site]
        worth_w = np.bincount(uses.site, uses.watts * wanted, len(limits.cap_w))
        cap_w = np.where(energy.demand_usd_per_mw > 0.0, np.maximum(worth_w, self._peak_w), np.inf)
        return limits._replace(cap_w=np.minimum(limits.cap_w, cap_w))

    def _store(
        self, observation: Observation, uses: "_Uses", expected: Floats, limits: Limits
    ) -> tuple[Floats, tuple[Floats, Floats]]:
        """Power (battery,) [W], and what it feeds its site as a block that costs nothing more."""
        energy = observation.energy
        if self._storage is None or self._storage.battery is not energy.battery:
            self._storage = _Storage(self.hours, observation, uses)
        power_mw = self._storage.plan(observation, uses, expected, limits, self._peak_w)
        fed_w = np.zeros(len(energy.block_w))
        fed_w[self._storage.sites] = np.maximum(-power_mw, 0.0) * W_PER_MW
        block_w = energy.block_w + fed_w
        mean = energy.block_w * energy.block_usd_per_mwh / np.maximum(block_w, 1e-300)
        return power_mw[self._storage.group] * self._storage.part * W_PER_MW, (block_w, mean)

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


class _Uses:
    """Uses of power at the meters, firmware modes on top of each other, then nodes. Shape: item."""

    def __init__(self, observation: Observation, made: Dispatch, price: Floats) -> None:
        asic, gpu = observation.asic, observation.gpu
        able = (asic.available * asic.heat * asic.meter_factor)[:, None]
        self.asic_w = made.rank_w * able
        node_w = gpu.node_w * gpu.meter_factor
        w = made.rank_w * asic.meter_factor[:, None]
        usd_per_j = made.rank_ths * observation.usd_per_th / np.where(w > 0.0, w, np.inf)
        paid = (price[1] - price[0])[asic.site]  # for standing by as reserve
        asic_usd = usd_per_j * J_PER_MWH + np.where(w > 0.0, paid[:, None], 0.0)
        node_usd = made.node_usd_per_s / np.maximum(node_w, 1e-300) * J_PER_MWH
        self.site: Ints = np.concatenate([np.repeat(asic.site, w.shape[1]), gpu.site])
        self.watts = np.concatenate([self.asic_w.ravel(), gpu.available * node_w])
        self.usd_per_mwh = np.concatenate([asic_usd.ravel(), node_usd])

    def drawn_w(self, observation: Observation) -> Floats:
        """What the machines of each site (site,) draw under the controls of now [W]."""
        asic, gpu = observation.asic, observation.gpu
        count = len(observation.limits.cap_w)
        asic_w = (asic.share * asic.mode_w).sum(axis=1) * asic.available * asic.heat
        node_w = gpu.share * gpu.available * gpu.node_w * gpu.meter_factor
        drawn = np.bincount(asic.site, asic_w * asic.meter_factor, count)
        return np.asarray(drawn + np.bincount(gpu.site, node_w, count))


class _Storage:
    """The batteries by site: those of one site count as one, and share its power alike."""

    def __init__(self, hours: int, observation: Observation, uses: _Uses) -> None:
        energy = observation.energy
        self.battery = energy.battery
        self.sites, self.group = np.unique(energy.battery_site, return_inverse=True)
        power_w = np.bincount(self.group, energy.battery[:, 0])
        self.part = energy.battery[:, 0] / power_w[self.group]
        merged: Floats = np.stack(
            [power_w, np.bincount(self.group, energy.battery[:, 1])]
            + [np.bincount(self.group, energy.battery[:, k] * self.part) for k in (2, 3)],
            axis=1,
        )
        self.item = np.flatnonzero(np.isin(uses.site, self.sites))
        item_of = np.searchsorted(self.sites, uses.site[self.item]).astype(np.int64)
        self.programme = StoragePlan(hours, merged, item_of)

    def plan(
        self,
        observation: Observation,
        uses: _Uses,
        expected: Floats,
        limits: Limits,
        peak_w: Floats,
    ) -> Floats:
        """Power of now by site (battery,) [MW], below 0 discharging."""
        energy, at = observation.energy, self.sites
        path = limits.path[at]
        room_w = np.where(path >= 0, limits.room_w[path], np.inf).min(axis=1)
        month_h = np.maximum(energy.month_left_s[at] / SECONDS_PER_HOUR, self.programme.hours)
        charged = energy.demand_usd_per_mw[at] > 0.0
        power_mw, _ = self.programme.solve(
            Hours(
                price=expected[:, at],
                item_mw=uses.watts[self.item] / W_PER_MW,
                item_usd_per_mwh=uses.usd_per_mwh[self.item],
                room_mw=np.minimum(room_w, limits.cap_w[at]) / W_PER_MW,
                stored_mwh=np.bincount(self.group, energy.stored_j) / J_PER_MWH,
                peak_mw=peak_w[at] / W_PER_MW if charged.any() else np.zeros(len(at)),
                peak_usd_per_mw=energy.demand_usd_per_mw[at] * self.programme.hours / month_h,
            )
        )
        return power_mw
