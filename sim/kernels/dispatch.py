"""Merit order: each megawatt to its best use, by firmware mode, GPU or off, under all limits."""

import numpy as np

from sim.kernels.arrays import (
    Limits,
)
from sim.kernels.jit import kernel
from sim.kernels.power import allot, descending
from sim.types import Floats, Ints


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
    asic_factor: Floats,
    node_site: Ints,
    node_available: Floats,
    node_w: Floats,
    node_factor: Floats,
    node_usd_per_s: Floats,
    price_usd_per_j: Floats,
    block_w: Floats,
    block_usd_per_j: Floats,
    limits: Limits,
    usd_per_th: float,
    asic_share: Floats,
    node_share: Floats,
) -> None:
    """Fill the limits with the uses of power that earn more than they cost, the best first.

    Exact for this step: along a group's hull each watt earns less than the one before, so the
    greedy order never takes a mode before the one it builds on. Fills `asic_share` (group, mode)
    and `node_share` (node,); `node_usd_per_s` (node,) of one node. `price_usd_per_j` (2, site) is
    the price of another J for ASICs (row 0) and nodes (row 1); a block (site,) of a contract costs
    `block_usd_per_j` and goes to the best uses of its site first.
    """
    groups, modes = rank_mode.shape
    items = groups * modes + node_site.shape[0]
    value = np.zeros(items)
    wish_w = np.zeros(items)
    granted_w = np.zeros(items)
    most_w = np.zeros(items)
    at = np.zeros(items, dtype=np.int64)
    blocks = False
    for s in range(block_w.shape[0]):
        blocks = blocks or block_w[s] > 0.0
    for g in range(groups):
        s = asic_site[g]
        able = asic_available[g] * heat[g] * asic_factor[g]
        for rank in range(modes):
            i = g * modes + rank
            at[i] = s
            if rank_mode[g, rank] < 0:
                continue
            value[i] = rank_ths[g, rank] * usd_per_th / (rank_w[g, rank] * asic_factor[g])
            most_w[i] = able * rank_w[g, rank]
    for n in range(node_site.shape[0]):
        i = groups * modes + n
        at[i] = node_site[n]
        value[i] = node_usd_per_s[n] / (node_w[n] * node_factor[n])
        most_w[i] = node_available[n] * node_w[n] * node_factor[n]
    if blocks:
        _price_blocks(
            value, most_w, at, groups * modes, price_usd_per_j, block_w, block_usd_per_j, wish_w
        )
    else:
        for i in range(items):
            value[i] -= price_usd_per_j[0 if i < groups * modes else 1, at[i]]
            if value[i] > 0.0:
                wish_w[i] = most_w[i]

    allot(value, wish_w, at, limits, limits.room_w.copy(), granted_w)

    for g in range(groups):
        for m in range(modes):
            asic_share[g, m] = 0.0
        for rank in range(modes):
            i = g * modes + rank
            if wish_w[i] <= 0.0:
                break
            taken = granted_w[i] / most_w[i]
            asic_share[g, rank_mode[g, rank]] += taken
            if rank > 0:
                asic_share[g, rank_mode[g, rank - 1]] -= taken
    for g in range(groups):
        for m in range(modes):
            asic_share[g, m] = max(asic_share[g, m], 0.0)
    for n in range(node_site.shape[0]):
        i = groups * modes + n
        node_share[n] = granted_w[i] / most_w[i] if wish_w[i] > 0.0 else 0.0


@kernel
def _price_blocks(
    value: Floats,
    most_w: Floats,
    at: Ints,
    first_node: int,
    price_usd_per_j: Floats,
    block_w: Floats,
    block_usd_per_j: Floats,
    wish_w: Floats,
) -> None:
    """Take prices off `value` and fill `wish_w` where sites have a block at a price of its own.

    The best uses of a site take its block; a use that is not worth the price beyond the block is
    cut where the block ends. What reaches beyond counts at the price beyond.
    """
    left_w = block_w.copy()
    for i in descending(value):
        s = at[i]
        beyond = value[i] - price_usd_per_j[0 if i < first_node else 1, s]
        within = value[i] - block_usd_per_j[s]
        inside_w = min(left_w[s], most_w[i])
        left_w[s] -= inside_w
        if inside_w >= most_w[i]:
            value[i] = max(within, beyond)  # a block dearer than the grid must not turn the order
            wish_w[i] = most_w[i] if within > 0.0 else 0.0
        elif beyond > 0.0:
            value[i] = beyond
            wish_w[i] = most_w[i]
        else:
            value[i] = within
            wish_w[i] = inside_w if within > 0.0 else 0.0


@kernel
def offer_load(
    asic_site: Ints,
    asic_available: Floats,
    heat: Floats,
    asic_factor: Floats,
    mode_w: Floats,
    asic_share: Floats,
    paid: Floats,
    offer_w: Floats,
) -> None:
    """Offer the ASIC load that will run at each site to the programme that pays it most.

    `paid` and `offer_w` (programme, site); among equals the first programme; nothing for nothing.
    """
    for p in range(paid.shape[0]):
        for s in range(paid.shape[1]):
            offer_w[p, s] = 0.0
    for g in range(asic_site.shape[0]):
        s = asic_site[g]
        best = 0
        for p in range(1, paid.shape[0]):
            if paid[p, s] > paid[best, s]:
                best = p
        if paid[best, s] <= 0.0:
            continue
        power_w = 0.0
        for m in range(mode_w.shape[1]):
            power_w += asic_share[g, m] * mode_w[g, m]
        offer_w[best, s] += power_w * asic_available[g] * heat[g] * asic_factor[g]
