"""Sites: what the weather makes of them, and what an interval came to."""

import numpy as np

from sim.kernels import flows
from sim.kernels.arrays import (
    BY_THE_TOKEN,
    GRANTED,
    AsicGroups,
    AsicState,
    Assets,
    AssetState,
    MeterState,
    NodeGroups,
    NodeState,
    PricesInForce,
    ProgrammeState,
    Sites,
    SiteState,
    StepInputs,
    SupplyState,
)
from sim.kernels.energy import measure
from sim.kernels.fleet import Fleet
from sim.kernels.jit import kernel, pure_kernel
from sim.kernels.mining import advance_groups
from sim.kernels.nodes import advance_nodes
from sim.kernels.thermal import cooling_share, derating
from sim.types import Floats

J_PER_MWH = 3.6e9


@kernel
def advance(fleet: Fleet, t_s: float) -> None:
    """Move all machines to `t_s` [s] under the controls in force."""
    first = int(np.int64(0))  # a literal would be a type of its own, compiled once more
    advance_groups(fleet.asics, fleet.asic, first, fleet.asics.site.shape[0], t_s)
    advance_nodes(fleet.nodes, fleet.node, first, fleet.nodes.site.shape[0], t_s)


@kernel
def settle(fleet: Fleet, t_s: float) -> None:
    """Gather what the machines did since the last settlement: physics; `bill` makes it money.

    Energy at the meter is the sum of its uses less on-site generation: machines, cooling, overhead,
    what batteries took, and losses on the way. `site.hashed_th` is left with the interval's hashes
    [TH] for the pool to pay, `meters.step_j` with the meter's energy since the last bill.
    """
    site = fleet.site
    dt = t_s - site.settled_s[0]
    site.settled_s[0] = t_s
    measure(site, fleet.programmes, fleet.programme, dt)
    at_site_j = np.zeros(site.price.shape[0])
    _gather_asics(fleet.asics, fleet.asic, site, at_site_j)
    _gather_nodes(fleet.nodes, fleet.node, site, at_site_j)
    _settle_assets(fleet.assets, fleet.asset, site.flow, at_site_j, dt)
    _meter(fleet.sites, site, fleet.prices, fleet.supply, fleet.meters, at_site_j, dt)


@kernel
def earn(fleet: Fleet, btc: Floats, usd_per_btc: float, fee: float) -> None:
    """What a pool paid (site,) [BTC] at the price of the interval [USD/BTC]; it keeps its `fee`."""
    flow = fleet.site.flow
    for s in range(btc.shape[0]):
        flow[flows.BTC, s] += btc[s]
        flow[flows.BTC_USD, s] += usd_per_btc * btc[s]
        flow[flows.POOL_FEE_BTC, s] += fee * btc[s]
        flow[flows.POOL_FEE_USD, s] += fee * usd_per_btc * btc[s]


@pure_kernel
def gross_margin_usd(flow: Floats) -> float:
    """Gross margin of flows (SITE_FLOWS, site) [USD], as the KPI of that name counts it."""
    usd = 0.0
    for s in range(flow.shape[1]):
        usd += (
            flow[flows.BTC_USD, s]
            + flow[flows.GPU_USD, s]
            + flow[flows.TOKEN_USD, s]
            + flow[flows.PROGRAMME_USD, s]
        )
        usd -= flow[flows.ENERGY_USD, s] + flow[flows.CONTRACT_USD, s] + flow[flows.DEMAND_USD, s]
        usd -= flow[flows.PEAK_USD, s] + flow[flows.FUEL_USD, s] + flow[flows.WEAR_USD, s]
        usd -= flow[flows.PENALTY_USD, s] + flow[flows.POOL_FEE_USD, s] + flow[flows.CREDIT_USD, s]
        usd -= flow[flows.GPU_OPEX_USD, s]
    return usd


