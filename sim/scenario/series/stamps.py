"""Converts time stamps of files to Unix seconds: zones, clock changes, epochs, interval ends."""

import re
from collections.abc import Callable
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
EARLIEST_EPOCH_S: Final = 100_000_000  # 1973-03-03: smaller numbers are years, hours or row numbers
RUN_ROWS: Final = 12  # assumed: half a day of hours is no coincidence
INTERVALS: Final = (1, 2, 4, 6, 12)  # intervals per hour in markets' files
OFFSET: Final = re.compile(r"\d(Z|[+-]\d\d:?\d\d)$")
SHOWN: Final = 5


def listed(what: list[str]) -> str:
    """The first few items, and their number."""
    more = f", … ({len(what)} in all)" if len(what) > SHOWN else ""
    return ", ".join(what[:SHOWN]) + more


class Stamps:
    """The time column of a table; `row` (row,) holds line numbers in the file."""

    def __init__(
        self, table: pa.Table, spec: SeriesSpec, row: Rows, length_s: int | None = None
    ) -> None:
        self.table, self.spec, self.row, self.length_s = table, spec, row, length_s
        self.name = spec.time_column
        self.notes: list[str] = []

    def intervals(self) -> tuple[Seconds, Seconds, Rows]:
        """Start [Unix s] and length [s] of each row, and the rows kept, in order of time."""
        self._zone()  # the zone must exist even if no row needs it
        stamp_s, order = self._instants()
        ends = self.spec.stamps == "end"
        if self.length_s is not None:
            lasting = np.full(len(stamp_s), self.length_s, dtype=np.int64)
        else:
            lasting = lengths(-stamp_s[::-1])[::-1] if ends else lengths(stamp_s)
        if not ends:
            return stamp_s, lasting, order
        start_s = stamp_s - lasting  # an interval begins where the previous one ended
        start_s[1:] = np.maximum(start_s[1:], stamp_s[:-1])
        return start_s, stamp_s - start_s, order

    def _instants(self) -> tuple[Seconds, Rows]:
        """The instants of the stamps [Unix s], and the rows kept, in order of time."""
        column = self._column(self.name)
        if column.null_count:
            where = self.row[column.is_null().to_numpy(zero_copy_only=False)]
            raise SeriesError(
                f"column {self.name!r}: row {listed([str(r) for r in where])} has no time"
            )
        try:
            naive = self._naive(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
            raise SeriesError(f"column {self.name!r} is not a time: {error}") from None
        if isinstance(naive, tuple):
            seconds, keep = naive[0], np.arange(len(self.row))
        else:
            seconds, keep = self._localised(naive)
        order = keep if len(keep) < 2 or seconds[-1] >= seconds[0] else keep[::-1]
        seconds = seconds if order is keep else seconds[::-1]
        if isinstance(naive, tuple) and (np.diff(seconds) < 0).any():
            by_time = np.argsort(seconds, kind="stable")
            seconds, order = seconds[by_time], order[by_time]
            self.notes.append("rows are not in order of time and have been sorted")
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
        """Local clock seconds; if in a tuple, Unix seconds."""
        spec = self.spec
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        if number and not spec.time_format:
            return self._number(np.asarray(column.to_numpy(), dtype=np.float64))
        # typed times come from ISO 8601 or a workbook: only year-day-month looks the same
        dated = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
        read = dated and not spec.time_format.startswith("%Y-%d")
        if spec.time_format and not read:
            text = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
            column = self._parsed(text, spec.time_format)
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = pc.utf8_trim_whitespace(column)
            first = str(text[0].as_py())
            if re.search(r"\d\s+(-|to|–)\s+\d", first) or re.search(r"Z/|\d/\d{4}-", first):
                text = pc.replace_substring_regex(text, r"\s+(-|to|–)\s+.*$|/.*$", "")
            column = self._iso(pc.replace_substring_regex(text, r"\s*(UTC|GMT)$", "Z"))
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

    def _iso(self, text: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = pa.timestamp("s", "UTC" if OFFSET.search(str(text[0].as_py())) else None)
        return self._each(text, lambda part: pc.cast(part, kind), "ISO 8601")

    def _parsed(self, text: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
        written = f"time_format {form!r}"
        if re.search(r"\d\s+(-|–)\s+\d", str(text[0].as_py())):
            text = pc.replace_substring_regex(text, r"\s+(-|–)\s+.*$", "")
        first = str(text[0].as_py())
        if "/" in form and "/" not in first:
            form = form.replace("/", ".")  # separators of a date vary, its order does not
        if first.count(":") == 2 and (2 if "%S" in form else form.count("%M")) == 1:
            form += ":%S"
        if "%I" in form:  # strptime lacks AM and PM on some platforms

            def twelve(part: pa.ChunkedArray) -> pa.ChunkedArray:
                try:
                    times = [datetime.strptime(x, form) for x in part.to_pylist()]
                except ValueError as error:
                    raise pa.ArrowInvalid(str(error)) from None
                return pa.chunked_array([pa.array(times, pa.timestamp("s"))])

            return self._each(text, twelve, written)
        if "%H" in form and "%M" not in form:
            text, form = pc.binary_join_element_wise(text, ":00", ""), form + ":%M"
        return self._each(text, lambda part: pc.strptime(part, format=form, unit="s"), written)

    def _each(
        self,
        text: pa.ChunkedArray,
        parse: Callable[[pa.ChunkedArray], pa.ChunkedArray],
        written: str,
    ) -> pa.ChunkedArray:
        """Parse all cells; the error names the first that fails."""
        try:
            return parse(text)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            low, high = 0, len(text)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                parse(text[low:middle])
                low = middle
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                high = middle
        first, cell = str(text[0].as_py()), str(text[low].as_py())
        what = f"row {self.row[low]} is {cell[:60]!r}"
        if written == "ISO 8601" and bool(OFFSET.search(first)) != bool(OFFSET.search(cell)):
            what += f", where row {self.row[0]} is {first[:60]!r}: all with an offset, or none"
        raise SeriesError(f"column {self.name!r} is not a time as {written}: {what}")

    def _number(self, value: npt.NDArray[np.float64]) -> "Seconds | tuple[Seconds]":
        """Convert epochs in s, ms, µs or ns, told apart by size, and serial days of workbooks."""
        if not np.isfinite(value).all():
            raise SeriesError(
                f"column {self.name!r}: row {self.row[~np.isfinite(value)][0]} is no time"
            )
        top = np.abs(value).max()
        form = _digits(value)
        if form:
            raise SeriesError(
                f"column {self.name!r}: row {self.row[0]} is {value[0]:.0f}, a date without marks: "
                f"say time_format = {form!r}"
            )
        if value.min() >= 20_000.0 and top < 80_000.0 and self.spec.kind == "regular":
            if self.spec.timezone is None:
                raise SeriesError(
                    f"column {self.name!r} holds {value[0]:g}, a workbook's date: say timezone"
                )
            return np.round((value + EXCEL_DAY_0) * SECONDS_PER_DAY).astype(np.int64)
        if value.min() < EARLIEST_EPOCH_S:
            where = int(np.argmax(value < EARLIEST_EPOCH_S))
            raise SeriesError(
                f"column {self.name!r}: row {self.row[where]} is {value[where]:.12g}: a number is "
                "a time as an epoch in s, ms, µs or ns, from 1973 on, or as a workbook's date, "
                "20000 to 80000"
            )
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
            row = self.row[np.argmax(np.abs(value))]
            raise SeriesError(f"column {self.name!r}: row {row} is {top:g}: a time is 1970 to 2200")
        return (np.round(value / unit).astype(np.int64),)

    def _hours(self, day: pa.ChunkedArray) -> Seconds:
        """Local start of an interval from its day, ending hour and interval number."""
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
            there = set(interval.tolist())
            count = SECONDS_PER_HOUR // self.length_s if self.length_s else max(there)
            whole = self.length_s or there == set(range(1, count + 1))
            if count not in INTERVALS or not whole or not there <= set(range(1, count + 1)):
                held = listed([str(x) for x in sorted(there)])
                raise SeriesError(
                    f"column {spec.interval_column!r} holds {held}; "
                    "intervals of an hour are 1 to 2, 4, 6 or 12"
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
            if counted:  # hours counted from midnight, ignoring clock changes
                self.elapsed |= at
                seconds[at] = int(start.timestamp()) + (hour[at] - 1) * SECONDS_PER_HOUR
        return np.asarray(seconds + within, dtype=np.int64)

    def _whole(self, name: str) -> Seconds:
        text = pc.utf8_trim_whitespace(pc.cast(self._column(name), pa.string()))
        bare = pc.replace_substring_regex(text, r"^HE\s*|:.*$|\.0$|[*X]$", "")
        wrong = ~pc.fill_null(pc.match_substring_regex(bare, r"^\d{1,4}$"), True).to_numpy()
        if wrong.any():
            where = int(np.argmax(wrong))
            cell = str(text[where].as_py())[:40]
            raise SeriesError(f"column {name!r} is not an hour: row {self.row[where]} is {cell!r}")
        values = pc.cast(bare, pa.int64())
        return np.asarray(pc.fill_null(values, 0).to_numpy(), dtype=np.int64)

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.spec.timezone or "UTC")
        except (KeyError, ValueError, OSError):
            what = f"timezone {self.spec.timezone!r} is not found in timezone database"
            raise SeriesError(f"column {self.name!r}: {what}") from None

    def _localised(self, naive: Seconds) -> tuple[Seconds, Rows]:
        """Unix seconds of local times, and the rows kept; times that do not exist are dropped."""
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
        if missing.any():
            extra = missing
            if self.spec.stamps == "end":  # the first of them ends the previous hour
                near = missing | np.append(False, missing[:-1]) & ~counted[keep]
                extra = near & np.append(False, np.diff(seconds) == 0)
            if extra.any():
                rows = [f"row {r}" for r in self.row[keep][extra]]
                self.notes.append(
                    f"{listed(rows)} left out: clocks in {zone} go forward, "
                    "that time does not exist"
                )
            return seconds[~extra], keep[~extra]
        return seconds, keep

    def _repeated(self, first: Seconds, last: Seconds, keep: Rows) -> npt.NDArray[np.bool_]:
        """Whether each row lies in the second pass of a repeated hour."""
        column = self.spec.repeat_column
        if column is not None and column in self.table.column_names:
            flag = pc.utf8_upper(pc.cast(self.table[column], pa.string())).to_pylist()
            return np.array([x in ("Y", "TRUE", "1") for x in flag], dtype=bool)[keep]
        # the later occurrence is the second pass
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


def _digits(value: npt.NDArray[np.float64]) -> str:
    """The format of dates such as 20260131 or 2026013114; otherwise empty."""
    if (value != np.floor(value)).any() or value.min() < 1970_01_01 or value.max() >= 1e15:
        return ""
    size = np.floor(np.log10(value)).astype(np.int64) + 1
    forms = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    if np.unique(size).size > 1 or int(size[0]) not in forms:
        return ""
    day = value // 10.0 ** (size - 8)
    year, month, date = day // 10_000, day // 100 % 100, day % 100
    hour = value // 10.0 ** np.maximum(size - 10, 0) % 100 if size[0] > 8 else np.zeros(1)
    sound = (year >= 1970) & (year <= 2200) & (month >= 1) & (month <= 12)
    sound = sound & (date >= 1) & (date <= 31) & (hour <= 24)
    return forms[int(size[0])] if sound.all() else ""


def _seconds(column: pa.ChunkedArray) -> Seconds:
    seconds = pc.cast(pc.cast(column, pa.timestamp("s", column.type.tz), safe=False), pa.int64())
    return np.asarray(
        seconds.to_numpy(zero_copy_only=False)
        if isinstance(seconds, pa.Array)
        else seconds.to_numpy(),
        dtype=np.int64,
    )


def lengths(start_s: Seconds) -> Seconds:
    """Length of each row [s]: up to the next row, except at a gap.

    A spacing that holds for RUN_ROWS rows or more is a resolution of the file, which allows for a
    change from hours to quarter hours; without such a run the shortest spacing is. A row before
    any other spacing lasts as long as its neighbours.
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
