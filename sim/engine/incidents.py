"""What incidents do to the plant and the firm: one handler for each kind."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from sim.plant.inventory import ASIC, GPU, Change
from sim.scenario.rows import MovedGroup
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from sim.world.incidents import IncidentOccurrence

if TYPE_CHECKING:
    from sim.engine.engine import Engine, Process

ALERT, SHED = 1, 2  # levels of an emergency
SHUTS: Final = {"outage": True, "network-cut": False, "fire": True}  # whether power goes, too


def incident(engine: "Engine", what: IncidentOccurrence) -> "Process":
    """Let something go wrong, and let it pass.

    What began before the run is played back by then (`engine.before`): here its rest passes.
    """
    if what.spec.kind == "emergency":
        yield from _emergency(engine, what)
        return
    begin, end = HANDLERS[what.spec.kind]
    horizon_s = engine.scenario.horizon.seconds
    if what.start_s < 0 and what.spec.kind == "fire":  # nothing burns again
        begin = _close
        if what.end_s <= 0:
            return
    yield from until(engine, what.start_s)
    names = ", ".join(what.names)
    now_s = max(what.start_s, 0)
    engine.recorder.event(now_s, what.spec.kind, names, "incident", _words(what))
    engine.between(lambda: begin(engine, what))
    if what.end_s <= what.start_s or what.end_s >= horizon_s:
        return
    yield engine.env.timeout(what.end_s - engine.now_s)
    engine.between(lambda: end(engine, what))
    engine.recorder.event(engine.now_s, f"{what.spec.kind} over", names, "incident", "")


def _emergency(engine: "Engine", what: IncidentOccurrence) -> "Process":
    """An alert, then load is shed, then it is over: policies see the level at each."""
    shed_s = what.start_s + round(what.spec.before_h * SECONDS_PER_HOUR)
    names, event = ", ".join(what.names), engine.recorder.event

    def level(now: int, before: int) -> None:
        for site in _sites(engine, what):
            levels = engine.plant.inventory.emergencies[site]
            if before:
                levels.remove(before)
            if now:
                levels.append(now)
        if SHED in (now, before):
            (_curtail if now == SHED else _restore)(engine, what)
        engine.plant.inventory.alert()

    stages = [(what.start_s, ALERT, 0, "emergency alert"), (shed_s, SHED, ALERT, "load shed"),
              (what.end_s, 0, SHED, "emergency over")]  # fmt: skip
    begun = 0
    for k, (t_s, now, before, kind) in enumerate(stages):
        over_s = stages[k + 1][0] if k + 1 < len(stages) else t_s + 1
        if over_s <= max(t_s, 0):  # before the run, or of no length
            continue
        if t_s >= engine.scenario.horizon.seconds:
            return
        yield from until(engine, t_s)
        detail = f"{what.spec.left_fraction:.0%} left" if now == SHED else ""
        event(engine.now_s, kind, names, "incident", detail)
        engine.between(partial(level, now, before if begun else 0))
        begun = now


def until(engine: "Engine", t_s: int) -> "Process":
    """Wait; not at all at the start of the run, where the first control step would come first."""
    if t_s > engine.now_s:
        yield engine.env.timeout(t_s - engine.now_s)


def _words(what: IncidentOccurrence) -> str:
    spec = what.spec
    parts = [f"{(what.end_s - max(what.start_s, 0)) / SECONDS_PER_HOUR:.1f} h"] * (
        what.end_s > max(what.start_s, 0)
    )
    if what.start_s < 0:
        parts.append(f"began {-what.start_s / SECONDS_PER_HOUR:.1f} h before the run")
    if spec.kind in ("cooling", "curtailment", "node-failure"):
        parts.append(f"{spec.left_fraction:.0%} left")
    if spec.destroyed_fraction is not None:
        parts.append(f"{spec.destroyed_fraction:.0%} of the machines destroyed")
    if spec.usd_per_mwh is not None:
        parts.append(f"{spec.usd_per_mwh:g} USD/MWh")
    if spec.days is not None:
        parts.append(f"{spec.days:g} days later")
    return ", ".join(parts)


def _sites(engine: "Engine", what: IncidentOccurrence) -> list[int]:
    return [engine.plant.site_names.index(name) for name in what.names]


def _close(engine: "Engine", what: IncidentOccurrence) -> None:
    for site in _sites(engine, what):
        engine.plant.inventory.close(site, SHUTS[what.spec.kind])
    engine.plant.change()


def _reopen(engine: "Engine", what: IncidentOccurrence) -> None:
    for site in _sites(engine, what):
        engine.plant.inventory.reopen(site, SHUTS[what.spec.kind])
    engine.plant.change()


def _burn(engine: "Engine", what: IncidentOccurrence) -> None:
    """A share of all machines is destroyed, whole machines, and the site shut while it lasts."""
    share = what.spec.destroyed_fraction or 0.0
    inventory = engine.plant.inventory
    for site in _sites(engine, what):
        changes = []
        for kind, group in inventory.at(site):
            there = inventory.deployed(kind, group)
            changes.append(set_deployed(engine, kind, group, there - round(there * share)))
        lost = sum(c.before - c.now for c in changes)
        name = engine.plant.site_names[site]
        engine.recorder.event(engine.now_s, "machines destroyed", name, "fire", f"{lost}")
        engine.firm.destroyed(engine.now_s, "fire", name, changes)
    if what.end_s > what.start_s:
        _close(engine, what)
    else:
        engine.plant.change()


def set_deployed(engine: "Engine", kind: str, group: int, machines: int) -> Change:
    """Let so many machines of a group stand there; the recorder hears of it."""
    change = engine.plant.inventory.set_deployed(kind, group, machines)
    engine.recorder.count_machines(engine.now_s, kind, change.now - change.before)
    for _ in change.given_up:
        engine.recorder.gone(engine.now_s, kind)
    return change


def _break(engine: "Engine", what: IncidentOccurrence) -> None:
    """GPU nodes fail, the first that run, until a share of what stands there is left."""
    struck = engine.struck[id(what)] = []
    inventory = engine.plant.inventory
    for site in _sites(engine, what):
        for group in inventory.groups(GPU, site):
            there = inventory.deployed(GPU, group)
            wanted = round(there * (1.0 - what.spec.left_fraction))
            able = [n for n in range(there) if n not in inventory.down[GPU][group]]
            for node in able[: max(wanted - (there - len(able)), 0)]:
                engine.plant.fail(GPU, group, node, engine.now_s)
                engine.recorder.failed(engine.now_s, GPU, group, node)
                struck.append((group, node))


def _mend(engine: "Engine", what: IncidentOccurrence) -> None:
    for group, node in engine.struck.pop(id(what)):
        if engine.plant.inventory.repair(GPU, group, node):
            engine.recorder.repaired(engine.now_s, GPU, group, node)
    engine.plant.change()


def _heat(engine: "Engine", what: IncidentOccurrence) -> None:
    for site in _sites(engine, what):
        engine.plant.inventory.cool(site, what.spec.left_fraction, ends=False)
    engine.plant.change()


def _cool(engine: "Engine", what: IncidentOccurrence) -> None:
    for site in _sites(engine, what):
        engine.plant.inventory.cool(site, what.spec.left_fraction, ends=True)
    engine.plant.change()


def _curtail(engine: "Engine", what: IncidentOccurrence) -> None:
    for site in _sites(engine, what):
        engine.plant.inventory.curtailed[site].append(what.spec.left_fraction)
    engine.plant.change()


def _restore(engine: "Engine", what: IncidentOccurrence) -> None:
    for site in _sites(engine, what):
        engine.plant.inventory.curtailed[site].remove(what.spec.left_fraction)
    engine.plant.change()


def _pool_down(engine: "Engine", what: IncidentOccurrence) -> None:
    engine.pools_down += 1


def _pool_up(engine: "Engine", what: IncidentOccurrence) -> None:
    engine.pools_down -= 1


def _nothing(engine: "Engine", what: IncidentOccurrence) -> None:
    """The world has it already: prices of a spike, a project's delivery."""


