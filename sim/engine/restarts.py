"""ASICs that fail at a restart: a cost of every policy that curtails."""

import numpy as np

from sim.engine.failures import Workshop
from sim.engine.running import Run
from sim.kernels.arrays import GRANTED
from sim.plant.inventory import ASIC
from sim.results.recorder import RESTARTED
from sim.types import Bools, Ints
from sim.units import J_PER_MWH
from sim.world.outages import RestartLuck


class _Group:
    """State of the machines of a row (machine,): on, healthy, and number of restarts."""

    def __init__(self, group: int, luck: RestartLuck, deployed: int) -> None:
        self.group, self.luck = group, luck
        self.well: Bools = np.arange(luck.of.machines) < deployed
        self.on = self.well.copy()  # a run begins with all machines on
        self.restarts = np.zeros(luck.of.machines, dtype=np.int64)
        self.waiting: set[int] = set()  # failed at a restart, not repaired yet


class Restarts:
    """Failures of machines that a decision switches on; those that keep running are unaffected.

    A group's share is met with as few switches as possible: machines that are on stay on, and of
    the others those with the lowest numbers start. New and repaired machines do not restart.
    """

    def __init__(self, run: Run, workshop: Workshop) -> None:
        self.run, self.workshop = run, workshop
        fleet = run.scenario.faults.restart_failure_fraction
        self.groups: list[_Group] = []
        self._lost_usd = 0.0
        for g, of in enumerate(run.world.asic_failures):
            own = run.scenario.asics[g].restart_failure_fraction
            fraction = fleet if own is None else own
            if fraction > 0.0:
                deployed = run.plant.inventory.deployed(ASIC, g)
                self.groups.append(_Group(g, RestartLuck(fraction, of), deployed))

    def look(self) -> None:
        """Fail those machines that were just switched on and are drawn to fail."""
        for at in self.groups:
            started = self._switch(at)
            for number in np.unique(at.restarts[started]):
                failing = at.luck.failing(int(number))
                for machine in started[at.restarts[started] == number].tolist():
                    if machine in failing:
                        self._fail(at, machine, *failing[machine])
            at.restarts[started] += 1

    def _switch(self, at: _Group) -> Ints:
        """Match a group's machines to its share. Returns those switched on after a pause."""
        plant, g = self.run.plant, at.group
        share = float(plant.asic.shares[GRANTED, g].sum())
        count = round(share * float(plant.asic.running[g]))
        well = np.arange(len(at.well)) < plant.inventory.deployed(ASIC, g)
        well[list(plant.inventory.down[ASIC][g])] = False
        on = at.on & well
        more = count - int(on.sum())
        if more > 0:
            on[np.flatnonzero(well & ~on)[:more]] = True
        elif more < 0:
            on[np.flatnonzero(on)[more:]] = False
        started = np.flatnonzero(on & ~at.on & at.well)
        at.on, at.well = on, well
        return started

    def _fail(self, at: _Group, machine: int, spare_s: int, repair_s: int) -> None:
        run = self.run
        if not run.plant.fail(ASIC, at.group, machine, run.now_s):
            return
        at.on[machine] = at.well[machine] = False
        at.waiting.add(machine)
        run.recorder.failed(run.now_s, ASIC, at.group, machine, RESTARTED)
        self.workshop.take_in(ASIC, at.group, machine, spare_s, repair_s)

    def settle(self, seconds: int) -> None:
        """Add what waiting machines failed to earn in the interval that ends now."""
        run, plant = self.run, self.run.plant
        net = (1.0 - run.pool_fee) * run.usd_per_btc * run.btc_per_th
        for at in self.groups:
            if not at.waiting:
                continue
            g, shares = at.group, plant.asic.shares[GRANTED, at.group]
            site = int(plant.asics.site[g])
            usd_per_j = plant.asic.factor[g] * plant.site.price[site] / J_PER_MWH
            mined = 0.0 if run.pools_down else float(shares @ plant.asics.mode_ths[g]) * net
            spent = float(shares @ plant.asics.mode_w[g]) * usd_per_j
            self._lost_usd += len(at.waiting) * seconds * plant.asic.heat[g] * (mined - spent)
            at.waiting &= plant.inventory.down[ASIC][g]  # repaired machines run from the next step

    def take_usd(self) -> float:
        """Earnings missed since the last call [USD]."""
        usd, self._lost_usd = self._lost_usd, 0.0
        return float(usd)
