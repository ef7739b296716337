"""What energy costs and what stepping back earns: one settlement interval, all sites."""

from typing import NamedTuple

import numpy as np

from sim.kernels import flows
from sim.kernels.arrays import (
    CALLED,
    GRANTED,
    IDLE,
    NOTICED,
    AsicGroups,
    AsicState,
    Assets,
    AssetState,
    MeterState,
    PricesInForce,
    Programmes,
    ProgrammeState,
    Sites,
    SiteState,
    SupplyState,
)
from sim.kernels.fleet import Fleet
from sim.kernels.jit import kernel, pure_kernel
from sim.types import Floats

J_PER_MWH = 3.6e9


@kernel
def bill(fleet: Fleet, dt: float) -> None:
    """Settle the interval of `dt` [s] that ends now, at the prices that were in force.

    Of the meter's energy a physical block comes first, at its price; the rest is at the real-time
    price with delivery. What flows back earns the zone's price: nobody pays a seller for delivery.
    A position bought before is settled against the zone's price whatever was used. An emergency
    programme pays for what stood by. A reserve pays what was sold the day before; what of that was
    not held costs the real-time price, and never less than what it was sold at: ERCOT charges a
    failed quantity at the highest clearing price (Nodal Protocols 6.7.3). Calls are measured.
    `finance.months` keeps the peaks of the month.
    """
    site, meters = fleet.site, fleet.meters
    _bill_energy(site, fleet.prices, meters, dt)
    _bill_programmes(site, fleet.programmes, fleet.programme, dt)
    meters.step_j[:] = 0.0


@pure_kernel
def _bill_energy(site: SiteState, prices: PricesInForce, meters: MeterState, dt: float) -> None:
    flow = site.flow
    for s in range(site.price.shape[0]):
        meter_w = meters.step_j[s] / dt
        meters.last_w[s] = meter_w
        used_w = max(meter_w, 0.0)
        block_w = min(used_w, prices.block_w[s])
        usd_per_s = block_w * prices.block_usd_per_mwh[s] + (used_w - block_w) * site.price[s]
        back_j = max(-meter_w, 0.0) * dt
        back_usd = back_j * prices.zone_usd_per_mwh[s] / J_PER_MWH
        flow[flows.ENERGY_USD, s] += usd_per_s / J_PER_MWH * dt - back_usd
        flow[flows.EXPORT_J, s] += back_j
        flow[flows.EXPORT_USD, s] += back_usd
        meters.month_block_j[s] += block_w * dt
        meters.month_offer_j[s] += prices.block_w[s] * dt
        position_w = prices.position_w[s]
        if position_w > 0.0:
            zone = prices.zone_usd_per_mwh[s] / J_PER_MWH
            at_zone = position_w * zone
            flow[flows.CONTRACT_USD, s] += (prices.position_usd_per_s[s] - at_zone) * dt
            # What flows back is sold as such, not out of the position.
            left_w = max(position_w - used_w, 0.0)
            flow[flows.RESOLD_USD, s] += left_w * zone * dt
            flow[flows.RESOLD_J, s] += left_w * dt
            of_price = left_w / position_w
            flow[flows.RESOLD_COST_USD, s] += of_price * prices.position_usd_per_s[s] * dt


@pure_kernel
def _bill_programmes(
    site: SiteState, programmes: Programmes, programme: ProgrammeState, dt: float
) -> None:
    flow = site.flow
    for p in range(programmes.enrolled.shape[0]):
        for s in range(programmes.enrolled.shape[1]):
            if programmes.enrolled[p, s] == 0.0:
                continue
            usd = programme.stood_j[p, s] / J_PER_MWH * programme.price[p]
            sold_w = programme.sold_w[p, s]
            if programmes.by_day[p]:
                usd = programme.sold_usd_per_s[p, s] * dt
                flow[flows.AWARDED_J, s] += sold_w * dt
            flow[flows.PROGRAMME_USD, s] += usd
            if sold_w > 0.0 and programme.short_j[p, s] > 0.0:
                per_j = programme.sold_usd_per_s[p, s] / sold_w
                lost_usd = programme.short_j[p, s] * per_j
                real_usd = programme.short_j[p, s] / J_PER_MWH * programme.real_time[p]
                short_usd = max(real_usd, lost_usd)
                flow[flows.PENALTY_USD, s] += short_usd
                flow[flows.SHORTFALL_USD, s] += short_usd
                usd -= lost_usd
            programme.earned_usd[p, s] += usd
            flow[flows.RESERVED_J, s] += programme.stood_j[p, s]
            programme.stood_j[p, s] = 0.0
            programme.short_j[p, s] = 0.0


