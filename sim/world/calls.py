"""Times of programme calls: dated, in scarcity, random; independent of what is offered."""

from typing import NamedTuple

import numpy as np

from sim.scenario.energy import EconomicProgramme, ReserveProgramme
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.types import Floats
from sim.units import SECONDS_PER_HOUR, SECONDS_PER_YEAR


class ProgrammeCall(NamedTuple):
    """A call; times in run seconds."""

    notice_s: int
    start_s: int
    end_s: int
    programme: int  # index among the programmes that issue calls


def programme_calls(
    scenario: Scenario, streams: Streams, real_time_reserve: Floats | None = None
) -> tuple[ProgrammeCall, ...]:
    """Every call of the run by time of notice; a programme's calls do not overlap.

    Dated calls take precedence, then deployments in scarcity, by `real_time_reserve` (step,
    programme) [USD/MW/h], then random calls. A call that would overlap another, notice included, is
    dropped. A call that is under way when the run begins is noticed at the start of the run.
    """
    begin, horizon_s = scenario.horizon.start_utc, scenario.horizon.seconds
    found: list[ProgrammeCall] = []
    specs = [(n, p) for n, p in scenario.programmes.items() if not isinstance(p, EconomicProgramme)]
    for number, (name, spec) in enumerate(specs):
        dated = [
            (round((c.start_utc - begin).total_seconds()), round(c.hours * SECONDS_PER_HOUR))
            for c in spec.calls
        ]
        scarce = []
        if isinstance(spec, ReserveProgramme) and real_time_reserve is not None:
            steps = real_time_reserve[: scenario.horizon.steps, number]
            scarce = _in_scarcity(spec, steps, scenario.horizon.step_s)
        drawn = []
        if spec.calls_per_year > 0.0:
            draw = streams.generator("programme", name)
            t_s = draw.exponential(SECONDS_PER_YEAR / spec.calls_per_year)
            while t_s < horizon_s:
                drawn.append((round(t_s), round(spec.call_h * SECONDS_PER_HOUR)))
                t_s += draw.exponential(SECONDS_PER_YEAR / spec.calls_per_year)
        taken: list[ProgrammeCall] = []
        for start_s, length_s in [*sorted(dated), *scarce, *drawn]:
            end_s = start_s + length_s
            notice_s, start_s = max(start_s - spec.notice_s, 0), max(start_s, 0)
            free = all(notice_s >= c.end_s or end_s <= c.notice_s for c in taken)
            if free and end_s > 0 and start_s < horizon_s:
                taken.append(ProgrammeCall(notice_s, start_s, end_s, number))
        found += taken
    return tuple(sorted(found))


def _in_scarcity(
    spec: ReserveProgramme, usd_per_mw_h: Floats, step_s: int
) -> list[tuple[int, int]]:
    """Deployments (start, length) [s]: one per spell of prices at or above the threshold.

    The threshold is `deploy_above_usd_per_mw_h`. A deployment is announced when the spell begins,
    and ends with the spell or after `call_h`. A spell that ends before the response would be due
    has none.
    """
    if spec.deploy_above_usd_per_mw_h is None:
        return []
    high = np.concatenate([[0], usd_per_mw_h >= spec.deploy_above_usd_per_mw_h, [0]])
    edges = np.diff(high.astype(np.int64))
    found = []
    for first, last in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True):
        start_s = int(first) * step_s + spec.notice_s
        length_s = min(int(last) * step_s - start_s, round(spec.call_h * SECONDS_PER_HOUR))
        if length_s > 0:
            found.append((start_s, length_s))
    return found
