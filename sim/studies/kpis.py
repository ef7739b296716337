"""KPIs as studies see them: which there are, their units, which are yes or no."""

from functools import cache

from sim.results.kpi import YES_NO
from sim.results.kpis import KPIS, unit_of


@cache
def known() -> frozenset[str]:
    """Names of all KPIs."""
    return frozenset(KPIS)


def is_indicator(name: str) -> bool:
    """Whether a KPI says yes (1) or no (0) of a run: its mean over seeds is then a probability."""
    return name in KPIS and KPIS[name].unit == YES_NO


def titled(name: str) -> str:
    """`gross margin [USD]`: the name without its unit's ending, and the unit."""
    unit = unit_of(name)
    ending = unit.lower().replace("/", "_per_").replace("%", "pct")
    words = name.removesuffix("_" + ending).replace("_", " ")
    return f"{words} [{unit}]" if unit else words
