"""What a policy may see of a plant: copies of what changes, or views of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import (
    AVAILABLE,
    BLOCK_PRICE,
    BLOCK_W,
    CARBON_KG_PER_J,
    DAY_AHEAD_PRICE,
    GRANTED,
    MONTH_PEAK_W,
    POWERED,
    ZONE_PRICE,
    AsicGroups,
    AsicState,
    Assets,
    AssetState,
    Limits,
    NodeGroups,
    NodeState,
    Sites,
    SiteState,
)
from sim.plant.demand_response import DemandResponse
from sim.plant.inventory import Inventory
from sim.plant.ramps import Ramps
from sim.policy import NO_SERVING, AsicView, EnergyView, GpuView, Market, Observation
from sim.serving_fleet import ServingFleet
from sim.types import Floats
from sim.units import J_PER_MWH


class _Look(NamedTuple):
    """What changes in place, copied or as views."""

    price: Floats  # (site,)
    ambient_c: Floats  # (site,)
    asic: AsicView
    gpu: GpuView
    limits: Limits  # without own supply
    day_ahead: Floats  # (site,)
    block_w: Floats  # (site,)
    block_price: Floats  # (site,)
    carbon_kg_per_j: Floats  # (site,)
    month_peak_w: Floats  # (site,)
    called_w: Floats  # (2, site)
    stored_j: Floats  # (battery,)
    available_w: Floats  # (generator,)
    zone_price: Floats  # (site,)


class Views:
    """Makes the observations of a plant out of its arrays."""

    def __init__(
        self,
        machines: tuple[AsicGroups, AsicState, NodeGroups, NodeState],
        sites: tuple[Sites, SiteState],
        assets: tuple[Assets, AssetState],
        limits: Limits,
        demand_response: DemandResponse,
        serving_fleet: ServingFleet | None,
        ramps: Ramps,
        inventory: Inventory,
    ) -> None:
        self.asics, self.asic, self.nodes, self.node = machines
        self.sites, self.site = sites
        self.assets, self.asset = assets
        self.limits, self.demand_response, self.serving_fleet, self.ramps = (
            limits,
            demand_response,
            serving_fleet,
            ramps,
        )
        self.inventory = inventory
        endless = np.full(len(self.sites.loss), np.inf)
        self._any_w = _view(np.stack([-endless, endless]))
        self._no_supply_w = _view(np.zeros(len(self.sites.loss)))
        self._fuel_usd_per_mwh = _view(self.assets.generator[:, 1] * J_PER_MWH)
        self._export_w, self._loss = _view(self.sites.export_w), _view(self.sites.loss)
        self._overhead_w = _view(self.sites.overhead_w / (1.0 - self.sites.loss))
        self._duration_h, self._sells = (
            _view(demand_response.duration_h),
            bool(demand_response.by_day.any()),
        )
        self._no_award = _view(np.zeros(demand_response.fixed.enrolled.shape))
        self._no_awards = (
            _view(np.zeros((0, *demand_response.fixed.enrolled.shape))),
            _view(np.zeros((0, len(demand_response.names)))),
        )
        self.relet()

    def relet(self) -> None:
        """Power and prices of nodes have changed: from now on policies see other arrays.

        Who keeps what follows from them (`Dispatch`) knows by that; an observation that was kept
        still says what held.
        """
        nodes = self.nodes
        of_nodes = nodes.node_w, nodes.worth_usd_per_h, nodes.credit_usd_per_h
        self._let = tuple(_view(array.copy()) for array in of_nodes)
        self._live = self._look(_view)

    def observe(self, t_s: int, step_s: int, market: Market, live: bool) -> Observation:
        """What a policy may see. What changes is copied, for a policy may keep it.

        `live`: views instead, which change with the plant and cannot be written to.
        """
        look = self._live if live else self._look(np.ndarray.copy)
        limits = look.limits
        if len(self.assets.generator_site):
            limits = limits._replace(local_w=self._own_w())
        ramp_w = self._any_w
        if self.ramps.active:
            ramp_w = np.stack(self.ramps.band(t_s))
            fixed_w = self.sites.overhead_w * self.site.terms[POWERED] / (1.0 - self.sites.loss)
            most_w = np.maximum(ramp_w[1] - fixed_w, 0.0)
            limits = limits._replace(cap_w=np.minimum(limits.cap_w, most_w))
        return Observation(
            t_s,
            step_s,
            look.price,
            look.ambient_c,
            market.usd_per_btc,
            market.difficulty,
            market.hashprice_usd_per_ph_day,
            look.asic,
            look.gpu,
            limits,
            self._energy(t_s, look, market, ramp_w),
            self.serving_fleet.view(step_s) if self.serving_fleet is not None else NO_SERVING,
        )

    def cheap_w(self) -> Floats:
        """What generators offer (generator,) whose fuel is cheaper than the grid [W].

        Where the grid pays for being drawn from, even free power is dearer; where it is cut off
        there is nothing else.
        """
        path, room_w = self.limits.path, self.limits.room_w
        cut_off = ((path >= 0) & (room_w[path] <= 0.0)).any(axis=1)
        price = np.where(cut_off, np.maximum(self.site.price, 0.0), self.site.price) / J_PER_MWH
        cheap = self.assets.generator[:, 1] <= price[self.assets.generator_site]
        return np.asarray(self.asset.generator_w[AVAILABLE] * cheap, dtype=np.float64)

    def for_export_w(self) -> Floats:
        """What of `cheap_w` (generator,) is also cheaper than what the zone pays for it [W]."""
        at = self.assets.generator_site
        paid = (self.site.terms[ZONE_PRICE] * (1.0 - self.sites.loss))[at] / J_PER_MWH
        return np.where(self.assets.generator[:, 1] <= paid, self.cheap_w(), 0.0)

    def _own_w(self) -> Floats:
        """Supply (site,) that is there unless the policy says otherwise, as W at the meter."""
        own_w = np.bincount(self.assets.generator_site, self.cheap_w(), len(self.sites.loss))
        return np.asarray(own_w / (1.0 - self.sites.loss), dtype=np.float64)

    def _energy(self, t_s: int, look: _Look, market: Market, ramp_w: Floats) -> EnergyView:
        demand_response, assets = self.demand_response, self.assets
        enrolled = demand_response.fixed.enrolled
        return EnergyView(
            look.day_ahead,
            look.block_w,
            look.block_price,
            look.carbon_kg_per_j * J_PER_MWH,
            market.peak_risk,
            market.peak_usd_per_mw,
            look.month_peak_w,
            demand_response.state.price[:, None] * enrolled if demand_response.names else enrolled,
            look.called_w,
            assets.battery_site,
            assets.battery,
            look.stored_j,
            assets.generator_site,
            look.available_w,
            self._fuel_usd_per_mwh,
            market.day_ahead_next_usd_per_mwh,
            market.demand,
            look.zone_price,
            self._export_w,
            self._overhead_w,
            self._loss,
            self.inventory.level,
            ramp_w,
            self._duration_h,
            demand_response.hold_w() if self._sells else self._no_award,
            demand_response.shortfall_usd_per_mw_h() if self._sells else self._no_award,
            *(demand_response.market.published(t_s) if self._sells else self._no_awards),
        )

    def _look(self, take: Callable[[Floats], Floats]) -> _Look:
        """What changes in place, each array as `take` gives it."""
        asics, asic, nodes, node, site = self.asics, self.asic, self.nodes, self.node, self.site
        limits, terms = self.limits, take(site.terms)
        node_w, worth_usd_per_h, credit_usd_per_h = self._let
        return _Look(
            take(site.price),
            take(site.ambient_c),
            AsicView(
                asics.site,
                take(asic.running),
                take(asic.heat),
                take(asic.factor),
                asics.mode_ths,
                asics.mode_w,
                asics.default_share,
                take(asic.shares[GRANTED]),
            ),
            GpuView(
                nodes.site,
                take(node.running),
                node_w,
                take(node.factor),
                worth_usd_per_h,
                credit_usd_per_h,
                nodes.contracted,
                take(node.shares[GRANTED]),
            ),
            Limits(limits.path, take(limits.room_w), self._no_supply_w, take(limits.cap_w)),
            terms[DAY_AHEAD_PRICE],
            terms[BLOCK_W],
            terms[BLOCK_PRICE],
            terms[CARBON_KG_PER_J],
            terms[MONTH_PEAK_W],
            take(self.demand_response.called_w),
            take(self.asset.stored_j),
            take(self.asset.generator_w[AVAILABLE]),
            terms[ZONE_PRICE],
        )


def _view(array: Floats) -> Floats:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view
