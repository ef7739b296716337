"""Merit order: each megawatt to its best use, by firmware mode, GPU or off, under all limits."""

from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import Items, Limits
from sim.kernels.jit import kernel, pure_kernel
from sim.kernels.power import allot, descending
from sim.types import Floats, Ints


class Hulls(NamedTuple):
    """The efficient firmware modes of each group by rising power, none past the end. Shape: `rank`.

    Hashrate per watt falls along a hull: each watt earns less than the one before.
    """

    mode: Ints  # (group, rank) -1 past the end
    ths: Floats  # (group, rank) what a mode adds to the one before [TH/s]
    w: Floats  # (group, rank) and its power [W]


class AsicUses(NamedTuple):
    """ASIC groups as uses of power."""

    site: Ints  # (group,)
    available: Floats  # (group,) machines
    heat: Floats  # (group,) thermal factor on hashrate and power
    factor: Floats  # (group,) W at the meter for a W of machines


class NodeUses(NamedTuple):
    """Groups of GPU nodes as uses of power."""

    site: Ints  # (node,)
    available: Floats  # (node,) nodes
    node_w: Floats  # (node,) of one node [W]
    factor: Floats  # (node,) W at the meter for a W of nodes
    usd_per_s: Floats  # (node,) what one node earns


class Prices(NamedTuple):
    """What energy costs the uses of a site."""

    usd_per_j: Floats  # (2, site) of another J, for ASICs (row 0) and nodes (row 1)
    block_w: Floats  # (site,) a block of a contract, which goes to the best uses of its site first
    block_usd_per_j: Floats  # (site,) what that costs


class Shares(NamedTuple):
    """What runs: a share of the available machines."""

    asic: Floats  # (group, mode)
    node: Floats  # (node,)


@kernel
def frontier(mode_ths: Floats, mode_w: Floats) -> Hulls:
    """The upper hulls of hashrate over power from off, of modes (group, mode) [TH/s], [W]."""
    modes = mode_ths.shape[1]
    hulls = Hulls(np.full(mode_ths.shape, -1), np.zeros(mode_ths.shape), np.zeros(mode_ths.shape))
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
            if best < 0:
                break
            hulls.mode[g, rank] = best
            hulls.ths[g, rank] = mode_ths[g, best] - ths
            hulls.w[g, rank] = mode_w[g, best] - power_w
            ths = mode_ths[g, best]
            power_w = mode_w[g, best]
    return hulls


@kernel
def merit_order(
    hulls: Hulls,
    asics: AsicUses,
    nodes: NodeUses,
    prices: Prices,
    limits: Limits,
    usd_per_th: float,
    shares: Shares,
) -> None:
    """Fill the limits with the uses of power that earn more than they cost, the best first.

    Exact for this step: along a group's hull each watt earns less than the one before, so the
    greedy order never takes a mode before the one it builds on. Fills `shares`; `usd_per_th` is
    what a hash earns [USD/TH].
    """
    first_node = hulls.mode.size
    count = first_node + nodes.site.shape[0]
    items = Items(
        np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
    )
    most_w = np.zeros(count)
    _add_modes(hulls, asics, usd_per_th, items, most_w)
    _add_nodes(nodes, items, most_w, first_node)
    blocks = False
    for s in range(prices.block_w.shape[0]):
        blocks = blocks or prices.block_w[s] > 0.0
    if blocks:
        _price_blocks(items, most_w, prices, first_node)
    else:
        for i in range(count):
            items.value[i] -= prices.usd_per_j[0 if i < first_node else 1, items.site[i]]
            if items.value[i] > 0.0:
                items.wish_w[i] = most_w[i]
    allot(items.value, items.wish_w, items.site, limits, limits.room_w.copy(), items.granted_w)
    _share_modes(hulls, items, most_w, shares.asic)
    for n in range(nodes.site.shape[0]):
        i = first_node + n
        shares.node[n] = items.granted_w[i] / most_w[i] if items.wish_w[i] > 0.0 else 0.0


@pure_kernel
def _add_modes(
    hulls: Hulls, asics: AsicUses, usd_per_th: float, items: Items, most_w: Floats
) -> None:
    """Each mode on top of the one below it: what a J earns [USD/J], and its power [W]."""
    groups, modes = hulls.mode.shape
    for g in range(groups):
        able = asics.available[g] * asics.heat[g] * asics.factor[g]
        for rank in range(modes):
            i = g * modes + rank
            items.site[i] = asics.site[g]
            if hulls.mode[g, rank] < 0:
                continue
            watts = hulls.w[g, rank] * asics.factor[g]
            items.value[i] = hulls.ths[g, rank] * usd_per_th / watts
            most_w[i] = able * hulls.w[g, rank]


@pure_kernel
def _add_nodes(nodes: NodeUses, items: Items, most_w: Floats, first: int) -> None:
    """Each group of nodes: what a J earns [USD/J], and its power [W]."""
    for n in range(nodes.site.shape[0]):
        i = first + n
        items.site[i] = nodes.site[n]
        items.value[i] = nodes.usd_per_s[n] / (nodes.node_w[n] * nodes.factor[n])
        most_w[i] = nodes.available[n] * nodes.node_w[n] * nodes.factor[n]


@pure_kernel
def _share_modes(hulls: Hulls, items: Items, most_w: Floats, asic_share: Floats) -> None:
    """Shares of modes out of what the steps between them were granted."""
    groups, modes = hulls.mode.shape
    for g in range(groups):
        for m in range(modes):
            asic_share[g, m] = 0.0
        for rank in range(modes):
            i = g * modes + rank
            if items.wish_w[i] <= 0.0:
                break
            taken = items.granted_w[i] / most_w[i]
            asic_share[g, hulls.mode[g, rank]] += taken
            if rank > 0:
                asic_share[g, hulls.mode[g, rank - 1]] -= taken
        for m in range(modes):
            asic_share[g, m] = max(asic_share[g, m], 0.0)


@kernel
def _price_blocks(items: Items, most_w: Floats, prices: Prices, first_node: int) -> None:
    """Take prices off values and fill the wishes where sites have a block at a price of its own.

    The best uses of a site take its block; a use that is not worth the price beyond the block is
    cut where the block ends. What reaches beyond counts at the price beyond.
    """
    value, wish_w = items.value, items.wish_w
    left_w = prices.block_w.copy()
    for i in descending(value):
        s = items.site[i]
        beyond = value[i] - prices.usd_per_j[0 if i < first_node else 1, s]
        within = value[i] - prices.block_usd_per_j[s]
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
    asics: AsicUses, mode_w: Floats, asic_share: Floats, paid: Floats, offer_w: Floats
) -> None:
    """Offer the ASIC load that will run at each site to the programme that pays it most.

    `paid` and `offer_w` (programme, site); among equals the first programme; nothing for nothing.
    """
    for p in range(paid.shape[0]):
        for s in range(paid.shape[1]):
            offer_w[p, s] = 0.0
    for g in range(asics.site.shape[0]):
        s = asics.site[g]
        best = 0
        for p in range(1, paid.shape[0]):
            if paid[p, s] > paid[best, s]:
                best = p
        if paid[best, s] <= 0.0:
            continue
        power_w = 0.0
        for m in range(mode_w.shape[1]):
            power_w += asic_share[g, m] * mode_w[g, m]
        offer_w[best, s] += power_w * asics.available[g] * asics.heat[g] * asics.factor[g]
