"""Recorded values: read once, checked once, sampled by integer seconds."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from sim.scenario.model import SeriesSpec
from sim.scenario.series.recorded import Seconds, Series, SeriesError
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

TYPICAL_YEAR_HOURS: Final = 8760
RUN_ROWS: Final = 12  # assumed: half a day of hours is no accident


def read_series(path: Path, spec: SeriesSpec) -> Series:
    """Read a CSV (also compressed) or Parquet file. Raises SeriesError with the reason."""
    try:
        if path.name.endswith(".parquet"):
            table = pyarrow.parquet.read_table(path)
        else:
            table = pyarrow.csv.read_csv(path)
        _ = table.column_names  # a name that is no UTF-8 fails only here
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise SeriesError(f"cannot be read: {error}") from None
    if table.num_rows == 0:
        raise SeriesError("has no row")
    gap_s = round(spec.max_gap_h * SECONDS_PER_HOUR)
    offset_s = round(spec.utc_offset_h * SECONDS_PER_HOUR)
    if spec.kind == "typical-year":
        if table.num_rows != TYPICAL_YEAR_HOURS:
            raise SeriesError(f"has {table.num_rows} rows; a typical year has 8760")
        hours = np.arange(TYPICAL_YEAR_HOURS, dtype=np.int64) * SECONDS_PER_HOUR
        lasting = np.full(TYPICAL_YEAR_HOURS, SECONDS_PER_HOUR, dtype=np.int64)
        return Series(spec.kind, hours, lasting, gap_s, offset_s, table)
    start_s = _unix_seconds(table, spec)
    back = np.flatnonzero(np.diff(start_s) <= 0)
    if back.size:
        raise SeriesError(
            f"column {spec.time_column!r}: row {int(back[0]) + 3} is not later than the row before"
        )
    return Series(spec.kind, start_s, lengths(start_s), gap_s, offset_s, table)


def lengths(start_s: Seconds) -> Seconds:
    """How long each row lasts [s]: to the next, but for a gap.

    A distance that holds for RUN_ROWS rows or more is a resolution of the file, so that one whose
    market went from hours to quarters is read as it is; without such a run the shortest is. A row
    before any other distance lasts as long as those next to it.
    """
    if len(start_s) == 1:
        return np.array([SECONDS_PER_DAY], dtype=np.int64)
    apart = np.diff(start_s)
    begins = np.flatnonzero(np.diff(apart, prepend=0))
    run = np.diff(np.append(begins, len(apart)))
    known = np.unique(apart[begins[run >= RUN_ROWS]])
    if not known.size:
        known = apart.min(keepdims=True)
    regular = np.isin(apart, known)
    index = np.arange(len(apart))
    before = np.maximum.accumulate(np.where(regular, index, -1))
    after = np.minimum.accumulate(np.where(regular, index, len(apart))[::-1])[::-1]
    near = np.where(before >= 0, before, np.minimum(after, len(apart) - 1))
    lasting = apart[near]
    return np.append(lasting, lasting[-1])


def _unix_seconds(table: pa.Table, spec: SeriesSpec) -> Seconds:
    if spec.time_column not in table.column_names:
        raise SeriesError(
            f"no time column {spec.time_column!r}; it has {', '.join(table.column_names)}"
        )
    column = table[spec.time_column]
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy())) + 2
        raise SeriesError(f"column {spec.time_column!r}: row {row} has no time")
    try:
        if pa.types.is_integer(column.type) and not spec.time_format:
            return np.asarray(column.to_numpy(), dtype=np.int64)
        if spec.time_format:
            text = pc.cast(column, pa.string())
            column = pc.strptime(text, format=spec.time_format, unit="s")
        elif pa.types.is_date(column.type) or pa.types.is_string(column.type):
            column = pc.cast(column, pa.timestamp("s"))
        if spec.hour_ending_column is not None:
            column = _hour_ending(column, table, spec.hour_ending_column)
        if column.type.tz is not None:
            return _as_seconds(column)
        first, last = (
            _as_seconds(
                pc.assume_timezone(column, spec.timezone, ambiguous=hour, nonexistent="latest")
            )
            for hour in ("earliest", "latest")
        )
        # when clocks go back an hour comes twice: the second time it is the later one
        again = np.append(False, first[1:] <= np.maximum.accumulate(first)[:-1])
        return np.where(again, last, first)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        written = f"time_format {spec.time_format!r}" if spec.time_format else "ISO 8601"
        what = f"column {spec.time_column!r} is not a time as {written}"
        raise SeriesError(f"{what} in timezone {spec.timezone!r}: {error}") from None


def _as_seconds(column: pa.ChunkedArray) -> Seconds:
    seconds = pc.cast(pc.cast(column, pa.timestamp("s", "UTC")), pa.int64())
    return np.asarray(seconds.to_numpy(), dtype=np.int64)


def _hour_ending(day: pa.ChunkedArray, table: pa.Table, name: str) -> pa.ChunkedArray:
    """Local start of the hour out of its day and the hour that it ends."""
    if name not in table.column_names:
        raise SeriesError(f"no column {name!r}; it has {', '.join(table.column_names)}")
    text = pc.cast(table[name], pa.string())
    try:
        hour = pc.cast(pc.list_element(pc.split_pattern(text, ":"), 0), pa.int64())
    except pa.ArrowInvalid as error:
        raise SeriesError(f"column {name!r} is not an hour: {error}") from None
    outside = np.flatnonzero(~np.isin(hour.to_numpy(), np.arange(1, 25)))
    if outside.size:
        row = int(outside[0])
        raise SeriesError(
            f"column {name!r}: row {row + 2} is {table[name][row]}; hours that end are 1 to 24"
        )
    start = pc.cast(pc.cast(day, pa.timestamp("s")), pa.int64())
    seconds = pc.add(start, pc.multiply(pc.subtract(hour, 1), SECONDS_PER_HOUR))
    return pc.cast(seconds, pa.timestamp("s"))