@pure_kernel
def _settle_assets(
    assets: Assets, asset: AssetState, flow: Floats, at_site_j: Floats, dt: float
) -> None:
    """Energy of batteries and generators over `dt` [s] at their constant powers."""
    for b in range(assets.battery_site.shape[0]):
        s = assets.battery_site[b]
        energy_j = asset.battery_w[b] * dt
        one_way = assets.one_way[b]
        stored_j = asset.stored_j[b] + (
            energy_j * one_way if energy_j > 0.0 else energy_j / one_way
        )
        asset.stored_j[b] = min(max(stored_j, 0.0), assets.energy_j[b])
        flow[flows.BATTERY_J, s] += energy_j
        flow[flows.DISCHARGED_J, s] += max(-energy_j, 0.0)
        flow[flows.WEAR_USD, s] += max(-energy_j, 0.0) * assets.wear_usd_per_j[b]
        at_site_j[s] += energy_j
    for k in range(assets.generator_site.shape[0]):
        s = assets.generator_site[k]
        energy_j = asset.generator_w[k] * dt
        flow[flows.GENERATION_J, s] += energy_j
        flow[flows.FUEL_USD, s] += energy_j * assets.fuel_usd_per_j[k]
        flow[flows.CARBON_KG, s] += energy_j * assets.carbon_kg_per_j[k]
        at_site_j[s] -= energy_j


@pure_kernel
def _meter(
    sites: Sites,
    site: SiteState,
    prices: PricesInForce,
    supply: SupplyState,
    meters: MeterState,
    at_site_j: Floats,
    dt: float,
) -> None:
    """Overhead, losses and the meter of each site over `dt` [s], and what is known by its time."""
    flow = site.flow
    for s in range(at_site_j.shape[0]):
        overhead_j = sites.overhead_w[s] * supply.powered[s] * dt
        at_site_j[s] += overhead_j
        if at_site_j[s] >= 0.0:
            loss_j = at_site_j[s] * sites.loss[s] / (1.0 - sites.loss[s])
        else:  # what flows back is worth less at the root of the grid
            loss_j = -at_site_j[s] * sites.loss[s]
        meter_j = at_site_j[s] + loss_j
        flow[flows.OVERHEAD_J, s] += overhead_j
        flow[flows.LOSS_J, s] += loss_j
        flow[flows.METER_J, s] += meter_j
        flow[flows.CARBON_KG, s] += max(meter_j, 0.0) * prices.carbon_kg_per_j[s]
        meters.step_j[s] += meter_j
        flow[flows.WISH_J, s] += site.wish_w[s] * dt
        flow[flows.GRANTED_J, s] += site.granted_w[s] * dt
        flow[flows.IDLED_J, s] += site.idled_w[s] * dt
        flow[flows.PRICE_S, s] += site.price[s] * dt
        flow[flows.DAY_AHEAD_S, s] += prices.day_ahead_usd_per_mwh[s] * dt
        flow[flows.AMBIENT_S, s] += site.ambient_c[s] * dt
        flow[flows.WET_BULB_S, s] += site.wet_bulb_c[s] * dt


@pure_kernel
def _gather_asics(asics: AsicGroups, asic: AsicState, site: SiteState, at_site_j: Floats) -> None:
    """Add the flows of the groups to their sites and clear them; machines and cooling [J]."""
    flow = site.flow
    for s in range(site.hashed_th.shape[0]):
        site.hashed_th[s] = 0.0
    for g in range(asics.site.shape[0]):
        s = asics.site[g]
        site.hashed_th[s] += asic.flow[flows.HASHED, g]
        for fate in range(flows.ASIC_J):
            flow[flows.FATES + fate, s] += asic.flow[fate, g]
        flow[flows.SITE_ASIC_J, s] += asic.flow[flows.ASIC_J, g]
        cooling_j = asic.flow[flows.ASIC_J, g] * asic.cooling[g]
        flow[flows.COOLING_J, s] += cooling_j
        at_site_j[s] += asic.flow[flows.ASIC_J, g] + cooling_j
        on = 0.0  # controls hold from one settlement to the next: modes share what came of them
        on_w = 0.0
        on_ths = 0.0
        for m in range(asics.mode_w.shape[1]):
            on += asic.shares[GRANTED, g, m]
            on_w += asic.shares[GRANTED, g, m] * asics.mode_w[g, m]
            on_ths += asic.shares[GRANTED, g, m] * asics.mode_ths[g, m]
        there_s = asic.flow[flows.DEPLOYED, g] / asics.nominal_ths[g]
        for m in range(asics.mode_w.shape[1]):
            share = asic.shares[GRANTED, g, m]
            if on_w > 0.0:
                of_power = share * asics.mode_w[g, m] / on_w
                asic.used[flows.USED_J, g, m] += asic.flow[flows.ASIC_J, g] * of_power
                asic.used[flows.USED_COOLING_J, g, m] += cooling_j * of_power
            if on_ths > 0.0:
                of_hashes = share * asics.mode_ths[g, m] / on_ths
                asic.used[flows.USED_TH, g, m] += asic.flow[flows.HASHED, g] * of_hashes
            of_time = share / on if on > 0.0 else asics.default_share[g, m]
            asic.used[flows.USED_THERE_S, g, m] += there_s * of_time
        for row in range(flows.ASIC_FLOWS):
            asic.flow[row, g] = 0.0


