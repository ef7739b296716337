"""KPIs in studies: their names, their units, and which are yes/no indicators."""

from functools import cache

from sim.results.kpi import YES_NO
from sim.results.kpis import KPIS, unit_of


@cache
def known() -> frozenset[str]:
    """Names of all KPIs."""
    return frozenset(KPIS)


def is_indicator(name: str) -> bool:
    """Whether a KPI is 1 (yes) or 0 (no) in each run, so that its mean is a probability."""
    return name in KPIS and KPIS[name].unit == YES_NO


def titled(name: str) -> str:
    """A KPI's title, such as `gross margin [USD]`: name without unit suffix, then the unit."""
    unit = unit_of(name)
    ending = unit.lower().replace("/", "_per_").replace("%", "pct")
    words = name.removesuffix("_" + ending).replace("_", " ")
    return f"{words} [{unit}]" if unit else words
