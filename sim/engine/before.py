"""Events before the run whose effects reach into it.

The sheets say what was ordered and set up. Dated projects, fires and ends of hosts before the start
are replayed in order of time, so that they neither happen again nor are forgotten. What was live
enters at its depreciated value; what burnt or left is absent, and the insurer still owes claims
that have not fallen due. None of it is income, expense or cash of the run.
"""

from collections.abc import Callable

from sim.engine.hosts import host_arrives, leave
from sim.engine.projects import Times, deliver
from sim.engine.running import Run, destroy
from sim.units import SECONDS_PER_DAY
from sim.world.incidents import IncidentOccurrence


def play_back(run: Run) -> dict[str, dict[int, int]]:
    """Bring plant and books to their state at the start. Call it before the books are opened.

    Returns machines of hosts that are in transit when the run begins, by host and group.
    """
    on_their_way: dict[str, dict[int, int]] = {}
    past: list[tuple[float, str, Callable[[], None]]] = []
    for name, spec in run.scenario.projects.items():
        times = Times.of(run, name) if spec.enabled else None
        if times is not None and times.live_s < 0 and not times.called_off:
            past.append((times.live_s, name, _live(run, name, times)))
    for what in run.world.incidents:
        share = what.spec.destroyed_fraction
        if what.start_s < 0 and share is not None:
            for site in what.names:
                past.append((what.start_s, site, _destroyed(run, site, what, share)))
    for name, end_s in ends_before(run).items():
        past.append((end_s, name, _ended(run, name, end_s, on_their_way)))
        host = run.scenario.hosts[name]
        if host.move_to is not None:
            arrival_s = end_s + round(host.downtime_days * SECONDS_PER_DAY)
            if arrival_s < 0:
                past.append((arrival_s, name, _arrived(run, name, on_their_way)))
    for _, _, happen in sorted(past, key=lambda p: p[:2]):
        happen()
    if past:
        run.plant.inventory_changed()
    return on_their_way


def ends_before(run: Run) -> dict[str, int]:
    """Hosts whose service ended before the run, and when [run seconds, below 0]."""
    ends: dict[str, int] = {}
    for name, host in run.scenario.hosts.items():
        found = []
        if host.ends_utc is not None:
            found.append(round(run.firm.calendar.t_s(host.ends_utc, 0.0)))
        notice_s = round(host.notice_days * SECONDS_PER_DAY)
        found += [
            what.start_s + notice_s
            for what in run.world.incidents
            if what.spec.kind == "termination" and name in what.names
        ]
        if found and min(found) < 0:
            ends[name] = min(found)
    return ends


def _live(run: Run, name: str, times: Times) -> Callable[[], None]:
    def happen() -> None:
        run.firm.projects.book_live(name, times.payments(run.scenario.projects[name]))
        since = f"{run.firm.calendar.at(times.live_s):%Y-%m-%d}"
        deliver(run, name, f", live since {since}")

    return happen


def _destroyed(run: Run, site: str, what: IncidentOccurrence, share: float) -> Callable[[], None]:
    def happen() -> None:
        changes = destroy(run, run.plant.site_names.index(site), share)
        lost = sum(c.before - c.now for c in changes)
        run.firm.had_destroyed(what.start_s, what.spec.kind, site, changes)
        day = f"{run.firm.calendar.at(what.start_s):%Y-%m-%d}"
        _tell(run, site, what.spec.kind, f"{lost} machines destroyed on {day} are not there")

    return happen


def _ended(
    run: Run, name: str, end_s: int, on_their_way: dict[str, dict[int, int]]
) -> Callable[[], None]:
    def happen() -> None:
        host = run.scenario.hosts[name]
        left = on_their_way[name] = leave(run, host.sites)
        run.firm.hosting.ended.add(name)
        day = f"{run.firm.calendar.at(end_s):%Y-%m-%d}"
        detail = f"{sum(left.values())} machines left on {day} for {host.move_to or 'the store'}"
        _tell(run, ", ".join(host.sites), name, detail)

    return happen


def _arrived(run: Run, name: str, on_their_way: dict[str, dict[int, int]]) -> Callable[[], None]:
    return lambda: host_arrives(run, name, on_their_way.pop(name))


def _tell(run: Run, site: str, subject: str, detail: str) -> None:
    run.recorder.event(0, "before the run", site, subject, detail)
