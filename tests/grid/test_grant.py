"""The grant on a mesh against a plain linear programme, and on a tree against the greedy kernel."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from sim.grid import Granted, Mesh, MeshGrant
from sim.grid.grant import DEAD, OVERLOADED, SITE_LIMIT, SUPPLY, UNCUT, weights
from sim.kernels.arrays import Limits
from sim.kernels.power import allot
from tests.builders.meshes import incidence, live_islands, nodal_flows, random_mesh


class Asked:
    """Random sites on a mesh and what they wish."""

    def __init__(self, mesh: Mesh, seed: int) -> None:
        draw = np.random.default_rng(seed + 1)
        sites, items = int(draw.integers(1, 7)), int(draw.integers(1, 20))
        self.site_bus = draw.integers(0, len(mesh.bus_names), sites)
        self.site_limit = np.where(draw.random(sites) < 0.5, draw.uniform(5, 40, sites), np.inf)
        self.site = draw.integers(0, sites, items)
        self.value = np.round(draw.uniform(-2.0 if seed % 2 else 0.1, 5.0, items), 1)
        self.wish = draw.uniform(0.0, float(draw.choice([1.0, 20.0])), items)


def twin(mesh: Mesh, asked: Asked, weight: np.ndarray) -> tuple[float, set[int]]:
    """Value by a plain programme with angles, island by island; buses of overloaded islands."""
    worth, overloaded = 0.0, set()
    lines = incidence(mesh)
    for island in live_islands(mesh):
        buses = sorted(island)
        items = [i for i, s in enumerate(asked.site) if asked.site_bus[s] in island]
        sources = [k for k, b in enumerate(mesh.source_bus) if b in island]
        here = [n for n in np.flatnonzero(mesh.in_service) if mesh.from_bus[n] in island]
        g, s, b = len(items), len(sources), len(buses)
        balance = np.zeros((b, g + s + b))
        for column, i in enumerate(items):
            balance[buses.index(asked.site_bus[asked.site[i]]), column] = -1.0
        for column, k in enumerate(sources):
            balance[buses.index(mesh.source_bus[k]), g + column] = 1.0
        law = mesh.susceptance_mw[here, None] * lines[np.ix_(here, buses)]
        balance[:, g + s :] = -lines[np.ix_(here, buses)].T @ law
        held = [row for row, n in enumerate(here) if np.isfinite(mesh.limit_mw[n])]
        flow = np.hstack([np.zeros((len(held), g + s)), law[held]])
        limit = mesh.limit_mw[[here[row] for row in held]]
        at = [k for k in np.unique(asked.site[items]) if np.isfinite(asked.site_limit[k])]
        rows = np.zeros((len(at), g + s + b))
        for row, k in enumerate(at):
            rows[row, [c for c, i in enumerate(items) if asked.site[i] == k]] = 1.0
        best = linprog(
            np.r_[-weight[items], np.zeros(s + b)],
            A_ub=np.vstack([flow, -flow, rows]),
            b_ub=np.r_[limit, limit, asked.site_limit[at]],
            A_eq=balance,
            b_eq=mesh.load_mw[buses],
            bounds=[(0, asked.wish[i]) for i in items]
            + [(mesh.source_min_mw[k], mesh.source_max_mw[k]) for k in sources]
            + [(None, None)] * b,
            method="highs",
        )
        if best.status == 2:
            overloaded |= island
        else:
            assert best.status == 0
            worth -= best.fun
    return worth, overloaded


def check(mesh: Mesh, asked: Asked, got: Granted) -> None:
    """No limit is exceeded, and no plain programme gets more."""
    weight, wanted = np.ones(len(asked.wish)), asked.wish > 0
    weight[wanted] = weights(asked.value[wanted])
    worth, overloaded = twin(mesh, asked, weight)
    assert weight @ got.granted_mw == pytest.approx(worth, rel=1e-6, abs=1e-6)
    assert got.feasible is (not overloaded)
    assert (got.granted_mw >= 0).all()
    assert (got.granted_mw <= asked.wish + 1e-9).all()
    total = np.bincount(asked.site, got.granted_mw, len(asked.site_bus))
    assert (total <= asked.site_limit + 1e-6).all()
    injection = np.zeros(len(mesh.bus_names))
    live = set().union(*live_islands(mesh)) if live_islands(mesh) else set()
    fine = live - overloaded
    np.add.at(injection, mesh.source_bus, got.generation_mw)
    injection -= mesh.load_mw
    np.subtract.at(injection, asked.site_bus, total)
    injection[[b for b in range(len(injection)) if b not in fine]] = 0.0
    for island in live_islands(mesh):
        assert injection[sorted(island)].sum() == pytest.approx(0.0, abs=1e-6)
    flow = nodal_flows(mesh, injection)
    assert (np.abs(flow) <= mesh.limit_mw + 2e-6).all()
    here = [n for n in range(len(flow)) if mesh.from_bus[n] in fine and mesh.in_service[n]]
    np.testing.assert_allclose(got.flow_mw[here], flow[here], atol=1e-5)
    on = ~np.isin(mesh.source_bus, list(overloaded)) & np.isin(mesh.source_bus, list(live))
    assert (got.generation_mw[on] <= mesh.source_max_mw[on] + 1e-6).all()
    assert (got.generation_mw[on] >= mesh.source_min_mw[on] - 1e-6).all()
    for s, why in enumerate(got.binding):
        cut = total[s] < asked.wish[asked.site == s].sum() - 1e-5
        assert not cut or why != UNCUT
        if why == SITE_LIMIT:
            assert total[s] == pytest.approx(asked.site_limit[s])
        if why >= 0:
            assert abs(got.flow_mw[why]) == pytest.approx(mesh.limit_mw[why], abs=1e-5)
        if why == DEAD:
            assert asked.site_bus[s] not in live
        if why == OVERLOADED:
            assert asked.site_bus[s] in overloaded


@given(st.integers(0, 1_000_000), st.integers(2, 12))
def test_no_limit_is_broken_and_no_programme_grants_more(seed: int, buses: int) -> None:
    mesh = random_mesh(seed, buses)
    asked = Asked(mesh, seed)
    grid = MeshGrant(mesh, asked.site_bus, asked.site_limit)
    draw = np.random.default_rng(seed + 2)
    for _ in range(4):  # through outages and repairs, warm
        check(mesh, asked, grid.grant(asked.value, asked.wish, asked.site, mesh.load_mw))
        given = draw.uniform(0.0, 30.0, len(mesh.source_bus))
        got = grid.grant(asked.value, asked.wish, asked.site, mesh.load_mw, given)
        check(mesh, asked, got)
        asked.wish = asked.wish * draw.uniform(0.5, 1.5, len(asked.wish))
        asked.value = np.round(asked.value + draw.normal(0.0, 0.5, len(asked.value)), 1)
        mesh = replace(
            mesh,
            in_service=draw.random(len(mesh.line_names)) < 0.85,
            load_mw=mesh.load_mw * draw.uniform(0.5, 1.4, buses),
        )
        grid.set_in_service(mesh.in_service)


@given(st.integers(0, 100_000), st.integers(1, 8), st.integers(1, 25))
def test_on_a_tree_it_is_the_greedy_order(seed: int, sites: int, items: int) -> None:
    """Root, feeders, sites: nested limits, with values that differ."""
    draw = np.random.default_rng(seed)
    feeders = max(1, sites // 3)
    feeder = draw.integers(0, feeders, sites)
    room = draw.uniform(1.0, 10.0, sites + feeders + 1)
    room[sites:] *= 2.0
    lines = feeders + 1 + sites  # zone to root, root to feeders, feeders to sites
    mesh = Mesh(
        bus_names=tuple(map(str, range(2 + feeders + sites))),
        line_names=tuple(map(str, range(lines))),
        from_bus=np.r_[0, np.ones(feeders, dtype=np.int64), 2 + feeder],
        to_bus=np.arange(1, lines + 1),
        susceptance_mw=draw.uniform(100.0, 1000.0, lines),
        shift_rad=np.zeros(lines),
        limit_mw=np.r_[room[-1], room[sites:-1], np.full(sites, np.inf)],
        in_service=np.ones(lines, dtype=np.bool_),
        source_bus=np.array([0]),
        source_min_mw=np.zeros(1),
        source_max_mw=np.array([np.inf]),
        load_mw=np.zeros(lines + 1),
    )
    site = draw.integers(0, sites, items)
    value = draw.permutation(np.arange(1.0, items + 1.0))
    wish = draw.uniform(0.0, 6.0, items)
    path = np.column_stack([np.arange(sites), sites + feeder, np.full(sites, sites + feeders)])
    wanted = np.empty(items)
    free = Limits(path, room, np.zeros(sites), np.full(sites, np.inf))
    allot(value, wish, site, free, room.copy(), wanted)
    got = MeshGrant(mesh, 2 + feeders + np.arange(sites), room[:sites]).grant(value, wish, site)
    np.testing.assert_allclose(got.granted_mw, wanted, atol=1e-5)
    flow = np.bincount(site, wanted, sites)
    np.testing.assert_allclose(got.flow_mw[-sites:], flow, atol=1e-5)


def ring(**changes: object) -> Mesh:
    """Three buses in a ring, a generator of 100 MW at the first, 50 MW of load at the last."""
    mesh = Mesh(
        bus_names=("a", "b", "c"),
        line_names=("ab", "ac", "bc"),
        from_bus=np.array([0, 0, 1]),
        to_bus=np.array([1, 2, 2]),
        susceptance_mw=np.full(3, 1000.0),
        shift_rad=np.zeros(3),
        limit_mw=np.full(3, 60.0),
        in_service=np.ones(3, dtype=np.bool_),
        source_bus=np.array([0]),
        source_min_mw=np.zeros(1),
        source_max_mw=np.array([100.0]),
        load_mw=np.array([0.0, 0.0, 50.0]),
    )
    return replace(mesh, **changes)  # type: ignore[arg-type]


def grant(mesh: Mesh, wish: list[float], limit: list[float], value: list[float]) -> Granted:
    """Sites at b and c with an item each."""
    grid = MeshGrant(mesh, np.array([1, 2]), np.array(limit))
    return grid.grant(np.array(value), np.array(wish), np.array([0, 1]))


INF = float("inf")


def test_why_a_site_was_cut() -> None:
    assert grant(ring(), [10, 10], [INF, INF], [1, 1]).binding.tolist() == [UNCUT, UNCUT]
    out = grant(ring(), [10, 10], [INF, 4], [1, 1])
    assert out.granted_mw.tolist() == [10, 4]
    assert out.binding.tolist() == [UNCUT, SITE_LIMIT]
    out = grant(ring(), [40, 40], [INF, INF], [2, 1])
    np.testing.assert_allclose(out.granted_mw, [40, 10], atol=1e-6)
    assert out.binding.tolist() == [UNCUT, SUPPLY]
    out = grant(ring(source_max_mw=np.array([INF])), [40, 60], [INF, INF], [9, 1])
    np.testing.assert_allclose(out.granted_mw, [40, 20], atol=1e-6)  # ac: 40/3 + 70 x 2/3 = 60
    assert out.binding.tolist() == [UNCUT, 1]
    dead = ring(in_service=np.array([True, False, False]))
    out = grant(dead, [10, 10], [INF, INF], [1, 1])
    assert out.granted_mw.tolist() == [10, 0]
    assert out.binding.tolist() == [UNCUT, DEAD]
    assert out.feasible
    out = grant(ring(limit_mw=np.full(3, 30.0)), [10, 0], [INF, INF], [1, 1])
    assert not out.feasible
    assert out.granted_mw.tolist() == [0, 0]
    assert out.binding.tolist() == [OVERLOADED, UNCUT]


def test_values_below_zero_lose_nothing_without_need() -> None:
    out = grant(ring(), [10, 10], [INF, INF], [-5, 0])
    assert out.granted_mw.tolist() == [10, 10]
    out = grant(ring(limit_mw=np.full(3, 90.0)), [40, 40], [INF, INF], [-5, -1])
    np.testing.assert_allclose(out.granted_mw, [10, 40], atol=1e-6)


def test_weights_keep_order_and_differences() -> None:
    assert weights(np.array([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert weights(np.array([-3.0, -3.0])).tolist() == [1.0, 1.0]
    moved = weights(np.array([-3.0, 0.0, 7.0]))
    assert moved[0] == pytest.approx(1e-4 * moved[2])
    np.testing.assert_allclose(np.diff(moved), [3.0, 7.0])


def test_equal_values_of_a_site_are_served_in_their_order() -> None:
    grid = MeshGrant(ring(), np.array([2]), np.array([7.0]))
    out = grid.grant(np.ones(3), np.full(3, 3.0), np.zeros(3, dtype=np.int64))
    assert out.granted_mw.tolist() == [3, 3, 1]


def test_the_same_calls_give_the_same_answers() -> None:
    mesh = random_mesh(3, 12)
    asked = Asked(mesh, 3)
    answers = []
    for _ in range(2):
        grid = MeshGrant(mesh, asked.site_bus, asked.site_limit)
        answers.append([grid.grant(asked.value, asked.wish * k, asked.site) for k in range(5)])
    for one, other in zip(*answers, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0], [1.0, 2.0], [0, 1]), "must be alike"),
        (([1.0], [1.0], [2]), "site: must be 0 to 1"),
        (([1.0], [-1.0], [0]), "wish_mw: must be numbers >= 0"),
        (([np.nan], [1.0], [0]), "value: must be numbers"),
        (([1.0], [1.0], [0], [1.0]), "load_mw: must be 3 numbers"),
        (([1.0], [1.0], [0], None, [1.0, 2.0]), "generation_mw: must be 1 numbers"),
    ],
)
def test_arguments_that_make_no_sense(arguments: tuple[object, ...], words: str) -> None:
    grid = MeshGrant(ring(), np.array([1, 2]), np.array([5.0, 5.0]))
    with pytest.raises(ValueError, match=words):
        grid.grant(*(a if a is None else np.array(a) for a in arguments))  # type: ignore[arg-type]


def test_sites_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="site_bus: must be buses, 0 to 2"):
        MeshGrant(ring(), np.array([3]), np.array([1.0]))
    with pytest.raises(ValueError, match="site_limit_mw: must be a number >= 0"):
        MeshGrant(ring(), np.array([1]), np.array([-1.0]))
