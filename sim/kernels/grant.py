"""The grant: a wish cut to what ramps, pauses and limits allow."""

from typing import Final

import numpy as np

from sim.kernels.arrays import (
    BY_THE_HOUR,
    BY_THE_TOKEN,
    GRANTED,
    READY,
    RESERVED,
    WISH,
    AsicGroups,
    AsicState,
    Assets,
    AssetState,
    Items,
    Limits,
    NodeGroups,
    NodeState,
    Sites,
    SiteState,
    SupplyState,
)
from sim.kernels.energy import stand_by
from sim.kernels.fleet import Fleet
from sim.kernels.jit import kernel, pure_kernel
from sim.kernels.power import allot
from sim.types import Floats

TOLERANCE = 1e-9

# What a joule is worth to the grant: classes of nodes by their way of earning (indices RESERVED,
# BY_THE_HOUR, BY_THE_TOKEN), far above the margins of ASICs, and charging, far below [USD/J].
NODE_VALUE: Final = (2e6, 1e6, 1.5e6)
CHARGING_VALUE: Final = -1e6
FIRST_KEPT: Final = (RESERVED, BY_THE_TOKEN, BY_THE_HOUR)


@pure_kernel
def wrong_share(asic_share: Floats, node_share: Floats) -> bool:
    """Whether a share is below 0 or NaN, or shares of a group sum to more than 1."""
    for g in range(asic_share.shape[0]):
        total = 0.0
        for m in range(asic_share.shape[1]):
            if not asic_share[g, m] >= 0.0:  # NaN as well
                return True
            total += asic_share[g, m]
        if not total <= 1.0 + TOLERANCE:
            return True
    for n in range(node_share.shape[0]):
        if not (node_share[n] >= 0.0 and node_share[n] <= 1.0 + TOLERANCE):
            return True
    return False


@kernel
def grant_nested(fleet: Fleet, t_s: float, step_s: float, usd_per_th: float) -> None:
    """Turn the WISH rows into GRANTED rows that no limit forbids (radial); see what stands by.

    First what may start at all (`READY`): staggered starts, and the shortest pause of a group that
    was lowered. Then the limits: contracted GPU nodes, serving, batch nodes, ASICs by margin per
    MWh at the meter, charging batteries; the least valuable is shed first, by turning machines off.
    `usd_per_th` [USD/TH] values a hash.
    """
    value_wishes(fleet, t_s, step_s, usd_per_th)
    items, limits = fleet.items, fleet.limits
    room_w = limits.room_w.copy()
    allot(items.value, items.wish_w, items.site, limits, room_w, items.granted_w)
    find_binding(fleet.site, limits, room_w)
    settle_grant(fleet, t_s, step_s, usd_per_th)


@kernel
def value_wishes(fleet: Fleet, t_s: float, step_s: float, usd_per_th: float) -> None:
    """Fill `items` with what wants power and what it is worth, `limits.local_w` with own supply."""
    sites, site, items, limits = fleet.sites, fleet.site, fleet.items, fleet.limits
    supply = fleet.supply
    _fix(sites, supply, site.wish_w)
    site.idled_w[:] = 0.0
    _supply(sites, supply, fleet.assets, fleet.asset, limits, step_s)
    _ready(fleet.asics, fleet.asic, t_s, step_s)
    _want_asics(fleet.asics, fleet.asic, site, items, usd_per_th)
    first = fleet.asics.site.shape[0]
    _want_nodes(fleet.nodes, fleet.node, site, supply, limits, items, first)
    first += fleet.nodes.site.shape[0]
    _want_charging(sites, fleet.assets, fleet.asset, items, first)


@pure_kernel
def _want_asics(
    asics: AsicGroups, asic: AsicState, site: SiteState, items: Items, usd_per_th: float
) -> None:
    for g in range(asics.site.shape[0]):
        s = asics.site[g]
        scale_w = asic.running[g] * asic.heat[g] * asic.factor[g]
        ths = 0.0
        ready_w = 0.0
        for m in range(asics.mode_w.shape[1]):
            site.wish_w[s] += scale_w * asic.shares[WISH, g, m] * asics.mode_w[g, m]
            site.idled_w[s] += scale_w * asics.default_share[g, m] * asics.mode_w[g, m]
            ready_w += asic.shares[READY, g, m] * asics.mode_w[g, m]
            ths += asic.shares[READY, g, m] * asics.mode_ths[g, m]
        items.wish_w[g] = scale_w * ready_w
        items.value[g] = 0.0
        if ready_w > 0.0:
            items.value[g] = ths * usd_per_th / (ready_w * asic.factor[g]) - site.price[s] / 3.6e9


