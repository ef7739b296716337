"""Links that go out and come back; programmes that call."""

from itertools import groupby
from typing import TYPE_CHECKING

from sim.units import SECONDS_PER_MINUTE
from sim.world.calls import ProgrammeCall

if TYPE_CHECKING:
    from sim.engine.engine import Engine, Process


def link_changes(engine: "Engine") -> "Process":
    """Links that go out or come back: limits anew, and a decision under them."""
    left: dict[int, float] = {}
    for t_s, changes in groupby(engine.world.link_changes, key=lambda c: c.t_s):
        if t_s >= engine.scenario.horizon.seconds:
            return
        yield engine.env.timeout(t_s - engine.now_s)
        for change in changes:
            left[change.link] = change.left
            name = engine.plant.topology.link_names[change.link]
            kind = "link back" if change.left >= 1.0 else "link out"
            detail = f"{change.left:.0%} of its capacity"
            engine.recorder.event(t_s, kind, "", name, detail)
        engine.between(lambda: _set_links(engine, left))


def _set_links(engine: "Engine", left: dict[int, float]) -> None:
    dark = engine.plant.set_links(left)
    if engine.clearing is not None:
        engine.clearing.market.set_links(left)
    for name in dark:
        engine.recorder.event(engine.now_s, "site without supply", name, "grid", "a link is out")


def call(engine: "Engine", due: ProgrammeCall) -> "Process":
    """A programme calls: notice, response, end; each asks for a new decision."""
    demand_response, name = (
        engine.plant.demand_response,
        engine.plant.demand_response.names[due.programme],
    )
    env, event = engine.env, engine.recorder.event
    yield env.timeout(due.notice_s)
    engine.advance()
    engine.settle()
    owed_mw = demand_response.announce(due.programme)
    minutes = (due.start_s - due.notice_s) / SECONDS_PER_MINUTE
    event(engine.now_s, "call", "", name, f"{owed_mw:.3f} MW owed in {minutes:g} minutes")
    engine.decide_anew()
    yield env.timeout(due.start_s - engine.now_s)
    engine.between(lambda: demand_response.begin(due.programme))
    event(engine.now_s, "response due", "", name, f"{owed_mw:.3f} MW")
    yield env.timeout(min(due.end_s, engine.scenario.horizon.seconds) - engine.now_s)
    engine.advance()
    engine.settle()
    outcome = demand_response.end(due.programme)
    detail = (
        f"{outcome.delivered_mwh:.3f} of {outcome.owed_mwh:.3f} MWh delivered, "
        f"penalty {outcome.penalty_usd:,.2f} USD"
    )
    event(engine.now_s, "call over", "", name, detail)
    engine.decide_anew()
