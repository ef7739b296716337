"""Events besides control steps: the simpy processes of one run."""

from collections.abc import Iterator

from sim.engine.before import ends_before
from sim.engine.failures import Workshop
from sim.engine.grid_events import call, link_changes
from sim.engine.hosts import host_ends, on_the_way
from sim.engine.incidents import incident
from sim.engine.projects import project
from sim.engine.running import Process, Run
from sim.plant.inventory import ASIC, GPU
from sim.units import SECONDS_PER_HOUR


def processes(
    run: Run, workshop: Workshop, on_their_way: dict[str, dict[int, int]]
) -> Iterator[Process]:
    """All processes, in the order in which they act at the same instant.

    `on_their_way`: machines in transit from hosts that ended before the run, by host and group.
    """
    yield chain_changes(run)
    if run.firm.bills.demand.tick_s < run.step_s:
        yield read_meters(run)
    yield link_changes(run)
    for due in run.world.calls:
        yield call(run, due)
    yield from _of_the_firm(run, on_their_way)
    yield workshop.failures(ASIC, list(run.world.asic_failures))
    yield workshop.failures(GPU, list(run.world.gpu_failures))


def _of_the_firm(run: Run, on_their_way: dict[str, dict[int, int]]) -> Iterator[Process]:
    """Incidents, ends of hosts, projects and the checks of lenders."""
    scenario = run.scenario
    for what in run.world.incidents:
        yield incident(run, what)
    for name, host in scenario.hosts.items():
        if host.ends_utc is not None:
            yield host_ends(run, name, round(run.firm.calendar.t_s(host.ends_utc, 0.0)))
    ended_s = ends_before(run)
    for name, left in on_their_way.items():
        if scenario.hosts[name].move_to is not None:
            yield on_the_way(run, name, left, ended_s[name])
    for name, spec in scenario.projects.items():
        if spec.enabled:
            yield project(run, name)
    if scenario.loans:
        yield lenders(run)


def lenders(run: Run) -> Process:
    """Lenders check the price every hour, or every control step where that is longer."""
    while run.now_s < run.scenario.horizon.seconds:
        run.firm.check_loans(run.now_s, run.usd_per_btc_now)
        yield run.env.timeout(max(SECONDS_PER_HOUR, run.step_s))


def read_meters(run: Run) -> Process:
    """Read demand that is measured over less than a control step."""
    demand = run.firm.bills.demand
    while run.now_s < run.scenario.horizon.seconds:
        yield run.env.timeout(demand.tick_s)
        if run.now_s % run.step_s:
            run.settle_now()
            demand.read(run.now_s, run.plant.meters)


def chain_changes(run: Run) -> Process:
    """Split the interval at retargets and halvings: each part is paid at its own difficulty."""
    chain = run.world.chain
    for t_s, kind in chain.changes_s():
        if t_s >= run.scenario.horizon.seconds:
            return
        yield run.env.timeout(t_s - run.now_s)
        run.settle_now()
        before = run.difficulty
        run.look_at_chain()
        height = chain.height_at(run.now_s) + 1
        if kind == "retarget":
            change = run.difficulty / before - 1.0
            detail = f"height {height}: difficulty {run.difficulty:.6g} ({change:+.2%})"
        else:
            detail = (
                f"height {height}: subsidy {chain.known_reward_btc(run.now_s):.6g} BTC "
                "with fees of the day before"
            )
        run.recorder.event(run.now_s, kind, "", "network", detail)
