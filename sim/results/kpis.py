"""All KPIs of a run, in their order, whoever imports this first."""

import math
from typing import Final

from sim.results import kpis_energy, kpis_fleet, kpis_gpu, kpis_money, kpis_serving
from sim.results.kpi import PLAIN, REGISTERED, Kpi, Totals

MODULES: Final = (kpis_fleet, kpis_serving, kpis_energy, kpis_gpu, kpis_money)
KPIS: Final[dict[str, Kpi]] = {
    name: kpi
    for module in MODULES
    for name, kpi in REGISTERED.items()
    if kpi.function.__module__ == module.__name__
}


def evaluate(totals: Totals) -> dict[str, float | None]:
    """All KPIs; one that has no meaning in a run (a price per nothing) is None."""
    values = {name: k.function(totals) for name, k in KPIS.items()}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def unit_of(name: str) -> str:
    """The unit that stands behind a KPI's number; "" of a plain number, or of no KPI."""
    unit = KPIS[name].unit if name in KPIS else ""
    return "" if unit in PLAIN else unit