def _terminate(engine: "Engine", what: IncidentOccurrence) -> None:
    """Hosts give notice; one of before the run has run for a while."""
    for name in what.names:
        days = engine.scenario.hosts[name].notice_days
        engine.env.process(host_ends(engine, name, what.start_s + round(days * SECONDS_PER_DAY)))


def host_ends(engine: "Engine", name: str, end_s: int) -> "Process":
    """Service ends: the ASICs leave, and stand at another site after a while if one is named."""
    host = engine.scenario.hosts[name]
    yield from until(engine, end_s)
    if name in engine.firm.hosting.ended:
        return
    left: dict[int, int] = {}
    engine.firm.hosting.leave(engine.now_s, name)
    engine.between(lambda: left.update(leave(engine, host.sites)))
    machines = sum(left.values())
    detail = f"{machines} machines leave for {host.move_to or 'the store'}"
    engine.recorder.event(engine.now_s, "host ended", ", ".join(host.sites), name, detail)
    engine.firm.host_ended(engine.now_s, name, machines)
    if host.move_to is not None:
        yield from on_the_way(engine, name, left, end_s)


def on_the_way(engine: "Engine", name: str, left: dict[int, int], end_s: int) -> "Process":
    """ASICs that left a host at `end_s` reach the site that takes them in."""
    host = engine.scenario.hosts[name]
    yield from until(engine, end_s + round(host.downtime_days * SECONDS_PER_DAY))
    if engine.firm.insolvent_s is not None:
        return
    engine.between(lambda: host_arrives(engine, name, left))
    detail = f"{sum(left.values())} machines from {name}"
    engine.recorder.event(engine.now_s, "machines moved", host.move_to or "", name, detail)


def leave(engine: "Engine", names: Iterable[str]) -> dict[int, int]:
    """All ASICs leave these sites, which stay shut; how many of each group."""
    inventory = engine.plant.inventory
    left = {}
    for site in (engine.plant.site_names.index(name) for name in names):
        for group in inventory.groups(ASIC, site):
            change = set_deployed(engine, ASIC, group, 0)
            left[group] = change.before
        inventory.close(site, dark=True)
    engine.plant.change()
    return left


def host_arrives(engine: "Engine", name: str, left: dict[int, int]) -> None:
    """ASICs of a host stand where they moved, all of them repaired."""
    for group, row in enumerate(engine.scenario.asics):
        if isinstance(row, MovedGroup) and row.host == name and left.get(row.origin):
            set_deployed(engine, ASIC, group, left[row.origin])
            engine.firm.assets.move(row.origin, group, int(engine.plant.asics.site[group]))
    engine.plant.change()


Handler = Callable[["Engine", IncidentOccurrence], None]
HANDLERS: Final[dict[str, tuple[Handler, Handler]]] = {
    "outage": (_close, _reopen),
    "network-cut": (_close, _reopen),
    "fire": (_burn, _reopen),
    "cooling": (_heat, _cool),
    "node-failure": (_break, _mend),
    "curtailment": (_curtail, _restore),
    "pool-outage": (_pool_down, _pool_up),
    "price-spike": (_nothing, _nothing),
    "delivery-delay": (_nothing, _nothing),
    "termination": (_terminate, _nothing),
}
