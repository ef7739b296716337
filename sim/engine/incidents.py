"""Effects of incidents on the plant and the firm: one class for each kind."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Final

from sim.engine.hosts import host_ends
from sim.engine.running import Process, Run, destroy, until
from sim.plant.inventory import GPU
from sim.scenario.incidents import KINDS, IncidentKind
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from sim.world.incidents import IncidentOccurrence

ALERT, SHED = 1, 2  # levels of an emergency


class Effect:
    """The effect of one incident when it begins and when it ends.

    The base class does nothing: the world already includes the prices of a spike and the delivery
    of a delayed project.
    """

    def __init__(self, run: Run, what: IncidentOccurrence) -> None:
        self.run, self.what, self.spec = run, what, what.spec
        self.names = ", ".join(what.names)

    @property
    def sites(self) -> list[int]:
        """Indices of the sites that it strikes."""
        return [self.run.plant.site_names.index(name) for name in self.what.names]

    def begin(self) -> None:
        """Apply the effect: at its start, or at the start of the run if it began before."""

    def end(self) -> None:
        """Undo the effect; not called for an incident without duration."""

    def process(self) -> Process:
        """Begin the effect and, after its duration, end it.

        What happened before the run has been replayed by then (`engine.before`); only the rest
        takes place here.
        """
        run, what = self.run, self.what
        yield from until(run, what.start_s)
        run.recorder.event(run.now_s, self.spec.kind, self.names, "incident", _words(what))
        run.between(self.begin)
        if what.end_s <= what.start_s or what.end_s >= run.scenario.horizon.seconds:
            return
        yield run.env.timeout(what.end_s - run.now_s)
        run.between(self.end)
        run.recorder.event(run.now_s, f"{self.spec.kind} over", self.names, "incident", "")


class NetworkCut(Effect):
    """Sites are shut; `dark` says whether they lose power, too."""

    dark: ClassVar[bool] = False

    def begin(self) -> None:
        for site in self.sites:
            self.run.plant.inventory.close(site, self.dark)
        self.run.plant.inventory_changed()

    def end(self) -> None:
        for site in self.sites:
            self.run.plant.inventory.reopen(site, self.dark)
        self.run.plant.inventory_changed()


class Outage(NetworkCut):
    """Sites are shut and lose power."""

    dark = True


class Fire(Outage):
    """A share of all machines is destroyed, and the site is shut while the fire lasts."""

    def process(self) -> Process:
        if self.what.start_s >= 0 or self.what.end_s > 0:  # else it is already over
            yield from super().process()

    def begin(self) -> None:
        run, what = self.run, self.what
        for site in self.sites if what.start_s >= 0 else ():  # earlier losses were replayed
            changes = destroy(run, site, self.spec.destroyed_fraction or 0.0)
            lost = sum(c.before - c.now for c in changes)
            name = run.plant.site_names[site]
            run.recorder.event(run.now_s, "machines destroyed", name, self.spec.kind, f"{lost}")
            run.firm.destroyed(run.now_s, self.spec.kind, name, changes)
        if what.end_s > what.start_s:
            super().begin()
        else:
            run.plant.inventory_changed()


class NodeFailure(Effect):
    """GPU nodes fail, the first running ones, until a share of those deployed is left."""

    def begin(self) -> None:
        run, inventory = self.run, self.run.plant.inventory
        self.struck: list[tuple[int, int]] = []
        for site in self.sites:
            for group in inventory.groups(GPU, site):
                there = inventory.deployed(GPU, group)
                wanted = round(there * (1.0 - self.spec.left_fraction))
                able = [n for n in range(there) if n not in inventory.down[GPU][group]]
                for node in able[: max(wanted - (there - len(able)), 0)]:
                    run.plant.fail(GPU, group, node, run.now_s)
                    run.recorder.failed(run.now_s, GPU, group, node)
                    self.struck.append((group, node))

    def end(self) -> None:
        run = self.run
        for group, node in self.struck:
            if run.plant.inventory.repair(GPU, group, node):
                run.recorder.repaired(run.now_s, GPU, group, node)
        run.plant.inventory_changed()


class CoolingLoss(Effect):
    """Machines are limited to a share of their power."""

    def begin(self) -> None:
        self._cool(ends=False)

    def end(self) -> None:
        self._cool(ends=True)

    def _cool(self, ends: bool) -> None:
        for site in self.sites:
            self.run.plant.inventory.cool(site, self.spec.left_fraction, ends=ends)
        self.run.plant.inventory_changed()


class Curtailment(Effect):
    """The grid limits the connection to a share of its capacity."""

    def begin(self) -> None:
        for site in self.sites:
            self.run.plant.inventory.curtailed[site].append(self.spec.left_fraction)
        self.run.plant.inventory_changed()

    def end(self) -> None:
        for site in self.sites:
            self.run.plant.inventory.curtailed[site].remove(self.spec.left_fraction)
        self.run.plant.inventory_changed()


class Emergency(Curtailment):
    """An alert, then load shedding, then the end: policies see each level."""

    def process(self) -> Process:
        run, what = self.run, self.what
        shed_s = what.start_s + round(self.spec.before_h * SECONDS_PER_HOUR)
        stages = [(what.start_s, ALERT, 0, "emergency alert"), (shed_s, SHED, ALERT, "load shed"),
                  (what.end_s, 0, SHED, "emergency over")]  # fmt: skip
        begun = 0
        for k, (t_s, now, before, kind) in enumerate(stages):
            over_s = stages[k + 1][0] if k + 1 < len(stages) else t_s + 1
            if over_s <= max(t_s, 0):  # before the run, or of no length
                continue
            if t_s >= run.scenario.horizon.seconds:
                return
            yield from until(run, t_s)
            detail = ", ".join(self.spec.words()) if now == SHED else ""
            run.recorder.event(run.now_s, kind, self.names, "incident", detail)
            run.between(partial(self._set_level, now, before if begun else 0))
            begun = now

    def _set_level(self, now: int, before: int) -> None:
        inventory = self.run.plant.inventory
        for site in self.sites:
            levels = inventory.emergencies[site]
            if before:
                levels.remove(before)
            if now:
                levels.append(now)
        if SHED in (now, before):
            (self.begin if now == SHED else self.end)()
        inventory.alert()


class PoolOutage(Effect):
    """Hashes earn nothing while the pool is down."""

    def begin(self) -> None:
        self.run.pools_down += 1

    def end(self) -> None:
        self.run.pools_down -= 1


class Termination(Effect):
    """Hosts give notice; for a notice before the run, part of the period has already passed."""

    def begin(self) -> None:
        run = self.run
        for name in self.what.names:
            days = run.scenario.hosts[name].notice_days
            end_s = self.what.start_s + round(days * SECONDS_PER_DAY)
            run.env.process(host_ends(run, name, end_s))


def complete(
    effects: dict[str, type[Effect]], kinds: Mapping[str, IncidentKind] = KINDS
) -> dict[str, type[Effect]]:
    """Return `effects`, after a check that they cover each kind that a scenario may name.

    Raises:
        TypeError: names the kinds without an effect and effects of unknown kinds.
    """
    if odd := sorted(kinds.keys() ^ effects.keys()):
        names = ", ".join(odd)
        raise TypeError(f"incidents: {names}: in one of scenario.incidents and EFFECTS only")
    return effects


EFFECTS: Final = complete(
    {
        "outage": Outage,
        "network-cut": NetworkCut,
        "cooling": CoolingLoss,
        "node-failure": NodeFailure,
        "fire": Fire,
        "curtailment": Curtailment,
        "emergency": Emergency,
        "pool-outage": PoolOutage,
        "price-spike": Effect,
        "termination": Termination,
        "delivery-delay": Effect,
    }
)


def incident(run: Run, what: IncidentOccurrence) -> Process:
    """The process of one incident, from its start to its end."""
    return EFFECTS[what.spec.kind](run, what).process()


def _words(what: IncidentOccurrence) -> str:
    """Its duration within the run, when it began if before the run, and its severity."""
    lasts_s = what.end_s - max(what.start_s, 0)
    parts = [f"{lasts_s / SECONDS_PER_HOUR:.1f} h"] if lasts_s > 0 else []
    if what.start_s < 0:
        parts.append(f"began {-what.start_s / SECONDS_PER_HOUR:.1f} h before the run")
    return ", ".join(parts + what.spec.words())
