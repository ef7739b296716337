"""Days and months of a run, in UTC."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sim.units import SECONDS_PER_DAY


class Month(NamedTuple):
    """The part of a calendar month that a run covers and that has just ended."""

    start_s: int
    end_s: int
    share: float  # of the whole calendar month

    def overlap(self, from_s: float, to_s: float) -> float:
        """Share of the whole calendar month that lies in an interval of the run."""
        seconds = min(self.end_s, to_s) - max(self.start_s, from_s)
        return self.share * max(seconds, 0.0) / (self.end_s - self.start_s)


class Calendar:
    """Run seconds against dates."""

    def __init__(self, start_utc: datetime, seconds: int) -> None:
        self.start_utc = start_utc
        self.seconds = seconds

    def at(self, t_s: float) -> datetime:
        """Date and time of an instant."""
        return self.start_utc + timedelta(seconds=t_s)

    def t_s(self, when: datetime | None, default: float) -> float:
        """Run second of a date, which may lie outside the run."""
        return default if when is None else (when - self.start_utc).total_seconds()

    def month_ended(self, t_s: int) -> Month | None:
        """The month whose last day (of the run) ends now, if one does."""
        day = self.at(t_s - SECONDS_PER_DAY)
        if (self.at(t_s).year, self.at(t_s).month) == (day.year, day.month) and t_s < self.seconds:
            return None
        first = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = (first + timedelta(days=32)).replace(day=1)
        start_s = max(round((first - self.start_utc).total_seconds()), 0)
        end_s = min(round((after - self.start_utc).total_seconds()), t_s)
        whole_s = (after - first).total_seconds()
        return Month(start_s, end_s, (end_s - start_s) / whole_s)

    def year_ended(self, t_s: int) -> bool:
        """Whether a calendar year, or the run, ends now."""
        return t_s >= self.seconds or self.at(t_s).year != self.at(t_s - SECONDS_PER_DAY).year
