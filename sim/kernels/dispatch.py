"""Merit order: each megawatt to its best use, by firmware mode, GPU or off, under all limits."""

import numpy as np

from sim.kernels.arrays import Floats, Ints, Limits
from sim.kernels.jit import kernel
from sim.kernels.power import allot


@kernel
def frontier(
    mode_ths: Floats, mode_w: Floats, rank_mode: Ints, rank_ths: Floats, rank_w: Floats
) -> None:
    """The efficient firmware modes of each group: the upper hull of hashrate over power from off.

    Fills (group, mode) arrays: the hull's modes by rising power (-1 past the end), and what each
    adds in hashrate [TH/s] and power [W] to the one before; hashrate per watt falls along the hull.
    """
    modes = mode_ths.shape[1]
    for g in range(mode_ths.shape[0]):
        ths = 0.0
        power_w = 0.0
        for rank in range(modes):
            best = -1
            slope = 0.0
            for m in range(modes):
                if mode_w[g, m] > power_w:
                    here = (mode_ths[g, m] - ths) / (mode_w[g, m] - power_w)
                    if here > slope or (
                        here == slope and best >= 0 and mode_w[g, m] > mode_w[g, best]
                    ):
                        best = m
                        slope = here
            rank_mode[g, rank] = best
            rank_ths[g, rank] = 0.0
            rank_w[g, rank] = 0.0
            if best >= 0:
                rank_ths[g, rank] = mode_ths[g, best] - ths
                rank_w[g, rank] = mode_w[g, best] - power_w
                ths = mode_ths[g, best]
                power_w = mode_w[g, best]


@kernel
def merit_order(
    rank_mode: Ints,
    rank_ths: Floats,
    rank_w: Floats,
    asic_site: Ints,
    asic_available: Floats,
    heat: Floats,
    node_site: Ints,
    node_available: Floats,
    node_w: Floats,
    node_usd_per_s: Floats,
    price_usd_per_j: Floats,
    meter_factor: Floats,
    limits: Limits,
    usd_per_th: float,
    asic_share: Floats,
    node_share: Floats,
) -> None:
    """Fill the limits with the uses of power that earn more than they cost, the best first.

    Exact for this step: along a group's hull each watt earns less than the one before, so the
    greedy order never takes a mode before the one it builds on. Fills `asic_share` (group, mode)
    and `node_share` (node,); prices in USD/J, `node_usd_per_s` (node,) of one node.
    """
    groups, modes = rank_mode.shape
    items = groups * modes + node_site.shape[0]
    value = np.zeros(items)
    wish_w = np.zeros(items)
    granted_w = np.zeros(items)
    at = np.zeros(items, dtype=np.int64)
    for g in range(groups):
        s = asic_site[g]
        able = asic_available[g] * heat[g] * meter_factor[s]
        for rank in range(modes):
            i = g * modes + rank
            at[i] = s
            if rank_mode[g, rank] < 0:
                continue
            value[i] = rank_ths[g, rank] * usd_per_th / (rank_w[g, rank] * meter_factor[s])
            value[i] -= price_usd_per_j[s]
            if value[i] > 0.0:
                wish_w[i] = able * rank_w[g, rank]
    for n in range(node_site.shape[0]):
        i = groups * modes + n
        s = node_site[n]
        at[i] = s
        value[i] = node_usd_per_s[n] / (node_w[n] * meter_factor[s]) - price_usd_per_j[s]
        if value[i] > 0.0:
            wish_w[i] = node_available[n] * node_w[n] * meter_factor[s]

    allot(value, wish_w, at, limits, limits.room_w.copy(), granted_w)

    for g in range(groups):
        for m in range(modes):
            asic_share[g, m] = 0.0
        for rank in range(modes):
            i = g * modes + rank
            if wish_w[i] <= 0.0:
                break
            taken = granted_w[i] / wish_w[i]
            asic_share[g, rank_mode[g, rank]] += taken
            if rank > 0:
                asic_share[g, rank_mode[g, rank - 1]] -= taken
    for g in range(groups):
        for m in range(modes):
            asic_share[g, m] = max(asic_share[g, m], 0.0)
    for n in range(node_site.shape[0]):
        i = groups * modes + n
        node_share[n] = granted_w[i] / wish_w[i] if wish_w[i] > 0.0 else 0.0