@pure_kernel
def _gather_nodes(nodes: NodeGroups, node: NodeState, site: SiteState, at_site_j: Floats) -> None:
    """Add the flows of GPU nodes to their sites and clear them; machines and cooling [J]."""
    flow = site.flow
    for n in range(nodes.site.shape[0]):
        s = nodes.site[n]
        on_s = node.flow[flows.NODE_ON_S, n]
        missed_s = node.flow[flows.NODE_MISSED_S, n]
        way = nodes.way[n]
        usd = on_s * nodes.usd_per_h[n] / 3600.0
        credit_usd = missed_s * nodes.credit_usd_per_h[n] / 3600.0
        let_s = on_s * nodes.let_share[n]
        opex_usd = let_s * nodes.opex_usd_per_h[0, n] / 3600.0
        opex_usd += (on_s + missed_s) * nodes.opex_usd_per_h[1, n] / 3600.0
        if way != BY_THE_TOKEN:
            flow[flows.LET_S, s] += let_s
            unsold_s = (on_s + missed_s) * (1.0 - nodes.let_share[n])
            flow[flows.UNSOLD_S, s] += unsold_s
            flow[flows.UNMET_S, s] += missed_s * nodes.let_share[n]
            node.used[flows.NODE_USED_LET_S, n, way] += let_s
            node.used[flows.NODE_USED_UNSOLD_S, n, way] += unsold_s
        flow[flows.GPU_USD, s] += usd
        flow[flows.CREDIT_USD, s] += credit_usd
        flow[flows.GPU_OPEX_USD, s] += opex_usd
        node.used[flows.NODE_USED_OPEX_USD, n, way] += opex_usd
        node.used[flows.NODE_USED_USD, n, way] += usd
        node.used[flows.NODE_USED_CREDIT_USD, n, way] += credit_usd
        node.used[flows.NODE_USED_ON_S, n, way] += on_s
        node.used[flows.NODE_USED_MISSED_S, n, way] += missed_s
        flow[flows.NODES_ON_S, s] += on_s
        flow[flows.NODES_S, s] += on_s + missed_s
        flow[flows.SITE_GPU_J, s] += node.flow[flows.NODE_J, n]
        cooling_j = node.flow[flows.NODE_J, n] * node.cooling[n]
        flow[flows.COOLING_J, s] += cooling_j
        node.used[flows.NODE_USED_J, n, way] += node.flow[flows.NODE_J, n]
        node.used[flows.NODE_USED_COOLING_J, n, way] += cooling_j
        at_site_j[s] += node.flow[flows.NODE_J, n] + cooling_j
        for row in range(flows.NODE_FLOWS):
            node.flow[row, n] = 0.0


@kernel
def look(fleet: Fleet, step_inputs: StepInputs, step: int) -> None:
    """Put a control step's prices, weather, contracts, generation and reserve prices in force."""
    _look(step_inputs, fleet.site, fleet.prices, fleet.asset, fleet.programme, step)
    condition(fleet)


