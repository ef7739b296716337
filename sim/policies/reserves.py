"""Reserve offers for the next day: load that will run anyway, at the cost of holding it."""

from typing import Final

import numpy as np

from sim.policies.dispatch import Dispatch
from sim.policies.uses import Uses
from sim.policy import Observation, ReserveOffers
from sim.types import Floats, Ints
from sim.units import J_PER_MWH, SECONDS_PER_HOUR

DAY_H: Final = 24
WEEK: Final = 7
DAYS: Final = 28  # history used to estimate the cost of holding: assumed


class Seller:
    """Records prices at sites that sell reserves, and makes offers from them.

    It offers the ASIC load expected to run at forecast prices, for no less than holding it has cost
    so far: load that has been sold cannot stop in an expensive hour without paying the shortfall. A
    battery is offered for the power it can sustain as long as the product requires, for no less
    than a day's cycle between the cheapest and the most expensive hours would earn. Nodes are not
    offered. Products compete: a site offers its full power to each, and limits the sum to it.
    """

    def __init__(self) -> None:
        self._hour = -1
        self._sites: Ints = np.empty(0, dtype=np.int64)
        self._price: Floats = np.empty((DAYS * DAY_H, 0))  # prices of the last hours, NaN: not seen
        self._beyond: Floats = np.empty((DAYS * DAY_H, 0))  # their excess over the day-ahead price

    def see(self, observation: Observation) -> None:
        """Record the prices of the hour that begins; nothing where no reserve is bought."""
        hour = observation.t_s // SECONDS_PER_HOUR
        if hour == self._hour:
            return
        self._hour, energy = hour, observation.energy
        by_day = energy.reserve_duration_h > 0.0  # NaN is not
        if not by_day.any():
            return
        paid = np.asarray(energy.reserve_usd_per_mw_h, dtype=np.float64)[by_day]
        enrolled = np.asarray((paid > 0.0).any(axis=0))
        enrolled[self._sites] = True
        if enrolled.sum() != len(self._sites):
            self._sites = np.flatnonzero(enrolled)
            self._price, self._beyond = np.full((2, DAYS * DAY_H, len(self._sites)), np.nan)
        row, sites = hour % len(self._price), self._sites
        self._price[row] = observation.price_usd_per_mwh[sites]
        beyond = energy.export_usd_per_mwh[sites] - energy.day_ahead_usd_per_mwh[sites]
        self._beyond[row] = beyond

    def offer(self, observation: Observation, begins_s: Ints, dispatch: Dispatch) -> ReserveOffers:
        """Offers for the hours that begin at `begins_s` (hour,) in run seconds."""
        energy = observation.energy
        hours, (programmes, count) = len(begins_s), np.shape(energy.reserve_usd_per_mw_h)
        power_w, least = np.zeros((2, hours, programmes, count))
        at_most_w = np.zeros((hours, count))
        if len(self._sites):
            expected = self._expected(observation, np.asarray(begins_s))
            load_w = self._load_w(observation, dispatch, expected)
            lost = self._lost(observation, dispatch)
            for p in np.flatnonzero(~np.isnan(energy.reserve_duration_h)).tolist():
                given_w, cycle = self._batteries(observation, expected, p)
                all_w = load_w + given_w
                cost = (load_w * lost + given_w * cycle) / np.maximum(all_w, 1e-300)
                power_w[:, p, self._sites], least[:, p, self._sites] = all_w, cost
            at_most_w = power_w.max(axis=1, initial=0.0)
        return ReserveOffers(power_w, least, at_most_w)

    def _expected(self, observation: Observation, begins_s: Ints) -> Floats:
        """Prices (hour, site of `sites`): published ones plus the mean excess paid over them,
        else the mean of this hour of day over the last week, else the present price."""
        hour, now = begins_s // SECONDS_PER_HOUR, observation.price_usd_per_mwh[self._sites]
        days = (hour[:, None] - DAY_H * np.arange(1, WEEK + 2)) % len(self._price)
        past = self._price[days]  # today's value of that hour may not be known yet
        seen = (
            ~np.isnan(past)
            & (hour[:, None] - DAY_H * np.arange(1, WEEK + 2) <= self._hour)[:, :, None]
        )
        count = seen.sum(axis=1)
        usual = np.where(seen, past, 0.0).sum(axis=1) / np.maximum(count, 1)
        expected = np.where(count > 0, usual, now)
        known = observation.energy.day_ahead_next_usd_per_mwh[:, self._sites]
        ahead = hour - self._hour - 1
        out = ahead < len(known)
        if out.any():
            delivery = now - observation.energy.export_usd_per_mwh[self._sites]
            told = known[ahead[out]] + delivery + _mean(self._beyond)
            expected[out] = np.where(np.isnan(told), expected[out], told)
        return np.asarray(expected)

    def _lost(self, observation: Observation, dispatch: Dispatch) -> Floats:
        """Mean loss per MWh (site of `sites`,) of load scheduled on day-ahead prices [USD].

        Mean over the hours of the last weeks: the cost of holding load when the real-time price
        exceeded its earnings.
        """
        dispatch.look(observation)
        earned, drawn_w = _of_asics(observation, dispatch)
        worth = earned[self._sites] / np.maximum(drawn_w[self._sites], 1e-300) * J_PER_MWH
        beyond = np.where(np.isnan(self._beyond), 0.0, self._beyond)
        ran = self._price - beyond < worth  # unseen hours count as not running
        lost = np.where(ran, np.maximum(self._price - worth, 0.0), 0.0).sum(axis=0)
        return np.asarray(lost / np.maximum(ran.sum(axis=0), 1))

    def _load_w(self, observation: Observation, dispatch: Dispatch, expected: Floats) -> Floats:
        """ASIC load (hour, site of `sites`) that should earn more than its energy costs [W].

        Only the part fed by the grid, under present conditions.
        """
        plain = np.stack([observation.price_usd_per_mwh] * 2)
        uses, limits = Uses(observation, dispatch, plain), observation.limits
        load_w = np.zeros(expected.shape)
        for k, s in enumerate(self._sites.tolist()):
            asics = np.flatnonzero(uses.site[: uses.asic_w.size] == s)
            runs = uses.usd_per_mwh[asics] > expected[:, k, None]
            load_w[:, k] = runs @ uses.watts[asics]
            path = limits.path[s]
            room_w = limits.room_w[path[path >= 0]].min(initial=np.inf)
            drawn_w = load_w[:, k] - limits.local_w[s]  # load on own supply does not pass the meter
            load_w[:, k] = np.clip(drawn_w, 0.0, room_w)
        return load_w

    def _batteries(
        self, observation: Observation, expected: Floats, p: int
    ) -> tuple[Floats, Floats]:
        """Battery power for programme `p` (site of `sites`,) [W], and earnings of a daily cycle.

        The earnings are in USD per MW and hour.
        """
        energy = observation.energy
        given_w, cycle = np.zeros((2, len(self._sites)))
        prices = np.sort(expected, axis=0)
        for at, most_w, energy_j, one_way, wear in zip(
            energy.battery_site, energy.battery_power_w, energy.battery_energy_j,
            energy.battery_one_way, energy.battery_wear_usd_per_j, strict=True,
        ):  # fmt: skip
            k = int(np.searchsorted(self._sites, at))
            if k == len(self._sites) or self._sites[k] != at:
                continue
            seconds = max(float(energy.reserve_duration_h[p]) * SECONDS_PER_HOUR, 1e-9)
            given_w[k] += min(most_w, energy_j * one_way / seconds) / (1.0 - energy.loss[at])
            hours = min(max(round(energy_j / most_w / SECONDS_PER_HOUR), 1), len(prices))
            cheap, dear = prices[:hours, k].mean(), prices[-hours:, k].mean()
            gain = dear * one_way - cheap / one_way - wear * J_PER_MWH
            cycle[k] = max(cycle[k], gain * hours / len(prices), 0.0)
        return given_w, cycle


def _of_asics(observation: Observation, dispatch: Dispatch) -> tuple[Floats, Floats]:
    """Earnings of all ASICs of each site at full power (site,) [USD/s], and their draw [W]."""
    asic, count = observation.asic, len(observation.price_usd_per_mwh)
    ths = dispatch.hulls.ths.sum(axis=1) * asic.available * asic.heat
    power_w = dispatch.hulls.w.sum(axis=1) * asic.available * asic.heat * asic.meter_factor
    return (
        np.bincount(asic.site, ths * observation.usd_per_th, count).astype(np.float64),
        np.bincount(asic.site, power_w, count).astype(np.float64),
    )


def _mean(values: Floats) -> Floats:
    """Mean of the known values of each column, 0 where there are none."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(known.sum(axis=0), 1))
