"""Link outages and programme calls."""

from itertools import groupby

from sim.engine.running import Process, Run
from sim.units import SECONDS_PER_MINUTE
from sim.world.calls import ProgrammeCall


def link_changes(run: Run) -> Process:
    """Links go out or come back: recompute the limits, then decide under them."""
    left: dict[int, float] = {}
    for t_s, changes in groupby(run.world.link_changes, key=lambda c: c.t_s):
        if t_s >= run.scenario.horizon.seconds:
            return
        yield run.env.timeout(t_s - run.now_s)
        for change in changes:
            left[change.link] = change.left
            name = run.plant.topology.link_names[change.link]
            kind = "link back" if change.left >= 1.0 else "link out"
            detail = f"{change.left:.0%} of its capacity"
            run.recorder.event(t_s, kind, "", name, detail)
        run.between(lambda: _set_links(run, left))


def _set_links(run: Run, left: dict[int, float]) -> None:
    dark = run.plant.set_links(left)
    if run.clearing is not None:
        run.clearing.market.set_links(left)
    for name in dark:
        run.recorder.event(run.now_s, "site without supply", name, "grid", "a link is out")


def call(run: Run, due: ProgrammeCall) -> Process:
    """A programme's call: notice, response, end; each asks for a new decision."""
    demand_response = run.plant.demand_response
    name = demand_response.names[due.programme]
    env, event = run.env, run.recorder.event
    yield env.timeout(due.notice_s)
    run.settle_now()
    owed_mw = demand_response.announce(due.programme)
    minutes = (due.start_s - due.notice_s) / SECONDS_PER_MINUTE
    event(run.now_s, "call", "", name, f"{owed_mw:.3f} MW owed in {minutes:g} minutes")
    run.decide_anew()
    yield env.timeout(due.start_s - run.now_s)
    run.between(lambda: demand_response.begin(due.programme))
    event(run.now_s, "response due", "", name, f"{owed_mw:.3f} MW")
    yield env.timeout(min(due.end_s, run.scenario.horizon.seconds) - run.now_s)
    run.settle_now()
    outcome = demand_response.end(due.programme)
    detail = (
        f"{outcome.delivered_mwh:.3f} of {outcome.owed_mwh:.3f} MWh delivered, "
        f"penalty {outcome.penalty_usd:,.2f} USD"
    )
    event(run.now_s, "call over", "", name, detail)
    run.decide_anew()
