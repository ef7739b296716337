"""Sites: what the weather makes of them, and what an interval came to."""

import numpy as np

from sim.kernels.arrays import (
    AMBIENT_S,
    ASIC_FLOWS,
    ASIC_J,
    COOLING_J,
    CREDIT_USD,
    ENERGY_USD,
    FATES,
    GPU_USD,
    GRANTED_J,
    HASHED,
    IDLED_J,
    LOSS_J,
    METER_J,
    NODE_FLOWS,
    NODE_J,
    NODE_MISSED_S,
    NODE_ON_S,
    NODES_ON_S,
    NODES_S,
    OVERHEAD_J,
    PRICE_S,
    SITE_ASIC_J,
    SITE_GPU_J,
    WISH_J,
    AsicGroups,
    AsicState,
    Floats,
    NodeGroups,
    NodeState,
    Sites,
    SiteState,
)
from sim.kernels.inference import advance_nodes
from sim.kernels.jit import kernel
from sim.kernels.mining import advance_groups, heat_factor


@kernel
def advance(
    asics: AsicGroups, asic: AsicState, nodes: NodeGroups, node: NodeState, t_s: float
) -> None:
    """Move all machines to `t_s` [s] under the controls in force."""
    advance_groups(asics, asic, 0, asics.site.shape[0], t_s)
    advance_nodes(nodes, node, 0, nodes.site.shape[0], t_s)


@kernel
def settle(
    asics: AsicGroups,
    asic: AsicState,
    nodes: NodeGroups,
    node: NodeState,
    sites: Sites,
    site: SiteState,
    t_s: float,
) -> None:
    """Gather what the machines did since the last settlement, at the prices then in force.

    Energy at the meter is the sum of its uses: machines, cooling, overhead and losses on the way.
    `site.hashed_th` is left with the interval's hashes [TH] for the pool to pay.
    """
    dt = t_s - site.settled_s[0]
    site.settled_s[0] = t_s
    flow = site.flow
    count = sites.overhead_w.shape[0]
    machines_j = _gather(asics, asic, nodes, node, site)
    for s in range(count):
        cooling_j = (site.pue[s] - 1.0) * machines_j[s]
        overhead_j = sites.overhead_w[s] * dt
        at_site_j = machines_j[s] + cooling_j + overhead_j
        loss_j = at_site_j * sites.loss[s] / (1.0 - sites.loss[s])
        meter_j = at_site_j + loss_j
        flow[COOLING_J, s] += cooling_j
        flow[OVERHEAD_J, s] += overhead_j
        flow[LOSS_J, s] += loss_j
        flow[METER_J, s] += meter_j
        flow[ENERGY_USD, s] += meter_j * site.price[s] / 3.6e9
        flow[WISH_J, s] += site.wish_w[s] * dt
        flow[GRANTED_J, s] += site.granted_w[s] * dt
        flow[IDLED_J, s] += site.idled_w[s] * dt
        flow[PRICE_S, s] += site.price[s] * dt
        flow[AMBIENT_S, s] += site.ambient_c[s] * dt


@kernel
def _gather(
    asics: AsicGroups, asic: AsicState, nodes: NodeGroups, node: NodeState, site: SiteState
) -> Floats:
    """Add the flows of the groups to their sites and clear them; machine energy (site,) [J]."""
    flow = site.flow
    machines_j = np.zeros(site.hashed_th.shape[0])
    for s in range(site.hashed_th.shape[0]):
        site.hashed_th[s] = 0.0
    for g in range(asics.site.shape[0]):
        s = asics.site[g]
        site.hashed_th[s] += asic.flow[HASHED, g]
        for fate in range(ASIC_J):
            flow[FATES + fate, s] += asic.flow[fate, g]
        flow[SITE_ASIC_J, s] += asic.flow[ASIC_J, g]
        machines_j[s] += asic.flow[ASIC_J, g]
        for row in range(ASIC_FLOWS):
            asic.flow[row, g] = 0.0
    for n in range(nodes.site.shape[0]):
        s = nodes.site[n]
        on_s = node.flow[NODE_ON_S, n]
        missed_s = node.flow[NODE_MISSED_S, n]
        flow[GPU_USD, s] += on_s * nodes.usd_per_h[n] / 3600.0
        flow[CREDIT_USD, s] += missed_s * nodes.credit_usd_per_h[n] / 3600.0
        flow[NODES_ON_S, s] += on_s
        flow[NODES_S, s] += on_s + missed_s
        flow[SITE_GPU_J, s] += node.flow[NODE_J, n]
        machines_j[s] += node.flow[NODE_J, n]
        for row in range(NODE_FLOWS):
            node.flow[row, n] = 0.0
    return machines_j


@kernel
def condition(
    asics: AsicGroups,
    asic: AsicState,
    node: NodeState,
    sites: Sites,
    site: SiteState,
) -> None:
    """Let the weather in force act (PUE, meter factor, thermal factors); the repaired rejoin."""
    for s in range(sites.overhead_w.shape[0]):
        above_c = max(site.ambient_c[s] - sites.pue[s, 1], 0.0)
        site.pue[s] = sites.pue[s, 0] + sites.pue[s, 2] * above_c
        site.factor[s] = site.pue[s] / (1.0 - sites.loss[s])
    for g in range(asics.site.shape[0]):
        asic.running[g] = asic.healthy[g]
        asic.heat[g] = heat_factor(
            site.ambient_c[asics.site[g]],
            asics.derating[g, 0],
            asics.derating[g, 1],
            asics.derating[g, 2],
        )
    for n in range(node.healthy.shape[0]):  # a slice takes numba 4 s to compile
        node.running[n] = node.healthy[n]
