"""Completes partial sheets so that they run: missing values are assumed and reported.

Given values are kept, except that the name of a country becomes its code.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import ValidationError

from sim.scenario import catalogue
from sim.scenario.countries import code_meant, countries, distance_km, places
from sim.scenario.problems import Problem, row_of, shown, suggest
from sim.scenario.rows import Site

Cells = dict[str, str]  # a row: texts by column

ASIC: Final = (
    "Antminer S21"  # assumed: among the most sold machines of 2024 and 2025, cooled by air
)
PROFILE: Final = "ercot-hub"  # the calibrated prices least tied to one place
USUAL: Final = {"US": "waco-tx"}  # assumed: Texas, whose market the prices are calibrated on
REPLACE: Final = "replace it by yours"


class Filled(NamedTuple):
    """Sheets that can be loaded, the price zones that they name, and all assumptions made."""

    sheets: dict[str, list[Cells]]
    zones: dict[str, float]  # UTC offset of each in standard time [h], "" for none
    assumed: list[Problem]
    problems: list[Problem]


class _Place(NamedTuple):
    latitude: float
    longitude: float
    told: str  # description of the place


def filled(given: Mapping[str, Sequence[Cells]]) -> Filled:
    """Fill the gaps of sheets: climate, time zone, prices and machines for each site.

    A site needs `name` and one of `country` and `latitude` with `longitude`; and `power_limit_mw`,
    from which its machines follow, or machines, from which it follows.
    """
    sheets = {sheet: [dict(row) for row in rows] for sheet, rows in given.items()}
    result = Filled(sheets, {}, [], [])
    sites = sheets.setdefault("sites", [])
    machines = [row.get("site", "") for s in ("asics", "gpus") for row in sheets.get(s, [])]
    for i, row in enumerate(sites):
        result.problems.extend(_wanting(i, row, row.get("name", "") in machines))
    if result.problems:
        return result
    for i, row in enumerate(sites):
        told = _site(row)
        for column, why in told.items():
            where = row_of(i, row["name"], column)
            result.assumed.append(Problem("sites.csv", where, shown(row[column]), why))
        _sourced(row, list(told))
        if row.get("price_zone", "") not in ("", *result.zones):
            result.zones[row["price_zone"]] = _offset_h(row)
    if not machines:
        sheets["asics"] = [_machines(row) for row in sites if _free_mw(row) > 0.0]
        for i, group in enumerate(sheets["asics"]):
            where = row_of(i, group["site"], "model, mw, firmware")
            value = f"{group['mw']} MW of {group['model']}"
            result.assumed.append(Problem("asics.csv", where, value, group["source"]))
    return result


def _wanting(i: int, row: Cells, has_machines: bool) -> Iterator[Problem]:
    """Problems of missing values that cannot be assumed."""
    needed = {"name": "what the site is called"}
    if not has_machines:
        needed["power_limit_mw"] = "in MW; it follows from a site's machines, and it has none"
    for column, what in needed.items():
        if column not in row:
            where = row_of(i, row.get("name", ""), column)
            yield Problem("sites.csv", where, "", f"is required: {what}")
    code, places_given = row.get("country", ""), {"latitude", "longitude"} <= set(row)
    if code and code not in countries():
        if meant := code_meant(code):
            row["country"] = meant
        else:
            near = suggest(code, countries().values(), "ISO 3166")
            what = f"is no country: write the code of two letters, as US or NO; {near}"
            yield Problem("sites.csv", row_of(i, row.get("name", ""), "country"), shown(code), what)
    elif not code and not places_given and not {"climate", "timezone"} <= set(row):
        what = "is required, or latitude and longitude: climate and time zone follow from it"
        yield Problem("sites.csv", row_of(i, row.get("name", ""), "country"), "", what)
    for column in ("power_limit_mw", "overhead_mw", "pue_base", "latitude", "longitude"):
        if column in row and not _is_number(row[column]):
            where = row_of(i, row.get("name", ""), column)
            yield Problem("sites.csv", where, shown(row[column]), "must be a number")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _site(row: Cells) -> dict[str, str]:
    """Fill a row of sites.csv in place; return the reason for each filled column."""
    told: dict[str, str] = {}
    where = _place(row)
    if "climate" not in row:
        nearest = min(
            catalogue.climate_places(),
            key=lambda p: distance_km((p.latitude, p.longitude), where[:2]),
        )
        away = distance_km((nearest.latitude, nearest.longitude), where[:2])
        row["climate"] = nearest.climate
        told["climate"] = (
            f"assumed: the catalogue's nearest climate, {away:,.0f} km from {where.told}; "
            f"{REPLACE} (hashwatt list climates), or replay a record ([weather])"
        )
    if "utc_offset_h" not in row and "timezone" not in row:
        row["timezone"], city = _timezone(row.get("country", ""), where)
        told["timezone"] = f"assumed: that of {city}, the nearest place known to {where.told}"
    if "contract" not in row and ("energy_usd_per_mwh" in row or "tariff" in row):
        row["contract"] = "fixed"
        told["contract"] = "assumed, since a price is given; hosted: the all-in price of a host"
    if "price_zone" not in row and row.get("contract", "market") == "market":
        row["price_zone"] = row.get("country", "").lower() or "market"
        told["price_zone"] = (
            "assumed: one zone for a country; [prices.zones] of scenario.toml has synthetic "
            "prices for it"
        )
    return told


def _place(row: Cells) -> _Place:
    """Location of a site, as precisely as the row gives it."""
    if {"latitude", "longitude"} <= set(row):
        return _Place(float(row["latitude"]), float(row["longitude"]), "the site")
    known = {p.climate: p for p in catalogue.climate_places()}
    country = row.get("country", "")
    climate = row.get("climate", "") or USUAL.get(country, "")
    if climate in known:
        place = known[climate]
        named = f"{countries()[country]} (Texas is assumed)" if country in USUAL else climate
        told = climate if "climate" in row else named
        return _Place(place.latitude, place.longitude, told)
    if country and places(country):
        first = places(country)[0]
        city = first.timezone.rpartition("/")[2].replace("_", " ")
        return _Place(first.latitude, first.longitude, f"{city}, {countries()[country]}")
    return _Place(0.0, 0.0, "a place that is not known")


def _timezone(country: str, where: _Place) -> tuple[str, str]:
    """Time zone of the nearest known place in a country, or anywhere, and that place."""
    among = [country] if country and places(country) else countries()
    known = [
        (p.timezone, p.latitude, p.longitude, p.timezone.rpartition("/")[2].replace("_", " "))
        for code in among
        for p in places(code)
    ]
    known += [
        (p.timezone, p.latitude, p.longitude, p.climate)
        for p in catalogue.climate_places()
        if p.country in among
    ]
    zone, _, _, name = min(known, key=lambda p: distance_km((p[1], p[2]), where[:2]))
    return zone, name


def _offset_h(row: Cells) -> float:
    """Standard-time offset of a filled row [h]; 0 for a row that loading will refuse."""
    kept = ("name", "climate", "price_zone", "timezone", "utc_offset_h")
    try:
        site = Site.model_validate({"power_limit_mw": 0, **{k: row[k] for k in kept if k in row}})
    except ValidationError:
        return 0.0
    return site.offset_h


def _free_mw(site: Cells) -> float:
    """Connection power available to machines and their cooling [MW]."""
    return float(site["power_limit_mw"]) - float(site.get("overhead_mw", 0.0))


def _machines(site: Cells) -> Cells:
    """A row with as many machines as the connection carries, cooling included."""
    why = (
        f"assumed: no machines were given; {ASIC} with the maker's firmware fill what the "
        f"connection leaves; {REPLACE} (hashwatt list asics)"
    )
    mw = f"{_free_mw(site):.6g}"
    return {"site": site["name"], "model": ASIC, "mw": mw, "firmware": "stock", "source": why}


def _sourced(row: Cells, columns: list[str]) -> None:
    """Note in the row's `source` column which of its cells were assumed."""
    if columns:
        own = f"{row['source']}; " if row.get("source") else ""
        row["source"] = f"{own}assumed: {', '.join(columns)}"
