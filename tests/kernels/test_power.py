"""Nested limits: the greedy kernel against a linear programme, and merit order against another."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from sim.kernels.arrays import Limits
from sim.kernels.dispatch import AsicUses, NodeUses, Prices, Shares, frontier, merit_order
from sim.kernels.power import allot, descending


def random_tree(seed: int, sites: int) -> Limits:
    """Sites below feeders below a root, with random room."""
    draw = np.random.default_rng(seed)
    feeders = max(1, sites // 3)
    path = np.full((sites, 3), -1, dtype=np.int64)
    for s in range(sites):
        path[s, 0] = s
        if draw.random() < 0.8:
            path[s, 1:] = sites + draw.integers(feeders), sites + feeders
    room = (
        draw.uniform(0.0, 10.0, sites + feeders + 1)
        * np.r_[np.ones(sites), np.full(feeders, 2.0), 3.0]
    )
    return Limits(path, room, np.zeros(sites), np.full(sites, np.inf))


def with_own_supply(limits: Limits, draw: np.random.Generator) -> Limits:
    """Some sites supply themselves, some are called to step back."""
    sites = len(limits.path)
    return limits._replace(
        local_w=draw.uniform(0.0, 5.0, sites) * (draw.random(sites) < 0.5),
        cap_w=np.where(draw.random(sites) < 0.3, draw.uniform(0.0, 5.0, sites), np.inf),
    )


def matrix(limits: Limits, site: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(limits.room_w), len(site)))
    for i, s in enumerate(site):
        rows[limits.path[s][limits.path[s] >= 0], i] = 1.0
    return rows


@given(st.integers(0, 100_000), st.integers(1, 9), st.integers(1, 25))
def test_no_limit_is_broken_and_no_more_value_is_shed_than_an_lp_sheds(
    seed: int, sites: int, items: int
) -> None:
    draw = np.random.default_rng(seed)
    limits = with_own_supply(random_tree(seed, sites), draw)
    site = draw.integers(0, sites, items)
    value = np.round(draw.uniform(0.1, 5.0, items), 1)  # with ties
    wish = draw.uniform(0.0, 6.0, items)
    granted = np.empty(items)
    allot(value, wish, site, limits, limits.room_w.copy(), granted)
    at = np.zeros((sites, items))
    at[site, np.arange(items)] = 1.0
    net = np.maximum(at @ granted - limits.local_w, 0.0)
    tree = matrix(limits, np.arange(sites))
    assert (tree @ net <= limits.room_w + 1e-9).all()
    assert (net <= limits.cap_w + 1e-9).all()
    assert (granted >= 0).all()
    assert (granted <= wish + 1e-12).all()
    # what a site draws is its load less its own supply, and not below zero
    own = np.hstack([at, -np.eye(sites)])
    capped = np.isfinite(limits.cap_w)
    best = linprog(
        np.r_[-value, np.zeros(sites)],
        A_ub=np.vstack([tree @ own, own[capped], -own]),
        b_ub=np.r_[limits.room_w, limits.cap_w[capped], np.zeros(sites)],
        bounds=[(0, w) for w in np.r_[wish, limits.local_w]],
        method="highs",
    )
    assert value @ granted >= -best.fun - 1e-7


@given(st.integers(0, 100_000), st.integers(0, 200), st.sampled_from([1e-12, 1e-3, 1e6]))
def test_the_order_is_that_of_a_stable_sort(seed: int, items: int, scale: float) -> None:
    """Ties, signs, zeros, and numbers that differ only in their last bits."""
    draw = np.random.default_rng(seed)
    value = draw.choice([0.0, -0.0, 1.0, -1.0], items) + scale * draw.integers(-3, 4, items)
    np.testing.assert_array_equal(descending(value), np.argsort(-value, kind="stable"))


def test_the_hull_of_the_firmware_modes() -> None:
    """A mode below the line between its neighbours is never the best use of power."""
    mode_w = np.array([[1000.0, 2000.0, 3000.0, 0.0]])
    mode_ths = np.array([[60.0, 90.0, 150.0, 0.0]])
    mode, ths, power = frontier(mode_ths, mode_w)
    assert mode.tolist() == [[0, 2, -1, -1]]
    assert ths[0, :2].tolist() == [60.0, 90.0]
    assert power[0, :2].tolist() == [1000.0, 2000.0]


@given(st.integers(0, 100_000), st.integers(1, 5), st.integers(1, 7))
def test_merit_order_earns_what_a_linear_programme_earns(
    seed: int, sites: int, groups: int
) -> None:
    draw = np.random.default_rng(seed)
    limits = random_tree(seed, sites)
    limits = limits._replace(room_w=limits.room_w * 1e6)
    mode_w = np.sort(draw.uniform(1000, 4000, (groups, 3)), axis=1)
    mode_ths = mode_w / draw.uniform(15, 35, (groups, 3))
    site = draw.integers(0, sites, groups)
    available = draw.integers(0, 3000, groups).astype(float)
    heat = draw.uniform(0.8, 1.0, groups)
    node_site = draw.integers(0, sites, 2)
    node_n, node_w = np.array([5.0, 9.0]), np.array([8000.0, 9000.0])
    node_usd = draw.uniform(0.0, 0.004, 2)
    price = draw.uniform(-10, 90, sites) / 3.6e9
    factor = draw.uniform(1.02, 1.2, groups)
    node_factor = draw.uniform(1.1, 1.3, 2)
    usd_per_th = 4e-7
    share, node_share = np.empty((groups, 3)), np.empty(2)
    merit_order(
        frontier(mode_ths, mode_w),
        AsicUses(site, available, heat, factor),
        NodeUses(node_site, node_n, node_w, node_factor, node_usd),
        Prices(np.stack([price, price]), np.zeros(sites), np.zeros(sites)),
        limits,
        usd_per_th,
        Shares(share, node_share),
    )
    assert (share >= 0).all()
    assert (share.sum(axis=1) <= 1 + 1e-9).all()
    machines = available * heat
    w = (machines * factor)[:, None] * mode_w
    usd = machines[:, None] * mode_ths * usd_per_th - w * price[site][:, None]
    nodes_w = node_n * node_w * node_factor
    nodes_usd = node_n * node_usd - nodes_w * price[node_site]
    cost = -np.r_[usd.ravel(), nodes_usd]
    where = np.r_[np.repeat(site, 3), node_site]
    rows = matrix(limits, where) * np.r_[w.ravel(), nodes_w]
    one = np.hstack([np.kron(np.eye(groups), np.ones(3)), np.zeros((groups, 2))])
    best = linprog(
        cost,
        A_ub=np.vstack([rows / 1e6, one]),
        b_ub=np.r_[limits.room_w / 1e6, np.ones(groups)],
        bounds=(0, 1),
        method="highs",
    )
    earned = (usd * share).sum() + (nodes_usd * node_share).sum()
    assert earned >= -best.fun - 1e-6 * max(abs(best.fun), 1e-3)
    used = rows @ np.r_[share.ravel(), node_share]
    assert (used <= limits.room_w * (1 + 1e-9) + 1e-6).all()


@given(st.integers(0, 100_000), st.integers(1, 6))
def test_a_cheap_block_goes_to_the_best_uses_and_the_rest_at_the_market(
    seed: int, groups: int
) -> None:
    """Against a linear programme with two sources for one site: the block, and the market."""
    draw = np.random.default_rng(seed)
    mode_w = np.sort(draw.uniform(1000, 4000, (groups, 3)), axis=1)
    mode_ths = mode_w / draw.uniform(15, 35, (groups, 3))
    available = draw.integers(1, 3000, groups).astype(float)
    block_w, limit_w = draw.uniform(0.1, 8e6), draw.uniform(1e6, 2e7)
    strike, market = np.sort(draw.uniform(-10, 120, 2)) / 3.6e9
    usd_per_th = 4e-7
    share, nodes = np.empty((groups, 3)), np.empty(0)
    none = np.empty(0)
    limits = Limits(
        np.zeros((1, 1), dtype=np.int64), np.array([limit_w]), np.zeros(1), np.full(1, np.inf)
    )
    merit_order(
        frontier(mode_ths, mode_w),
        AsicUses(np.zeros(groups, dtype=np.int64), available, np.ones(groups), np.ones(groups)),
        NodeUses(np.empty(0, dtype=np.int64), none, none, none, none),
        Prices(np.full((2, 1), market), np.array([block_w]), np.array([strike])),
        limits,
        usd_per_th,
        Shares(share, nodes),
    )
    w = (available[:, None] * mode_w).ravel()
    usd = (available[:, None] * mode_ths).ravel() * usd_per_th
    one = np.hstack([np.kron(np.eye(groups), np.ones(3)), np.zeros((groups, 2))])
    best = linprog(
        np.r_[-usd, strike * 1e6, market * 1e6],
        A_ub=np.vstack([np.r_[w / 1e6, 0.0, 0.0], one]),
        b_ub=np.r_[limit_w / 1e6, np.ones(groups)],
        A_eq=np.r_[w / 1e6, -1.0, -1.0][None],
        b_eq=[0.0],
        bounds=[(0, 1)] * len(w) + [(0, block_w / 1e6), (0, None)],
        method="highs",
    )
    used = float(w @ share.ravel())
    earned = usd @ share.ravel() - min(used, block_w) * strike - max(used - block_w, 0.0) * market
    assert earned >= -best.fun - 1e-6 * max(abs(best.fun), 1e-3)
