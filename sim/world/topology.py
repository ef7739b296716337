"""The grid as a graph, compiled to nested limits if it is radial and to a mesh if it is not."""

from dataclasses import dataclass, field
from typing import Final

import networkx as nx
import numpy as np

from sim.grid.mesh import Mesh, SusceptanceForm, mesh_of
from sim.scenario.rows import Site
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints
from sim.units import W_PER_MW

Node = tuple[str, str]  # kind (zone, node, site) and name
BASE_MVA: Final = 100.0  # of reactances in grid_links.csv
FORMS: Final[dict[str, SusceptanceForm]] = {"pglib": "x/(r²+x²)", "matpower": "1/(x·tap)"}
SHORT_PU: Final = 1e-4  # reactance of a bridge without one: any value gives the same flows


@dataclass(frozen=True)
class SiteMesh:
    """A meshed grid, and the bus of each site."""

    mesh: Mesh  # its lines in the order of grid_links.csv, or of the case's branches
    site_bus: Ints  # (site,)


@dataclass(frozen=True)
class Topology:
    """Nested limits. Shapes: `site`, `limit`, `depth`.

    For a meshed grid they are only the sites' own.
    """

    graph: "nx.MultiDiGraph[Node]"  # from the grid's roots to the sites
    limit_names: tuple[str, ...]  # (limit,) "site alpha" or "west → feeder-1"
    edges: tuple[tuple[tuple[float, int], ...], ...]  # (limit,) [W] and link of merged edges
    path: Ints  # (site, depth) limits a site counts against, -1 where the path has ended
    loss: Floats  # (site,) share of the meter's power lost on the way from the root
    link_names: tuple[str, ...]  # rows of grid_links.csv, or branches of the case
    mesh: SiteMesh | None = None
    capacity_w: Floats = field(init=False)  # (limit,) with every link in service, all built

    def __post_init__(self) -> None:
        object.__setattr__(self, "capacity_w", self.capacity({}))

    def capacity(self, left: dict[int, float]) -> Floats:
        """Room under each limit (limit,) [W], given the share left on links (by row)."""
        return np.array(
            [min(w * left.get(link, 1.0) for w, link in folded) for folded in self.edges]
        )


def own_link(site: int) -> int:
    """Link number of a site's own connection: negative, so that no sheet row has it."""
    return -1 - site


def planned_mw(scenario: Scenario, site: Site) -> float:
    """A site's limit with every substation that may be built for it [MW]."""
    built = (p.substations_mw.get(site.name, 0.0) for p in scenario.projects.values() if p.enabled)
    return site.power_limit_mw + sum(built)


def is_meshed(scenario: Scenario) -> bool:
    """Whether power has more than one path: a MATPOWER case, or links that close a ring."""
    if scenario.case is not None:
        return True
    graph: nx.MultiGraph[str] = nx.MultiGraph()
    graph.add_nodes_from(n.name for n in scenario.grid_nodes)
    graph.add_edges_from((x.from_node, x.to_node) for x in scenario.grid_links)
    zones = [n.name for n in scenario.grid_nodes if n.kind == "zone"]
    graph.add_edges_from(("", zone) for zone in zones)  # the grid beyond: two zones make a ring
    trees = graph.number_of_nodes() - nx.number_connected_components(graph)
    return bool(graph.number_of_edges() > trees)


def grid_graph(scenario: Scenario) -> "nx.MultiDiGraph[Node]":
    """Zones, substations, transformers, feeders and sites; edges carry capacity and loss.

    Edge attributes: `capacity_w` [W], `loss` [-], `link`: row of grid_links.csv, or `own_link` of a
    site, its interconnect with the substations planned for it. A site without a grid node connects
    to its price zone, which then needs no row in grid_nodes.csv.
    """
    graph: nx.MultiDiGraph[Node] = nx.MultiDiGraph()
    for node in scenario.grid_nodes:
        graph.add_node(("node", node.name), kind=node.kind)
    for row, link in enumerate(scenario.grid_links):
        graph.add_edge(
            ("node", link.from_node),
            ("node", link.to_node),
            capacity_w=link.capacity_mw * W_PER_MW,
            loss=link.loss_fraction,
            link=row,
        )
    for i, site in enumerate(scenario.sites):
        upstream = ("node", site.grid_node) if site.grid_node else ("zone", site.price_zone)
        graph.add_node(upstream)
        graph.add_edge(
            upstream,
            ("site", site.name),
            capacity_w=planned_mw(scenario, site) * W_PER_MW,
            loss=0.0,
            link=own_link(i),
        )
    return graph


