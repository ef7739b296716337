"""Radial grids as nested limits."""

import numpy as np
import pytest
from scipy.optimize import linprog

from sim.world.topology import compile_topology, grid_graph
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


def test_the_most_that_fits_is_the_maximum_flow() -> None:
    import networkx as nx

    scenario = build_scenario(feeder_mw=13.0)
    topology = compile_topology(scenario)
    graph = grid_graph(scenario)
    for name in ("alpha", "bravo"):
        graph.add_edge(("site", name), "sink", capacity_w=1e12)
    flow, _ = nx.maximum_flow(graph, ("node", "root"), "sink", capacity="capacity_w")
    rows = np.zeros((3, 2))
    for s, path in enumerate(topology.path):
        rows[path[path >= 0], s] = 1
    best = linprog([-1, -1], A_ub=rows, b_ub=topology.capacity_w, method="highs")
    assert -best.fun == pytest.approx(flow)