@pure_kernel
def measure(site: SiteState, programmes: Programmes, programme: ProgrammeState, dt: float) -> None:
    """What stood by, and what calls in force were owed and got, in the `dt` [s] before now.

    All of it at the power in force; what was sold and did not stand by is short.
    """
    for p in range(programmes.enrolled.shape[0]):
        for s in range(programmes.enrolled.shape[1]):
            held_w = programme.award_w[p, s]
            programme.stood_j[p, s] += held_w * dt
            programme.short_j[p, s] += max(programme.sold_w[p, s] - held_w, 0.0) * dt
        if programme.phase[p] != CALLED:
            continue
        for s in range(programmes.enrolled.shape[1]):
            owed_w = programme.owed_w[p, s]
            if owed_w > 0.0:
                less_w = programme.baseline_w[p, s] - site.granted_w[s]
                got_j = min(max(less_w, 0.0), owed_w) * dt
                programme.owed_j[p, s] += owed_w * dt
                programme.delivered_j[p, s] += got_j
                usd = got_j * programmes.usd_per_j[p]
                site.flow[flows.PROGRAMME_USD, s] += usd


@kernel
def call_caps(fleet: Fleet) -> None:
    """Caps on machines from the calls announced or in force; `called_w` (2, site) is for policies.

    Row 0: cap of calls in force, row 1: of calls to come, automatic or not; inf where there is
    none. Below 0 is what is owed beyond all machines: batteries must give it. A relay's cap
    (automatic) also becomes a limit: `limits.cap_w` now, `soon_w` to come; `relay_w` of batteries.
    """
    sites, supply, limits, called_w = fleet.sites, fleet.supply, fleet.limits, fleet.called_w
    programmes, programme = fleet.programmes, fleet.programme
    for s in range(limits.cap_w.shape[0]):
        limits.cap_w[s] = np.inf
        supply.soon_w[s] = np.inf
        supply.relay_w[s] = 0.0
        called_w[0, s] = np.inf
        called_w[1, s] = np.inf
        fixed_w = sites.overhead_w[s] * supply.powered[s] / (1.0 - sites.loss[s])
        for p in range(programmes.enrolled.shape[0]):
            if programme.phase[p] == IDLE or programme.owed_w[p, s] <= 0.0:
                continue
            cap_w = programme.baseline_w[p, s] - programme.owed_w[p, s] - fixed_w
            automatic = programmes.automatic[p]
            row = 0 if programme.phase[p] == CALLED else 1
            called_w[row, s] = min(called_w[row, s], cap_w)
            if automatic and row == 0:
                limits.cap_w[s] = min(limits.cap_w[s], cap_w)
                supply.relay_w[s] = max(supply.relay_w[s], -cap_w)
            elif automatic:
                supply.soon_w[s] = min(supply.soon_w[s], max(cap_w, 0.0))


@kernel
def stand_by(fleet: Fleet, step_s: float) -> None:
    """What stands by until the next grant, within `step_s`: no watt of it for two programmes.

    A site can let its machines and its charging go, and discharge a battery for as long as a
    programme asks (`duration_s`) out of what will be stored when the step ends; its meter falls no
    further than it may export. What is owed in calls comes first: what is let go counts as held,
    and what still could be; a store that has run dry holds nothing. Then the awards of reserves are
    held, in the order of the programmes, by load before batteries; emergency programmes take offers
    out of what is left. A standing offer is a contract: a policy can bid more, not less.
    """
    programmes = fleet.programmes.enrolled.shape[0]
    if programmes == 0:
        return
    count = fleet.site.price.shape[0]
    free = _Free(np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(count))
    asic_w = np.zeros(count)
    _add_asics(fleet.asics, fleet.asic, asic_w)
    _add_load(fleet.sites, fleet.site, fleet.supply, free)
    _add_batteries(fleet.sites, fleet.assets, fleet.asset, step_s, free)
    for p in range(programmes):
        _hold_called(fleet.site, fleet.programmes, fleet.programme, p, free)
    for by_day in (True, False):
        for p in range(programmes):
            if fleet.programmes.by_day[p] == by_day:
                _hold(fleet.programmes, fleet.programme, p, asic_w, free)


class _Free(NamedTuple):
    """What no programme has taken yet, at the meter of each site."""

    meter_w: Floats  # (site,) by which the meter can still fall
    load_w: Floats  # (site,) of that by load
    give_w: Floats  # (site,) by batteries
    give_j: Floats  # (site,)


