"""Calendar days and months of a run, in UTC."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sim.units import SECONDS_PER_DAY


class Month(NamedTuple):
    """The part of a calendar month, just ended, that lies in the run."""

    start_s: int
    end_s: int
    share: float  # of the whole calendar month

    def overlap(self, from_s: float, to_s: float) -> float:
        """Share of the whole calendar month that lies in an interval of run seconds."""
        seconds = min(self.end_s, to_s) - max(self.start_s, from_s)
        return self.share * max(seconds, 0.0) / (self.end_s - self.start_s)


class Calendar:
    """Converts run seconds to dates and back."""

    def __init__(self, start_utc: datetime, seconds: int) -> None:
        self.start_utc = start_utc
        self.seconds = seconds

    def at(self, t_s: float) -> datetime:
        """Date and time of an instant."""
        return self.start_utc + timedelta(seconds=t_s)

    def t_s(self, when: datetime | None, default: float) -> float:
        """Run second of a date, which may lie outside the run."""
        return default if when is None else (when - self.start_utc).total_seconds()

    def months_ended(self, t_s: int) -> list[Month]:
        """Months ended since the last daily close; at the run's end also the month cut off.

        Two at the end of a run whose last day spans two months: run days need not start at
        midnight.
        """
        ended, at_s = [], self.last_close(t_s)
        while at_s < t_s:
            day = self.at(at_s)
            first = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            after = (first + timedelta(days=32)).replace(day=1)
            start_s = max(round((first - self.start_utc).total_seconds()), 0)
            end_s = round((after - self.start_utc).total_seconds())
            at_s = min(end_s, t_s)
            if at_s == end_s or t_s >= self.seconds:
                whole_s = (after - first).total_seconds()
                ended.append(Month(start_s, at_s, (at_s - start_s) / whole_s))
        return ended

    def year_ended(self, t_s: int) -> bool:
        """Whether a calendar year, or the run, ends now."""
        return t_s >= self.seconds or self.at(t_s).year != self.at(self.last_close(t_s)).year

    def quarter_ended(self, t_s: int) -> bool:
        """Whether a calendar quarter, or the run, ends now."""
        first, now = self.at(self.last_close(t_s)), self.at(t_s)
        return t_s >= self.seconds or (first.month - 1) // 3 != (now.month - 1) // 3

    def last_close(self, t_s: int) -> int:
        """Instant of the daily close before `t_s`; books also close at the end of the run."""
        return (t_s - 1) // SECONDS_PER_DAY * SECONDS_PER_DAY
