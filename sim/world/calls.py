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

    Dated calls come first: a random one that would touch another, notice included, is dropped. A
    call that is under way when the run begins is noticed at its beginning.
    """
    begin, horizon_s = scenario.horizon.start_utc, scenario.horizon.seconds
    found: list[ProgrammeCall] = []
    specs = [(n, p) for n, p in scenario.programmes.items() if not isinstance(p, EconomicProgramme)]
    for number, (name, spec) in enumerate(specs):
        dated = [
            (round((c.start_utc - begin).total_seconds()), round(c.hours * SECONDS_PER_HOUR))
            for c in spec.calls
        ]
        drawn = []
        if spec.calls_per_year > 0.0:
            draw = streams.generator("programme", name)
            t_s = draw.exponential(SECONDS_PER_YEAR / spec.calls_per_year)
            while t_s < horizon_s:
                drawn.append((round(t_s), round(spec.call_h * SECONDS_PER_HOUR)))
                t_s += draw.exponential(SECONDS_PER_YEAR / spec.calls_per_year)
        taken: list[ProgrammeCall] = []
        for start_s, length_s in [*sorted(dated), *drawn]:
            end_s = start_s + length_s
            notice_s, start_s = max(start_s - spec.notice_s, 0), max(start_s, 0)
            free = all(notice_s >= c.end_s or end_s <= c.notice_s for c in taken)
            if free and end_s > 0 and start_s < horizon_s:
                taken.append(ProgrammeCall(notice_s, start_s, end_s, number))
        found += taken
    return tuple(sorted(found))
