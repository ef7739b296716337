"""What happened before the run and reaches into it.

Sheets say what was ordered and set up; dated projects, fires and ends of hosts that lie before the
start are played back in order of time, so that they neither happen again nor are forgotten. What
was live stands there at its depreciated value; what burnt or left is not there, and the insurer
still owes what has not fallen due. Nothing of it is income, expense or cash of the run.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.engine.incidents import host_arrives, leave, set_deployed
from sim.engine.projects import Times, deliver
from sim.units import SECONDS_PER_DAY

if TYPE_CHECKING:
    from sim.engine.engine import Engine


def play_back(engine: "Engine") -> None:
    """Bring plant and books to where they stand at the start; before the books are opened."""
    past: list[tuple[float, str, Callable[[], None]]] = []
    for name, spec in engine.scenario.projects.items():
        times = Times.of(engine, name) if spec.enabled else None
        if times is not None and times.live_s < 0 and not times.called_off:
            past.append((times.live_s, name, _live(engine, name, times)))
    for what in engine.world.incidents:
        if what.start_s < 0 and what.spec.kind == "fire":
            for site in what.names:
                share = what.spec.destroyed_fraction or 0.0
                past.append((what.start_s, site, _burnt(engine, site, what.start_s, share)))
    for name, end_s in ends_before(engine).items():
        past.append((end_s, name, _ended(engine, name, end_s)))
        host = engine.scenario.hosts[name]
        if host.move_to is not None:
            arrival_s = end_s + round(host.downtime_days * SECONDS_PER_DAY)
            if arrival_s < 0:
                past.append((arrival_s, name, _arrived(engine, name)))
    for _, _, happen in sorted(past, key=lambda p: p[:2]):
        happen()
    if past:
        engine.plant.change()


def ends_before(engine: "Engine") -> dict[str, int]:
    """Hosts whose service had ended when the run began, and when [run seconds, below 0]."""
    ends: dict[str, int] = {}
    for name, host in engine.scenario.hosts.items():
        found = []
        if host.ends_utc is not None:
            found.append(round(engine.firm.calendar.t_s(host.ends_utc, 0.0)))
        notice_s = round(host.notice_days * SECONDS_PER_DAY)
        found += [
            what.start_s + notice_s
            for what in engine.world.incidents
            if what.spec.kind == "termination" and name in what.names
        ]
        if found and min(found) < 0:
            ends[name] = min(found)
    return ends


def _live(engine: "Engine", name: str, times: Times) -> Callable[[], None]:
    def happen() -> None:
        engine.firm.projects.stood(name, times.payments(engine.scenario.projects[name]))
        since = f"{engine.firm.calendar.at(times.live_s):%Y-%m-%d}"
        deliver(engine, name, f", live since {since}")

    return happen


def _burnt(engine: "Engine", site: str, t_s: int, share: float) -> Callable[[], None]:
    def happen() -> None:
        inventory = engine.plant.inventory
        changes = []
        for kind, group in inventory.at(engine.plant.site_names.index(site)):
            there = inventory.deployed(kind, group)
            changes.append(set_deployed(engine, kind, group, there - round(there * share)))
        lost = sum(c.before - c.now for c in changes)
        engine.firm.had_destroyed(t_s, "fire", site, changes)
        day = f"{engine.firm.calendar.at(t_s):%Y-%m-%d}"
        _tell(engine, site, "fire", f"{lost} machines destroyed on {day} are not there")

    return happen


def _ended(engine: "Engine", name: str, end_s: int) -> Callable[[], None]:
    def happen() -> None:
        host = engine.scenario.hosts[name]
        left = engine.left_before[name] = leave(engine, host.sites)
        engine.firm.hosting.ended.add(name)
        day = f"{engine.firm.calendar.at(end_s):%Y-%m-%d}"
        detail = f"{sum(left.values())} machines left on {day} for {host.move_to or 'the store'}"
        _tell(engine, ", ".join(host.sites), name, detail)

    return happen


def _arrived(engine: "Engine", name: str) -> Callable[[], None]:
    return lambda: host_arrives(engine, name, engine.left_before.pop(name))


def _tell(engine: "Engine", site: str, subject: str, detail: str) -> None:
    engine.recorder.event(0, "before the run", site, subject, detail)
