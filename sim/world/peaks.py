"""Coincident peaks of the system's load, and the probability that the current step is one.

The peak of a month is known only when the month is over. Known before that are the day's forecast,
made the day before, and the loads so far. A step is the month's peak if today is the peak day and
the step is today's peak. For the first, today's forecast peak is compared with the highest load so
far (logistic error of one scale) and with the days that remain, assumed to be like today. For the
second, hourly errors are independent Gumbel variables, so that the probability of each hour is its
exponential share among the hours that are left and today's highest so far (the logit choice rule;
McFadden 1974).
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim.scenario.energy import CoincidentPeak
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_DAY

Hours = npt.NDArray[np.datetime64]


class Peaks(NamedTuple):
    """Peaks of the system's load over the run. Shape: `step`."""

    risk: Floats  # (step,) probability of the month's peak, as known at the step's start
    peak_steps: Ints  # (peak,) the steps that were a month's peak
    year: Ints  # (peak,) calendar year, local
    counted: int  # number of peaks in a full year


def find_peaks(
    spec: CoincidentPeak,
    load_mw: Floats,
    forecast_mw: Floats,
    start_utc: datetime,
    step_s: int,
    highest_mw: Floats | None = None,
) -> Peaks:
    """Peaks and risks from mean loads and forecasts (step,) [MW]; local days and months.

    `highest_mw` (step,) is the load of the highest metering interval in each step: the step that
    holds the month's highest is its peak, however low its mean. Default: the means.

    Probabilities are those of hours (or of steps, where those are longer), divided evenly among
    their steps.
    """
    start = start_utc + timedelta(hours=spec.utc_offset_h)
    seconds = np.datetime64(start.replace(tzinfo=None), "s") + np.arange(len(load_mw)) * step_s
    month = seconds.astype("datetime64[M]")
    highest_mw = load_mw if highest_mw is None else highest_mw
    counts = np.isin(month.astype(np.int64) % 12 + 1, spec.months)
    peaks, years = [], []
    for this in np.unique(month[counts]):
        steps = np.flatnonzero(month == this)
        days = int(((this + 1).astype("datetime64[D]") - this.astype("datetime64[D]")).astype(int))
        if len(steps) * step_s == days * SECONDS_PER_DAY:
            peaks.append(int(steps[np.argmax(highest_mw[steps])]))
            years.append(int(this.astype("datetime64[Y]").astype(np.int64)) + 1970)
    hours, hour, size = np.unique(
        seconds.astype("datetime64[h]"), return_inverse=True, return_counts=True
    )
    risk = _risk(
        spec,
        hours,
        np.bincount(hour, load_mw) / size,
        np.bincount(hour, forecast_mw) / size,
    )
    return Peaks(
        np.where(counts, (risk / size)[hour], 0.0),
        np.array(peaks, dtype=np.int64),
        np.array(years, dtype=np.int64),
        len(spec.months),
    )


def _risk(spec: CoincidentPeak, hours: Hours, load_mw: Floats, forecast_mw: Floats) -> Floats:
    """Probability that each hour is its month's peak (hour,), as known when it begins."""
    day, month = hours.astype("datetime64[D]"), hours.astype("datetime64[M]")
    risk = np.zeros(len(hours))
    for this in np.unique(month):
        end = (this + 1).astype("datetime64[D]")
        highest = 0.0
        for today in np.unique(day[month == this]):
            of_day = np.flatnonzero(day == today)
            left = int((end - today).astype(np.int64)) - 1  # days after today
            for k, step in enumerate(of_day):
                rest = forecast_mw[of_day[k:]]
                seen = 0.0
                if k:  # the last hour's load scales the rest of the forecast
                    rest = rest * (load_mw[step - 1] / forecast_mw[step - 1])
                    seen = float(load_mw[of_day[:k]].max())
                top = max(float(rest.max()), seen)
                odds = np.exp((np.append(rest, seen) - top) / (spec.shape_error * top))
                rival = np.exp(min((highest - top) / (spec.level_error * top), 500.0))
                risk[step] = odds[0] / odds.sum() / (1.0 + left + rival)
            highest = max(highest, float(load_mw[of_day].max()))
    return risk
