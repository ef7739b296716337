"""Reads a file of recorded values once, and checks it once."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.scenario.model import SeriesSpec
from sim.scenario.series.files import Sheet, read_sheet
from sim.scenario.series.layouts import LAYOUTS, layout_named
from sim.scenario.series.recorded import Series, SeriesError
from sim.scenario.series.stamps import Stamps, listed
from sim.units import SECONDS_PER_HOUR

TYPICAL_YEAR_HOURS: Final = 8760


def read_series(path: Path, spec: SeriesSpec) -> Series:
    """Read a CSV (also compressed), Parquet or workbook. Raises SeriesError with the reason."""
    if spec.layout is not None and layout_named(spec.layout) is None:
        raise SeriesError(f"layout {spec.layout!r}: allowed: {', '.join(x.name for x in LAYOUTS)}")
    named = "time_column" in spec.model_fields_set
    sheet = read_sheet(path, spec.time_column if named else None, spec.layout)
    spec = _meant(spec, sheet)
    if spec.currency.upper() == "USD" and spec.usd_per_currency not in (None, 1.0):
        raise SeriesError(
            f"usd_per_currency = {spec.usd_per_currency:g}: the currency is USD; say which it is, "
            'as currency = "EUR", or scale if all values should be multiplied'
        )
    table = _joined(sheet.table, sheet.layout.thousands) if sheet.layout else sheet.table
    if table.num_rows == 0:
        raise SeriesError("has no row")
    row = sheet.row
    for column, wanted in spec.where.items():
        if column not in table.column_names:
            raise SeriesError(f"no column {column!r}; it has {', '.join(table.column_names)}")
        text = pc.utf8_trim_whitespace(pc.cast(table[column], pa.string()))
        hit = pc.fill_null(pc.equal(text, str(wanted)), False).to_numpy()
        if not hit.any():
            has = listed(sorted({str(x) for x in text.unique().to_pylist()}))
            raise SeriesError(f"column {column!r} is nowhere {wanted!r}; it has {has}")
        table, row = table.filter(pa.array(hit)), row[hit]
    gap_s = round(spec.max_gap_h * SECONDS_PER_HOUR)
    offset_s = round(spec.utc_offset_h * SECONDS_PER_HOUR)
    about: dict[str, Any] = {
        "scale": spec.scale, "usd_per_currency": spec.usd_per_currency or 1.0,
        "currency": spec.currency, "units": sheet.units, "above": sheet.above,
    }  # fmt: skip
    if spec.kind == "typical-year":
        if table.num_rows != TYPICAL_YEAR_HOURS:
            raise SeriesError(f"has {table.num_rows} rows; a typical year has 8760")
        hours = np.arange(TYPICAL_YEAR_HOURS, dtype=np.int64) * SECONDS_PER_HOUR
        lasting = np.full(TYPICAL_YEAR_HOURS, SECONDS_PER_HOUR, dtype=np.int64)
        return Series(spec.kind, hours, lasting, gap_s, offset_s, table, file_row=row, **about)
    stamps = Stamps(table, spec, row, sheet.layout.length_s if sheet.layout else None)
    start_s, length_s, order = stamps.intervals()
    notes = list(stamps.notes)
    if len(start_s) == 1 and spec.kind == "regular":
        notes.append("one row alone, of which nothing says how long it holds, is taken for a day")
    return Series(spec.kind, start_s, length_s, gap_s, offset_s, table.take(pa.array(order)),
                  file_row=row[order], notes=tuple(notes), **about)  # fmt: skip


def _joined(table: pa.Table, thousands: str) -> pa.Table:
    """Remove thousands separators, for layouts known to use them."""
    for i, name in enumerate(table.column_names if thousands else ()):
        if pa.types.is_string(table[name].type):
            text = table[name]
            parted = pc.match_substring_regex(text, rf"^-?\d{{1,3}}({thousands}\d{{3}})+(\.\d+)?$")
            whole = pc.if_else(parted, pc.replace_substring(text, thousands, ""), text)
            table = table.set_column(i, name, whole)
    return table


def _meant(spec: SeriesSpec, sheet: Sheet) -> SeriesSpec:
    """The keys of the layout, overridden by those that the planner gave."""
    if sheet.layout is None:
        return spec
    own = sheet.layout.keys.get("time_column", "time_utc")
    if "time_column" in spec.model_fields_set and spec.time_column != own:
        return spec
    given = {key: getattr(spec, key) for key in spec.model_fields_set}
    below: dict[str, Any] = dict(sheet.layout.keys)
    where = {**below.pop("where", {}), **spec.where}
    return SeriesSpec.model_validate({**below, **given, "where": where})
