"""From what a file calls a time to Unix seconds: zones, clock changes, epochs, ends."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sim.scenario.model import SeriesSpec
from sim.scenario.series.recorded import Seconds, SeriesError, utc
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

Rows = npt.NDArray[np.int64]
EXCEL_DAY_0: Final = -25_569  # 1899-12-30, days from 1970: serials of workbooks
LAST_S: Final = 7_258_118_400  # 2200-01-01
RUN_ROWS: Final = 12  # assumed: half a day of hours is no accident
SHOWN: Final = 5


def listed(what: list[str]) -> str:
    """The first few instances, and how many there are."""
    more = f", … ({len(what)} in all)" if len(what) > SHOWN else ""
    return ", ".join(what[:SHOWN]) + more


class Stamps:
    """The time column of a table. `row` (row,) is where each row stands in its file."""

    def __init__(self, table: pa.Table, spec: SeriesSpec, row: Rows) -> None:
        self.table, self.spec, self.row = table, spec, row
        self.name = spec.time_column
        self.notes: list[str] = []

    def starts(self) -> tuple[Seconds, Rows]:
        """Start of each row [Unix s] as the stamps say, and the rows kept, in order of time."""
        column = self._column(self.name)
        if column.null_count:
            where = self.row[column.is_null().to_numpy(zero_copy_only=False)]
            raise SeriesError(
                f"column {self.name!r}: row {listed([str(r) for r in where])} has no time"
            )
        try:
            naive = self._naive(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
            written = (
                f"time_format {self.spec.time_format!r}" if self.spec.time_format else "ISO 8601"
            )
            what = f"column {self.name!r} is not a time as {written}"
            raise SeriesError(f"{what} in timezone {self.spec.timezone!r}: {error}") from None
        if isinstance(naive, tuple):
            seconds, keep = naive[0], np.arange(len(self.row))
        else:
            seconds, keep = self._localised(naive)
        order = keep if len(keep) < 2 or seconds[-1] >= seconds[0] else keep[::-1]
        seconds = seconds if order is keep else seconds[::-1]
        outside = (seconds < 0) | (seconds > LAST_S)
        if outside.any():
            where = [f"row {r}" for r in self.row[order][outside]]
            raise SeriesError(f"column {self.name!r}: {listed(where)}: a time is 1970 to 2200")
        self._rising(seconds, self.row[order])
        return seconds, order

    def _column(self, name: str) -> pa.ChunkedArray:
        if name not in self.table.column_names:
            has = ", ".join(self.table.column_names)
            raise SeriesError(
                f"no {'time ' if name == self.name else ''}column {name!r}; it has {has}"
            )
        return self.table[name]

    def _naive(self, column: pa.ChunkedArray) -> "Seconds | tuple[Seconds]":
        """Local seconds of the clock; in a tuple: Unix seconds."""
        spec = self.spec
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        if number and not spec.time_format:
            return self._number(np.asarray(column.to_numpy(), dtype=np.float64))
        # what is a time already is ISO 8601 or a workbook's date: only year-day-month looks alike
        read = pa.types.is_timestamp(column.type) and not spec.time_format.startswith("%Y-%d")
        if spec.time_format and not read:
            text = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
            column = self._parsed(text, spec.time_format)
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = pc.utf8_trim_whitespace(column)
            first = str(text[0].as_py())
            if re.search(r"\d\s+(-|to|–)\s+\d", first) or re.search(r"Z/|\d/\d{4}-", first):
                text = pc.replace_substring_regex(text, r"\s+(-|to|–)\s+.*$|/.*$", "")
            column = pc.cast(text, pa.timestamp("s"))
        elif pa.types.is_date(column.type):
            column = pc.cast(column, pa.timestamp("s"))
        elif not pa.types.is_timestamp(column.type):
            raise SeriesError(f"column {self.name!r} is {column.type}, not a time")
        if spec.hour_ending_column is not None:
            return np.asarray(self._hours(column), dtype=np.int64)
        if column.type.tz is not None:
            return (_seconds(column),)
        dates = spec.timezone is None and not (_seconds(column) % SECONDS_PER_DAY).any()
        if spec.timezone is None and not dates and not re.search(r"(?i)utc|gmt", self.name):
            raise SeriesError(
                f'column {self.name!r}: row {self.row[0]} has no offset: say timezone = "UTC", '
                '"America/Chicago" or whatever clock it was written by'
            )
        return _seconds(column)

    def _parsed(self, text: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
        if re.search(r"\d\s+(-|–)\s+\d", str(text[0].as_py())):
            text = pc.replace_substring_regex(text, r"\s+(-|–)\s+.*$", "")
        has, wants = str(text[0].as_py()).count(":"), 2 if "%S" in form else form.count("%M")
        if has == 2 and wants == 1:
            form += ":%S"
        twelve = "%I" in form  # strptime of some platforms has no AM and PM
        if twelve:
            parts = (
                [datetime.strptime(x, form) for x in text.to_pylist()] if _fits(text, form) else []
            )
            if parts:
                return pa.chunked_array([pa.array(parts, pa.timestamp("s"))])
            return pc.strptime(text, format="%Y-%m-%dT%H:%M:%S", unit="s")
        if "%H" in form and "%M" not in form:
            text, form = pc.binary_join_element_wise(text, ":00", ""), form + ":%M"
        return pc.strptime(text, format=form, unit="s")

    def _number(self, value: npt.NDArray[np.float64]) -> "Seconds | tuple[Seconds]":
        """Epochs in s, ms, µs or ns by their size; serial days of a workbook."""
        if not np.isfinite(value).all():
            raise SeriesError(
                f"column {self.name!r}: row {self.row[~np.isfinite(value)][0]} is no time"
            )
        top = np.abs(value).max()
        if value.min() >= 20_000.0 and top < 80_000.0 and self.spec.kind == "regular":
            if self.spec.timezone is None:
                raise SeriesError(
                    f"column {self.name!r} holds {value[0]:g}, a workbook's date: say timezone"
                )
            return np.round((value + EXCEL_DAY_0) * SECONDS_PER_DAY).astype(np.int64)
        units = [1.0, 1e3, 1e6, 1e9]
        size = np.searchsorted([1e11, 1e14, 1e17], np.abs(value), side="right")
        if top >= 1e11 and np.unique(size).size > 1:
            row = self.row[size != size[0]][0]
            raise SeriesError(
                f"column {self.name!r}: from row {row} on epochs are of another unit: "
                "write all in s, ms, µs or ns"
            )
        unit = units[int(size[0])]
        if top / unit > 1e11:
            raise SeriesError(f"column {self.name!r} holds {value[0]:g}: a time is 1970 to 2200")
        return (np.round(value / unit).astype(np.int64),)

    def _hours(self, day: pa.ChunkedArray) -> Seconds:
        """Local start of the hour out of its day, the hour that it ends and its interval."""
        spec, zone = self.spec, self._zone()
        if spec.timezone is None:
            raise SeriesError(
                f"column {spec.hour_ending_column!r} counts hours of a clock: say timezone = "
                '"America/Chicago" or whatever clock that is ("UTC" too)'
            )
        hour = self._whole(str(spec.hour_ending_column))
        days = _seconds(pc.cast(day, pa.timestamp("s")))
        wrong = (hour < 1) | (hour > 25)
        if wrong.any():
            name, where = spec.hour_ending_column, int(np.argmax(wrong))
            raise SeriesError(
                f"column {name!r}: row {self.row[where]} is {self._column(str(name))[where]}; "
                "hours that end are 1 to 24, on the long day 25"
            )
        within = np.zeros(len(hour), dtype=np.int64)
        if spec.interval_column is not None:
            interval = self._whole(spec.interval_column)
            count = int(interval.max())
            if interval.min() < 1 or 60 % count:
                raise SeriesError(
                    f"column {spec.interval_column!r}: intervals of an hour are 1 to 4 or 12"
                )
            within = (interval - 1) * (SECONDS_PER_HOUR // count)
        self.elapsed = np.zeros(len(hour), dtype=bool)
        seconds = days + (hour - 1) * SECONDS_PER_HOUR
        for today in np.unique(days[hour == 25]):
            start = datetime.fromtimestamp(int(today), UTC).replace(tzinfo=zone)
            length = (start + timedelta(days=1)).timestamp() - start.timestamp()
            if length != 25 * SECONDS_PER_HOUR:
                row = self.row[(days == today) & (hour == 25)][0]
                raise SeriesError(
                    f"column {spec.hour_ending_column!r}: row {row} is 25; hours that end are "
                    "1 to 24: in its zone clocks do not go back that day"
                )
        for today in np.unique(days):
            start = datetime.fromtimestamp(int(today), UTC).replace(tzinfo=zone)
            length = (start + timedelta(days=1)).timestamp() - start.timestamp()
            at = days == today
            hours = set(hour[at].tolist())
            counted = 25 in hours or (
                length == 23 * 3600 and 24 not in hours and 23 in hours and 3 in hours
            )
            if counted:  # hours counted from midnight on, whatever the clock says
                self.elapsed |= at
                seconds[at] = int(start.timestamp()) + (hour[at] - 1) * SECONDS_PER_HOUR
        return np.asarray(seconds + within, dtype=np.int64)

    def _whole(self, name: str) -> Seconds:
        text = pc.cast(self._column(name), pa.string())
        try:
            values = pc.cast(pc.replace_substring_regex(text, r":.*$|\.0$|[*X]$", ""), pa.int64())
        except pa.ArrowInvalid as error:
            raise SeriesError(f"column {name!r} is not an hour: {error}") from None
        return np.asarray(pc.fill_null(values, 0).to_numpy(), dtype=np.int64)

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.spec.timezone or "UTC")
        except (KeyError, ValueError, OSError):
            what = f"timezone {self.spec.timezone!r} is not found in timezone database"
            raise SeriesError(f"column {self.name!r}: {what}") from None

    def _localised(self, naive: Seconds) -> tuple[Seconds, Rows]:
        """Unix seconds of local ones, and the rows kept: a time that does not exist is left out."""
        zone = self._zone()
        counted = getattr(self, "elapsed", np.zeros(len(naive), dtype=bool))
        keep = np.arange(len(naive))
        if len(naive) > 1 and (np.diff(naive) < 0).mean() > 0.5:
            keep = keep[::-1]
        local = pa.array(np.where(counted, 0, naive)[keep], pa.timestamp("s"))

        def assumed(hour: str, gap: str) -> Seconds:
            at = pc.assume_timezone(local, str(zone), ambiguous=hour, nonexistent=gap)
            return _seconds(at)

        first, last = assumed("earliest", "latest"), assumed("latest", "latest")
        missing = (assumed("earliest", "earliest") != first) & ~counted[keep]
        again = self._repeated(first, last, keep)
        seconds = np.where(again, last, first)
        seconds = np.where(counted[keep], naive[keep], seconds)
        if missing.any() and self.spec.stamps == "start":
            rows = [f"row {r}" for r in self.row[keep][missing]]
            self.notes.append(
                f"{listed(rows)} left out: clocks in {zone} go forward, that time does not exist"
            )
            return seconds[~missing], keep[~missing]
        return seconds, keep

    def _repeated(self, first: Seconds, last: Seconds, keep: Rows) -> npt.NDArray[np.bool_]:
        """Whether each row is the second of an hour that comes twice."""
        column = self.spec.repeat_column
        if column is not None and column in self.table.column_names:
            flag = pc.utf8_upper(pc.cast(self.table[column], pa.string())).to_pylist()
            return np.array([x in ("Y", "TRUE", "1") for x in flag], dtype=bool)[keep]
        # the second time it is the later one
        return np.append(False, first[1:] <= np.maximum.accumulate(first)[:-1])

    def _rising(self, seconds: Seconds, row: Rows) -> None:
        back = np.flatnonzero(np.diff(seconds) <= 0) + 1
        if back.size:
            again = [f"row {row[i]} ({utc(int(seconds[i]))})" for i in back]
            raise SeriesError(
                f"column {self.name!r}: {listed(again)} is not later than the row before: "
                'each time once; a file of several places needs where = { COLUMN = "NAME" }, '
                "one in local time its timezone (clocks that go back repeat an hour)"
            )


def _fits(text: pa.ChunkedArray, form: str) -> bool:
    try:
        for value in text.to_pylist():
            datetime.strptime(value, form)
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from None
    return True


def _seconds(column: pa.ChunkedArray) -> Seconds:
    seconds = pc.cast(pc.cast(column, pa.timestamp("s", column.type.tz), safe=False), pa.int64())
    return np.asarray(
        seconds.to_numpy(zero_copy_only=False)
        if isinstance(seconds, pa.Array)
        else seconds.to_numpy(),
        dtype=np.int64,
    )


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
