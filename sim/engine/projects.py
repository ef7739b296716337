"""Projects in time: ordered, delivered late, live, or called off."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from sim.engine.incidents import set_deployed, until
from sim.plant.inventory import ASIC, GPU
from sim.scenario.deals import Project
from sim.units import SECONDS_PER_DAY

if TYPE_CHECKING:
    from sim.engine.engine import Engine, Process


class Times(NamedTuple):
    """The stages of a project [run seconds, below 0 before the run]."""

    order_s: int
    delivery_s: int
    live_s: int
    cancel_s: int  # not below `delivery_s`: never

    @classmethod
    def of(cls, engine: "Engine", name: str) -> "Times":
        """With the luck of a run."""
        spec, at_s = engine.scenario.projects[name], engine.firm.calendar.t_s
        order_s = round(at_s(spec.order_utc, 0.0))
        delivery_s = delivered_s(engine, name, order_s)
        live_s = delivery_s + round(spec.commissioning_days * SECONDS_PER_DAY)
        return cls(order_s, delivery_s, live_s, round(at_s(spec.cancel_utc, delivery_s)))

    @property
    def called_off(self) -> bool:
        """Whether it is cancelled before it is delivered."""
        return self.cancel_s < self.delivery_s

    def payments(self, spec: Project) -> tuple[tuple[int, float], ...]:
        """When its parts fall due, and the shares of the price."""
        rest = 1.0 - spec.deposit_fraction - spec.delivery_fraction
        return (
            (self.order_s, spec.deposit_fraction),
            (self.delivery_s, spec.delivery_fraction),
            (self.live_s, rest),
        )


def project(engine: "Engine", name: str) -> "Process":
    """Order, deliver and commission a project; every stage is paid and told of."""
    spec, firm = engine.scenario.projects[name], engine.firm
    order_s, delivery_s, live_s, cancel_s = times = Times.of(engine, name)
    if cancel_s < min(delivery_s, 0):  # before the run: paid, refunded and forgotten
        return
    if live_s < 0:  # part of the plant and of the books when they are opened
        return
    yield from until(engine, order_s)
    if not (yield from _paid(engine, order_s, name, spec.deposit_fraction, "deposit")):
        return
    _tell(engine, "project ordered", name, f"{spec.capex_usd:,.0f} USD")
    late_s = max(engine.now_s - order_s, 0) if order_s >= 0 else 0  # the payment has waited
    if times.called_off:
        yield from until(engine, cancel_s)
        if _goes_on(engine, name):
            firm.projects.cancel(name, engine.now_s)
            _tell(engine, "project called off", name, f"{spec.refund_fraction:.0%} comes back")
        return
    yield from until(engine, delivery_s + late_s)
    due_s = delivery_s + late_s
    if not (yield from _paid(engine, due_s, name, spec.delivery_fraction, "delivery")):
        return
    firm.projects.delivered.add(name)
    late_s += max(engine.now_s - due_s, 0) if due_s >= 0 else 0
    late_days = (delivery_s + late_s - order_s) / SECONDS_PER_DAY - spec.lead_days
    _tell(engine, "project delivered", name, f"{late_days:+.1f} days against the plan")
    yield from until(engine, live_s + late_s)
    rest = 1.0 - spec.deposit_fraction - spec.delivery_fraction
    if not (yield from _paid(engine, live_s + late_s, name, rest, "commissioning")):
        return
    firm.projects.go_live(name, engine.now_s)
    engine.between(lambda: deliver(engine, name))


def _goes_on(engine: "Engine", name: str) -> bool:
    """Whether firm and project are still there."""
    return engine.firm.insolvent_s is None and name not in engine.firm.projects.called_off


def _paid(
    engine: "Engine", due_s: int, name: str, fraction: float, memo: str
) -> Generator[Any, Any, bool]:
    """Pay a part of the price at the bitcoin price of the instant; False: the project ends here.

    Where money is short a payment waits, tried once a day, and the project is called off in the
    end.
    """
    firm, spec = engine.firm, engine.scenario.funding
    while _goes_on(engine, name):
        at_s = engine.now_s if due_s >= 0 else due_s
        if firm.pay(at_s, name, fraction, engine.usd_per_btc_now, memo):
            return True
        if at_s == due_s:
            _tell(engine, "payment deferred", name, f"{memo}: the money is not there")
        if at_s - due_s >= spec.defer_days * SECONDS_PER_DAY:
            firm.projects.cancel(name, engine.now_s)
            detail = f"{memo} not paid in {spec.defer_days:g} days"
            _tell(engine, "project called off", name, detail)
            return False
        yield engine.env.timeout(SECONDS_PER_DAY)
    return False


def delivered_s(engine: "Engine", name: str, order_s: int) -> int:
    """When a project is delivered: delays count while it has not been."""
    at_s = order_s + engine.world.lead_times_s[name]
    for what in engine.world.incidents:
        if what.spec.kind == "delivery-delay" and name in what.names and what.start_s < at_s:
            at_s += round((what.spec.days or 0.0) * SECONDS_PER_DAY)
    return at_s


def deliver(engine: "Engine", name: str, since: str = "") -> None:
    """What a project delivers becomes part of the plant."""
    spec, plant = engine.scenario.projects[name], engine.plant
    machines = 0
    for kind, rows in (
        (ASIC, [(g.project, g.count) for g in engine.scenario.asics]),
        (GPU, [(g.project, g.nodes) for g in engine.scenario.gpus]),
    ):
        for group, (owner, count) in enumerate(rows):
            if owner == name:
                change = set_deployed(
                    engine, kind, group, round(count * (1.0 - spec.failed_fraction))
                )
                machines += change.now
    for site, mw in spec.substations_mw.items():
        plant.built_mw[plant.site_names.index(site)] += mw
    plant.change()
    mw = sum(spec.substations_mw.values())
    built = f", {mw:g} MW of connection" if mw else ""
    _tell(engine, "project live", name, f"{machines} machines{built}{since}")


def _tell(engine: "Engine", kind: str, name: str, detail: str) -> None:
    engine.recorder.event(engine.now_s, kind, "", name, detail)
