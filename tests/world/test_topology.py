"""Radial grids as nested limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from sim.kernels.arrays import Limits
from sim.kernels.power import allot
from sim.scenario import Scenario
from sim.units import W_PER_MW
from sim.world.topology import compile_topology
from tests.conftest import build_scenario


def test_nested_limits_and_losses() -> None:
    topology = compile_topology(build_scenario(feeder_mw=3.0))
    assert topology.limit_names == ("site alpha", "site bravo", "root → feeder")
    assert topology.capacity_w.tolist() == [10e6, 10e6, 3e6]
    assert topology.path.tolist() == [[0, 2], [1, 2]]
    assert topology.loss.tolist() == pytest.approx([0.01, 0.01])
    assert topology.graph.number_of_edges() == 3


def test_the_tightest_of_equal_limits_is_kept() -> None:
    one = compile_topology(
        build_scenario(sites=[{"name": "alpha"}], asics=[], gpus=[], feeder_mw=2.0)
    )
    assert one.limit_names == ("root → feeder",)
    assert one.capacity_w.tolist() == [2e6]


def test_sites_without_a_grid_have_their_interconnect_only() -> None:
    topology = compile_topology(build_scenario())
    assert topology.path.tolist() == [[0], [1]]
    assert topology.loss.tolist() == [0.0, 0.0]


@given(st.integers(0, 100_000))
def test_the_most_that_fits_is_the_maximum_flow(seed: int) -> None:
    """Random trees: what the greedy grant gives in all is what scipy's maximum flow gives."""
    draw = np.random.default_rng(seed)
    scenario, parent = random_tree(draw)
    topology = compile_topology(scenario)
    count = len(scenario.sites)
    wish = draw.integers(0, 20, count).astype(float)
    granted = np.empty(count)
    free = Limits(topology.path, topology.capacity_w, np.zeros(count), np.full(count, np.inf))
    room = topology.capacity_w.copy()
    allot(np.ones(count), wish * W_PER_MW, np.arange(count), free, room, granted)
    nodes = len(parent)
    flow = np.zeros((nodes + count + 1, nodes + count + 1), dtype=np.int32)
    for child, link in enumerate(scenario.grid_links, start=1):
        flow[parent[child], child] = link.capacity_mw
    for s, site in enumerate(scenario.sites):
        flow[int(str(site.grid_node)[1:]), nodes + s] = site.power_limit_mw
        flow[nodes + s, -1] = wish[s]
    most = maximum_flow(csr_array(flow), 0, nodes + count).flow_value
    assert granted.sum() / W_PER_MW == pytest.approx(most)


def random_tree(draw: np.random.Generator) -> tuple[Scenario, list[int]]:
    """A random radial grid with whole megawatts, and the parent of each node."""
    parent = [-1, *(int(draw.integers(n)) for n in range(1, int(draw.integers(2, 8))))]
    nodes = [{"name": "n0", "kind": "zone"}]
    nodes += [{"name": f"n{n}", "kind": "feeder"} for n in range(1, len(parent))]
    links = [
        {"from_node": f"n{p}", "to_node": f"n{n}", "capacity_mw": int(draw.integers(1, 40))}
        for n, p in enumerate(parent)
        if p >= 0
    ]
    sites = [
        {
            "name": f"s{i}",
            "grid_node": f"n{draw.integers(len(parent))}",
            "power_limit_mw": int(draw.integers(1, 20)),
        }
        for i in range(int(draw.integers(1, 9)))
    ]
    grid = {"grid_nodes": nodes, "grid_links": links}
    return build_scenario(sites=sites, asics=[], gpus=[], grid=grid), parent
