"""The grant: a wish cut to what ramps, pauses and limits allow."""

import numpy as np

from sim.kernels.arrays import (
    GRANTED,
    READY,
    WISH,
    AsicGroups,
    AsicState,
    Floats,
    Limits,
    NodeGroups,
    NodeState,
    Sites,
    SiteState,
)
from sim.kernels.jit import kernel
from sim.kernels.power import allot

TOLERANCE = 1e-9


@kernel
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
def grant(
    asics: AsicGroups,
    asic: AsicState,
    nodes: NodeGroups,
    node: NodeState,
    sites: Sites,
    site: SiteState,
    limits: Limits,
    t_s: float,
    step_s: float,
    usd_per_th: float,
) -> None:
    """Turn the WISH rows into GRANTED rows that no limit forbids.

    First what may start at all (`READY`): staggered starts, and the shortest pause of a group that
    was lowered. Then the limits: contracted GPU nodes, batch nodes, ASICs by margin per MWh at the
    meter; the least valuable is shed first, by turning machines off. `usd_per_th` [USD/TH] values
    a hash.
    """
    groups = asics.site.shape[0]
    items = groups + nodes.site.shape[0]
    value = np.zeros(items)
    wish_w = np.zeros(items)
    granted_w = np.zeros(items)
    at = np.zeros(items, dtype=np.int64)
    room_w = limits.room_w.copy()
    for s in range(sites.overhead_w.shape[0]):
        fixed_w = sites.overhead_w[s] / (1.0 - sites.loss[s])
        site.wish_w[s] = fixed_w
        site.granted_w[s] = fixed_w
        site.idled_w[s] = 0.0
    _ready(asics, asic, t_s, step_s)
    for g in range(groups):
        s = asics.site[g]
        at[g] = s
        scale_w = asic.running[g] * asic.heat[g] * site.factor[s]
        ths = 0.0
        ready_w = 0.0
        for m in range(asics.mode_w.shape[1]):
            site.wish_w[s] += scale_w * asic.shares[WISH, g, m] * asics.mode_w[g, m]
            site.idled_w[s] += scale_w * asics.default_share[g, m] * asics.mode_w[g, m]
            ready_w += asic.shares[READY, g, m] * asics.mode_w[g, m]
            ths += asic.shares[READY, g, m] * asics.mode_ths[g, m]
        wish_w[g] = scale_w * ready_w
        if ready_w > 0.0:
            value[g] = ths * usd_per_th / (ready_w * site.factor[s]) - site.price[s] / 3.6e9
    for n in range(nodes.site.shape[0]):
        s = nodes.site[n]
        i = groups + n
        at[i] = s
        full_w = node.running[n] * nodes.node_w[n] * site.factor[s]
        node.shares[READY, n] = node.shares[WISH, n]
        wish_w[i] = node.shares[WISH, n] * full_w
        site.wish_w[s] += wish_w[i]
        site.idled_w[s] += full_w
        value[i] = 1e6 * (1.0 + nodes.contracted[n])  # classes before margins [USD/J]

    allot(value, wish_w, at, limits, room_w, granted_w)

    _mark_blocked(asics, asic, site, limits, room_w, usd_per_th)
    fraction = np.ones(items)
    for i in range(items):
        if wish_w[i] > 0.0:
            fraction[i] = granted_w[i] / wish_w[i]
        site.granted_w[at[i]] += granted_w[i]
    _apply(asics, asic, fraction, t_s)
    for n in range(nodes.site.shape[0]):
        node.shares[GRANTED, n] = node.shares[READY, n] * fraction[groups + n]
    for s in range(sites.overhead_w.shape[0]):
        fixed_w = sites.overhead_w[s] / (1.0 - sites.loss[s])
        site.idled_w[s] = max(site.idled_w[s] - (site.granted_w[s] - fixed_w), 0.0)


@kernel
def _mark_blocked(
    asics: AsicGroups,
    asic: AsicState,
    site: SiteState,
    limits: Limits,
    room_w: Floats,
    usd_per_th: float,
) -> None:
    """Mark the groups whose own mode would earn more than it costs, below a limit that is full."""
    for g in range(asics.site.shape[0]):
        s = asics.site[g]
        ths = 0.0
        power_w = 0.0
        for m in range(asics.mode_w.shape[1]):
            ths += asics.default_share[g, m] * asics.mode_ths[g, m]
            power_w += asics.default_share[g, m] * asics.mode_w[g, m]
        asic.blocked[g] = 0.0
        if ths * usd_per_th <= power_w * site.factor[s] * site.price[s] / 3.6e9:
            continue
        for d in range(limits.path.shape[1]):
            limit = limits.path[s, d]
            if limit >= 0 and room_w[limit] <= 1e-6 * limits.room_w[limit]:
                asic.blocked[g] = 1.0


@kernel
def _ready(asics: AsicGroups, asic: AsicState, t_s: float, step_s: float) -> None:
    """What of a wish may start now: the ramp, and the shortest pause after a lowering."""
    for g in range(asics.site.shape[0]):
        wish = 0.0
        on = 0.0
        for m in range(asics.mode_w.shape[1]):
            wish += asic.shares[WISH, g, m]
            on += asic.shares[GRANTED, g, m]
        ceiling = on + asics.pace[2] * step_s
        if t_s - asic.lowered_s[g] < asics.pace[1]:
            ceiling = on
        fraction = 1.0
        if wish > ceiling + TOLERANCE:
            fraction = ceiling / wish
        for m in range(asics.mode_w.shape[1]):
            asic.shares[READY, g, m] = asic.shares[WISH, g, m] * fraction


@kernel
def _apply(asics: AsicGroups, asic: AsicState, fraction: Floats, t_s: float) -> None:
    """Set the granted shares, `fraction` (group, …) of what is ready; what is switched on boots.

    Cohorts that overlap are merged so that the sum of boot seconds is kept exactly; the ones that
    are switched off last started last.
    """
    for g in range(asics.site.shape[0]):
        before = 0.0
        after = 0.0
        for m in range(asics.mode_w.shape[1]):
            before += asic.shares[GRANTED, g, m]
            asic.shares[GRANTED, g, m] = asic.shares[READY, g, m] * fraction[g]
            after += asic.shares[GRANTED, g, m]
        rest_s = max(asic.starting_until_s[g] - t_s, 0.0)
        if rest_s == 0.0:
            asic.starting[g] = 0.0
        started = after - before
        if started > TOLERANCE:
            boots = asic.starting[g] + started
            rest_s = (asic.starting[g] * rest_s + started * asics.pace[0]) / boots
            asic.starting[g] = boots
            asic.starting_until_s[g] = t_s + rest_s
        elif started < -TOLERANCE:
            asic.starting[g] = max(asic.starting[g] + started, 0.0)
            asic.lowered_s[g] = t_s
