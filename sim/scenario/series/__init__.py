"""Recorded series: files of markets, networks and weather, read correctly or refused."""

from sim.scenario.series.layouts import layouts
from sim.scenario.series.reading import read_series
from sim.scenario.series.recorded import Seconds, Series, SeriesError, Values, utc
from sim.scenario.series.stamps import listed

__all__ = ["Seconds", "Series", "SeriesError", "Values", "layouts", "listed", "read_series", "utc"]
