"""Which machines are deployed where, which have failed, and which sites are open."""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.arrays import AsicState, NodeState
from sim.kernels.fleet import Fleet
from sim.plant.machines import awaited
from sim.scenario.scenario import Scenario
from sim.serving_fleet import ServingFleet
from sim.types import Ints

ASIC: Final = "asic"
GPU: Final = "gpu"


class Change(NamedTuple):
    """A change in the number of deployed machines of a group."""

    kind: str  # asic or gpu
    group: int
    before: int
    now: int
    given_up: tuple[int, ...]  # machines that were in repair when removed


class Inventory:
    """Deployed machines, failures and site closures.

    Machines of a group are numbered from 0; those with the highest numbers are removed first. A
    site is open while there is no reason to keep it shut. Changes reach `running` when the weather
    is next applied (`site.condition`).
    """

    def __init__(
        self, scenario: Scenario, fleet: Fleet, serving_fleet: ServingFleet | None
    ) -> None:
        self.places: dict[str, Ints] = {ASIC: fleet.asics.site, GPU: fleet.nodes.site}
        self.states: dict[str, AsicState | NodeState] = {ASIC: fleet.asic, GPU: fleet.node}
        self.supply = fleet.supply
        self.serving_fleet = serving_fleet
        self.full = {ASIC: [g.count for g in scenario.asics], GPU: [g.nodes for g in scenario.gpus]}
        self.down: dict[str, list[set[int]]] = {
            kind: [set() for _ in full] for kind, full in self.full.items()
        }
        sites = len(scenario.sites)
        self.shut = np.zeros(sites, dtype=np.int64)  # number of reasons that keep a site shut
        self.dark = np.zeros(sites, dtype=np.int64)  # number of those that also cut its power
        self.cooled: list[list[float]] = [[] for _ in range(sites)]
        self.curtailed: list[list[float]] = [[] for _ in range(sites)]
        self.emergencies: list[list[int]] = [[] for _ in range(sites)]  # levels in force
        self.level = np.zeros(sites, dtype=np.int64)  # the highest of them
        self._held = [np.zeros(n, dtype=np.int64) for n in self.full[GPU]]
        for group, row in enumerate(scenario.gpus):
            if awaited(row):
                self._hold(group, 0, row.nodes)

    def deployed(self, kind: str, group: int) -> int:
        """Number of deployed machines in a group."""
        return int(self.states[kind].deployed[group])

    def fail(self, kind: str, group: int, machine: int) -> bool:
        """Stop a machine. False: it is already in repair, or not deployed."""
        down = self.down[kind][group]
        if machine in down or machine >= self.deployed(kind, group):
            return False
        down.add(machine)
        state, site = self.states[kind], self.places[kind][group]
        state.healthy[group] -= 1.0
        share = self.supply.open[site]
        if isinstance(state, AsicState):
            state.shut[group] -= 1.0 - share
        else:
            share *= self.supply.cooled[site]
            self._hold(group, machine, machine + 1)
        state.running[group] -= share
        return True

    def repair(self, kind: str, group: int, machine: int) -> bool:
        """Mark a machine as healthy again. False: it has been removed in the meantime."""
        if machine not in self.down[kind][group]:
            return False
        self.down[kind][group].discard(machine)
        self.states[kind].healthy[group] += 1.0
        if kind == GPU:
            self._free(group, machine, machine + 1)
        return True

    def set_deployed(self, kind: str, group: int, machines: int) -> Change:
        """Set how many machines are deployed: added ones are healthy, the last are removed."""
        state = self.states[kind]
        before = self.deployed(kind, group)
        down = self.down[kind][group]
        given_up = tuple(sorted(m for m in down if m >= machines))
        down.difference_update(given_up)
        state.deployed[group] = float(machines)
        state.healthy[group] = float(machines - len(down))
        if kind == GPU:
            self._free(group, before, machines)
            self._hold(group, machines, before)
            for m in given_up:  # they were held twice: failed and removed
                self._held[group][m] -= 1
        return Change(kind, group, before, machines, given_up)

    def groups(self, kind: str, site: int) -> list[int]:
        """Groups of a kind at a site."""
        return [int(g) for g in np.flatnonzero(self.places[kind] == site)]

    def at(self, site: int) -> list[tuple[str, int]]:
        """Kind and group of all machines at a site."""
        return [(kind, group) for kind in (ASIC, GPU) for group in self.groups(kind, site)]

    def close(self, site: int, dark: bool) -> None:
        """Add a reason that keeps a site shut; `dark`: it also cuts the power."""
        self.shut[site] += 1
        self.dark[site] += dark
        if self.shut[site] == 1:
            for group in self.groups(GPU, site):
                self._hold(group, 0, self.full[GPU][group])
        self._open(site)

    def reopen(self, site: int, dark: bool) -> None:
        """Remove a reason that kept a site shut; others may remain."""
        self.shut[site] -= 1
        self.dark[site] -= dark
        if self.shut[site] == 0:
            for group in self.groups(GPU, site):
                self._free(group, 0, self.full[GPU][group])
        self._open(site)

    def _open(self, site: int) -> None:
        self.supply.open[site] = float(self.shut[site] == 0)

    def cool(self, site: int, left: float, ends: bool) -> None:
        """Start or end a cooling failure that leaves machines a share of their power."""
        (self.cooled[site].remove if ends else self.cooled[site].append)(left)
        self.supply.cooled[site] = min(self.cooled[site], default=1.0)

    def alert(self) -> None:
        """Update the level of each site after emergencies began, changed or ended."""
        self.level = np.array([max(x, default=0) for x in self.emergencies], dtype=np.int64)
        self.level.flags.writeable = False  # policies see it

    def connection(self, site: int) -> float:
        """Share of a site's connection left by the grid and incidents."""
        return 0.0 if self.dark[site] else min(self.curtailed[site], default=1.0)

    def _hold(self, group: int, first: int, last: int) -> None:
        """Add a reason why serving nodes `first` to `last - 1` cannot run."""
        held = self._held[group]
        for node in range(first, last):
            held[node] += 1
            if held[node] == 1 and self.serving_fleet is not None:
                self.serving_fleet.fail(group, node)

    def _free(self, group: int, first: int, last: int) -> None:
        """Remove one such reason."""
        held = self._held[group]
        for node in range(first, last):
            held[node] -= 1
            if held[node] == 0 and self.serving_fleet is not None:
                self.serving_fleet.repair(group, node)