@pure_kernel
def _add_asics(asics: AsicGroups, asic: AsicState, asic_w: Floats) -> None:
    for g in range(asics.site.shape[0]):
        scale_w = asic.running[g] * asic.heat[g] * asic.factor[g]
        for m in range(asics.mode_w.shape[1]):
            asic_w[asics.site[g]] += scale_w * asic.shares[GRANTED, g, m] * asics.mode_w[g, m]


@pure_kernel
def _add_load(sites: Sites, site: SiteState, supply: SupplyState, free: _Free) -> None:
    for s in range(site.price.shape[0]):
        fixed_w = sites.overhead_w[s] * supply.powered[s] / (1.0 - sites.loss[s])
        free.load_w[s] = max(min(site.load_w[s], site.granted_w[s]) - fixed_w, 0.0)
        free.meter_w[s] = max(site.granted_w[s] + sites.export_w[s], 0.0)


@pure_kernel
def _add_batteries(
    sites: Sites, assets: Assets, asset: AssetState, step_s: float, free: _Free
) -> None:
    for b in range(assets.battery_site.shape[0]):
        s = assets.battery_site[b]
        now_w = asset.battery_w[b]
        one_way = assets.one_way[b]
        taken_j = now_w * step_s * one_way if now_w > 0.0 else now_w * step_s / one_way
        least_j = max(asset.stored_j[b] + min(taken_j, 0.0), 0.0)
        left_w = max(assets.power_w[b] + min(now_w, 0.0), 0.0)
        free.give_w[s] += left_w / (1.0 - sites.loss[s])
        free.give_j[s] += least_j * one_way / (1.0 - sites.loss[s])


@pure_kernel
def _hold_called(
    site: SiteState, programmes: Programmes, programme: ProgrammeState, p: int, free: _Free
) -> None:
    """What a call that was announced is owed, before anything else."""
    for s in range(site.price.shape[0]):
        owed_w = programme.owed_w[p, s]
        programme.award_w[p, s] = 0.0
        if programme.phase[p] == IDLE or owed_w <= 0.0:
            continue
        gone_w = min(max(programme.baseline_w[p, s] - site.granted_w[s], 0.0), owed_w)
        held_w = _take(free, s, owed_w - gone_w, programmes.duration_s[p])
        programme.award_w[p, s] = gone_w + held_w


@pure_kernel
def _hold(
    programmes: Programmes, programme: ProgrammeState, p: int, asic_w: Floats, free: _Free
) -> None:
    """What a reserve was sold, or what an emergency programme is offered."""
    idle = programme.phase[p] == IDLE
    for s in range(asic_w.shape[0]):
        if programmes.enrolled[p, s] == 0.0:
            continue
        wanted_w = programme.sold_w[p, s]
        if not idle:
            wanted_w -= programme.owed_w[p, s]
        if not programmes.by_day[p]:
            offer_w = max(programme.offer_w[p, s], programmes.standing[p] * asic_w[s])
            wanted_w = min(offer_w, programmes.most_w[p]) if idle else 0.0
        took_w = _take(free, s, max(wanted_w, 0.0), programmes.duration_s[p])
        programme.award_w[p, s] += took_w


@pure_kernel
def _take(free: _Free, s: int, wanted_w: float, duration_s: float) -> float:
    """Take `wanted_w` out of what is free at site `s`, load first; what there was of it [W]."""
    wanted_w = min(wanted_w, free.meter_w[s])
    by_load_w = min(wanted_w, free.load_w[s])
    by_battery_w = 0.0  # of no use where nothing says for how long
    if duration_s > 0.0:
        by_battery_w = min(wanted_w - by_load_w, free.give_w[s], free.give_j[s] / duration_s)
    free.meter_w[s] -= by_load_w + by_battery_w
    free.load_w[s] -= by_load_w
    free.give_w[s] -= by_battery_w
    free.give_j[s] -= by_battery_w * duration_s
    taken_w: float = by_load_w + by_battery_w
    return taken_w


@kernel
def call(fleet: Fleet, p: int) -> None:
    """Programme `p` announces a call: what stands by is owed, against the meter of this moment.

    What another call already announced will take is taken off: no watt is delivered twice.
    """
    site, programme = fleet.site, fleet.programme
    for s in range(site.price.shape[0]):
        programme.owed_w[p, s] = programme.award_w[p, s]
        programme.baseline_w[p, s] = site.granted_w[s]
        for other in range(programme.phase.shape[0]):
            if programme.phase[other] == NOTICED:
                programme.baseline_w[p, s] -= programme.owed_w[other, s]
        programme.owed_j[p, s] = 0.0
        programme.delivered_j[p, s] = 0.0
    programme.phase[p] = NOTICED
