"""Ends of hosting contracts: machines leave, and are installed elsewhere."""

from collections.abc import Iterable

from sim.engine.running import Process, Run, set_deployed, until
from sim.plant.inventory import ASIC
from sim.scenario.rows import MovedGroup
from sim.units import SECONDS_PER_DAY


def host_ends(run: Run, name: str, end_s: int) -> Process:
    """A host's service ends: its ASICs leave, and move to another site if one is named."""
    host = run.scenario.hosts[name]
    yield from until(run, end_s)
    if name in run.firm.hosting.ended:
        return
    left: dict[int, int] = {}
    run.firm.hosting.leave(run.now_s, name)
    run.between(lambda: left.update(leave(run, host.sites)))
    machines = sum(left.values())
    detail = f"{machines} machines leave for {host.move_to or 'the store'}"
    run.recorder.event(run.now_s, "host ended", ", ".join(host.sites), name, detail)
    run.firm.host_ended(run.now_s, name, machines)
    if host.move_to is not None:
        yield from on_the_way(run, name, left, end_s)


def on_the_way(run: Run, name: str, left: dict[int, int], end_s: int) -> Process:
    """ASICs that left a host at `end_s` arrive at the site that takes them in."""
    host = run.scenario.hosts[name]
    yield from until(run, end_s + round(host.downtime_days * SECONDS_PER_DAY))
    if run.firm.insolvent_s is not None:
        return
    run.between(lambda: host_arrives(run, name, left))
    detail = f"{sum(left.values())} machines from {name}"
    run.recorder.event(run.now_s, "machines moved", host.move_to or "", name, detail)


def leave(run: Run, names: Iterable[str]) -> dict[int, int]:
    """Remove all ASICs from these sites, which stay shut. Returns how many left, by group."""
    inventory = run.plant.inventory
    left = {}
    for site in (run.plant.site_names.index(name) for name in names):
        for group in inventory.groups(ASIC, site):
            change = set_deployed(run, ASIC, group, 0)
            left[group] = change.before
        inventory.close(site, dark=True)
    run.plant.inventory_changed()
    return left


def host_arrives(run: Run, name: str, left: dict[int, int]) -> None:
    """Deploy a host's ASICs at the site they moved to, all of them healthy."""
    for group, row in enumerate(run.scenario.asics):
        if isinstance(row, MovedGroup) and row.host == name and left.get(row.origin):
            set_deployed(run, ASIC, group, left[row.origin])
            run.firm.assets.move(row.origin, group, int(run.plant.asics.site[group]))
    run.plant.inventory_changed()
