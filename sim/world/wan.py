"""One-way network latency between the clients' regions and the sites."""

import math
from typing import Final

import networkx as nx

from sim.scenario.demand import Demand, Region
from sim.scenario.rows import Site

EARTH_KM: Final = 6371.0  # mean radius


def latency_s(demand: Demand, sites: tuple[Site, ...]) -> dict[tuple[str, str], float]:
    """One-way latency [s] from each region to each site it can reach, by the shortest path.

    Without links, every region has its own fibre to every site whose coordinates are known.
    """
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from([*demand.regions, *(s.name for s in sites)])
    for link in demand.links:
        graph.add_edge(link.a, link.b, s=link.latency_ms / 1000.0)
    if not demand.links:
        for name, region in demand.regions.items():
            for site in sites:
                if site.latitude is not None and site.longitude is not None:
                    km = great_circle_km(region, site) * demand.route_factor
                    graph.add_edge(name, site.name, s=km / demand.km_per_ms / 1000.0)
    found: dict[tuple[str, str], float] = {}
    for region_name in demand.regions:
        reached = nx.single_source_dijkstra_path_length(graph, region_name, weight="s")
        found |= {(region_name, s.name): reached[s.name] for s in sites if s.name in reached}
    return found


def great_circle_km(a: Region | Site, b: Region | Site) -> float:
    """Distance on the sphere [km] (haversine)."""
    lat_a, lon_a, lat_b, lon_b = (
        math.radians(x or 0.0) for x in (a.latitude, a.longitude, b.latitude, b.longitude)
    )
    h = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    )
    return 2.0 * EARTH_KM * math.asin(math.sqrt(h))
