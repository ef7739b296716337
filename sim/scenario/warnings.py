"""Warnings: input that can be run but looks like a mistake; reported, never changed."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from sim.scenario import catalogue
from sim.scenario.bitcoin import ConstantBtcPrice, ReplayBtcPrice, ReplayNetwork
from sim.scenario.catalogue.serving import served
from sim.scenario.checks_gpu_market import unlet
from sim.scenario.checks_machines import odd_machines
from sim.scenario.countries import away_km, code_meant, countries, places
from sim.scenario.idle import idle
from sim.scenario.model import (
    FixedPrice,
    RegionalPrice,
    ReplayPrice,
    ReplayWeather,
    SeasonalJumpPrice,
)
from sim.scenario.odd_grid import odd_grid
from sim.scenario.problems import Problem, row_of, shown, suggest
from sim.scenario.rows import Site
from sim.scenario.scenario import Scenario
from sim.scenario.series import SeriesError, utc
from sim.scenario.slips import slips
from sim.units import SECONDS_PER_DAY, W_PER_MW

TOML: Final = "scenario.toml"
# Thresholds, all assumed, chosen so that common practice passes.
NAMEPLATE_TOLERANCE: Final = 1.05  # makers state power at the wall within 5 %
ROOMY: Final = 10.0  # a connection this many times the machines is a unit error
CHEAP_USD_PER_MWH: Final = 1.0
DEAR_USD_PER_MWH: Final = 1000.0
FAR_KM: Final = 1500.0  # distance from the nearest city of the country's time zones
OFF_H: Final = 3.5  # local time against solar time: western China has 3.2 h
DEGREES_PER_H: Final = 15.0
CHEAP_USD_PER_BTC: Final = 1000.0
CUT_SHARE: Final = 0.01  # share of a tenant's prompts or outputs cut, from which it is reported
SHEETS: Final = (
    "asics", "gpus", "leases", "power_contracts", "batteries", "generators", "grid_links",
)  # fmt: skip


def warnings_of(scenario: Scenario) -> list[Problem]:
    """All warnings of a scenario that has no problems."""
    parts = (
        _machines,
        odd_machines,
        _duplicates,
        _places,
        _prices,
        slips,
        _known,
        _weather,
        _repairs,
        _lengths,
        unlet,
        _approximate,
        odd_grid,
        _files,
        idle,
    )
    return [warning for part in parts for warning in part(scenario)]


def nameplate_mw(s: Scenario, site: str, *, planned: bool) -> float:
    """Power of the machines at a site [MW]; `planned`: including those that projects deliver."""
    asics, gpus = catalogue.asics(s.asic_models), catalogue.gpus(s.gpu_models)
    total_w = sum(
        group.count * asics[group.model].nominal.power_w
        for group in s.asics
        if group.site == site and (planned or not group.project)
    )
    total_w += sum(
        group.nodes * group.gpus_per_node * gpus[group.gpu].max_w_per_gpu
        for group in s.gpus
        if group.site == site and (planned or not group.project)
    )
    return total_w / W_PER_MW


def _machines(s: Scenario) -> Iterator[Problem]:
    if not any(g.count for g in s.asics) and not any(g.nodes for g in s.gpus):
        what = "the fleet has no machine, so it earns nothing; give rows to asics.csv or gpus.csv"
        yield Problem("asics.csv, gpus.csv", "", "", what)
        return
    taken = {host.move_to for host in s.hosts.values()}
    behind = dict.fromkeys((site.name for site in s.sites), 0.0)
    for generator in s.generators:
        behind[generator.site] += generator.mw
    storing = {battery.site for battery in s.batteries}
    for i, site in enumerate(s.sites):
        where = row_of(i, site.name, "power_limit_mw")
        limit = f"{site.power_limit_mw:g}"
        there, planned = (nameplate_mw(s, site.name, planned=p) for p in (False, True))
        if planned == 0.0:
            if site.name not in taken | storing and not behind[site.name]:
                what = "no row of asics.csv or gpus.csv names the site; leave it out or fill it"
                yield Problem("sites.csv", f"row {i + 2} ({site.name})", "", what)
            continue
        need = there * site.pue_base + site.overhead_mw
        if need > (site.power_limit_mw + behind[site.name]) * NAMEPLATE_TOLERANCE:
            what = (
                f"the machines' nameplate is {there:.4g} MW, {need:.4g} MW with cooling and "
                f"overhead: more than the connection, so that some never run; check count, nodes "
                f"and power_limit_mw (in MW), or choose slower firmware modes"
            )
            yield Problem("sites.csv", where, limit, what)
        if site.power_limit_mw > ROOMY * max(planned * site.pue_base, site.overhead_mw):
            what = (
                f"{limit} MW of connection for {planned:.4g} MW of machines: write MW, not kW, "
                "and check count and nodes"
            )
            yield Problem("sites.csv", where, limit, what)


def _files(s: Scenario) -> Iterator[Problem]:
    """Omissions and approximations made in reading a grid case, series and traces."""
    for note in s.case.notes if s.case is not None else ():
        yield Problem(TOML, "grid.case", shown(s.grid.case), f"{note}; check that this is meant")
    for name, series in s.recorded.items():
        for note in series.notes:
            yield Problem(TOML, f"series.{name}", "", f"{note}; check that this is meant")
    for name, trace in s.traces.items():
        where, file = f"demand.traces.{name}.file", shown(s.demand.traces[name].file)
        if trace.dropped:
            what = (
                f"{trace.dropped:,} requests without output tokens are left out: they failed where "
                "the trace was taken; raise rate_rps if they should count"
            )
            yield Problem(TOML, where, file, what)
        if not trace.sorted:
            what = "rows are not in order of arrival and have been sorted; check the time column"
            yield Problem(TOML, where, file, what)


def _approximate(s: Scenario) -> Iterator[Problem]:
    """Serving rows whose iteration time omits effects that may matter."""
    for i, g in enumerate(s.gpus):
        if g.state == "serving":
            made = served(g.model, g.gpu, g.tp, s.own, g.host_s, g.pp, g.ep)
            rough = [part for part in made.source.split("; ") if " approximate: " in part]
            if rough:
                what = f"{'; '.join(rough)}; check its latencies against a server"
                yield Problem("gpus.csv", row_of(i, g.site, "model"), shown(g.model), what)


def _duplicates(s: Scenario) -> Iterator[Problem]:
    for sheet in SHEETS:
        seen: dict[str, int] = {}
        for i, row in enumerate(getattr(s, sheet)):
            first = seen.setdefault(row.model_dump_json(), i)
            if first != i:
                what = "are equal, and both count; delete one, or put the sum into one row"
                yield Problem(f"{sheet}.csv", f"rows {first + 2} and {i + 2}", "", what)


def _places(s: Scenario) -> Iterator[Problem]:
    for i, site in enumerate(s.sites):
        code = site.country
        if code and code not in countries():
            what = f"is no ISO 3166 code of two letters, as US or NO{_country_meant(code)}"
            yield Problem("sites.csv", row_of(i, site.name, "country"), shown(code), what)
        elif code:
            yield from _in_country(i, site)
            suns = [_sun_apart_h(site.offset_h, place.longitude) for place in places(code)]
            if site.timezone is None and site.longitude is None and suns and min(suns) > OFF_H:
                where, value = row_of(i, site.name, "utc_offset_h"), shown(site.utc_offset_h)
                what = f"is no time of {countries()[code]}: west of Greenwich it is negative"
                yield Problem("sites.csv", where, value, what)
        if site.longitude is not None and _sun_apart_h(site.offset_h, site.longitude) > OFF_H:
            column = "utc_offset_h" if site.timezone is None else "timezone"
            value = shown(getattr(site, column))
            what = (
                f"the sun at longitude {site.longitude:g} is {site.longitude / DEGREES_PER_H:+.1f} "
                "h from UTC; check both: east is positive, so America is negative in both"
            )
            yield Problem("sites.csv", row_of(i, site.name, column), value, what)


def _country_meant(code: str) -> str:
    """A suggestion for a name, a code of three letters, or a code in lower case."""
    if known := code_meant(code):
        return f"; did you mean {known!r}?"
    by_name = {name.lower(): code for code, name in countries().items()}
    near = suggest(code.lower(), by_name).partition("?")[0].removeprefix("did you mean ")
    meant = by_name.get(near.strip("'\""))
    return f"; did you mean {meant!r}?" if meant else ""


def _in_country(i: int, site: Site) -> Iterator[Problem]:
    country = countries()[site.country]
    zones = {place.timezone for place in places(site.country)}
    if site.timezone in {p.timezone for c in countries() for p in places(c)} - zones:
        what = f"is not a zone of {country}; check timezone and country"
        where = row_of(i, site.name, "timezone")
        yield Problem("sites.csv", where, shown(site.timezone), what)
    if site.latitude is None or site.longitude is None:
        return
    away = away_km(site.country, site.latitude, site.longitude)
    if away <= FAR_KM:
        return
    what = f"lies {away:,.0f} km from the nearest city known in {country}"
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    pairs = [(site.latitude, site.longitude), (site.longitude, site.latitude)]
    meant = [(a * x, b * y) for x, y in pairs for a, b in signs if abs(x) <= 90.0]
    near = [p for p in meant if away_km(site.country, *p) <= FAR_KM]
    if near:
        what += f"; did you mean latitude {near[0][0]:g}, longitude {near[0][1]:g}?"
    else:
        what += "; check latitude, longitude and country"
    where = row_of(i, site.name, "latitude, longitude")
    yield Problem("sites.csv", where, f"{site.latitude:g}, {site.longitude:g}", what)


def _sun_apart_h(offset_h: float, longitude: float) -> float:
    apart = abs(offset_h - longitude / DEGREES_PER_H) % 24.0
    return min(apart, 24.0 - apart)


def _prices(s: Scenario) -> Iterator[Problem]:
    for name, zone in s.prices.zones.items():
        where, mean = f"prices.zones.{name}", None
        if isinstance(zone, FixedPrice):
            where, mean = f"{where}.usd_per_mwh", zone.usd_per_mwh  # tariffs are checked below
        elif isinstance(zone, SeasonalJumpPrice | RegionalPrice):
            where, mean = f"{where}.mean_usd_per_mwh", zone.mean_usd_per_mwh
        elif isinstance(zone, ReplayPrice):
            where, mean = f"{where}.column", _mean(s, zone.series, zone.column)
        yield from _price(TOML, where, mean)
    for name, tariff in s.tariffs.items():
        for k, price in enumerate(tariff.prices):
            yield from _price(TOML, f"tariffs.{name}.prices.{k}.usd_per_mwh", price.usd_per_mwh)
    for i, site in enumerate(s.sites):
        where = row_of(i, site.name, "energy_usd_per_mwh")
        yield from _price("sites.csv", where, site.energy_usd_per_mwh)
    if isinstance(s.btc_price, ConstantBtcPrice) and s.btc_price.usd_per_btc < CHEAP_USD_PER_BTC:
        what = "a bitcoin below 1,000 USD was last seen in 2017; write USD for a whole bitcoin"
        yield Problem(TOML, "btc_price.usd_per_btc", f"{s.btc_price.usd_per_btc:g}", what)


def _known(s: Scenario) -> Iterator[Problem]:
    """Values needed at the start of a run that a record lacks."""
    start = round(s.horizon.start_utc.timestamp())
    price, network = s.btc_price, s.network
    if isinstance(price, ReplayBtcPrice) and price.at_end and price.series in s.recorded:
        series = s.recorded[price.series]
        first_s = int(series.start_s[0] + series.length_s[0])
        if series.kind == "regular" and first_s > start:
            what = (
                f"its first close is that of {utc(first_s)}, and holds from the start: nobody knew "
                "it then; give a row before the start, or value_at = 'start' if a row's price is "
                "that of its first instant"
            )
            yield Problem(TOML, "btc_price.series", shown(price.series), what)
    if isinstance(network, ReplayNetwork) and network.daily in s.recorded:
        if start - SECONDS_PER_DAY < s.recorded[network.daily].start_s[0]:
            what = (
                "has no fees of the day before the start: those of the first day stand in for "
                "them; give a row more"
            )
            yield Problem(TOML, "network.daily", shown(network.daily), what)


def _price(file: str, where: str, mean: float | None) -> Iterator[Problem]:
    if mean is None:
        return
    if mean < CHEAP_USD_PER_MWH:
        what = (
            "a mean below 1 USD/MWh; a price in USD/kWh or cents must be given in USD/MWh "
            "(0.05 USD/kWh = 50 USD/MWh)"
        )
        yield Problem(file, where, f"{mean:.4g} USD/MWh in the mean", what)
    elif mean > DEAR_USD_PER_MWH:
        what = "a mean above 1,000 USD/MWh; check the unit (USD/MWh) and the currency"
        yield Problem(file, where, f"{mean:.4g} USD/MWh in the mean", what)


def _mean(s: Scenario, series: str, column: str) -> float | None:
    if series not in s.recorded:
        return None
    try:
        values = s.recorded[series].column(column)
    except SeriesError:  # reported by the checks
        return None
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _weather(s: Scenario) -> Iterator[Problem]:
    """Recorded prices combined with weather of other days; says which weather it is."""
    real = {name for name, zone in s.prices.zones.items() if isinstance(zone, ReplayPrice)}
    apart: dict[str, list[str]] = {}
    for site in s.sites:
        climate = s.weather.climates.get(site.climate)
        if site.price_zone not in real:
            continue
        if isinstance(climate, ReplayWeather):
            if climate.series in s.recorded and s.recorded[climate.series].kind == "typical-year":
                apart.setdefault("the weather of a typical year", []).append(site.name)
        elif climate is None or climate.driver_series is None:
            apart.setdefault("synthetic weather", []).append(site.name)
    for what, sites in apart.items():
        names = ", ".join(sites[:5]) + (f", … ({len(sites)} in all)" if len(sites) > 5 else "")
        said = (
            f"recorded prices stand beside {what} at {names}: a heat wave and the prices that it "
            'made do not meet; replay the weather of the same days, or give model = "seasonal" '
            "a temperature of these days to follow (driver_series, driver_column), or read peaks "
            "with care"
        )
        yield Problem(TOML, "weather.climates", "", said)


def _repairs(s: Scenario) -> Iterator[Problem]:
    if not s.faults.enabled:
        return
    manned = {g.site for g in s.asics if g.count} | {g.site for g in s.gpus if g.nodes}
    for i, site in enumerate(s.sites):
        if site.technicians == 0 and site.name in manned:
            what = "machines that fail are never repaired; give technicians, or faults.enabled"
            yield Problem("sites.csv", row_of(i, site.name, "technicians"), "0", f"{what} = false")


def _lengths(s: Scenario) -> Iterator[Problem]:
    for i, tenant in enumerate(s.tenants):
        trace = s.traces.get(tenant.trace or "") if tenant.empirical else None
        for what, mean, cv in (
            ("prompt", tenant.prompt_mean_tokens, tenant.prompt_cv),
            ("output", tenant.output_mean_tokens, tenant.output_cv),
        ):
            if trace is None:
                share, means = _beyond(tenant.max_tokens, mean, cv), ""
            else:
                tokens = trace.prompt_tokens if what == "prompt" else trace.output_tokens
                share = float(np.mean(tokens > tenant.max_tokens))
                cut = float(np.mean(np.minimum(tokens, tenant.max_tokens)))
                means = f", their mean from {np.mean(tokens):,.0f} to {cut:,.0f} tokens"
            if share >= CUT_SHARE:
                message = (
                    f"{share:.1%} of the {what}s are longer and are cut to it{means}; raise it to "
                    "the context that the model serves, or take the cut into account"
                )
                where = row_of(i, tenant.name, "max_tokens")
                yield Problem("tenants.csv", where, f"{tenant.max_tokens}", message)


def _beyond(most: float, mean: float, cv: float) -> float:
    """Share of a lognormal of that mean and coefficient of variation that lies above `most`."""
    sigma = math.sqrt(math.log1p(cv * cv))
    above = math.log(most / mean) + sigma * sigma / 2.0
    return 0.5 * math.erfc(above / (sigma * math.sqrt(2.0))) if sigma else float(above < 0.0)
