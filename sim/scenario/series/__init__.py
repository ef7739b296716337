"""Recorded series: files of markets, networks and weather, read right or refused."""

from sim.scenario.series.reading import read_series
from sim.scenario.series.recorded import Seconds, Series, SeriesError, Values

__all__ = ["Seconds", "Series", "SeriesError", "Values", "read_series"]
