"""Consistency checks between the tables and the sheets of a scenario."""

from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from sim.scenario import catalogue
from sim.scenario.bitcoin import ReplayBtcPrice, ReplayNetwork
from sim.scenario.catalogue.serving import served
from sim.scenario.checks_bitcoin import bitcoin
from sim.scenario.checks_energy import beyond, energy, energy_references, grid
from sim.scenario.checks_gpu_market import gpu_market, gpu_paths
from sim.scenario.checks_machines import own_machines
from sim.scenario.checks_money import deals, incidents, money, projects
from sim.scenario.checks_tariffs import demand_charges
from sim.scenario.demand import Tenant
from sim.scenario.gpu_market import ReplayGpuPrice, ReplayTokenPrice
from sim.scenario.limits import limits
from sim.scenario.model import (
    FixedPrice,
    RegionalPrice,
    ReplayPrice,
    ReplayWeather,
    SeasonalJumpPrice,
    SeasonalWeather,
)
from sim.scenario.problems import Problem, row_of, shown, unique, unknown
from sim.scenario.scenario import Scenario
from sim.scenario.series import Series, SeriesError, listed, utc
from sim.text import repeated
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

TOML = "scenario.toml"
DRIVER_DAYS = 360  # shortest record that defines seasonal temperatures


def check(scenario: Scenario, broken: set[str]) -> list[Problem]:
    """Every problem between the parts; empty when the scenario can run.

    Checks that read a sheet in `broken`, which lacks rows, are skipped: their findings would follow
    from problems already reported.
    """
    parts: dict[Callable[[Scenario], Iterator[Problem]], set[str]] = {
        bitcoin: set(),
        limits: {"sites", "asics", "gpus", "asic_models"},
        own_machines: {"asic_models", "gpu_models", "models", "serving_models"},
        _sites: {"grid_nodes"},
        _asics: {"sites", "asic_models"},
        _gpus: {"sites", "gpu_models", "models", "serving_models"},
        _tenants: {"sites", "gpus"},
        gpu_market: {"gpus", "gpu_models", "tenants"},
        grid: {"grid_nodes", "grid_links", "sites"},
        energy: {"sites", "power_contracts", "batteries", "generators"},
        demand_charges: {"sites"},
        money: {"sites"},
        deals: {"sites", "asics", "gpus", "leases"},
        projects: {"sites", "asics", "gpus"},
        incidents: {"sites"},
        _overhead: set(),
        _climates: set(),
        _zones: set(),
        _series: set(),
    }
    return [p for part, reads in parts.items() if not reads & broken for p in part(scenario)]


def _sites(s: Scenario) -> Iterator[Problem]:
    for name in repeated(site.name for site in s.sites):
        rows = ", ".join(str(i + 2) for i, site in enumerate(s.sites) if site.name == name)
        yield Problem("sites.csv", f"rows {rows}, name", shown(name), "names must be unique")
    nodes = {n.name for n in s.grid_nodes}
    climates = set(s.weather.climates) | catalogue.climate_names()
    for i, site in enumerate(s.sites):
        zone = row_of(i, site.name, "price_zone")
        yield from unknown("sites.csv", zone, site.price_zone, s.prices.zones)
        if site.tariff is not None:
            tariff = row_of(i, site.name, "tariff")
            yield from unknown("sites.csv", tariff, site.tariff, s.tariffs)
        yield from unknown(
            "sites.csv",
            row_of(i, site.name, "climate"),
            site.climate,
            climates,
            "hashwatt list climates",
        )
        if site.grid_node is not None and s.grid.case is None:
            yield from unknown(
                "sites.csv", row_of(i, site.name, "grid_node"), site.grid_node, nodes
            )


def _asics(s: Scenario) -> Iterator[Problem]:
    models = catalogue.asics(s.asic_models)
    names = [site.name for site in s.sites]
    for i, group in enumerate(s.asics):
        yield from unknown("asics.csv", row_of(i, group.site, "site"), group.site, names)
        yield from unknown(
            "asics.csv", row_of(i, group.site, "model"), group.model, models, "hashwatt list asics"
        )
        if group.model in models:
            modes = models[group.model].modes_of(group.firmware)
            yield from unknown("asics.csv", row_of(i, group.site, "mode"), group.mode, modes)


