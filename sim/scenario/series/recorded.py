"""Recorded values over time: values at instants, and means and maxima over intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sim.scenario.series.values import (
    UNIT_COLUMNS,
    ValuesError,
    numbers,
    other_than_money,
    unit_trouble,
)
from sim.units import SECONDS_PER_HOUR

Seconds = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


class SeriesError(ValueError):
    """A series cannot be used; the message names the column or row, and why."""


@dataclass(frozen=True)
class Series:
    """Columns over time, constant within each interval.

    `start_s` (row,) are Unix seconds, strictly rising; `length_s` (row,) is how long each row
    lasts. Typical years have no calendar: `start_s` counts from the start of a year of 365 days.
    """

    kind: Literal["regular", "events", "typical-year"]
    start_s: Seconds
    length_s: Seconds
    max_gap_s: int
    utc_offset_s: int
    table: pa.Table
    scale: float = 1.0
    file_row: Seconds | None = None  # (row,) line number in its file
    currency: str = "USD"
    notes: tuple[str, ...] = ()  # omissions, and why
    usd_per_currency: float = 1.0
    units: Mapping[str, str] = field(default_factory=dict)  # by column, where the file states them
    above: str = ""  # text above the header of the file

    @property
    def step_s(self) -> int:
        """The most common length of a row [s]."""
        lengths, counts = np.unique(self.length_s, return_counts=True)
        return int(lengths[np.argmax(counts)])

    @property
    def end_s(self) -> int:
        """First instant after the last row [Unix s]."""
        return int(self.start_s[-1] + self.length_s[-1])

    def span(self) -> str:
        """First and last instant, as text."""
        return f"{utc(int(self.start_s[0]))} to {utc(self.end_s)}"

    def column(self, name: str) -> Values:
        """A column as numbers (row,) in USD where it is money; missing values are NaN."""
        if name not in self.table.column_names:
            raise SeriesError(f"no column {name!r}; it has {', '.join(self.table.column_names)}")
        said = f"{name} {self.units.get(name, '')}"
        if not other_than_money(said):
            said = f"{said} {self.above}"
        trouble = unit_trouble(f"{said} {self._told()}", name, self.currency, self.scale)
        if trouble:
            raise SeriesError(trouble)
        try:
            found = numbers(self.table[name], name, self.row_in_file)
        except ValuesError as error:
            raise SeriesError(str(error)) from None
        factor = self.scale * self.usd_per_currency
        return found * factor if factor != 1.0 else found

    def _told(self) -> str:
        """Contents of currency and unit columns, each constant over all rows."""
        told = []
        for name in self.table.column_names:
            if name.casefold().strip() not in UNIT_COLUMNS:
                continue
            found = [str(x) for x in self.table[name].unique().to_pylist() if x is not None]
            if len(found) > 1:
                raise SeriesError(
                    f"column {name!r} holds {', '.join(map(repr, found[:5]))}: choose rows of one "
                    f'with where = {{ "{name}" = "{found[0]}" }}'
                )
            told += found
        return " ".join(told)

    def row_in_file(self, row: int) -> int:
        """Line number of a row in its file, from 1."""
        return int(self.file_row[row]) if self.file_row is not None else row + 2

    def used(self, from_s: int, to_s: int) -> Seconds:
        """Rows in force within a span (row,); all rows of a typical year."""
        if self.kind == "typical-year":
            return np.arange(len(self.start_s), dtype=np.int64)
        first = max(int(np.searchsorted(self.start_s, from_s, side="right")) - 1, 0)
        return np.arange(first, int(np.searchsorted(self.start_s, to_s)), dtype=np.int64)

    def gaps(self, from_s: int, to_s: int) -> list[tuple[int, int, int]]:
        """Unfilled gaps within a span: the row before, begin and end [Unix s]."""
        if self.kind != "regular":
            return []
        ends = self.start_s[:-1] + self.length_s[:-1] + self.max_gap_s
        rows = np.flatnonzero(
            (ends < self.start_s[1:]) & (self.start_s[1:] > from_s) & (ends < to_s)
        )
        return [(int(r), int(ends[r] - self.max_gap_s), int(self.start_s[r + 1])) for r in rows]

    def locate(self, unix_s: Seconds) -> Seconds:
        """Row in force at each instant (instant,); -1 outside the series and its gap rule."""
        if self.kind == "typical-year":
            return self._locate_typical(unix_s)
        row = np.searchsorted(self.start_s, unix_s, side="right") - 1
        if self.kind == "regular":
            last = np.maximum(row, 0)
            late = unix_s - self.start_s[last] >= self.length_s[last] + self.max_gap_s
            row = np.where(late, -1, row)
        return row.astype(np.int64)

    def sample(self, name: str, unix_s: Seconds) -> Values:
        """Values in force at each instant; missing ones take the previous value, within max_gap."""
        return self._sampled(name, self.column(name), unix_s)

    def mean(
        self,
        name: str,
        unix_s: Seconds,
        step_s: int,
        low: float = -np.inf,
        high: float = np.inf,
    ) -> Values:
        """Time-weighted means over the `step_s` seconds from each instant (instant,).

        Values are clipped to `low` and `high` first. Within one row the mean is exactly its value.
        """
        at_s, seconds, first = self._pieces(unix_s, step_s)
        values = np.clip(self._sampled(name, self.column(name), at_s), low, high)
        total = np.add.reduceat(values * seconds, first) / step_s
        alone = np.diff(np.append(first, len(at_s))) == 1
        return np.where(alone, values[first], total)

    def most(self, name: str, unix_s: Seconds, step_s: int) -> Values:
        """The highest value within the `step_s` seconds from each instant (instant,)."""
        at_s, _, first = self._pieces(unix_s, step_s)
        values = self._sampled(name, self.column(name), at_s)
        return np.asarray(np.maximum.reduceat(values, first), dtype=np.float64)

    def _sampled(self, name: str, values: Values, unix_s: Seconds) -> Values:
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
            there = int(self.locate(np.array([first]))[0])
            at = f" (row {self.row_in_file(there)})" if there >= 0 else ""
            raise SeriesError(
                f"column {name!r} has no value at {utc(first)}{at}; "
                + (f"the file covers {self.span()}" if self.kind != "typical-year" else "")
                + f"; gaps of up to {self.max_gap_s / SECONDS_PER_HOUR:g} h are filled (max_gap_h)"
            )
        return values[row]

    def _pieces(self, unix_s: Seconds, step_s: int) -> tuple[Seconds, Seconds, Seconds]:
        """Intervals split where rows change, and where the span that a row may fill ends.

        Returns start (piece,) and length (piece,) of each piece [s], and the first piece of each
        interval (instant,).
        """
        begin_s = np.asarray(unix_s, dtype=np.int64)
        cut_s = self._changes(int(begin_s.min()), int(begin_s.max()) + step_s)
        low = np.searchsorted(cut_s, begin_s, side="right")
        count = np.searchsorted(cut_s, begin_s + step_s, side="left") - low + 1
        first = np.cumsum(count) - count
        rank = np.arange(int(count.sum())) - np.repeat(first, count)
        inner = np.repeat(low, count) + rank - 1  # the change that begins the piece
        whose_s = np.repeat(begin_s, count)
        at_s = whose_s if not len(cut_s) else np.where(rank > 0, cut_s[inner], whose_s)
        last = np.append(first[1:], len(at_s)) - 1
        until_s = np.append(at_s[1:], 0)
        until_s[last] = begin_s + step_s
        return at_s, until_s - at_s, first

    def _changes(self, from_s: int, to_s: int) -> Seconds:
        """Instants within a span at which a row begins or ends."""
        if self.kind == "typical-year":
            first = -((from_s + self.utc_offset_s) // -SECONDS_PER_HOUR) * SECONDS_PER_HOUR
            return np.arange(first - self.utc_offset_s, to_s, SECONDS_PER_HOUR, dtype=np.int64)
        changes = self.start_s
        if self.kind == "regular":
            changes = np.union1d(changes, self.start_s + self.length_s + self.max_gap_s)
        return changes[(changes > from_s) & (changes < to_s)]

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


def utc(unix_s: int) -> str:
    """An instant as text, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
