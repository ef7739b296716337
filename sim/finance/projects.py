"""Projects: paid in instalments, part of the plant once live."""

from collections.abc import Callable

import numpy as np

from sim.finance.assets import FixedAssets, Lot
from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.finance.levels import ProjectHistory
from sim.finance.loans import Lending
from sim.finance.treasury import Treasury
from sim.kernels.arrays import (
    AsicGroups,
    NodeGroups,
)
from sim.plant.inventory import ASIC, GPU
from sim.plant.machines import mean_node_w
from sim.scenario.scenario import Scenario
from sim.types import Floats, OnEvent
from sim.units import W_PER_MW


class Projects:
    """Costs and payments of projects; the engine decides when they happen."""

    def __init__(
        self,
        scenario: Scenario,
        ledger: Ledger,
        treasury: Treasury,
        lending: Lending,
        assets: FixedAssets,
        machines: tuple[AsicGroups, NodeGroups],
        event: OnEvent,
    ) -> None:
        self.specs = scenario.projects
        self.ledger, self.treasury, self.lending = ledger, treasury, lending
        self.assets = assets
        self.event = event
        self.factor = scenario.what_if.capex_factor
        self.histories = {
            name: ProjectHistory((), None) for name, p in scenario.projects.items() if p.enabled
        }
        self.called_off: set[str] = set()
        self.delivered: set[str] = set()
        self._raised_usd: dict[str, float] = {}  # cash raised for waiting payments, by project
        self.interest_usd: dict[str, float] = {}  # capitalised so far, by project
        self._lots: dict[str, list[tuple[Lot, float]]] = {}  # live lots with their weights
        self.parts = {name: _parts(scenario, name, machines) for name in scenario.projects}

    def pay(
        self,
        name: str,
        t_s: int,
        fraction: float,
        usd_per_btc: float,
        memo: str,
        there: Callable[[float], bool],
        may_wait: bool,
    ) -> bool:
        """Pay a fraction of the price, as the scenario funds it; return whether it was paid.

        `there` tells whether the firm has an amount in cash. Without it a payment that `may_wait`
        is not made, and cash raised for it stays; any other payment is owed.
        """
        spec = self.specs[name]
        usd = spec.capex_usd * self.factor * fraction
        if usd <= 0.0:
            return True
        again = name in self._raised_usd
        raised_usd = self._raised_usd.get(name, 0.0)
        if spec.finance == "btc":
            missing_usd = usd - raised_usd
            raised_usd += self.treasury.raise_cash(
                t_s, missing_usd, usd_per_btc, f"sale for {name}"
            )
        elif spec.finance != "cash":
            missing_usd = usd - raised_usd
            raised_usd += self.lending.draw(spec.finance, t_s, missing_usd, usd_per_btc, again)
            if raised_usd < usd - 0.005 and not again:
                detail = f"{raised_usd:,.0f} of {usd:,.0f} USD; the rest from cash"
                self.event(t_s, "loan falls short", spec.finance, detail)
        credit = Account.CASH
        if not there(usd):
            if may_wait:
                self._raised_usd[name] = raised_usd
                return False
            credit = Account.PAYABLES
        self._raised_usd.pop(name, None)
        self._pay(name, t_s, usd)
        parts = self.by_site(name, usd)
        self.ledger.post(t_s, Account.PROJECTS, credit, "USD", parts, f"{name}: {memo}")
        return True

    def refunds(self) -> list[tuple[str, float]]:
        """Refunds of projects under way if cancelled now [USD], largest first."""
        found = [
            (name, history.paid_usd * self.specs[name].refund_fraction)
            for name, history in self.histories.items()
            if history.live_s is None
            and history.paid
            and name not in self.called_off
            and name not in self.delivered
        ]
        return sorted(found, key=lambda x: (-x[1], x[0]))

    def bring_in(self, name: str, fraction: float) -> None:
        """Post a fraction of the price paid before the run."""
        usd = self.specs[name].capex_usd * self.factor * fraction
        self._pay(name, -1, usd)
        memo = f"{name}: paid before"
        parts = self.by_site(name, usd)
        self.ledger.post(0, Account.PROJECTS, Account.OPENING, "USD", parts, memo)

    def book_live(self, name: str, payments: tuple[tuple[int, float], ...]) -> None:
        """Book a project live before the run; `payments` are (instant, fraction of the price).

        Its machines are in the opening balance at the price depreciated by age.
        """
        for t_s, share in payments:
            usd = self.specs[name].capex_usd * self.factor * share
            if usd > 0.0:
                self._pay(name, t_s, usd)
        live_s = payments[-1][0]
        self.histories[name] = self.histories[name]._replace(live_s=float(live_s))
        paid_usd = self.histories[name].paid_usd
        for kind, group, site, weight in self.parts[name]:
            self.assets.book_owned(kind, group, site, paid_usd * weight, live_s)

    def _pay(self, name: str, t_s: int, usd: float) -> None:
        history = self.histories[name]
        self.histories[name] = history._replace(paid=(*history.paid, (float(t_s), usd)))

    def go_live(self, name: str, t_s: int) -> None:
        """Turn the payments of a project into machines and buildings."""
        self.histories[name] = self.histories[name]._replace(live_s=float(t_s))
        paid_usd, interest_usd = self.histories[name].paid_usd, self.interest_usd.get(name, 0.0)
        self._lots[name] = [
            (self.assets.add(t_s, kind, group, site, paid_usd * w, interest_usd * w), w)
            for kind, group, site, w in self.parts[name]
        ]

    def capitalise(self, name: str, t_s: int, usd: float) -> float:
        """Add interest to the cost of a project, before or after it went live.

        Returns the part of `usd` added; the share of machines already gone is excluded.
        """
        there = [(lot, usd * w) for lot, w in self._lots.get(name, ()) if lot.part > 0.0]
        live = self.histories[name].live_s is not None
        parts = self.assets.by_site(there) if live else self.by_site(name, usd)
        memo = f"{name}: interest while it was built"
        self.ledger.post(t_s, Account.PROJECT_INTEREST, Account.INTEREST, "USD", parts, memo)
        self.interest_usd[name] = self.interest_usd.get(name, 0.0) + float(parts.sum())
        for lot, part_usd in there:
            lot.interest_usd += part_usd / lot.part
        return float(parts.sum())

    def cancel(self, name: str, t_s: int) -> None:
        """Cancel a project: part of the payments is refunded, the rest is lost."""
        self.called_off.add(name)
        paid, back = self.histories[name].paid_usd, self.specs[name].refund_fraction
        self._pay(name, t_s, -paid * back)
        post = self.ledger.post
        refund = self.by_site(name, paid * back)
        post(t_s, Account.CASH, Account.PROJECTS, "USD", refund, f"{name}: refund")
        lost, memo = self.by_site(name, paid * (1.0 - back)), f"{name}: called off"
        post(t_s, Account.IMPAIRMENT, Account.PROJECTS, "USD", lost, memo)
        interest = self.by_site(name, self.interest_usd.pop(name, 0.0))
        post(t_s, Account.IMPAIRMENT, Account.PROJECT_INTEREST, "USD", interest, memo)

    def by_site(self, name: str, usd: float) -> Floats:
        """Split an amount over sites (site,) in proportion to the project's price."""
        at = np.array([site for _, _, site, _ in self.parts[name]], dtype=np.int64)
        weight = np.array([w for _, _, _, w in self.parts[name]])
        return np.bincount(at, weight * usd, len(self.ledger.sites)).astype(np.float64)