@pure_kernel
def _look(
    step_inputs: StepInputs,
    site: SiteState,
    prices: PricesInForce,
    asset: AssetState,
    programme: ProgrammeState,
    step: int,
) -> None:
    for s in range(site.price.shape[0]):
        site.price[s] = step_inputs.price[step, s]
        site.ambient_c[s] = step_inputs.ambient_c[step, s]
        site.wet_bulb_c[s] = step_inputs.wet_bulb_c[step, s]
        prices.zone_usd_per_mwh[s] = step_inputs.zone_price[step, s]
        if step_inputs.day_ahead_price.shape[0] > 0:
            prices.day_ahead_usd_per_mwh[s] = step_inputs.day_ahead_price[step, s]
        if step_inputs.carbon_kg_per_mwh.shape[0] > 0:
            prices.carbon_kg_per_j[s] = step_inputs.carbon_kg_per_mwh[step, s] / J_PER_MWH
        if step_inputs.block_w.shape[0] > 0:
            prices.block_w[s] = step_inputs.block_w[step, s]
            prices.block_usd_per_mwh[s] = step_inputs.block_usd_per_mwh[step, s]
            prices.position_w[s] = step_inputs.position_w[step, s]
            prices.position_usd_per_s[s] = step_inputs.position_usd_per_s[step, s]
    if step_inputs.available_w.shape[0] > 0:
        for k in range(step_inputs.available_w.shape[1]):
            asset.available_w[k] = step_inputs.available_w[step, k]
    if step_inputs.reserve_usd_per_mw_h.shape[0] > 0:
        for p in range(step_inputs.reserve_usd_per_mw_h.shape[1]):
            programme.price[p] = step_inputs.reserve_usd_per_mw_h[step, p]
            programme.real_time[p] = step_inputs.real_time_reserve[step, p]


@kernel
def condition(fleet: Fleet) -> None:
    """Let the weather in force act: cooling, meter factors, thermal factors; who may run, runs."""
    _condition_asics(fleet.asics, fleet.asic, fleet.sites, fleet.site, fleet.supply)
    _condition_nodes(fleet.nodes, fleet.node, fleet.sites, fleet.site, fleet.supply)


@pure_kernel
def _condition_asics(
    asics: AsicGroups, asic: AsicState, sites: Sites, site: SiteState, supply: SupplyState
) -> None:
    for g in range(asics.site.shape[0]):
        s = asics.site[g]
        asic.running[g] = asic.healthy[g] * supply.open[s]
        asic.shut[g] = asic.healthy[g] - asic.running[g]
        heat = derating(asics.thermal[g], site.ambient_c[s], site.wet_bulb_c[s])
        asic.heat[g] = heat * supply.cooled[s]
        asic.cooling[g] = _cooling(
            sites.pue_base[s], sites.pue_knee_c[s], sites.pue_slope_per_c[s], asics.thermal[g],
            site.ambient_c[s], site.wet_bulb_c[s],
        )  # fmt: skip
        asic.factor[g] = (1.0 + asic.cooling[g]) / (1.0 - sites.loss[s])


@pure_kernel
def _condition_nodes(
    nodes: NodeGroups, node: NodeState, sites: Sites, site: SiteState, supply: SupplyState
) -> None:
    for n in range(node.healthy.shape[0]):
        s = nodes.site[n]
        open_share = supply.open[s] * supply.cooled[s]  # nodes know no derating
        node.running[n] = node.healthy[n] * open_share
        node.cooling[n] = _cooling(
            sites.pue_base[s], sites.pue_knee_c[s], sites.pue_slope_per_c[s], nodes.thermal[n],
            site.ambient_c[s], site.wet_bulb_c[s],
        )  # fmt: skip
        node.factor[n] = (1.0 + node.cooling[n]) / (1.0 - sites.loss[s])


@pure_kernel
def _cooling(
    base: float, knee_c: float, slope: float, thermal: Floats, dry_c: float, wet_c: float
) -> float:
    """W of cooling per W of machines: of the way it is cooled, or by the site's own line.

    Plain numbers only: a NamedTuple here would count references to all its arrays, for each group.
    """
    if np.isnan(base):
        return cooling_share(thermal, dry_c, wet_c)
    return base + slope * max(dry_c - knee_c, 0.0) - 1.0
