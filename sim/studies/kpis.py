"""KPIs as studies see them: which there are, their units, which are yes or no."""

from functools import cache
from typing import Final

import sim.runner  # noqa: F401  (registers all KPIs)
from sim.results.kpis import KPIS
from sim.results.kpis_text import unit_of

INDICATORS: Final = frozenset({"insolvent"})


@cache
def known() -> frozenset[str]:
    """Names of all KPIs."""
    return frozenset(KPIS)


def is_indicator(name: str) -> bool:
    """Whether a KPI says yes (1) or no (0) of a run: its mean over seeds is then a probability.

    So are those whose definition ends in `[0/1]`.
    """
    return name in INDICATORS or "[0/1]" in ((KPIS[name].__doc__ if name in KPIS else "") or "")


def titled(name: str) -> str:
    """`gross margin [USD]`: the name without its unit's ending, and the unit."""
    unit = unit_of(name)
    ending = unit.lower().replace("/", "_per_").replace("%", "pct")
    words = name.removesuffix("_" + ending).replace("_", " ")
    return f"{words} [{unit}]" if unit else words
