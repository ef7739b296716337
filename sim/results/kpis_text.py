"""KPIs as people read them: number, unit, definition."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

UNITS: Final = {
    "usd_per_mwh": "USD/MWh",
    "usd_per_ph_day": "USD/PH/day",
    "usd_per_btc": "USD/BTC",
    "j_per_th": "J/TH",
    "usd": "USD",
    "btc": "BTC",
    "ehs": "EH/s",
    "pct": "%",
    "mwh": "MWh",
    "mw": "MW",
}


def unit_of(name: str) -> str:
    """The unit that ends a KPI's name."""
    return next((u for end, u in UNITS.items() if name == end or name.endswith("_" + end)), "")


def rows(
    kpis: Mapping[str, float | None], functions: Mapping[str, Callable[..., Any]]
) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, unit, definition of each KPI."""
    for name, value in kpis.items():
        definition = (functions[name].__doc__ or "").split(" [")[0]
        yield name, _number(value), unit_of(name), definition


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 or value == int(value) else f"{value:,.3f}"
