"""Checks of the grid, contracts, programmes and assets of a scenario."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import networkx as nx
import numpy as np

from sim.scenario import catalogue
from sim.scenario.energy import (
    EconomicProgramme,
    EmergencyProgramme,
    LinkOutage,
    RegionalCarbon,
    ReplayCarbon,
    ReserveProgramme,
)
from sim.scenario.model import DcOpfPrice, FixedPrice, RegionalPrice, ReplayPrice
from sim.scenario.problems import Problem, instant, row_of, shown, suggest, unique, unknown
from sim.scenario.scenario import Scenario
from sim.scenario.series import Seconds, Values

TOML = "scenario.toml"
COLDEST_C, HOTTEST_C = -90.0, 60.0  # beyond the records of the WMO: -89.2 and 56.7 C


def grid(s: Scenario) -> Iterator[Problem]:
    """Check the topology: a MATPOWER case, or a radial or meshed graph from the sheets."""
    opf = [name for name, zone in s.prices.zones.items() if isinstance(zone, DcOpfPrice)]
    if opf and s.grid.case is None:
        where = f"prices.zones.{opf[0]}.model"
        yield Problem(TOML, where, shown("dc-opf"), "needs a MATPOWER case: grid.case")
    if len({zone for zone in s.prices.zones.values() if isinstance(zone, DcOpfPrice)}) > 1:
        yield Problem(TOML, "prices.zones", "", "zones of model dc-opf must have the same settings")
    for name in opf:
        yield from _update(s, name)
    if s.grid.load_series is not None and s.grid.case is None:
        what = "scales the loads of a MATPOWER case: grid.case names none"
        yield Problem(TOML, "grid.load_series", shown(s.grid.load_series), what)
    if s.grid.case is not None:
        yield from _case(s)
    else:
        yield from _sheets(s)
    yield from _outages(s)


def _update(s: Scenario, name: str) -> Iterator[Problem]:
    """`update_s` must divide the control step or be a multiple of it."""
    zone, step_s = s.prices.zones[name], s.horizon.step_s
    if isinstance(zone, DcOpfPrice) and zone.update_s % step_s and step_s % zone.update_s:
        what = f"must divide horizon.step_s = {step_s} s or be a multiple of it"
        yield Problem(TOML, f"prices.zones.{name}.update_s", str(zone.update_s), what)


def _case(s: Scenario) -> Iterator[Problem]:
    for sheet in ("grid_nodes", "grid_links"):
        if getattr(s, sheet):
            what = "a scenario with a grid.case takes the grid from there; leave the rows out"
            yield Problem(f"{sheet}.csv", "", "", what)
    if s.case is None:
        return  # reported where it was read
    buses = [str(number) for number in s.case.bus_number]
    dead = {buses[i] for i in s.case.dead_bus}
    for i, site in enumerate(s.sites):
        where = row_of(i, site.name, "grid_node")
        if site.grid_node is None:
            what = f"is required: the number of a bus of the case ({len(buses)} buses)"
            yield Problem("sites.csv", where, "", what)
        else:
            yield from unknown("sites.csv", where, site.grid_node, buses)
            if site.grid_node in dead:
                what = "no power reaches this bus of the case: it is isolated or has no generator"
                yield Problem("sites.csv", where, shown(site.grid_node), what)


def _sheets(s: Scenario) -> Iterator[Problem]:
    names = [n.name for n in s.grid_nodes]
    yield from unique("grid_nodes.csv", names)
    dangling = False
    for i, link in enumerate(s.grid_links):
        for column, name in (("from_node", link.from_node), ("to_node", link.to_node)):
            for problem in unknown("grid_links.csv", f"row {i + 2}, {column}", name, names):
                dangling = True
                yield problem
        if link.from_node == link.to_node:
            dangling = True
            where = f"row {i + 2}, to_node"
            yield Problem("grid_links.csv", where, shown(link.to_node), "must not be its from_node")
    if dangling:
        return
    zones = {n.name for n in s.grid_nodes if n.kind == "zone"}
    whole: nx.MultiGraph[str] = nx.MultiGraph()
    whole.add_nodes_from(names)
    whole.add_edges_from((x.from_node, x.to_node) for x in s.grid_links)
    for part in nx.connected_components(whole):
        if not part & zones:
            for name in sorted(part):
                what = "no path of links leads to it from a zone"
                yield Problem("grid_nodes.csv", f"name {name!r}", "", what)
    if _meshed(whole, zones):
        yield from _meshed_links(s, whole, zones)
        return
    directed = nx.DiGraph((x.from_node, x.to_node) for x in s.grid_links)
    for name in names:
        feeding = sorted(directed.predecessors(name)) if name in directed else []
        turned = len(feeding) > 1 or (name in zones and feeding)
        if turned or (name not in zones and not feeding and whole.degree(name)):
            what = (
                f"is fed by {', '.join(feeding) or 'nobody'}: links of a radial grid run from the "
                "zone to the sites, each node from one side"
            )
            yield Problem("grid_links.csv", f"to_node {name!r}", "", what)


def _meshed(whole: "nx.MultiGraph[str]", zones: set[str]) -> bool:
    """Whether power has more than one path; two zones in one component form a loop."""
    graph: nx.MultiGraph[str] = nx.MultiGraph(whole)
    graph.add_edges_from(("", zone) for zone in zones)
    trees = graph.number_of_nodes() - nx.number_connected_components(graph)
    return bool(graph.number_of_edges() > trees)


def _meshed_links(s: Scenario, whole: "nx.MultiGraph[str]", zones: set[str]) -> Iterator[Problem]:
    graph: nx.Graph[str] = nx.Graph(whole)
    graph.add_edges_from(("", zone) for zone in zones)
    pairs = Counter(frozenset((x.from_node, x.to_node)) for x in s.grid_links)
    bridges = {frozenset(edge) for edge in nx.bridges(graph)}
    for i, link in enumerate(s.grid_links):
        row = f"row {i + 2} ({link.from_node} → {link.to_node})"
        ends = frozenset((link.from_node, link.to_node))
        if link.reactance_pu is None and (ends not in bridges or pairs[ends] > 1):
            what = "is required: the link is part of a ring, where reactances share the flow"
            yield Problem("grid_links.csv", f"{row}, reactance_pu", "", what)
        if link.loss_fraction > 0.0:
            what = "must be 0: a meshed grid is a DC power flow, which has no losses"
            value = f"{link.loss_fraction:g}"
            yield Problem("grid_links.csv", f"{row}, loss_fraction", value, what)


def _outages(s: Scenario) -> Iterator[Problem]:
    if s.case is not None:
        number = [str(n) for n in s.case.bus_number]
        pairs = zip(s.case.branch_from, s.case.branch_to, strict=True)
        ends = [(number[a], number[b]) for a, b in pairs]
    elif s.grid.case is not None:
        return
    else:
        ends = [(x.from_node, x.to_node) for x in s.grid_links]
    counts = Counter(frozenset(pair) for pair in ends)
    for i, outage in enumerate(s.grid.outages):
        where = f"grid.outages, entry {i + 1}"
        there = counts[frozenset((outage.from_node, outage.to_node))]
        link = f"{outage.from_node} → {outage.to_node}"
        if there == 0:
            known = {f"{a} → {b}" for a, b in ends}
            yield Problem(TOML, where, shown(link), f"no such link; {suggest(link, known)}")
        elif outage.circuit is not None and outage.circuit > there:
            what = f"must be 1 to {there}: there are {there} links between the two"
            yield Problem(TOML, f"{where}, circuit", str(outage.circuit), what)
        for k, other in enumerate(s.grid.outages[:i]):
            if _overlap(outage, other):
                until = instant(other.start_utc + timedelta(hours=other.hours))
                between = f"({other.from_node} → {other.to_node})"
                what = f"overlaps entry {k + 1} {between}, which ends at {until}: give one instead"
                yield Problem(TOML, where, shown(link), what)


def _overlap(one: LinkOutage, other: LinkOutage) -> bool:
    """Whether two outages have a link and an instant in common."""
    if {one.from_node, one.to_node} != {other.from_node, other.to_node}:
        return False
    if one.circuit and other.circuit and one.circuit != other.circuit:
        return False
    first, then = sorted((one, other), key=lambda o: o.start_utc)
    return then.start_utc < first.start_utc + timedelta(hours=first.hours)


def energy(s: Scenario) -> Iterator[Problem]:
    """Check contracts, programmes, assets, peaks and carbon."""
    sites = {site.name: site for site in s.sites}
    for sheet in ("power_contracts", "batteries", "generators"):
        for i, row in enumerate(getattr(s, sheet)):
            yield from unknown(f"{sheet}.csv", row_of(i, row.site, "site"), row.site, sites)
    for i, contract in enumerate(s.power_contracts):
        site = sites.get(contract.site)
        if site is None:
            continue
        if site.contract != "market":
            what = f"the site pays a {site.contract} price; blocks are for contract = market"
            where = row_of(i, site.name, "site")
            yield Problem("power_contracts.csv", where, shown(site.name), what)
        zone = s.prices.zones.get(site.price_zone)
        knows = isinstance(zone, FixedPrice | RegionalPrice) or (
            isinstance(zone, ReplayPrice) and zone.day_ahead_column is not None
        )
        if contract.kind == "day-ahead" and zone is not None and not knows:
            what = f"zone {site.price_zone!r} has no day-ahead price (day_ahead_column)"
            where = row_of(i, site.name, "kind")
            yield Problem("power_contracts.csv", where, shown(contract.kind), what)
    for i, unit in enumerate(s.generators):
        site = sites.get(unit.site)
        if unit.kind == "solar" and unit.series is None and site is not None:
            if site.latitude is None or site.longitude is None:
                what = "a solar generator without a series needs latitude and longitude of its site"
                yield Problem("generators.csv", row_of(i, unit.site, "series"), "", what)
    for name, programme in s.programmes.items():
        if len(set(programme.sites)) < len(programme.sites) or not programme.sites:
            what = "must name at least one site, and none twice"
            yield Problem(TOML, f"programmes.{name}.sites", str(list(programme.sites)), what)
        for site_name in programme.sites:
            if site_name != "*":
                yield from unknown(TOML, f"programmes.{name}.sites", site_name, sites)
        if not isinstance(programme, EconomicProgramme):
            yield from _calls(name, programme)
        if isinstance(programme, ReserveProgramme) and programme.product is not None:
            where = f"programmes.{name}.product"
            yield from unknown(TOML, where, programme.product, catalogue.region_products())
    for i, site in enumerate(s.sites):
        if site.carbon_zone is not None:
            where = row_of(i, site.name, "carbon_zone")
            yield from unknown("sites.csv", where, site.carbon_zone, s.carbon.zones)
    for name, carbon in s.carbon.zones.items():
        if isinstance(carbon, RegionalCarbon):
            where, known = f"carbon.zones.{name}.region", catalogue.region_variables()
            yield from unknown(TOML, where, carbon.region, known)
    peak = s.coincident_peak
    if peak is not None:
        if peak.region is not None:
            known = catalogue.region_variables()
            yield from unknown(TOML, "coincident_peak.region", peak.region, known)
        if (peak.forecast_series is None) != (peak.forecast_column is None):
            what = "forecast_series and forecast_column: give both or none"
            yield Problem(TOML, "coincident_peak", "", what)
        wrong = [m for m in peak.months if not 1 <= m <= 12]
        if wrong or not peak.months or len(set(peak.months)) < len(peak.months):
            what = "months must be numbers from 1 to 12, at least one and none twice"
            yield Problem(TOML, "coincident_peak.months", str(list(peak.months)), what)


def _calls(name: str, programme: EmergencyProgramme | ReserveProgramme) -> Iterator[Problem]:
    """Dated calls: each must be announced after the previous one is over."""
    over = None
    for call in sorted(programme.calls, key=lambda c: c.start_utc):
        announced = call.start_utc - timedelta(seconds=programme.notice_s)
        if over is not None and announced < over:
            when = instant(call.start_utc)
            if call.start_utc < over:
                what = "begins before the call before it has ended"
            else:
                what = "its notice would come before the call before it has ended"
            until = f"must begin {programme.notice_s} s (notice_s) after {instant(over)}"
            yield Problem(TOML, f"programmes.{name}.calls", when, f"{what}: {until} or later")
        over = call.start_utc + timedelta(hours=call.hours)


def beyond(key: str, values: Values, bound_usd_per_mwh: float = 10_000.0) -> tuple[Seconds, str]:
    """Rows where the values of a reference are invalid (row,), and what is allowed."""
    wrong, what = np.zeros(len(values), dtype=np.bool_), ""
    if key in ("coincident_peak", "coincident_peak.forecast", "grid.load_series"):
        wrong, what = values <= 0.0, "a system's load is above 0 MW"
    elif key.startswith("generators.csv"):
        wrong, what = (values < -0.1) | (values > 1.1), "a share of the capacity is 0 to 1"
    elif key == "btc_price.series":
        wrong, what = values <= 0.0, "must be a finite number > 0 USD/BTC"
    elif key.startswith("weather.climates") and key.endswith("humidity_column"):
        wrong, what = (values < 0.0) | (values > 105.0), "a relative humidity is 0 to 100 %"
    elif key.startswith("weather.climates"):
        wrong = (values < COLDEST_C) | (values > HOTTEST_C)
        what = f"air is {COLDEST_C:g} to {HOTTEST_C:g} C (degrees Celsius, not Fahrenheit)"
    elif key.startswith("gpu_market."):
        wrong, what = values <= 0.0, "must be > 0"
    elif key.startswith(("prices.zones", "programmes.")):
        wrong = np.abs(values) > bound_usd_per_mwh
        what = f"a price is within {bound_usd_per_mwh:g} USD/MWh (price_bound_usd_per_mwh)"
    return np.flatnonzero(wrong), what


def energy_references(s: Scenario) -> Iterator[tuple[str, str, list[str]]]:
    """Every use of a series in these tables: the key that names it, the series, the columns."""
    for name, zone in s.carbon.zones.items():
        if isinstance(zone, ReplayCarbon):
            yield f"carbon.zones.{name}", zone.series, [zone.column]
    for name, programme in s.programmes.items():
        if isinstance(programme, ReserveProgramme) and programme.series and programme.column:
            yield f"programmes.{name}", programme.series, [programme.column]
        if isinstance(programme, ReserveProgramme) and programme.real_time_series:
            columns = [str(programme.real_time_column)]
            yield f"programmes.{name}.real_time", programme.real_time_series, columns
    for i, unit in enumerate(s.generators):
        if unit.series and unit.column:
            yield f"generators.csv {row_of(i, unit.site, 'series')}", unit.series, [unit.column]
    peak = s.coincident_peak
    if peak is not None:
        if peak.series and peak.column:
            yield "coincident_peak", peak.series, [peak.column]
        if peak.forecast_series and peak.forecast_column:
            yield "coincident_peak.forecast", peak.forecast_series, [peak.forecast_column]
    if s.grid.load_series and s.grid.load_column:
        yield "grid.load_series", s.grid.load_series, [s.grid.load_column]