@pure_kernel
def _want_nodes(
    nodes: NodeGroups,
    node: NodeState,
    site: SiteState,
    supply: SupplyState,
    limits: Limits,
    items: Items,
    first: int,
) -> None:
    for n in range(nodes.site.shape[0]):
        s = nodes.site[n]
        full_w = node.running[n] * nodes.node_w[n] * node.factor[n]
        node.shares[READY, n] = node.shares[WISH, n]
        site.wish_w[s] += node.shares[WISH, n] * full_w
        site.idled_w[s] += full_w
        items.value[first + n] = NODE_VALUE[nodes.way[n]]
    _leave_in_time(nodes, node, supply, limits)
    for n in range(nodes.site.shape[0]):
        full_w = node.running[n] * nodes.node_w[n] * node.factor[n]
        items.wish_w[first + n] = node.shares[READY, n] * full_w


@pure_kernel
def _want_charging(
    sites: Sites, assets: Assets, asset: AssetState, items: Items, first: int
) -> None:
    for b in range(assets.battery_site.shape[0]):
        s = assets.battery_site[b]
        items.value[first + b] = CHARGING_VALUE
        items.wish_w[first + b] = max(asset.battery_w[b], 0.0) / (1.0 - sites.loss[s])


@kernel
def settle_grant(fleet: Fleet, t_s: float, step_s: float, usd_per_th: float) -> None:
    """Put what `items` were granted in force, hold on-site supply to what can be used, stand by."""
    sites, site, items = fleet.sites, fleet.site, fleet.items
    _fix(sites, fleet.supply, site.load_w)
    _add_granted(items, site.load_w)
    _mark_blocked(fleet.asics, fleet.asic, site, usd_per_th)
    _apply(fleet.asics, fleet.asic, items, t_s)
    first = fleet.asics.site.shape[0]
    _apply_nodes(fleet.node, items, first)
    first += fleet.nodes.site.shape[0]
    _apply_charging(sites, fleet.assets, fleet.asset, items, first)
    _use_supply(sites, site, fleet.assets, fleet.asset, fleet.limits)
    _leave_idle(site, items, first)
    stand_by(fleet, step_s)


@pure_kernel
def _add_granted(items: Items, load_w: Floats) -> None:
    for i in range(items.value.shape[0]):
        load_w[items.site[i]] += items.granted_w[i]


@pure_kernel
def _apply_nodes(node: NodeState, items: Items, first: int) -> None:
    for n in range(node.running.shape[0]):
        share = _fraction(items.granted_w[first + n], items.wish_w[first + n])
        node.shares[GRANTED, n] = node.shares[READY, n] * share


@pure_kernel
def _apply_charging(
    sites: Sites, assets: Assets, asset: AssetState, items: Items, first: int
) -> None:
    for b in range(assets.battery_site.shape[0]):
        if asset.battery_w[b] > 0.0:
            s = assets.battery_site[b]
            asset.battery_w[b] = items.granted_w[first + b] * (1.0 - sites.loss[s])


@pure_kernel
def _use_supply(
    sites: Sites, site: SiteState, assets: Assets, asset: AssetState, limits: Limits
) -> None:
    """The meter of each site: what its own supply cannot give, or what of it flows back."""
    for s in range(sites.overhead_w.shape[0]):
        net_w = site.load_w[s] - limits.local_w[s]
        if net_w < 0.0:
            net_w += _turn_down(sites, assets, asset, s, -net_w, True)
        if net_w < -sites.export_w[s]:
            _hold_back(sites, assets, asset, s, -sites.export_w[s] - net_w)
            net_w = -sites.export_w[s]
        site.granted_w[s] = net_w


@pure_kernel
def _leave_idle(site: SiteState, items: Items, machines: int) -> None:
    for i in range(machines):
        site.idled_w[items.site[i]] -= items.granted_w[i]
    for s in range(site.idled_w.shape[0]):
        site.idled_w[s] = max(site.idled_w[s], 0.0)