def _gpus(s: Scenario) -> Iterator[Problem]:
    names = [site.name for site in s.sites]
    for i, group in enumerate(s.gpus):
        yield from unknown("gpus.csv", row_of(i, group.site, "site"), group.site, names)
        yield from unknown(
            "gpus.csv",
            row_of(i, group.site, "gpu"),
            group.gpu,
            catalogue.gpus(s.gpu_models),
            "hashwatt list gpus",
        )
        if group.state != "serving" or group.gpu not in catalogue.gpus(s.gpu_models):
            continue
        try:
            made = served(group.model, group.gpu, group.tp, s.own, group.host_s, group.pp, group.ep)
        except (KeyError, ValueError) as error:
            what = str(error.args[0])
            yield Problem("gpus.csv", row_of(i, group.site, "model"), shown(group.model), what)
            continue
        if group.gpus_per_node % (made.tp * made.pp):
            many = f" times pp = {made.pp}" if made.pp > 1 else ""
            yield Problem(
                "gpus.csv",
                row_of(i, group.site, "tp"),
                f"{made.tp}{many}",
                f"must divide gpus_per_node, {group.gpus_per_node}",
            )


def _conversations(s: Scenario, i: int, tenant: Tenant) -> Iterator[Problem]:
    talks = tenant.turns > 1.0 or tenant.system_prompt_tokens > 0
    if tenant.prefix_share > 0.0 and (s.demand.prefix_cache or talks):
        what = "is what a cache of another kind holds; must be 0 where [demand] prefix_cache, "
        what += "turns or system_prompt_tokens say what is found"
        row = row_of(i, tenant.name, "prefix_share")
        yield Problem("tenants.csv", row, f"{tenant.prefix_share:g}", what)
    if talks and s.demand.fidelity == "fluid":
        column = "turns" if tenant.turns > 1.0 else "system_prompt_tokens"
        what = (
            'a fluid knows no conversations; must be as by default, or [demand] fidelity = "exact"'
        )
        row = row_of(i, tenant.name, column)
        yield Problem("tenants.csv", row, f"{getattr(tenant, column):g}", what)
    if tenant.system_prompt_tokens >= tenant.max_tokens:
        row = row_of(i, tenant.name, "system_prompt_tokens")
        what = f"must be below max_tokens = {tenant.max_tokens}"
        yield Problem("tenants.csv", row, f"{tenant.system_prompt_tokens}", what)


def _tenants(s: Scenario) -> Iterator[Problem]:
    if s.demand.prefix_cache and s.demand.fidelity == "fluid":
        what = 'a fluid has no block cache; must be false, or fidelity = "exact"'
        yield Problem("scenario.toml", "demand.prefix_cache", "true", what)
    countries = {site.name: site.country for site in s.sites}
    served_in: dict[str, set[str]] = {}
    for group in s.gpus:
        if group.state == "serving":
            served_in.setdefault(group.model, set()).add(countries.get(group.site, ""))
    yield from unique("tenants.csv", [tenant.name for tenant in s.tenants])
    for i, tenant in enumerate(s.tenants):
        row = row_of(i, tenant.name, "region")
        yield from unknown("tenants.csv", row, tenant.region, s.demand.regions)
        if tenant.trace is not None:
            row = row_of(i, tenant.name, "trace")
            yield from unknown("tenants.csv", row, tenant.trace, s.demand.traces)
        yield from _conversations(s, i, tenant)
        row = row_of(i, tenant.name, "model")
        yield from unknown("tenants.csv", row, tenant.model, served_in, "hashwatt list models")
        allowed = set(tenant.residency.split())
        if tenant.model in served_in and allowed and not allowed & served_in[tenant.model]:
            where = ", ".join(sorted(served_in[tenant.model]))
            yield Problem(
                "tenants.csv",
                row_of(i, tenant.name, "residency"),
                shown(tenant.residency),
                f"no site there serves {tenant.model}; it is served in {where}",
            )
    if s.tenants and not s.demand.links:
        for i, site in enumerate(s.sites):
            serves = any(g.site == site.name and g.state == "serving" for g in s.gpus)
            if serves and (site.latitude is None or site.longitude is None):
                yield Problem(
                    "sites.csv",
                    row_of(i, site.name, "latitude"),
                    "",
                    "a serving site needs latitude and longitude, or [[demand.links]]",
                )


