"""Ramp limits on the meters of sites and of the fleet [MW/min], and the grant under them.

Protection (limits that shrink, outages, relays of calls), failures, and batteries that are full or
empty act at once and are not ramp-limited. What a decision changes is ramp-limited in both
directions, and so is any return. A rise at a site goes to the best uses first. A fall, and what the
fleet's ramp holds back, keeps the same share of the previous power of every use.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.arrays import GRANTED, READY, WISH
from sim.kernels.fleet import Fleet
from sim.kernels.grant import find_binding, settle_grant, value_wishes
from sim.kernels.power import allot
from sim.plant.meshed import Meshed
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_MINUTE, W_PER_MW

RAMP: Final = -3  # value of `site.binding`: a ramp held the meter
SAME_W: Final = 1e-3


class Controls(NamedTuple):
    """Controls in force. Shapes as in the states."""

    asic: Floats
    node: Floats
    battery_w: Floats
    generator_w: Floats


class Ramps:
    """Bands within which meters may move until the next grant. Shape: `site`.

    The meter is taken as the granted power; nodes that serve tokens draw less, depending on their
    work.
    """

    def __init__(self, scenario: Scenario, fleet: Fleet, meshed: Meshed | None) -> None:
        given = [s.ramp_mw_per_min for s in scenario.sites]
        of_fleet = scenario.grid.fleet_ramp_mw_per_min
        per_s = W_PER_MW / SECONDS_PER_MINUTE
        self.w_per_s = np.array([np.inf if r is None else r * per_s for r in given])
        self.fleet_w_per_s = np.inf if of_fleet is None else of_fleet * per_s
        self.active = bool(np.isfinite([*self.w_per_s, self.fleet_w_per_s]).any())
        self.fleet, self.meshed = fleet, meshed
        self._from_s = self._last_s = -1  # of the reference grant, of the latest grant
        self._from_w: Floats = np.zeros(len(given))

    def band(self, t_s: float) -> tuple[Floats, Floats]:
        """Lowest and highest net power that a grant may now bring each meter to (site,) [W]."""
        if t_s > self._last_s:
            from_s, from_w = self._last_s, self.fleet.site.granted_w
        else:
            from_s, from_w = self._from_s, self._from_w
        if from_s < 0:  # before the first grant there is no reference
            none = np.full(len(self.w_per_s), np.inf)
            return -none, none
        most_w = np.minimum(self.w_per_s, self.fleet_w_per_s) * (t_s - from_s)
        return from_w - most_w, from_w + most_w

    def grant(self, t_s: float, step_s: float, usd_per_th: float) -> None:
        """Grant a wish as without ramps, then hold the meters within their bands."""
        fleet = self.fleet
        site, limits = fleet.site, fleet.limits
        low_w, high_w = self.band(t_s)
        if t_s > self._last_s:
            self._from_s, self._from_w = self._last_s, site.granted_w.copy()
            self._last_s = round(t_s)
        before = self._in_force(step_s)
        value_wishes(fleet, t_s, step_s, usd_per_th)
        wish_w, cap_w = site.wish_w.copy(), limits.cap_w.copy()
        fixed_w = fleet.sites.overhead_w * fleet.supply.powered / (1.0 - fleet.sites.loss)
        limits.cap_w[:] = np.minimum(cap_w, np.maximum(high_w - fixed_w, 0.0))
        self._share_out()
        now = self._granted()
        kept = self._kept(t_s, before, now, low_w, high_w)
        if kept.any():
            self._blend(before, now, kept)
            value_wishes(fleet, t_s, step_s, usd_per_th)
            self._share_out()
        held = (kept > 0.0) | (self._net_w(now) >= high_w - SAME_W)
        by_call = np.isfinite(cap_w)
        site.binding[:] = np.where(
            held & (site.binding < 0) & ~by_call,
            RAMP,
            np.where((site.binding == -2) & ~by_call, -1, site.binding),
        )
        settle_grant(fleet, t_s, step_s, usd_per_th)
        limits.cap_w[:] = cap_w
        site.wish_w[:] = wish_w

    def _share_out(self) -> None:
        fleet = self.fleet
        if self.meshed is not None:
            self.meshed.share_out(fleet)
            return
        items, room_w = fleet.items, fleet.limits.room_w.copy()
        allot(items.value, items.wish_w, items.site, fleet.limits, room_w, items.granted_w)
        find_binding(fleet.site, fleet.limits, room_w)

    def _in_force(self, step_s: float) -> Controls:
        """Controls in force, as far as stored energy and fuel sustain them for a step."""
        asset, assets = self.fleet.asset, self.fleet.assets
        most_w = (assets.energy_j - asset.stored_j) / (assets.one_way * step_s)
        least_w = -asset.stored_j * assets.one_way / step_s
        return Controls(
            self.fleet.asic.shares[GRANTED].copy(),
            self.fleet.node.shares[GRANTED].copy(),
            np.clip(asset.battery_w, least_w, most_w),
            np.minimum(asset.generator_w, asset.available_w),
        )

    def _granted(self) -> Controls:
        """What `_share_out` granted, with on-site supply cut to what can be used."""
        fleet, items, asset = self.fleet, self.fleet.items, self.fleet.asset
        part = np.divide(
            items.granted_w, items.wish_w, out=np.ones_like(items.wish_w), where=items.wish_w > 0
        )
        groups, batteries = len(fleet.asics.site), len(asset.battery_w)
        machines = part[: len(part) - batteries]
        battery_w = asset.battery_w
        battery_w = np.where(battery_w > 0.0, battery_w * part[len(machines) :], battery_w)
        made = Controls(
            fleet.asic.shares[READY] * machines[:groups, None],
            fleet.node.shares[READY] * machines[groups:],
            battery_w,
            asset.generator_w.copy(),
        )
        may_w = np.minimum(asset.export_wish_w, made.generator_w)
        made = self._less(made, made.generator_w - may_w, -self._net_w(made))
        return self._less(made, made.generator_w, -fleet.sites.export_w - self._net_w(made))

    def _less(self, made: Controls, most_w: Floats, surplus_w: Floats) -> Controls:
        """Reduce generators by up to `most_w` (generator,) for a surplus at the meters (site,)."""
        at, loss = self.fleet.assets.generator_site, self.fleet.sites.loss
        surplus_w = np.maximum(surplus_w, 0.0) * (1.0 - loss)
        there_w = np.zeros(len(loss))
        np.add.at(there_w, at, most_w)
        share = np.minimum(surplus_w / np.maximum(there_w, 1e-300), 1.0)
        return made._replace(generator_w=made.generator_w - most_w * share[at])

    def _net_w(self, made: Controls) -> Floats:
        """Net power at the meters (site,) under these controls, exports included [W]."""
        fleet = self.fleet
        asics, asic, nodes, node = fleet.asics, fleet.asic, fleet.nodes, fleet.node
        at_site_w = fleet.sites.overhead_w * fleet.supply.powered
        np.add.at(at_site_w, fleet.assets.battery_site, made.battery_w)
        np.subtract.at(at_site_w, fleet.assets.generator_site, made.generator_w)
        asic_w = (made.asic * asics.mode_w).sum(axis=1) * asic.running * asic.heat * asic.factor
        node_w = made.node * node.running * nodes.node_w * node.factor
        net_w = at_site_w / (1.0 - fleet.sites.loss)
        np.add.at(net_w, asics.site, asic_w)
        np.add.at(net_w, nodes.site, node_w)
        return np.asarray(net_w, dtype=np.float64)

    def _kept(
        self, t_s: float, before: Controls, now: Controls, low_w: Floats, high_w: Floats
    ) -> Floats:
        """Share of the previous controls (site,) that must stay to keep meters in their bands."""
        net_w, was_w = self._net_w(now), self._net_w(before)
        kept = _towards(net_w, was_w, np.clip(net_w, low_w, high_w))
        if np.isfinite(self.fleet_w_per_s) and self._from_s >= 0:
            net_w = net_w + kept * (was_w - net_w)
            most_w = self.fleet_w_per_s * (t_s - self._from_s)
            sum_w, goal_w = net_w.sum(), self._from_w.sum()
            goal = np.clip(sum_w, goal_w - most_w, goal_w + most_w)
            fleet = _towards(sum_w[None], was_w.sum()[None], goal[None])[0]
            kept = 1.0 - (1.0 - kept) * (1.0 - fleet)
        return kept

    def _blend(self, before: Controls, now: Controls, kept: Floats) -> None:
        """Set wishes between `now` and `before`, with the weight `kept` (site,) on `before`."""
        fleet, asset = self.fleet, self.fleet.asset
        part = kept[fleet.asics.site][:, None]
        fleet.asic.shares[WISH] = (1.0 - part) * now.asic + part * before.asic
        part = kept[fleet.nodes.site]
        fleet.node.shares[WISH] = (1.0 - part) * now.node + part * before.node
        part = kept[fleet.assets.battery_site]
        asset.battery_wish_w[:] = (1.0 - part) * now.battery_w + part * before.battery_w
        part = kept[fleet.assets.generator_site]
        generator_w = (1.0 - part) * now.generator_w + part * before.generator_w
        asset.generator_wish_w[:] = asset.export_wish_w[:] = generator_w


def _towards(now: Floats, was: Floats, goal: Floats) -> Floats:
    """Share of the way from `now` to `was` that comes nearest to `goal`, which lies between."""
    way = was - now
    far = np.abs(way) > SAME_W
    share = np.divide(goal - now, way, out=np.zeros_like(now), where=far)
    return np.asarray(np.where(goal != now, np.clip(share, 0.0, 1.0), 0.0))
