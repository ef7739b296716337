"""The course of a project: ordered, delivered late, live, or called off."""

from collections.abc import Generator
from typing import Any, NamedTuple

from sim.engine.running import Process, Run, set_deployed, until
from sim.plant.inventory import ASIC, GPU
from sim.scenario.deals import Project
from sim.units import SECONDS_PER_DAY


class Times(NamedTuple):
    """The stages of a project [run seconds, below 0 before the run]."""

    order_s: int
    delivery_s: int
    live_s: int
    cancel_s: int  # at or after `delivery_s`: never

    @classmethod
    def of(cls, run: Run, name: str) -> "Times":
        """The stages under the random delays of this run."""
        spec, at_s = run.scenario.projects[name], run.firm.calendar.t_s
        order_s = round(at_s(spec.order_utc, 0.0))
        delivery_s = delivered_s(run, name, order_s)
        live_s = delivery_s + round(spec.commissioning_days * SECONDS_PER_DAY)
        return cls(order_s, delivery_s, live_s, round(at_s(spec.cancel_utc, delivery_s)))

    @property
    def called_off(self) -> bool:
        """Whether the project is cancelled before it is delivered."""
        return self.cancel_s < self.delivery_s

    def payments(self, spec: Project) -> tuple[tuple[int, float], ...]:
        """Due times of the instalments, and their shares of the price."""
        rest = 1.0 - spec.deposit_fraction - spec.delivery_fraction
        return (
            (self.order_s, spec.deposit_fraction),
            (self.delivery_s, spec.delivery_fraction),
            (self.live_s, rest),
        )


def project(run: Run, name: str) -> Process:
    """Order, deliver and commission a project; every stage is paid and recorded."""
    spec, firm = run.scenario.projects[name], run.firm
    order_s, delivery_s, live_s, cancel_s = times = Times.of(run, name)
    if cancel_s < min(delivery_s, 0):  # paid and refunded before the run
        return
    if live_s < 0:  # already in the plant and in the opening books
        return
    yield from until(run, order_s)
    if not (yield from _paid(run, order_s, name, spec.deposit_fraction, "deposit")):
        return
    _tell(run, "project ordered", name, f"{spec.capex_usd:,.0f} USD")
    late_s = max(run.now_s - order_s, 0) if order_s >= 0 else 0  # the payment was deferred
    if times.called_off:
        yield from until(run, cancel_s)
        if _goes_on(run, name):
            firm.projects.cancel(name, run.now_s)
            _tell(run, "project called off", name, f"{spec.refund_fraction:.0%} comes back")
        return
    yield from until(run, delivery_s + late_s)
    due_s = delivery_s + late_s
    if not (yield from _paid(run, due_s, name, spec.delivery_fraction, "delivery")):
        return
    firm.projects.delivered.add(name)
    late_s += max(run.now_s - due_s, 0) if due_s >= 0 else 0
    late_days = (delivery_s + late_s - order_s) / SECONDS_PER_DAY - spec.lead_days
    _tell(run, "project delivered", name, f"{late_days:+.1f} days against the plan")
    yield from until(run, live_s + late_s)
    rest = 1.0 - spec.deposit_fraction - spec.delivery_fraction
    if not (yield from _paid(run, live_s + late_s, name, rest, "commissioning")):
        return
    firm.projects.go_live(name, run.now_s)
    run.between(lambda: deliver(run, name))


def _goes_on(run: Run, name: str) -> bool:
    """Whether the firm is solvent and the project has not been called off."""
    return run.firm.insolvent_s is None and name not in run.firm.projects.called_off


def _paid(run: Run, due_s: int, name: str, fraction: float, memo: str) -> Generator[Any, Any, bool]:
    """Pay an instalment at the current bitcoin price. False: the project ends here.

    Without the funds a payment is deferred and retried once a day; after `defer_days` the project
    is called off.
    """
    firm, spec = run.firm, run.scenario.funding
    while _goes_on(run, name):
        at_s = run.now_s if due_s >= 0 else due_s
        if firm.pay(at_s, name, fraction, run.usd_per_btc_now, memo):
            return True
        if at_s == due_s:
            _tell(run, "payment deferred", name, f"{memo}: the money is not there")
        if at_s - due_s >= spec.defer_days * SECONDS_PER_DAY:
            firm.projects.cancel(name, run.now_s)
            detail = f"{memo} not paid in {spec.defer_days:g} days"
            _tell(run, "project called off", name, detail)
            return False
        yield run.env.timeout(SECONDS_PER_DAY)
    return False


def delivered_s(run: Run, name: str, order_s: int) -> int:
    """Delivery time of a project [run seconds]; only delays before its delivery count."""
    at_s = order_s + run.world.lead_times_s[name]
    for what in run.world.incidents:
        if what.spec.days and name in what.names and what.start_s < at_s:
            at_s += round(what.spec.days * SECONDS_PER_DAY)
    return at_s


def deliver(run: Run, name: str, since: str = "") -> None:
    """Add what a project delivers to the plant."""
    spec, plant = run.scenario.projects[name], run.plant
    machines = 0
    for kind, rows in (
        (ASIC, [(g.project, g.count) for g in run.scenario.asics]),
        (GPU, [(g.project, g.nodes) for g in run.scenario.gpus]),
    ):
        for group, (owner, count) in enumerate(rows):
            if owner == name:
                change = set_deployed(run, kind, group, round(count * (1.0 - spec.failed_fraction)))
                machines += change.now
    for site, mw in spec.substations_mw.items():
        plant.built_mw[plant.site_names.index(site)] += mw
    plant.inventory_changed()
    mw = sum(spec.substations_mw.values())
    built = f", {mw:g} MW of connection" if mw else ""
    _tell(run, "project live", name, f"{machines} machines{built}{since}")


def _tell(run: Run, kind: str, name: str, detail: str) -> None:
    run.recorder.event(run.now_s, kind, "", name, detail)
