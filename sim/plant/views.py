"""What a policy may see of a plant: copies of the arrays that change, or views of them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import GRANTED, Limits
from sim.kernels.fleet import Fleet
from sim.plant.demand_response import DemandResponse
from sim.plant.inventory import Inventory
from sim.plant.ramps import Ramps
from sim.policy import CONTRACTED, NO_SERVING, AsicView, EnergyView, GpuView, Market, Observation
from sim.serving_fleet import ServingFleet
from sim.types import Floats
from sim.units import J_PER_MWH


class _Look(NamedTuple):
    """The arrays that change in place, as copies or as views."""

    price: Floats  # (site,)
    ambient_c: Floats  # (site,)
    asic: AsicView
    gpu: GpuView
    limits: Limits  # on-site supply is left out
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
    """Builds the observations of a plant from its arrays."""

    def __init__(
        self,
        fleet: Fleet,
        demand_response: DemandResponse,
        serving_fleet: ServingFleet | None,
        ramps: Ramps,
        inventory: Inventory,
    ) -> None:
        self.fleet, self.demand_response, self.serving_fleet = fleet, demand_response, serving_fleet
        self.ramps, self.inventory = ramps, inventory
        sites, assets = fleet.sites, fleet.assets
        endless = np.full(len(sites.loss), np.inf)
        self._any_w = _view(np.stack([-endless, endless]))
        self._no_supply_w = _view(np.zeros(len(sites.loss)))
        self._battery = _view(np.stack(
            [assets.power_w, assets.energy_j, assets.one_way, assets.wear_usd_per_j], axis=1
        ))  # fmt: skip
        self._fuel_usd_per_mwh = _view(assets.fuel_usd_per_j * J_PER_MWH)
        self._contracted = _view(CONTRACTED[fleet.nodes.way])
        self._export_w, self._loss = _view(sites.export_w), _view(sites.loss)
        self._overhead_w = _view(sites.overhead_w / (1.0 - sites.loss))
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
        """Replace the views of node power and prices after these have changed.

        Code that caches results derived from them (`Dispatch`) recognises the change by the new
        arrays. An observation kept from before still shows the old values.
        """
        nodes = self.fleet.nodes
        of_nodes = nodes.node_w, nodes.worth_usd_per_h, nodes.credit_usd_per_h
        self._let = tuple(_view(array.copy()) for array in of_nodes)
        self._live = self._look(_view)

    def observe(self, t_s: int, step_s: int, market: Market, live: bool) -> Observation:
        """Build what a policy may see. Arrays that change are copied, since a policy may keep them.

        `live`: read-only views instead, which change with the plant.
        """
        look = self._live if live else self._look(np.ndarray.copy)
        limits, sites = look.limits, self.fleet.sites
        if len(self.fleet.assets.generator_site):
            limits = limits._replace(local_w=self._own_w())
        ramp_w = self._any_w
        if self.ramps.active:
            ramp_w = np.stack(self.ramps.band(t_s))
            fixed_w = sites.overhead_w * self.fleet.supply.powered / (1.0 - sites.loss)
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
        """Power on offer from generators whose fuel is cheaper than the grid (generator,) [W].

        Where the grid pays for consumption, even free power is dearer. Where the grid is cut off,
        there is no alternative.
        """
        fleet = self.fleet
        path, room_w = fleet.limits.path, fleet.limits.room_w
        cut_off = ((path >= 0) & (room_w[path] <= 0.0)).any(axis=1)
        usd_per_mwh = fleet.site.price
        price = np.where(cut_off, np.maximum(usd_per_mwh, 0.0), usd_per_mwh) / J_PER_MWH
        cheap = fleet.assets.fuel_usd_per_j <= price[fleet.assets.generator_site]
        return np.asarray(fleet.asset.available_w * cheap, dtype=np.float64)

    def for_export_w(self) -> Floats:
        """The part of `cheap_w` that also costs less than the zone pays for it (generator,) [W]."""
        fleet = self.fleet
        paid = fleet.prices.zone_usd_per_mwh * (1.0 - fleet.sites.loss)
        paid = paid[fleet.assets.generator_site] / J_PER_MWH
        return np.where(fleet.assets.fuel_usd_per_j <= paid, self.cheap_w(), 0.0)

    def _own_w(self) -> Floats:
        """On-site supply unless the policy decides otherwise (site,), in W at the meter."""
        at, loss = self.fleet.assets.generator_site, self.fleet.sites.loss
        own_w = np.bincount(at, self.cheap_w(), len(loss))
        return np.asarray(own_w / (1.0 - loss), dtype=np.float64)

    def _energy(self, t_s: int, look: _Look, market: Market, ramp_w: Floats) -> EnergyView:
        demand_response, assets = self.demand_response, self.fleet.assets
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
            self._battery,
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
        """The arrays that change in place, each passed through `take`."""
        fleet = self.fleet
        asics, asic, nodes, node = fleet.asics, fleet.asic, fleet.nodes, fleet.node
        site, prices, limits = fleet.site, fleet.prices, fleet.limits
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
                self._contracted,
                take(node.shares[GRANTED]),
            ),
            Limits(limits.path, take(limits.room_w), self._no_supply_w, take(limits.cap_w)),
            take(prices.day_ahead_usd_per_mwh),
            take(prices.block_w),
            take(prices.block_usd_per_mwh),
            take(prices.carbon_kg_per_j),
            take(fleet.meters.month_peak_w),
            take(fleet.called_w),
            take(fleet.asset.stored_j),
            take(fleet.asset.available_w),
            take(prices.zone_usd_per_mwh),
        )


def _view(array: Floats) -> Floats:
    """A read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view
