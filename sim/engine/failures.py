"""Machine failures: the wait for a part, the wait for a technician, the repair."""

from typing import Any

import simpy

from sim.engine.running import Process, Run
from sim.world.outages import MachineFailures, in_order


class Workshop:
    """Failures of all machines of a fleet, and the technicians of its sites."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.technicians = [
            simpy.Resource(run.env, capacity=s.technicians) if s.technicians else None
            for s in run.scenario.sites
        ]

    def failures(self, kind: str, groups: list[MachineFailures]) -> Process:
        """Let the machines of a kind fail; one that is not running is skipped."""
        run = self.run
        env, plant = run.env, run.plant
        for t_s, group, machine, spare_s, repair_s in in_order(
            groups, run.scenario.horizon.seconds
        ):
            if t_s > env.now:
                yield env.timeout(t_s - env.now)
            if not plant.fail(kind, group, machine, t_s):
                continue
            run.recorder.failed(t_s, kind, group, machine)
            self.take_in(kind, group, machine, spare_s, repair_s)

    def take_in(self, kind: str, group: int, machine: int, spare_s: int, repair_s: int) -> None:
        """Take in a failed machine: it waits for its part, then for a technician."""
        job = _Repair(self, kind, group, machine, repair_s)
        if spare_s:
            self.run.env.timeout(spare_s).callbacks.append(job.part_is_here)
        else:
            job.part_is_here(None)


class _Repair:
    """The repair of a machine: it waits for its part, then for a technician of its site.

    Callbacks instead of a process: a third of the time, and there are tens of thousands a year.
    """

    __slots__ = ("group", "kind", "machine", "repair_s", "shop", "turn")

    def __init__(self, shop: Workshop, kind: str, group: int, machine: int, repair_s: int) -> None:
        self.shop = shop
        self.kind = kind
        self.group = group
        self.machine = machine
        self.repair_s = repair_s
        self.turn: Any = None

    def part_is_here(self, _: Any) -> None:
        """Request a technician; a site without technicians repairs nothing."""
        inventory = self.shop.run.plant.inventory
        technicians = self.shop.technicians[inventory.places[self.kind][self.group]]
        if technicians is not None:
            self.turn = technicians.request()
            self.turn.callbacks.append(self.begin)

    def begin(self, _: Any) -> None:
        """A technician starts the repair."""
        self.shop.run.env.timeout(self.repair_s).callbacks.append(self.done)

    def done(self, _: Any) -> None:
        """The machine is healthy, if still deployed, and runs from the next control step on."""
        self.turn.resource.release(self.turn)
        run = self.shop.run
        if run.plant.inventory.repair(self.kind, self.group, self.machine):
            run.recorder.repaired(run.now_s, self.kind, self.group, self.machine)