@pure_kernel
def find_binding(site: SiteState, limits: Limits, room_w: Floats) -> None:
    """The limit nearest to each site that has no room left: -1 none, -2 the cap of a call."""
    for s in range(limits.path.shape[0]):
        site.binding[s] = -1
        for d in range(limits.path.shape[1]):
            limit = limits.path[s, d]
            if limit < 0:
                break
            if room_w[limit] <= 1e-6 * limits.room_w[limit]:
                site.binding[s] = limit
                break
        if site.binding[s] == -1 and limits.cap_w[s] < np.inf:
            site.binding[s] = -2


@pure_kernel
def _fix(sites: Sites, supply: SupplyState, load_w: Floats) -> None:
    """Begin with the overhead of each site at the meter, as far as the grid can carry it [W]."""
    for s in range(sites.overhead_w.shape[0]):
        load_w[s] = sites.overhead_w[s] * supply.powered[s] / (1.0 - sites.loss[s])


@pure_kernel
def _supply(
    sites: Sites,
    supply: SupplyState,
    assets: Assets,
    asset: AssetState,
    limits: Limits,
    step_s: float,
) -> None:
    """What batteries and generators of each site can do of what was wished, as W at the meter.

    In a call that a relay sees to, batteries give at least what it asks of them, in their order.
    """
    for s in range(sites.loss.shape[0]):
        limits.local_w[s] = 0.0
    for b in range(assets.battery_site.shape[0]):
        power_w, energy_j, one_way = assets.power_w[b], assets.energy_j[b], assets.one_way[b]
        s = assets.battery_site[b]
        wish_w = min(max(asset.battery_wish_w[b], -power_w), power_w)
        asked_w = supply.relay_w[s] - limits.local_w[s]
        if supply.relay_w[s] > 0.0 and asked_w > 0.0:
            wish_w = min(wish_w, -min(asked_w * (1.0 - sites.loss[s]), power_w))
        most_w = (energy_j - asset.stored_j[b]) / (one_way * step_s)
        least_w = -asset.stored_j[b] * one_way / step_s
        asset.battery_w[b] = min(max(wish_w, least_w), most_w)
        if asset.battery_w[b] < 0.0:
            limits.local_w[s] -= asset.battery_w[b] / (1.0 - sites.loss[s])
    for k in range(assets.generator_site.shape[0]):
        wish_w = min(max(asset.generator_wish_w[k], 0.0), asset.available_w[k])
        asset.generator_w[k] = wish_w
        s = assets.generator_site[k]
        limits.local_w[s] += wish_w / (1.0 - sites.loss[s])


@pure_kernel
def _hold_back(sites: Sites, assets: Assets, asset: AssetState, s: int, surplus_w: float) -> None:
    """Nobody can use `surplus_w` of a site's supply [W at the meter]: batteries, then fuel."""
    left_w = surplus_w * (1.0 - sites.loss[s])
    for b in range(assets.battery_site.shape[0]):
        if assets.battery_site[b] == s and asset.battery_w[b] < 0.0:
            less_w = min(-asset.battery_w[b], left_w)
            asset.battery_w[b] += less_w
            left_w -= less_w
    _turn_down(sites, assets, asset, s, left_w / (1.0 - sites.loss[s]), False)


@pure_kernel
def _turn_down(
    sites: Sites,
    assets: Assets,
    asset: AssetState,
    s: int,
    surplus_w: float,
    own_use: bool,
) -> float:
    """Turn generators of a site down by `surplus_w` at most; what came off [W at the meter].

    The dearest goes first, among equals the last. `own_use`: only what may not flow back.
    """
    left_w = surplus_w * (1.0 - sites.loss[s])
    while left_w > 0.0:
        worst = -1
        most_w = 0.0
        for k in range(assets.generator_site.shape[0]):
            if assets.generator_site[k] != s:
                continue
            kept_w = asset.export_wish_w[k] if own_use else 0.0
            less_w = asset.generator_w[k] - kept_w
            fuel = assets.fuel_usd_per_j
            if less_w > 0.0 and (worst < 0 or fuel[k] >= fuel[worst]):
                worst = k
                most_w = less_w
        if worst < 0:
            break
        less_w = min(most_w, left_w)
        asset.generator_w[worst] -= less_w
        left_w -= less_w
    off_w: float = surplus_w - left_w / (1.0 - sites.loss[s])
    return off_w