def compile_topology(scenario: Scenario) -> Topology:
    """Nested limits of a radial grid, or a mesh; limits on the same sites are merged into one.

    Losses of a path are counted at the meter, so a link is held to its capacity by what its sites
    draw from the root of the grid, its own losses included: never less than what flows through it.
    A meshed grid is a DC power flow, which has no losses.
    """
    graph = grid_graph(scenario)
    if is_meshed(scenario):
        return _meshed(scenario, graph)
    index = {site.name: i for i, site in enumerate(scenario.sites)}
    folded: dict[frozenset[int], list[tuple[float, str, int]]] = {}
    for start, end, edge in graph.edges(data=True):
        below = nx.descendants(graph, end) | {end}
        sites = frozenset(index[name] for kind, name in below if kind == "site")
        if sites:
            kind, name = end
            label = f"site {name}" if kind == "site" else f"{start[1]} → {name}"
            entry = (edge["capacity_w"], label, edge["link"])
            folded.setdefault(sites, []).append(entry)
    nested = sorted(folded, key=lambda sites: (len(sites), min(sites)))
    paths = [[k for k, sites in enumerate(nested) if i in sites] for i in range(len(index))]
    depth = max(len(path) for path in paths)
    loss = np.zeros(len(index))
    for name, i in index.items():
        passed = 1.0
        node = ("site", name)
        while feeding := list(graph.predecessors(node)):
            passed *= 1.0 - graph.edges[feeding[0], node, 0]["loss"]
            node = feeding[0]
        loss[i] = 1.0 - passed
    return Topology(
        graph=graph,
        limit_names=tuple(min(folded[sites])[1] for sites in nested),
        edges=tuple(tuple((w, link) for w, _, link in folded[sites]) for sites in nested),
        path=np.array([p + [-1] * (depth - len(p)) for p in paths], dtype=np.int64),
        loss=loss,
        link_names=_line_names([(x.from_node, x.to_node) for x in scenario.grid_links]),
    )


def _meshed(scenario: Scenario, graph: "nx.MultiDiGraph[Node]") -> Topology:
    """Each site's interconnect as its only nested limit; the mesh holds the rest."""
    count = len(scenario.sites)
    mesh = _case_mesh(scenario) if scenario.case is not None else _sheet_mesh(scenario)
    return Topology(
        graph=graph,
        limit_names=tuple(f"site {s.name}" for s in scenario.sites),
        edges=tuple(
            ((planned_mw(scenario, s) * W_PER_MW, own_link(i)),)
            for i, s in enumerate(scenario.sites)
        ),
        path=np.arange(count, dtype=np.int64)[:, None],
        loss=np.zeros(count),
        link_names=mesh.mesh.line_names,
        mesh=mesh,
    )


def _case_mesh(scenario: Scenario) -> SiteMesh:
    assert scenario.case is not None
    mesh = mesh_of(scenario.case, FORMS[scenario.grid.susceptance])
    bus = {str(number): i for i, number in enumerate(scenario.case.bus_number)}
    site_bus = [bus[str(s.grid_node)] for s in scenario.sites]
    return SiteMesh(mesh, np.array(site_bus, dtype=np.int64))


def _sheet_mesh(scenario: Scenario) -> SiteMesh:
    """Buses are the sheets' nodes and the zones of sites; zones supply whatever is drawn."""
    names = [n.name for n in scenario.grid_nodes]
    zones = [n.name for n in scenario.grid_nodes if n.kind == "zone"]
    for site in scenario.sites:
        if site.grid_node is None and site.price_zone not in names:
            names.append(site.price_zone)
            zones.append(site.price_zone)
    bus = {name: i for i, name in enumerate(names)}
    links = scenario.grid_links
    reactance = np.array([x.reactance_pu or SHORT_PU for x in links])
    count = len(links)
    mesh = Mesh(
        bus_names=tuple(names),
        line_names=_line_names([(x.from_node, x.to_node) for x in links]),
        from_bus=np.array([bus[x.from_node] for x in links], dtype=np.int64),
        to_bus=np.array([bus[x.to_node] for x in links], dtype=np.int64),
        susceptance_mw=BASE_MVA / reactance,
        shift_rad=np.zeros(count),
        limit_mw=np.array([x.capacity_mw for x in links]),
        in_service=np.ones(count, dtype=np.bool_),
        source_bus=np.array([bus[z] for z in zones], dtype=np.int64),
        source_min_mw=np.zeros(len(zones)),
        source_max_mw=np.full(len(zones), np.inf),
        load_mw=np.zeros(len(names)),
    )
    site_bus = [bus[s.grid_node or s.price_zone] for s in scenario.sites]
    return SiteMesh(mesh, np.array(site_bus, dtype=np.int64))


def _line_names(ends: list[tuple[str, str]]) -> tuple[str, ...]:
    """Unique names: circuits between the same two nodes are numbered."""
    names = []
    for i, (a, b) in enumerate(ends):
        circuit = f" ({ends[: i + 1].count((a, b))})" if ends.count((a, b)) > 1 else ""
        names.append(f"{a} → {b}{circuit}")
    return tuple(names)
