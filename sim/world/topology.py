"""The grid as a graph, compiled to nested limits."""

from dataclasses import dataclass

import networkx as nx
import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.scenario.scenario import Scenario
from sim.units import W_PER_MW

Node = tuple[str, str]  # kind (zone, node, site) and name


@dataclass(frozen=True)
class Topology:
    """Nested limits of a radial grid. Shapes: `site`, `limit`, `depth`."""

    graph: "nx.DiGraph[Node]"  # from the grid's roots to the sites
    limit_names: tuple[str, ...]  # (limit,) "site alpha" or "west → feeder-1"
    capacity_w: Floats  # (limit,) on the sum of the meters below [W]
    path: Ints  # (site, depth) limits a site counts against, -1 where the path has ended
    loss: Floats  # (site,) share of the meter's power lost on the way from the root


def grid_graph(scenario: Scenario) -> "nx.DiGraph[Node]":
    """Zones, substations, transformers, feeders and sites; edges carry capacity and loss.

    Edge attributes: `capacity_w` [W], `loss` [-]. A site's own edge is its interconnect. A site
    without a grid node hangs on its price zone, which then needs no row in grid_nodes.csv.
    """
    graph: nx.DiGraph[Node] = nx.DiGraph()
    for node in scenario.grid_nodes:
        graph.add_node(("node", node.name), kind=node.kind)
    for link in scenario.grid_links:
        graph.add_edge(
            ("node", link.from_node),
            ("node", link.to_node),
            capacity_w=link.capacity_mw * W_PER_MW,
            loss=link.loss_fraction,
        )
    for site in scenario.sites:
        upstream = ("node", site.grid_node) if site.grid_node else ("zone", site.price_zone)
        graph.add_node(upstream)
        graph.add_edge(
            upstream,
            ("site", site.name),
            capacity_w=site.power_limit_mw * W_PER_MW,
            loss=0.0,
        )
    return graph


def compile_topology(scenario: Scenario) -> Topology:
    """Nested limits of a radial grid; limits on the same sites are folded into the tightest.

    Losses of a path are counted at the meter, so a link is held to its capacity by what its sites
    take from the root of the grid, its own losses included: never less than what flows through it.
    """
    graph = grid_graph(scenario)
    index = {site.name: i for i, site in enumerate(scenario.sites)}
    below = {
        edge: frozenset(
            index[name]
            for kind, name in nx.descendants(graph, edge[1]) | {edge[1]}
            if kind == "site"
        )
        for edge in graph.edges
    }
    tightest: dict[frozenset[int], tuple[float, str]] = {}
    for edge, sites in below.items():
        if not sites:
            continue
        kind, name = edge[1]
        label = f"site {name}" if kind == "site" else f"{edge[0][1]} → {name}"
        candidate = (graph.edges[edge]["capacity_w"], label)
        tightest[sites] = min(tightest.get(sites, candidate), candidate)
    nested = sorted(tightest, key=lambda sites: (len(sites), min(sites)))
    paths = [[k for k, sites in enumerate(nested) if i in sites] for i in range(len(index))]
    depth = max(len(path) for path in paths)
    loss = np.zeros(len(index))
    for name, i in index.items():
        passed = 1.0
        node = ("site", name)
        while feeding := list(graph.predecessors(node)):
            passed *= 1.0 - graph.edges[feeding[0], node]["loss"]
            node = feeding[0]
        loss[i] = 1.0 - passed
    return Topology(
        graph=graph,
        limit_names=tuple(tightest[sites][1] for sites in nested),
        capacity_w=np.array([tightest[sites][0] for sites in nested]),
        path=np.array([p + [-1] * (depth - len(p)) for p in paths], dtype=np.int64),
        loss=loss,
    )