def _parts(
    scenario: Scenario, name: str, machines: tuple[AsicGroups, NodeGroups]
) -> list[tuple[str, int, int, float]]:
    """Kind, group, site and share of the price of each delivery of a project.

    The price is split by power: of machines in their own mode, of substations. This approximates
    projects with unlike deliveries; give each its own project instead.
    """
    asics, nodes = machines
    sites = [s.name for s in scenario.sites]
    found: list[tuple[str, int, int, float]] = []
    asic_w = (asics.default_share * asics.mode_w).sum(axis=1)
    for g, row in enumerate(scenario.asics):
        if row.project == name:
            found.append((ASIC, g, int(asics.site[g]), row.count * float(asic_w[g])))
    node_w = mean_node_w(scenario, np.ones(len(scenario.gpus)))
    for g, node in enumerate(scenario.gpus):
        if node.project == name:
            found.append((GPU, g, int(nodes.site[g]), node.nodes * float(node_w[g])))
    for site, mw in scenario.projects[name].substations_mw.items():
        s = sites.index(site)
        found.append(("building", s, s, mw * W_PER_MW))
    total = sum(w for *_, w in found)
    if total <= 0.0:  # rows without a machine
        return [(kind, g, s, 1.0 / len(found)) for kind, g, s, _ in found]
    return [(kind, g, s, w / total) for kind, g, s, w in found]
