"""A file of recorded values, read once and checked once."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.scenario.model import SeriesSpec
from sim.scenario.series.files import Sheet, read_sheet
from sim.scenario.series.layouts import LAYOUTS, layout_named
from sim.scenario.series.recorded import Series, SeriesError
from sim.scenario.series.stamps import Stamps, lengths, listed
from sim.units import SECONDS_PER_HOUR

TYPICAL_YEAR_HOURS: Final = 8760


def read_series(path: Path, spec: SeriesSpec) -> Series:
    """Read a CSV (also compressed) or Parquet file. Raises SeriesError with the reason."""
    if spec.layout is not None and layout_named(spec.layout) is None:
        raise SeriesError(f"layout {spec.layout!r}: allowed: {', '.join(x.name for x in LAYOUTS)}")
    named = "time_column" in spec.model_fields_set
    sheet = read_sheet(path, spec.time_column if named else None, spec.layout)
    spec = _meant(spec, sheet)
    table = sheet.table
    if table.num_rows == 0:
        raise SeriesError("has no row")
    row = np.arange(table.num_rows, dtype=np.int64) + sheet.first_row
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
    scale = spec.scale * (spec.usd_per_currency or 1.0)
    if spec.kind == "typical-year":
        if table.num_rows != TYPICAL_YEAR_HOURS:
            raise SeriesError(f"has {table.num_rows} rows; a typical year has 8760")
        hours = np.arange(TYPICAL_YEAR_HOURS, dtype=np.int64) * SECONDS_PER_HOUR
        lasting = np.full(TYPICAL_YEAR_HOURS, SECONDS_PER_HOUR, dtype=np.int64)
        return Series(spec.kind, hours, lasting, gap_s, offset_s, table, scale, row,
                      spec.currency)  # fmt: skip
    stamps = Stamps(table, spec, row)
    start_s, order = stamps.starts()
    if spec.stamps == "end":
        lasting = lengths(-start_s[::-1])[::-1]
        start_s = start_s - lasting
    else:
        lasting = lengths(start_s)
    if sheet.layout is not None and sheet.layout.length_s is not None:
        lasting = np.full(len(start_s), sheet.layout.length_s, dtype=np.int64)
    return Series(spec.kind, start_s, lasting, gap_s, offset_s, table.take(pa.array(order)), scale,
                  row[order], spec.currency, tuple(stamps.notes))  # fmt: skip


def _meant(spec: SeriesSpec, sheet: Sheet) -> SeriesSpec:
    """The keys of the layout below those that the planner gave."""
    if sheet.layout is None:
        return spec
    own = sheet.layout.keys.get("time_column", "time_utc")
    if "time_column" in spec.model_fields_set and spec.time_column != own:
        return spec
    given = {key: getattr(spec, key) for key in spec.model_fields_set}
    below: dict[str, Any] = dict(sheet.layout.keys)
    where = {**below.pop("where", {}), **spec.where}
    return SeriesSpec.model_validate({**below, **given, "where": where})