def _overhead(s: Scenario) -> Iterator[Problem]:
    for i, site in enumerate(s.sites):
        if site.overhead_mw > site.power_limit_mw:
            yield Problem(
                "sites.csv",
                row_of(i, site.name, "overhead_mw"),
                f"{site.overhead_mw:g}",
                f"must be <= power_limit_mw, {site.power_limit_mw:g} MW",
            )


def _climates(s: Scenario) -> Iterator[Problem]:
    for name, climate in s.weather.climates.items():
        if isinstance(climate, SeasonalWeather):
            where = f"weather.climates.{name}.climate"
            yield from unknown(
                TOML, where, climate.climate, catalogue.climate_names(), "hashwatt list climates"
            )
            if climate.driver_series in s.recorded:
                where = f"weather.climates.{name}.driver_series"
                yield from _driver(where, str(climate.driver_series), s)


def _driver(where: str, name: str, s: Scenario) -> Iterator[Problem]:
    """A temperature driver needs DRIVER_DAYS days of real dates, not a typical year."""
    series = s.recorded[name]
    if series.kind != "regular":
        what = f"is a {series.kind} series: a regular one has the days of the prices"
        yield Problem(TOML, where, name, what)
    elif series.end_s - series.start_s[0] < DRIVER_DAYS * SECONDS_PER_DAY:
        what = f"covers {series.span()}: what is warm for the season takes {DRIVER_DAYS} days"
        yield Problem(TOML, where, name, what)


def _zones(s: Scenario) -> Iterator[Problem]:
    for name, zone in s.prices.zones.items():
        if isinstance(zone, FixedPrice) and zone.tariff is not None:
            where = f"prices.zones.{name}.tariff"
            yield from unknown(TOML, where, zone.tariff, s.tariffs)
            if zone.tariff in s.tariffs and len(s.tariffs[zone.tariff].above_mwh) > 1:
                yield from _tiers(s, name, zone.tariff)
        if isinstance(zone, SeasonalJumpPrice):
            where = f"prices.zones.{name}.profile"
            yield from unknown(
                TOML, where, zone.profile, catalogue.price_profile_names(), "hashwatt list profiles"
            )
        if isinstance(zone, RegionalPrice):
            where = f"prices.zones.{name}.profile"
            yield from unknown(
                TOML, where, zone.profile, catalogue.region_zones(), "hashwatt list profiles"
            )


def _tiers(s: Scenario, zone: str, tariff: str) -> Iterator[Problem]:
    """A zone with a tiered tariff is its sites' own price; nothing can be sold at it."""
    there = [(i, site) for i, site in enumerate(s.sites) if site.price_zone == zone]
    if not there or any(site.tariff != tariff for _, site in there):
        what = "has tiers (above_mwh_month), which only the contract of a site can have: "
        what += "give it as tariff of sites with contract fixed or hosted"
        yield Problem(TOML, f"prices.zones.{zone}.tariff", shown(tariff), what)
        return
    for i, site in there:
        if site.export_mw > 0.0:
            what = "what flows back earns the price of a zone, and a tariff with tiers is none: "
            what += "name one as price_zone"
            where = row_of(i, site.name, "export_mw")
            yield Problem("sites.csv", where, f"{site.export_mw:g}", what)