@pure_kernel
def _leave_in_time(nodes: NodeGroups, node: NodeState, supply: SupplyState, limits: Limits) -> None:
    """Nodes that a call already announced will not leave room for stop now, to drain or migrate.

    The most valuable class keeps what room there will be: reserved, serving, batch.
    """
    for s in range(supply.soon_w.shape[0]):
        left_w = supply.soon_w[s]
        if left_w == np.inf:
            continue
        left_w += limits.local_w[s]
        for way in FIRST_KEPT:
            for n in range(nodes.site.shape[0]):
                if nodes.site[n] != s or nodes.way[n] != way:
                    continue
                full_w = node.running[n] * nodes.node_w[n] * node.factor[n]
                wish_w = node.shares[READY, n] * full_w
                if wish_w > left_w:
                    node.shares[READY, n] = left_w / full_w
                    wish_w = left_w
                left_w -= wish_w


@pure_kernel
def _mark_blocked(asics: AsicGroups, asic: AsicState, site: SiteState, usd_per_th: float) -> None:
    """Mark the groups whose own mode would earn more than it costs, where a limit is full."""
    for g in range(asics.site.shape[0]):
        s = asics.site[g]
        ths = 0.0
        power_w = 0.0
        for m in range(asics.mode_w.shape[1]):
            ths += asics.default_share[g, m] * asics.mode_ths[g, m]
            power_w += asics.default_share[g, m] * asics.mode_w[g, m]
        asic.blocked[g] = 0.0
        if ths * usd_per_th > power_w * asic.factor[g] * site.price[s] / 3.6e9:
            if site.binding[s] != -1:
                asic.blocked[g] = 1.0


@pure_kernel
def _ready(asics: AsicGroups, asic: AsicState, t_s: float, step_s: float) -> None:
    """What of a wish may start now: the ramp, and the shortest pause after a lowering."""
    for g in range(asics.site.shape[0]):
        wish = 0.0
        on = 0.0
        for m in range(asics.mode_w.shape[1]):
            wish += asic.shares[WISH, g, m]
            on += asic.shares[GRANTED, g, m]
        ceiling = on + asics.ramp_per_s * step_s
        if t_s - asic.lowered_s[g] < asics.least_off_s:
            ceiling = on
        fraction = 1.0
        if wish > ceiling + TOLERANCE:
            fraction = ceiling / wish
        for m in range(asics.mode_w.shape[1]):
            asic.shares[READY, g, m] = asic.shares[WISH, g, m] * fraction


@pure_kernel
def _fraction(granted_w: float, wish_w: float) -> float:
    """How much of a wish was granted; all of one for nothing."""
    return granted_w / wish_w if wish_w > 0.0 else 1.0


@pure_kernel
def _apply(asics: AsicGroups, asic: AsicState, items: Items, t_s: float) -> None:
    """Set the granted shares, as much as was granted of what is ready; what is switched on boots.

    Cohorts that overlap are merged so that the sum of boot seconds is kept exactly; the ones that
    are switched off last started last.
    """
    for g in range(asics.site.shape[0]):
        before = 0.0
        after = 0.0
        fraction = _fraction(items.granted_w[g], items.wish_w[g])
        for m in range(asics.mode_w.shape[1]):
            before += asic.shares[GRANTED, g, m]
            asic.shares[GRANTED, g, m] = asic.shares[READY, g, m] * fraction
            after += asic.shares[GRANTED, g, m]
        rest_s = max(asic.starting_until_s[g] - t_s, 0.0)
        if rest_s == 0.0:
            asic.starting[g] = 0.0
        started = after - before
        if started > TOLERANCE:
            boots = asic.starting[g] + started
            rest_s = (asic.starting[g] * rest_s + started * asics.restart_s) / boots
            asic.starting[g] = boots
            asic.starting_until_s[g] = t_s + rest_s
        elif started < -TOLERANCE:
            asic.starting[g] = max(asic.starting[g] + started, 0.0)
            asic.lowered_s[g] = t_s
