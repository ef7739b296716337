"""Small cases as text, random meshes, and flows computed another way."""

import networkx as nx
import numpy as np

from sim.grid import Mesh

THREE = """function mpc = three
mpc.version = '2';
mpc.baseMVA = 100.0;   % a comment; with [brackets]
mpc.bus = [
    1 3   0 0 0 0 1 1 0 230 1 1.1 0.9;
    2 2   0 0 0 0 1 1 0 230 1 1.1 0.9;  % another
    7 1 150 0 0 0 1 1 0 230 1 1.1 0.9;
];
mpc.gen = [
    1 0 0 0 0 1 100 1 200 0;
    2 0 0 0 0 1 100 1 200 0;
];
mpc.gencost = [
    2 0 0 3 0 10 0;
    2 0 0 3 0 30 5;
];
mpc.branch = [
    1 2 0 0.1 0 0  0 0 0 0 1 -360 360;
    1 7 0 0.1 0 80 0 0 0 0 1 -360 360;
    2 7 0 0.1 0 0  0 0 0 0 1 -360 360;
];
"""


def random_mesh(seed: int, buses: int, outages: bool = True) -> Mesh:
    """A tree and as many lines again, some of them parallel; a few out of service."""
    draw = np.random.default_rng(seed)
    parent = [int(draw.integers(0, b)) for b in range(1, buses)]
    more = [draw.choice(buses, 2, replace=False) for _ in range(buses)]
    from_bus = np.array([*parent, *(int(a) for a, _ in more), 0])
    to_bus = np.array([*range(1, buses), *(int(b) for _, b in more), 1])
    lines = len(from_bus)
    limit = np.where(draw.random(lines) < 0.7, draw.uniform(5.0, 60.0, lines), np.inf)
    sources = int(draw.integers(1, 4))
    endless = draw.random(sources) < 0.3
    least = np.where(endless, 0.0, draw.choice([0.0, 0.0, 3.0], sources))
    return Mesh(
        bus_names=tuple(f"bus {b}" for b in range(buses)),
        line_names=tuple(f"line {n}" for n in range(lines)),
        from_bus=from_bus,
        to_bus=to_bus,
        susceptance_mw=draw.uniform(100.0, 5000.0, lines),
        shift_rad=np.zeros(lines),
        limit_mw=limit,
        in_service=draw.random(lines) > (0.25 if outages else 0.0),
        source_bus=draw.integers(0, buses, sources),
        source_min_mw=least,
        source_max_mw=np.where(endless, np.inf, least + draw.uniform(10.0, 80.0, sources)),
        load_mw=np.where(draw.random(buses) < 0.5, draw.uniform(0.0, 4.0, buses), 0.0),
    )


def incidence(mesh: Mesh) -> np.ndarray:
    """(line, bus): 1 where a line in service starts, -1 where it ends."""
    rows = np.zeros((len(mesh.line_names), len(mesh.bus_names)))
    on = np.flatnonzero(mesh.in_service)
    rows[on, mesh.from_bus[on]] = 1.0
    rows[on, mesh.to_bus[on]] = -1.0
    return rows


def nodal_flows(mesh: Mesh, injection: np.ndarray) -> np.ndarray:
    """Flows of balanced injections by the pseudo-inverse of the nodal matrix."""
    lines = incidence(mesh)
    angle = np.linalg.pinv(lines.T * mesh.susceptance_mw @ lines) @ injection
    return np.asarray(mesh.susceptance_mw * (lines @ angle))


def live_islands(mesh: Mesh) -> list[set[int]]:
    """Buses of each island that has a source which can deliver."""
    graph: nx.MultiGraph[int] = nx.MultiGraph()
    graph.add_nodes_from(range(len(mesh.bus_names)))
    for n in np.flatnonzero(mesh.in_service):
        graph.add_edge(int(mesh.from_bus[n]), int(mesh.to_bus[n]))
    fed = set(mesh.source_bus[mesh.source_max_mw > 0].tolist())
    return [set(i) for i in nx.connected_components(graph) if set(i) & fed]
