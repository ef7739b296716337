"""Battery plans: one for each site with batteries, renewed when conditions change.

Where demand charges couple the hours, the plan is a linear programme (`storage`); otherwise it is
an exact recursion over the stored energy (`kernels.storage`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import Limits
from sim.kernels.storage import Expected, Store, battery_now
from sim.policies.dispatch import blocks
from sim.policies.forecast import PriceForecast
from sim.policies.storage import Site, StoragePlan
from sim.policies.uses import Uses
from sim.policy import EnergyView, Observation
from sim.types import Bools, Floats
from sim.units import J_PER_MWH, SECONDS_PER_HOUR, W_PER_MW


class _Ahead(NamedTuple):
    """Forecast for the periods of a plan. Shapes: `period`, `site` of `sites`, `charge`."""

    price: Floats  # (period, site) at the meters [USD/MWh]
    sold: Floats  # (period, site) price of exported energy [USD/MWh]
    counts: Bools  # (period, charge) whether any part of the period is measured
    period_h: float  # length of the first period; the others last an hour


class Batteries:
    """Battery plans by site. The batteries of one site are planned as one and share its power.

    `zones` forecasts the export price for as many hours as plans look ahead. A plan holds for the
    hour, unless price, headroom or a call changes within it. With `shave` it also keeps the month's
    peak below the peak of the load alone, assuming that the rest of the month resembles the hours
    ahead; if it does not, the cost of shaving is lost.
    """

    def __init__(
        self, zones: PriceForecast, observation: Observation, uses: Uses, shave: bool
    ) -> None:
        self.shave, self.zones, hours = shave, zones, zones.hours
        energy = observation.energy
        self.hours, self.battery = hours, energy.battery
        self.sites, self.group = np.unique(energy.battery_site, return_inverse=True)
        power_w = np.bincount(self.group, energy.battery_power_w)
        self.part = energy.battery_power_w / power_w[self.group]
        merged: Floats = np.stack(
            [
                power_w,
                np.bincount(self.group, energy.battery_energy_j),
                np.bincount(self.group, energy.battery_one_way * self.part),
                np.bincount(self.group, energy.battery_wear_usd_per_j * self.part),
            ],
            axis=1,
        )
        self.items = [np.flatnonzero(uses.site == s) for s in self.sites]
        self.at_meter = 1.0 / (1.0 - energy.loss[self.sites])
        self.charges = [np.flatnonzero(energy.demand.site == s) for s in self.sites]
        self._merged = merged.tolist()
        self._made = [
            (hours, merged[k], float(energy.loss[s]), len(self.items[k]), len(self.charges[k]))
            for k, s in enumerate(self.sites)
        ]
        self.plans = [StoragePlan(*made) for made in self._made]
        self.power_mw = np.zeros(len(self.sites))  # battery power under the plans in force
        self._made_for: Sequence[tuple[float, ...]] = [(-1.0,)] * len(self.sites)
        self._due: list[int] = []
        self._now_w: Floats = np.zeros(len(self.sites))  # headroom at present
        self._links = [[link for link in path if link >= 0]
                       for path in observation.limits.path[self.sites].tolist()]  # fmt: skip
        self._power_w = merged[:, 0]

    def due(self, observation: Observation, limits: Limits) -> bool:
        """Whether any site needs a new plan; `plan` then makes all that are due."""
        hour = float(observation.t_s // SECONDS_PER_HOUR)
        price = observation.price_usd_per_mwh[self.sites].tolist()
        room_w = self._room_w(limits)
        self._now_w = np.array(room_w)
        now = [(hour, *seen) for seen in zip(price, room_w, strict=True)]
        self._due = [k for k, seen in enumerate(now) if seen != self._made_for[k]]
        self._made_for = now
        return bool(self._due)

    def plan(
        self,
        observation: Observation,
        uses: Uses,
        expected: Floats,
        limits: Limits,
        accepts: Bools | None = None,
    ) -> None:
        """Make new plans where they are due.

        `expected` (hour, site of `sites`) are forecast prices at the meters. Export prices are
        forecast here, because a meter's price need not follow its zone's. `accepts` (item, charge)
        says which uses run whatever peak they cause; default: all that earn more than their energy
        costs.
        """
        ahead = self._ahead(observation, expected)
        for k in self._due:
            if not len(self.charges[k]):
                self.power_mw[k] = self._alone(k, observation, uses, ahead, limits)
                continue
            site = self._site(k, observation, uses, ahead, limits, accepts)
            if site.hold_mw.any() and not self.plans[k].short.size:
                self.plans[k] = StoragePlan(*self._made[k], sells=True)
            self.power_mw[k] = self.plans[k].solve(site)

    def _ahead(self, observation: Observation, expected: Floats) -> _Ahead:
        """Forecast for the periods of a plan: the rest of this hour, then whole hours."""
        hour_s = observation.t_s % SECONDS_PER_HOUR
        first_s = max(SECONDS_PER_HOUR - hour_s, observation.step_s)
        ahead = (hour_s + first_s) // SECONDS_PER_HOUR - 1 + np.arange(self.hours)
        ahead[0] = 0
        price = expected[np.minimum(ahead, len(expected) - 1)]
        sold = self._sold(observation, expected)[np.minimum(ahead, len(expected) - 1)]
        measured = observation.energy.demand.measured
        counts = measured[np.minimum(ahead, len(measured) - 1)]
        counts[0] = measured[: (hour_s + first_s) // SECONDS_PER_HOUR].any(axis=0)
        return _Ahead(price, sold, counts, first_s / SECONDS_PER_HOUR)

    def beside(
        self, observation: Observation, limits: Limits
    ) -> tuple[Floats, Limits, tuple[Floats, Floats] | None]:
        """Power of the batteries (battery,) [W], and what remains for machines (call `due` first).

        Charging uses headroom that machines then lack. Discharge is supply behind the site's meter:
        a block as in `dispatch.blocks`, priced at what exporting it would earn.
        """
        energy, at = observation.energy, self.sites
        power_mw, called_w = self.power_mw, energy.called_w[0, at]
        if called_w.min() < 0.0:  # a call exceeds the power of all machines
            asked_mw = np.where(called_w < 0.0, called_w, np.inf) / self.at_meter / W_PER_MW
            power_mw = np.minimum(power_mw, np.maximum(asked_mw, -self._power_w / W_PER_MW))
        if not power_mw.any():
            return np.zeros(len(self.group)), limits, None
        meter_w = power_mw * self.at_meter * W_PER_MW
        cap_w, local_w = limits.cap_w.copy(), limits.local_w.copy()
        charging = meter_w > 0.0
        left_w = np.maximum(self._now_w - np.maximum(meter_w, 0.0), 0.0)
        cap_w[at[charging]] = left_w[charging]
        fed_w = np.maximum(-meter_w, 0.0)
        local_w[at] += fed_w
        earns = np.where(energy.export_w[at] > 0.0, energy.export_usd_per_mwh[at], 0.0)
        block_w, block_usd = blocks(observation)
        total_w, usd = np.array(block_w), np.multiply(block_w, block_usd)
        total_w[at] += fed_w
        usd[at] += fed_w * np.maximum(earns, 0.0)
        battery_w = power_mw[self.group] * self.part * W_PER_MW
        power = limits._replace(cap_w=cap_w, local_w=local_w)
        return battery_w, power, (total_w, usd / np.maximum(total_w, 1e-300))

    def _sold(self, observation: Observation, expected: Floats) -> Floats:
        """Forecast export price, that of the zone (hour, site of `sites`) [USD/MWh].

        Not computed where export is not allowed.
        """
        energy = observation.energy
        now = energy.export_usd_per_mwh[self.sites]
        if not energy.export_w[self.sites].any():
            return np.broadcast_to(now, expected.shape)
        zones = observation._replace(price_usd_per_mwh=energy.export_usd_per_mwh)
        sold = self.zones.expect(zones, self.sites).copy()
        sold[0] = now
        return sold

    def _alone(
        self,
        k: int,
        observation: Observation,
        uses: Uses,
        ahead: _Ahead,
        limits: Limits,
    ) -> float:
        """Power now [MW] of a site without demand charges: exact, without a solver."""
        energy, s, items = observation.energy, int(self.sites[k]), self.items[k]
        power_w, energy_j, one_way, wear = self._merged[k]
        price = ahead.price[:, k]
        own_mw, own_usd = _own_supply(observation, s, price, float(limits.local_w[s]))
        hold_mw, hold_h, hold_usd = _holds(energy, s, self.hours)
        store = Store(
            power_mw=power_w / W_PER_MW,
            energy_mwh=energy_j / J_PER_MWH,
            one_way=one_way,
            wear_usd_per_mwh=wear * J_PER_MWH,
            at_meter=float(self.at_meter[k]),
            stored_mwh=float(energy.stored_j[self.group == k].sum()) / J_PER_MWH,
            first_h=ahead.period_h,
            room_now_mw=float(self._now_w[k]) / W_PER_MW,
            room_mw=float(limits.room_w[self._links[k]].min(initial=np.inf)) / W_PER_MW,
            overhead_mw=float(energy.overhead_w[s]) / W_PER_MW,
            export_mw=float(energy.export_w[s]) / W_PER_MW,
            block_mw=float(energy.block_w[s]) / W_PER_MW,
            block_usd_per_mwh=float(energy.block_usd_per_mwh[s]),
            own_usd_per_mwh=own_usd,
            hold_h=hold_h,
        )
        item_mw, item_usd = uses.watts[items] / W_PER_MW, uses.usd_per_mwh[items]
        expected = Expected(
            price.copy(), ahead.sold[:, k].copy(), own_mw, hold_mw, hold_usd, item_mw, item_usd
        )
        return float(battery_now(store, expected))

    def _site(
        self,
        k: int,
        observation: Observation,
        uses: Uses,
        ahead: _Ahead,
        limits: Limits,
        accepts: Bools | None,
    ) -> Site:
        price, sold, counts = ahead.price[:, k], ahead.sold[:, k], ahead.counts
        energy, s, items = observation.energy, self.sites[k], self.items[k]
        item_mw, item_usd = uses.watts[items] / W_PER_MW, uses.usd_per_mwh[items]
        later_w = limits.room_w[self._links[k]].min(initial=np.inf)
        room_mw = np.full(self.hours, later_w / W_PER_MW)
        room_mw[0] = self._now_w[k] / W_PER_MW
        demand, at = energy.demand, self.charges[k]
        counts = counts[:, at]  # of this month; a later one is taken to count alike
        runs = kept = item_usd > price[:, None]
        if accepts is not None:
            kept = runs & ~(counts @ ~accepts[np.ix_(items, at)].T)
        earning_mw = _best_first(item_usd, np.where(runs, item_mw, 0.0), room_mw)
        measured = counts.any(axis=1, keepdims=True)
        least_mw = _best_first(item_usd, np.where(kept & measured, item_mw, 0.0), room_mw)
        own_mw, own_usd = _own_supply(observation, int(s), price, float(limits.local_w[s]))
        beside_mw = energy.overhead_w[s] / W_PER_MW - own_mw
        load_mw = least_mw.sum(axis=1) + beside_mw
        share = self.hours * SECONDS_PER_HOUR / np.maximum(demand.left_s[at], 1.0)
        shaved = demand.usd_per_mw[at] * np.minimum(share, 1.0) * self.shave
        hold_mw, hold_h, hold_usd = _holds(energy, int(s), self.hours)
        block_w, block_usd = float(energy.block_w[s]), float(energy.block_usd_per_mwh[s])
        if block_w > 0.0:
            sold = np.minimum(sold, block_usd)  # discharge would have replaced the block
            inside = earning_mw.sum(axis=1) + beside_mw < block_w / W_PER_MW
            price = np.where(inside, np.maximum(price, block_usd), price)
        return Site(
            period_h=ahead.period_h,
            price=price,
            export_price=sold,
            item_mw=item_mw,
            item_least_mw=least_mw,
            item_usd_per_mwh=item_usd,
            room_mw=room_mw + energy.overhead_w[s] / W_PER_MW,
            export_mw=float(energy.export_w[s]) / W_PER_MW,
            overhead_mw=float(energy.overhead_w[s]) / W_PER_MW,
            own_mw=own_mw,
            own_usd_per_mwh=own_usd,
            block_mw=block_w / W_PER_MW,
            block_saves_usd_per_mwh=np.maximum(price - block_usd, 0.0) * (block_w > 0.0),
            stored_mwh=float(energy.stored_j[self.group == k].sum()) / J_PER_MWH,
            charge_usd_per_mw=demand.usd_per_mw[at],
            charge_peak_mw=demand.peak_w[at] / W_PER_MW,
            charge_load_mw=np.where(counts, load_mw[:, None], 0.0).max(axis=0, initial=0.0),
            charge_shaved_usd_per_mw=np.where(demand.later[at], 0.0, shaved),
            charge_counts=counts,
            hold_mw=np.maximum(hold_mw - earning_mw.sum(axis=1), 0.0),
            hold_h=hold_h,
            hold_usd_per_mw_h=hold_usd,
        )

    def _room_w(self, limits: Limits) -> list[float]:
        """Most that machines and batteries of a site may draw together (site of `sites`,) [W]."""
        room_w, cap_w = limits.room_w, limits.cap_w
        return [
            max(min([cap_w.item(s), *(room_w.item(link) for link in links)]), 0.0)
            for s, links in zip(self.sites.tolist(), self._links, strict=True)
        ]


def _best_first(usd_per_mwh: Floats, mw: Floats, room_mw: Floats) -> Floats:
    """Part of `mw` (period, item) that fits into `room_mw` (period,), best uses first [MW]."""
    order = np.argsort(-usd_per_mwh, kind="stable")
    ranked = mw[:, order]
    fit = np.minimum(ranked, np.maximum(room_mw[:, None] - ranked.cumsum(axis=1) + ranked, 0.0))
    least = np.empty_like(mw)
    least[:, order] = fit
    return least


def _own_supply(
    observation: Observation, site: int, price: Floats, now_w: float
) -> tuple[Floats, float]:
    """Generation of a site that is cheaper than the grid (period,) [MW], and its cost [USD/MWh].

    Availability is taken to stay as it is now; the cost is the mean of the generators that run.
    """
    energy = observation.energy
    fuel = energy.generator_usd_per_mwh
    there_w = energy.available_w * (energy.generator_site == site) / (1.0 - energy.loss[site])
    own_w = (fuel <= price[:, None]) @ there_w
    own_w[0] = now_w
    ran_w = there_w * (fuel <= price.max(initial=0.0))
    return own_w / W_PER_MW, float((ran_w * fuel).sum() / max(float(ran_w.sum()), 1e-300))


def _holds(energy: EnergyView, site: int, hours: int) -> tuple[Floats, float, Floats]:
    """Awards of a site by period [MW], how long each must last [h], and the cost of a shortfall."""
    hold_mw, hold_usd = np.zeros(hours), np.zeros(hours)
    if not (energy.hold_w[:, site].any() or energy.sold_next_w[:, :, site].any()):
        return hold_mw, 0.0, hold_usd
    sold_w = np.concatenate([energy.hold_w[None, :, site], energy.sold_next_w[:, :, site]])[:hours]
    usd = np.concatenate(
        [energy.shortfall_usd_per_mw_h[None, :, site], energy.sold_next_usd_per_mw_h]
    )[:hours]
    total_w = sold_w.sum(axis=1)
    hold_mw[: len(total_w)] = total_w / W_PER_MW
    hold_usd[: len(total_w)] = (sold_w * usd).sum(axis=1) / np.maximum(total_w, 1e-300)
    lasting = energy.reserve_duration_h[(sold_w > 0.0).any(axis=0)]
    return hold_mw, float(lasting.max(initial=0.0)), hold_usd


def stands_by_w(observation: Observation, battery_w: Floats) -> Floats | None:
    """Further battery power (site,), beyond `battery_w`, for as long as sold reserves require [W].

    At the meter; None where their sites hold no award.
    """
    energy = observation.energy
    held_w = energy.hold_w[:, energy.battery_site]
    if not held_w.any():
        return None
    given_w = np.zeros(len(energy.loss))
    durations_h, sites = energy.reserve_duration_h.tolist(), energy.battery_site.tolist()
    for s, of_products, most_w, one_way, stored_j, power_w in zip(
        sites, held_w.T.tolist(), energy.battery_power_w.tolist(), energy.battery_one_way.tolist(),
        energy.stored_j.tolist(), battery_w.tolist(), strict=True,
    ):  # fmt: skip
        lasting_h = max((h for h, w in zip(durations_h, of_products, strict=True) if w > 0.0),
                        default=0.0)  # fmt: skip
        if not lasting_h:
            continue
        drawn_w = min(power_w, 0.0)
        left_j = max(stored_j + drawn_w * observation.step_s / one_way, 0.0)
        lasting_s = lasting_h * SECONDS_PER_HOUR
        given_w[s] += max(min(most_w + drawn_w, left_j * one_way / lasting_s), 0.0)
    return given_w / (1.0 - energy.loss)


def idle_w(observation: Observation) -> Floats | None:
    """Reserve power that idle batteries can hold (site,) [W], as `stands_by_w`."""
    return stands_by_w(observation, np.zeros(len(observation.energy.stored_j)))