def _references(s: Scenario) -> Iterator[tuple[str, str, list[str]]]:
    """Every use of a series: the key that names it, the series, the columns used."""
    if isinstance(s.network, ReplayNetwork):
        n = s.network
        yield "network.retargets", n.retargets, [n.difficulty_column, n.height_column]
        yield "network.daily", n.daily, [n.fees_column, n.blocks_column]
    if isinstance(s.btc_price, ReplayBtcPrice):
        yield "btc_price.series", s.btc_price.series, [s.btc_price.column]
    for name, zone in s.prices.zones.items():
        if isinstance(zone, ReplayPrice):
            yield f"prices.zones.{name}", zone.series, [zone.column]
            if zone.day_ahead_column is not None:
                series = zone.day_ahead_series or zone.series
                yield f"prices.zones.{name}.day_ahead_column", series, [zone.day_ahead_column]
    for name, climate in s.weather.climates.items():
        if isinstance(climate, ReplayWeather):
            yield f"weather.climates.{name}", climate.series, [climate.column]
            if climate.humidity_column is not None:
                use = f"weather.climates.{name}.humidity_column"
                yield use, climate.series, [climate.humidity_column]
        elif climate.driver_series is not None:
            use = f"weather.climates.{name}.driver_series"
            yield use, climate.driver_series, [str(climate.driver_column)]
    for use, path in gpu_paths(s):
        if isinstance(path, ReplayGpuPrice | ReplayTokenPrice):
            yield use, path.series, [path.column]
    yield from energy_references(s)


def _unreadable(series: Series, file: str, where: str, columns: list[str]) -> Iterator[Problem]:
    for column in columns:
        try:
            series.column(column)
        except SeriesError as error:
            yield Problem(file, where, "", str(error))


def _clock(zone: str | None, from_s: int, to_s: int) -> str:
    """The clock change that explains a gap, if any."""
    if zone is None or to_s - from_s > 2 * SECONDS_PER_HOUR:
        return ""
    local = [datetime.fromtimestamp(x, ZoneInfo(zone)).utcoffset() for x in (from_s - 1, to_s + 1)]
    return f": clocks in {zone} change there" if local[0] != local[1] else ""


def _series(s: Scenario) -> Iterator[Problem]:
    start = round(s.horizon.start_utc.timestamp())
    every_s = min(s.horizon.step_s, SECONDS_PER_HOUR)  # weather is read hourly
    needed = np.arange(start, start + s.horizon.seconds, every_s, dtype=np.int64)
    for use, name, columns in _references(s):
        sheet, dot, cell = use.partition(".csv ")  # a key of scenario.toml, or a cell of a sheet
        file, key = (f"{sheet}.csv", cell) if dot else (TOML, use)
        yield from unknown(file, key, name, s.series)
        if name not in s.recorded:
            continue  # unreadable files are reported where they are read
        series = s.recorded[name]
        where = f"{key} (series {name!r}, {s.series[name].file})"
        unreadable = list(_unreadable(series, file, where, columns))
        yield from unreadable
        if unreadable:
            continue
        if series.kind == "regular" and (start < series.start_s[0] or needed[-1] >= series.end_s):
            yield Problem(
                file,
                where,
                "",
                f"covers {series.span()}; the horizon needs {s.horizon.start_utc:%Y-%m-%d %H:%M} "
                f"UTC and {s.horizon.days:g} days from there",
            )
            continue
        if series.kind == "events" and start < series.start_s[0]:
            yield Problem(file, where, "", f"begins only at {series.span().split(' to ')[0]}")
            continue
        gaps = series.gaps(start, start + s.horizon.seconds)
        if gaps:
            zone = s.series[name].timezone
            at = [
                f"after row {series.row_in_file(r)} ({utc(a)} to {utc(b)}{_clock(zone, a, b)})"
                for r, a, b in gaps
            ]
            fill = f"gaps of up to {s.series[name].max_gap_h:g} h are filled (max_gap_h)"
            yield Problem(file, where, "", f"has no value {listed(at)}; {fill}")
            continue
        rows = series.used(start, start + s.horizon.seconds)
        begins = series.start_s[rows[series.start_s[rows] >= start]]
        every = needed if series.kind == "typical-year" else np.union1d(needed, begins)
        for column in columns:
            try:
                series.sample(column, every)
            except SeriesError as error:
                yield Problem(file, where, "", str(error))
                continue
            values = series.column(column)[rows]
            wrong, what = beyond(use, values, s.series[name].price_bound_usd_per_mwh)
            if wrong.size:
                at = [
                    f"row {series.row_in_file(int(rows[w]))} is {values[w]:g}"
                    + (f" ({utc(int(series.start_s[rows[w]]))})" if len(begins) else "")
                    for w in wrong
                ]
                yield Problem(file, where, "", f"column {column!r}: {listed(at)}; {what}")
