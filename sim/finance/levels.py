"""Cash flows, terminal values and tax of sites, projects and the firm.

A project earns what its own machines' meters say (`sim.finance.meters`), not a share by nameplate.
Its effect on the rest of the firm (machines that yield to it) takes a pair of runs, with and
without it (`sim.studies.incremental`).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np

from sim.finance.assets import FixedAssets, Lot
from sim.finance.ledger import Ledger
from sim.finance.level_tax import deducted_usd, tax_usd
from sim.finance.meters import Meters
from sim.finance.residual import BUILDING
from sim.finance.site_flows import Flows, SiteFlows
from sim.finance.tax import TaxBooks
from sim.finance.terminal import NOTHING, Ends, Rest
from sim.plant.inventory import ASIC, GPU
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_DAY

Group = tuple[str, int]  # kind, row of its sheet


class ProjectHistory(NamedTuple):
    """Payments of a project and the instant it went live."""

    paid: tuple[tuple[float, float], ...]  # run seconds, USD; zero or less is a refund
    live_s: float | None  # None: never

    @property
    def paid_usd(self) -> float:
        """Payments less refunds [USD]."""
        return sum(usd for _, usd in self.paid)

    @property
    def called_off(self) -> bool:
        """Whether it was cancelled: there was a refund, possibly of zero."""
        return any(usd <= 0.0 for _, usd in self.paid)


class Books(NamedTuple):
    """The records of a run that valuation needs."""

    ledger: Ledger
    assets: FixedAssets
    tax: TaxBooks
    projects: Mapping[str, ProjectHistory]  # by project name


class Level(NamedTuple):
    """Flows, terminal values and tax of a site, a project or the firm. Shape: `month`."""

    flows: Flows
    rest: Rest  # machines and works at the end
    tax_usd: Floats  # (month,) on its operating income


class Levels:
    """Computes the levels of a run: each site, each project, the firm."""

    def __init__(self, scenario: Scenario, books: Books, meters: Meters) -> None:
        self.scenario, self.books = scenario, books
        self.flows = flows = SiteFlows(scenario, books.ledger)
        self.days = flows.days
        at = [flows.sites.index(s.name) for s in scenario.sites]
        other = flows.other[:, at] + meters.spent_usd
        self.cash_usd = meters.operating(other)  # (month, row)
        self.ends = Ends(scenario, books.assets, self.days, self.cash_usd)
        rows = [(ASIC, g) for g in range(len(scenario.asics))]
        rows += [(GPU, g) for g in range(len(scenario.gpus))]
        self.groups: list[Group] = rows
        self.site_of = meters.site
        self.rests = {group: self.ends.of_group(*group) for group in rows}
        self.buildings = [self._building(s, site.name) for s, site in enumerate(scenario.sites)]
        self.deducted, self.bases = deducted_usd(books.tax, self.days)

    def _building(self, s: int, name: str) -> Rest:
        machines = sum(
            self.rests[g].terminal_usd
            for g, at in zip(self.groups, self.site_of, strict=True)
            if at == s
        )
        mined, customers, other = self.flows.operating(name)
        return self.ends.of_building(s, mined + customers + other, machines)

    def site(self, s: int) -> Level:
        """A site; project machines are an outlay when they arrive on its books."""
        name = self.scenario.sites[s].name
        rest = self._rest(s)
        flows = _at_the_end(self.flows.of_site(name), rest)
        earned = sum(self.flows.operating(name)) + self.flows.proceeds_of(name)
        return Level(flows, rest, self._tax(earned, rest, lambda lot: lot.site == s))

    def firm(self) -> Level:
        """All sites and fleet-level amounts; projects are an outlay when paid."""
        rest = self._all(self._rest(s) for s in range(len(self.scenario.sites)))
        flows = self.flows
        earned = (flows.mined + flows.customers + flows.other + flows.proceeds).sum(axis=1)
        losses = self.scenario.tax.opening_loss_usd
        tax = self._tax(earned, rest, lambda lot: True, losses)
        return Level(_at_the_end(flows.of_firm(), rest), rest, tax)

    def project(self, name: str) -> Level:
        """A project: its payments and what its machines earn while live.

        Assets live at the start are an outlay at their value then, earlier payments for later
        deliveries at the amount paid; what is undelivered at the end counts at the amount paid.
        """
        history = self.books.projects[name]
        ends_s = self.days * SECONDS_PER_DAY
        cash = np.zeros(len(self.days))
        opening = 0.0
        live_before = history.live_s is not None and history.live_s < 0.0
        for t_s, usd in history.paid:
            if t_s < 0.0:
                opening += usd
            elif t_s <= ends_s[-1]:
                cash[np.searchsorted(ends_s, t_s)] -= usd
        own = [(ASIC, g) for g, row in enumerate(self.scenario.asics) if row.project == name]
        own += [(GPU, g) for g, row in enumerate(self.scenario.gpus) if row.project == name]

        def mine(lot: Lot) -> bool:
            if lot.kind == BUILDING:
                works = self.scenario.projects[name].substations_mw
                here = self.scenario.sites[lot.site].name in works
                return here and history.live_s is not None and lot.from_s == round(history.live_s)
            return (lot.kind, lot.group) in own

        lots = [x for x in self.books.assets.lots if mine(x)]
        if live_before:
            opening = sum(x.cost_usd * x.left * (1.0 - x.worn(0)) for x in lots)
        earned = np.zeros(len(self.days))
        for k, group in enumerate(self.groups):
            if group in own:
                earned += self.cash_usd[:, k]
        rest = self._all(self.rests[g] for g in own)
        for lot in lots:
            if lot.kind == BUILDING:
                rest = rest.plus(self._share(lot))
        paid = sum(usd for t_s, usd in history.paid if t_s <= ends_s[-1])
        waiting = paid if history.live_s is None and not history.called_off else 0.0
        outlay = opening + sum(usd for t_s, usd in history.paid if 0.0 <= t_s <= ends_s[-1])
        flows = Flows(cash + earned, opening, rest.terminal_usd + waiting, outlay)
        return Level(flows, rest, self._tax(earned, rest, mine))

    def _rest(self, s: int) -> Rest:
        here = zip(self.groups, self.site_of, strict=True)
        return self._all([*(self.rests[g] for g, at in here if at == s), self.buildings[s]])

    def _share(self, lot: Lot) -> Rest:
        """A lot's share of its site's works, by book value."""
        whole = self.buildings[lot.site]
        part = lot.book_usd / whole.book_usd if whole.book_usd > 0.0 else 0.0
        return Rest(*(part * usd for usd in whole))

    @staticmethod
    def _all(rests: Iterable[Rest]) -> Rest:
        return reduce(Rest.plus, rests, NOTHING)

    def _tax(
        self,
        earned_usd: Floats,
        rest: Rest,
        mine: Callable[[Lot], bool],
        losses_usd: float = 0.0,
    ) -> Floats:
        which = np.array([mine(lot) for lot in self.books.assets.lots], dtype=np.bool_)
        taxable = earned_usd - self.deducted[:, which].sum(axis=1)
        taxable[-1] += rest.terminal_usd - float(self.bases[which].sum())
        return tax_usd(self.scenario, self.flows.months, taxable, losses_usd)


def _at_the_end(flows: Flows, rest: Rest) -> Flows:
    """Replace the book value of machines and works by their terminal value."""
    closing = flows.closing_usd - rest.book_usd + rest.terminal_usd
    return flows._replace(closing_usd=closing)
