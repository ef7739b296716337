"""A run as its processes see it, and the functions they share."""

from collections.abc import Callable, Generator
from typing import Any, Protocol

import simpy

from sim.engine.clearing import Clearing
from sim.finance.firm import Firm
from sim.plant import Plant
from sim.plant.inventory import Change
from sim.results.recorder import Recorder
from sim.scenario.scenario import Scenario
from sim.world.world import World

Process = Generator[Any, Any, None]


class Run(Protocol):
    """What incidents, projects, repairs and grid events need of a run; `Engine` provides it."""

    scenario: Scenario
    world: World
    plant: Plant
    firm: Firm
    recorder: Recorder
    env: simpy.Environment
    clearing: Clearing | None
    step_s: int  # length of a control step
    pools_down: int  # outages of the pool in force
    pool_fee: float  # share of what is mined
    usd_per_btc: float  # of the interval that ends
    btc_per_th: float  # current pay per terahash
    difficulty: float

    @property
    def now_s(self) -> int:
        """Current time [run seconds]."""

    @property
    def usd_per_btc_now(self) -> float:
        """Price at this instant [USD/BTC]."""

    def settle_now(self) -> None:
        """Bring machines, meters and bills to this instant under the controls in force."""

    def decide_anew(self) -> None:
        """Ask the policy again, if no control step does so anyway."""

    def between(self, act: Callable[[], None]) -> None:
        """Settle up to now, change the world, decide anew."""

    def look_at_chain(self) -> None:
        """Update difficulty and reward to now."""


def until(run: Run, t_s: int) -> Process:
    """Wait until `t_s`; not at the run's start, where the first control step would come first."""
    if t_s > run.now_s:
        yield run.env.timeout(t_s - run.now_s)


def set_deployed(run: Run, kind: str, group: int, machines: int) -> Change:
    """Set the number of deployed machines of a group, and record the change."""
    change = run.plant.inventory.set_deployed(kind, group, machines)
    run.recorder.count_machines(run.now_s, kind, change.now - change.before)
    for _ in change.given_up:
        run.recorder.gone(run.now_s, kind)
    return change


def destroy(run: Run, site: int, share: float) -> list[Change]:
    """Remove a share of a site's machines, in whole machines of each group."""
    inventory = run.plant.inventory
    changes = []
    for kind, group in inventory.at(site):
        there = inventory.deployed(kind, group)
        changes.append(set_deployed(run, kind, group, there - round(there * share)))
    return changes
