"""Coincident peaks of the system's load, and the honest chance that now is one.

The peak of a month is known when the month is over. What can be known before: the forecast of the
day, made the day before, and the loads so far. A step is the month's peak if today is the day and
the step is today's peak. For the first, today's forecast peak stands against the highest load so
far (logistic error of one scale) and against the days that remain, taken to be like today. For the
second, errors of the hours are independent Gumbel ones, so that the chance of each is its
exponential share among the hours that are left and today's highest so far (the logit choice rule;
McFadden 1974).
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.scenario.energy import CoincidentPeak
from sim.units import SECONDS_PER_DAY


class Peaks(NamedTuple):
    """The system's load over the run. Shape: `step`."""

    risk: Floats  # (step,) chance, as known at the step's start, that it is the month's peak
    peak_steps: Ints  # (peak,) the steps that were it
    year: Ints  # (peak,) calendar year, local
    counted: int  # peaks a full year has


def find_peaks(
    spec: CoincidentPeak, load_mw: Floats, forecast_mw: Floats, start_utc: datetime, step_s: int
) -> Peaks:
    """Peaks and risks from loads and forecasts (step,) [MW]; local days and months."""
    start = start_utc + timedelta(hours=spec.utc_offset_h)
    seconds = np.datetime64(start.replace(tzinfo=None), "s") + np.arange(len(load_mw)) * step_s
    day = seconds.astype("datetime64[D]")
    month = seconds.astype("datetime64[M]")
    number = month.astype(np.int64) % 12 + 1
    risk = np.zeros(len(load_mw))
    peaks, years = [], []
    for this in np.unique(month[np.isin(number, spec.months)]):
        steps = np.flatnonzero(month == this)
        whole = ((this + 1).astype("datetime64[D]") - this.astype("datetime64[D]")).astype(int)
        if len(steps) * step_s == int(whole) * SECONDS_PER_DAY:
            peaks.append(int(steps[np.argmax(load_mw[steps])]))
            years.append(int(this.astype("datetime64[Y]").astype(np.int64)) + 1970)
        end = (this + 1).astype("datetime64[D]")
        highest = 0.0
        for today in np.unique(day[steps]):
            of_day = steps[day[steps] == today]
            left = int((end - today).astype(np.int64)) - 1  # days after today
            for k, step in enumerate(of_day):
                rest = forecast_mw[of_day[k:]]
                today = 0.0
                if k:  # what the day has shown corrects what is left of its forecast
                    rest = rest * (load_mw[step - 1] / forecast_mw[step - 1])
                    today = float(load_mw[of_day[:k]].max())
                top = max(float(rest.max()), today)
                odds = np.exp((np.append(rest, today) - top) / (spec.shape_error * top))
                rival = np.exp(min((highest - top) / (spec.level_error * top), 500.0))
                risk[step] = odds[0] / odds.sum() / (1.0 + left + rival)
            highest = max(highest, float(load_mw[of_day].max()))
    return Peaks(
        risk, np.array(peaks, dtype=np.int64), np.array(years, dtype=np.int64), len(spec.months)
    )
