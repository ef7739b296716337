"""When programmes call: on dates, and at random; the same whatever anybody offers."""

from typing import NamedTuple

from sim.scenario.energy import EconomicProgramme
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.units import SECONDS_PER_HOUR, SECONDS_PER_YEAR


class ProgrammeCall(NamedTuple):
    """A call; run seconds."""

    notice_s: int
    start_s: int
    end_s: int
    programme: int  # among those that call


def programme_calls(scenario: Scenario, streams: Streams) -> tuple[ProgrammeCall, ...]:
    """Every call of the run by time of notice; a programme's calls do not overlap.

    A random call that would begin before the one before has ended is dropped.
    """
    begin, horizon_s = scenario.horizon.start_utc, scenario.horizon.seconds
    found: list[ProgrammeCall] = []
    specs = [(n, p) for n, p in scenario.programmes.items() if not isinstance(p, EconomicProgramme)]
    for number, (name, spec) in enumerate(specs):
        times = [
            (round((c.start_utc - begin).total_seconds()), round(c.hours * SECONDS_PER_HOUR))
            for c in spec.calls
        ]
        if spec.calls_per_year > 0.0:
            draw = streams.generator("programme", name)
            t_s = 0.0
            while True:
                t_s += draw.exponential(SECONDS_PER_YEAR / spec.calls_per_year)
                if t_s >= horizon_s:
                    break
                times.append((round(t_s), round(spec.call_h * SECONDS_PER_HOUR)))
        free_s = 0
        for start_s, length_s in sorted(times):
            notice_s = max(start_s - spec.notice_s, 0)
            if 0 <= start_s < horizon_s and notice_s >= free_s:
                free_s = start_s + length_s
                found.append(ProgrammeCall(notice_s, start_s, free_s, number))
    return tuple(sorted(found))
