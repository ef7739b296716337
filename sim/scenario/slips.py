"""Typical spreadsheet errors: rows of totals, prices per kWh, placeholders for no value."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from sim.scenario.model import ReplayPrice
from sim.scenario.problems import Problem, row_of, shown
from sim.scenario.scenario import Scenario
from sim.scenario.series import SeriesError, utc

TOTALS: Final = frozenset({
    "total", "totals", "sum", "grand total", "subtotal", "average", "mean", "gesamt", "summe",
    "totale", "total general", "somme", "suma",
})  # fmt: skip
NAMED: Final = ("sites", "tenants", "grid_nodes")  # sheets whose rows others need not name
PRICED: Final = ("sites", "power_contracts", "batteries", "generators")
# A price or charge per kWh is below this; one per MWh below this is negligible. Both assumed.
PER_KWH_BELOW: Final = 0.2
LONGEST_H: Final = 200.0  # assumed: iron-air batteries, the longest on sale, last 100 h
# Placeholders of loggers and exports for no value; market caps are round numbers.
NO_VALUE: Final = (-999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)


def slips(s: Scenario) -> Iterator[Problem]:
    """Warn of likely spreadsheet errors in sheets and in recorded prices."""
    yield from _totals(s)
    yield from _per_kwh(s)
    for i, battery in enumerate(s.batteries):
        lasts_h = battery.energy_mwh / battery.power_mw
        if lasts_h > LONGEST_H:
            where = row_of(i, battery.site, "energy_mwh")
            what = f"at {battery.power_mw:g} MW it lasts {lasts_h:,.0f} h: write MWh, not kWh"
            yield Problem("batteries.csv", where, f"{battery.energy_mwh:g}", what)
    yield from _no_values(s)


def _totals(s: Scenario) -> Iterator[Problem]:
    for sheet in NAMED:
        for i, row in enumerate(getattr(s, sheet)):
            if row.name.strip(" :").casefold() in TOTALS and i > 0:
                what = "looks like the total of the rows above, and counts; take it out if it is"
                yield Problem(f"{sheet}.csv", row_of(i, row.name, "name"), shown(row.name), what)


def _per_kwh(s: Scenario) -> Iterator[Problem]:
    for sheet in PRICED:
        for i, row in enumerate(getattr(s, sheet)):
            for column, field in type(row).model_fields.items():
                if column == "energy_usd_per_mwh":
                    continue  # an energy price, judged with those of zones
                extra, value = field.json_schema_extra, getattr(row, column)
                unit = extra.get("unit") if isinstance(extra, dict) else ""
                if unit == "USD/MWh" and value and 0.0 < value < PER_KWH_BELOW:
                    name = getattr(row, "name", "") or getattr(row, "site", "")
                    what = f"USD/MWh is meant: {value:g} USD/kWh would be {value * 1000.0:g}"
                    yield Problem(f"{sheet}.csv", row_of(i, name, column), f"{value:g}", what)


def _no_values(s: Scenario) -> Iterator[Problem]:
    for name, zone in s.prices.zones.items():
        if not isinstance(zone, ReplayPrice) or zone.series not in s.recorded:
            continue
        series = s.recorded[zone.series]
        try:
            values = series.column(zone.column) / (series.scale * series.usd_per_currency)
        except SeriesError:  # reported by the checks
            continue
        marks = np.flatnonzero(np.isin(values, NO_VALUE))
        if marks.size:
            first = int(marks[0])
            what = (
                f"row {series.row_in_file(first)} ({utc(int(series.start_s[first]))}) is "
                f"{values[first]:g}, {marks.size} in all: so do files mark a missing value; empty "
                "the cells if they are, and say max_gap_h"
            )
            yield Problem("scenario.toml", f"prices.zones.{name}.column", shown(zone.column), what)
