"""Countries, their time zones and roughly where they lie: from the time-zone database itself."""

import math
import re
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

# Common names that the table below lacks, in lower case.
ALSO: Final = {
    "uk": "GB", "united kingdom": "GB", "great britain": "GB", "england": "GB", "usa": "US",
    "u.s.": "US", "uae": "AE", "el": "GR", "south korea": "KR", "russian federation": "RU",
}  # fmt: skip
EARTH_KM: Final = 6371.0  # mean radius


class Place(NamedTuple):
    """The principal city of a time zone."""

    timezone: str
    latitude: float
    longitude: float


def _table(name: str) -> list[list[str]]:
    text = (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@cache
def countries() -> dict[str, str]:
    """Name by ISO 3166 code of two letters (`iso3166.tab`)."""
    return {row[0]: row[1] for row in _table("iso3166.tab")}


def code_meant(text: str) -> str:
    """The code of a country by name, or by code in any case; "" if unknown."""
    bare = text.strip().casefold()
    by_name = {name.casefold(): code for code, name in countries().items()}
    return bare.upper() if bare.upper() in countries() else by_name.get(bare) or ALSO.get(bare, "")


@cache
def places(country: str) -> tuple[Place, ...]:
    """The places of a country that the time-zone database names (`zone.tab`)."""
    return tuple(
        Place(zone, *_coordinates(where))
        for code, where, zone, *_ in _table("zone.tab")
        if code == country
    )


def _coordinates(text: str) -> tuple[float, float]:
    """Convert ±DDMM[SS]±DDDMM[SS] to degrees."""
    latitude, longitude = re.findall(r"[+-]\d+", text)
    return _degrees(latitude, 2), _degrees(longitude, 3)


def _degrees(text: str, digits: int) -> float:
    sign, figures = (-1.0 if text[0] == "-" else 1.0), text[1:]
    degrees, minutes, seconds = (
        figures[:digits],
        figures[digits : digits + 2],
        figures[digits + 2 :],
    )
    return sign * (float(degrees) + float(minutes) / 60.0 + float(seconds or 0) / 3600.0)


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance between two places (latitude, longitude) [deg] [km]."""
    (lat_a, lon_a), (lat_b, lon_b) = (tuple(map(math.radians, p)) for p in (a, b))
    cosine = math.cos(lat_a) * math.cos(lat_b) * math.cos(lon_a - lon_b)
    return EARTH_KM * math.acos(max(-1.0, min(1.0, math.sin(lat_a) * math.sin(lat_b) + cosine)))


def away_km(country: str, latitude: float, longitude: float) -> float:
    """Distance to the nearest place of a country [km]; infinite if none is known."""
    here = (latitude, longitude)
    return min((distance_km(here, (p.latitude, p.longitude)) for p in places(country)),
               default=math.inf)  # fmt: skip
