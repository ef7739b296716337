"""KPIs as people read them: number, unit, definition."""

from collections.abc import Iterator, Mapping

from sim.results.kpi import LOST
from sim.results.kpis import KPIS, unit_of


def rows(kpis: Mapping[str, float | None]) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, unit, definition of each KPI that has a meaning in the run."""
    for name, value in kpis.items():
        if value is None:
            continue
        yield name, number(value), unit_of(name), KPIS[name].short


def causes(kpis: Mapping[str, float | None]) -> Iterator[str]:
    """Why operating hashrate is below deployed, in words."""
    deployed, operating = kpis["deployed_ehs"] or 0.0, kpis["operating_ehs"] or 0.0
    if not deployed:
        return
    yield f"operating {operating:.3f} of {deployed:.3f} EH/s deployed; the rest, by cause:"
    parts = [(KPIS[n], v or 0.0) for n, v in kpis.items() if KPIS[n].group == LOST]
    for kpi, lost in sorted(parts, key=lambda part: -abs(part[1])):
        name = kpi.name.removeprefix("lost_").removesuffix("_ehs")
        yield f"  {name:10s}{lost:10.3f} EH/s {100 * lost / deployed:7.2f} %  {kpi.cause}"


def number(value: float) -> str:
    """A figure as people read it: thousands apart, three decimals or, of what is small, digits."""
    size = abs(value)
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.3f}" if size >= 0.1 else f"{value:.3g}"
