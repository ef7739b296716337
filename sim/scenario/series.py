"""Recorded values: read once, checked once, sampled by integer seconds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from sim.scenario.model import SeriesSpec
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

Seconds = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

TYPICAL_YEAR_HOURS = 8760


class SeriesError(ValueError):
    """A series that cannot be used; the message says which column or row, and why."""


@dataclass(frozen=True)
class Series:
    """Columns over time.

    `start_s` (row,) are Unix seconds, strictly rising; a row holds from its start to the next
    row's. Typical years have no calendar: `start_s` are seconds of a year of 365 days.
    """

    kind: Literal["regular", "events", "typical-year"]
    start_s: Seconds
    step_s: int
    max_gap_s: int
    utc_offset_s: int
    table: pa.Table

    @property
    def end_s(self) -> int:
        """First instant after the last row [Unix s]."""
        return int(self.start_s[-1]) + self.step_s

    def span(self) -> str:
        """First and last instant, as people read them."""
        return f"{_utc(int(self.start_s[0]))} to {_utc(self.end_s)}"

    def column(self, name: str) -> Values:
        """A column as numbers (row,); missing values are NaN."""
        if name not in self.table.column_names:
            raise SeriesError(f"no column {name!r}; it has {', '.join(self.table.column_names)}")
        try:
            values = pc.cast(self.table[name], pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SeriesError(f"column {name!r} is not a number everywhere: {error}") from None
        return np.asarray(values.to_numpy(), dtype=np.float64)

    def locate(self, unix_s: Seconds) -> Seconds:
        """Row in force at each instant; -1 where the series does not reach (with its gap rule)."""
        if self.kind == "typical-year":
            return self._locate_typical(unix_s)
        row = np.searchsorted(self.start_s, unix_s, side="right") - 1
        if self.kind == "regular":
            late = unix_s - self.start_s[np.maximum(row, 0)] >= self.step_s + self.max_gap_s
            row = np.where(late, -1, row)
        return row.astype(np.int64)

    def sample(self, name: str, unix_s: Seconds) -> Values:
        """Values in force at each instant; a missing one takes the one before, within max_gap."""
        values = self.column(name)
        row = self.locate(unix_s)
        missing = np.isnan(values)
        if missing.any():
            index = np.arange(len(values))
            held = np.maximum.accumulate(np.where(missing, -1, index))
            within = (self.start_s - self.start_s[np.maximum(held, 0)]) <= self.max_gap_s
            held = np.where(within & (held >= 0), held, -1)
            row = np.where(row >= 0, held[np.maximum(row, 0)], -1)
        if (row < 0).any():
            first = int(np.asarray(unix_s)[np.argmax(row < 0)])
            raise SeriesError(
                f"column {name!r} has no value at {_utc(first)}; "
                + (f"the file covers {self.span()}" if self.kind != "typical-year" else "")
                + f"; gaps of up to {self.max_gap_s / SECONDS_PER_HOUR:g} h are filled (max_gap_h)"
            )
        return values[row]

    def _locate_typical(self, unix_s: Seconds) -> Seconds:
        local = (np.asarray(unix_s) + self.utc_offset_s).astype("datetime64[s]")
        year = local.astype("datetime64[Y]")
        day = (local.astype("datetime64[D]") - year.astype("datetime64[D]")).astype(np.int64)
        leap = ((year + 1).astype("datetime64[D]") - year.astype("datetime64[D]")).astype(
            np.int64
        ) == 366
        day = np.where(leap & (day >= 59), day - 1, day)  # 29 February repeats the 28th
        second = (local - local.astype("datetime64[D]")).astype(np.int64)
        return np.asarray(day * 24 + second // SECONDS_PER_HOUR, dtype=np.int64)


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
        return Series(spec.kind, hours, SECONDS_PER_HOUR, gap_s, offset_s, table)
    start_s = _unix_seconds(table, spec)
    back = np.flatnonzero(np.diff(start_s) <= 0)
    if back.size:
        raise SeriesError(
            f"column {spec.time_column!r}: row {int(back[0]) + 3} is not later than the row before"
        )
    step_s = int(np.median(np.diff(start_s))) if len(start_s) > 1 else SECONDS_PER_DAY
    return Series(spec.kind, start_s, step_s, gap_s, offset_s, table)


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


def _utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
