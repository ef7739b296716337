"""How the firm raises cash it is short of: the steps of [funding], in order."""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from sim.finance.assets import FixedAssets
from sim.finance.calendar import Calendar
from sim.finance.chart import Account
from sim.finance.ledger import Entry
from sim.finance.loans import Lending
from sim.finance.projects import Projects
from sim.finance.release import free_up
from sim.finance.residual import Residuals
from sim.finance.revolver import Revolver
from sim.finance.treasury import Treasury, cents
from sim.plant.inventory import ASIC, Inventory
from sim.scenario.catalogue import asics
from sim.scenario.scenario import Scenario
from sim.types import OnEvent
from sim.units import CENTS_PER_USD, SECONDS_PER_YEAR

CENT: Final = 0.005


class Sold(NamedTuple):
    """Machines sold but not yet removed from the plant."""

    group: int  # row of asics.csv
    machines: int


class Funding:
    """The funding waterfall. Inactive without opening cash, since cash is then not checked.

    Sold machines run until the close of the day; `sold` lists those to remove.
    """

    def __init__(
        self,
        scenario: Scenario,
        calendar: Calendar,
        treasury: Treasury,
        lending: Lending,
        assets: FixedAssets,
        projects: Projects,
        inventory: Inventory,
        equity_usd: Callable[[float], float],
        event: OnEvent,
    ) -> None:
        self.spec = scenario.funding
        self.treasury, self.lending = treasury, lending
        self.assets, self.projects, self.inventory = assets, projects, inventory
        self.equity_usd = equity_usd
        self.event = event
        line, factor = self.spec.revolver, scenario.what_if.interest_factor
        self.revolver = Revolver(line, factor, treasury, calendar) if line is not None else None
        self.residuals = Residuals(scenario)
        known = asics(scenario.asic_models)
        self.rows = [(known[row.model].nominal, row.age_years) for row in scenario.asics]
        self.sold: list[Sold] = []
        self.issued_usd = 0.0  # paid in for new shares
        self.machines_usd = 0.0  # proceeds of distressed sales
        self.first_owners = 1.0  # share of the firm still held by the owners at the start

    def find(
        self, t_s: int, usd: float, usd_per_btc: float, why: str, may_wait: bool = False
    ) -> bool:
        """Raise cash to `usd` by the steps in order; return whether it is available.

        A payment that `may_wait` stops at the step `defer`.
        """
        steps = {
            "bitcoin": self._sell_bitcoin,
            "release": self._release,
            "revolver": self._draw,
            "equity": self._issue,
            "cancel": self._call_off,
            "machines": self._sell_machines,
        }
        for step in self.spec.steps:
            short_usd = usd - self.treasury.cash_usd
            if short_usd <= CENT:
                return True
            if step != "defer":
                steps[step](t_s, short_usd, usd_per_btc, why)
            elif may_wait:
                return False
        return usd - self.treasury.cash_usd <= CENT

    def debt_usd(self) -> float:
        """Debt on the revolver [USD]."""
        return self.revolver.debt_usd if self.revolver is not None else 0.0

    def _sell_bitcoin(self, t_s: int, usd: float, usd_per_btc: float, why: str) -> None:
        self.treasury.raise_cash(t_s, usd, usd_per_btc, why)

    def _release(self, t_s: int, usd: float, usd_per_btc: float, why: str) -> None:
        free_up(self.lending, t_s, usd, usd_per_btc, why)

    def _draw(self, t_s: int, usd: float, usd_per_btc: float, why: str) -> None:
        if self.revolver is None:
            return
        drawn_usd = self.revolver.draw(t_s, usd)
        if drawn_usd:
            self.event(t_s, "revolver drawn", "revolver", f"{drawn_usd:,.2f} USD: {why}")

    def _issue(self, t_s: int, usd: float, usd_per_btc: float, why: str) -> None:
        """Issue shares at discount d: the first owners keep (1 - d) E / ((1 - d) E + paid)."""
        spec = self.spec.equity
        before_usd = self.equity_usd(usd_per_btc)
        if spec is None or before_usd <= 0.0:
            return
        asked = math.ceil(usd * CENTS_PER_USD / (1.0 - spec.fee_fraction) - 1e-6)
        paid = max(min(asked, cents(spec.limit_usd - self.issued_usd)), 0)
        net = math.floor(paid * (1.0 - spec.fee_fraction) + 1e-6)
        if not net:
            return
        # Issue costs reduce the proceeds (SAB Topic 5.A), not income.
        sides = (Entry(Account.CASH, "USD", net), Entry(Account.ISSUED, "USD", -net))
        self.treasury.ledger.record(t_s, sides, "new shares, less what their sale costs")
        paid_usd, worth_usd = paid / CENTS_PER_USD, (1.0 - spec.discount_fraction) * before_usd
        self.issued_usd += paid_usd
        self.first_owners *= worth_usd / (worth_usd + paid_usd)
        detail = (
            f"{net / CENTS_PER_USD:,.2f} USD of {paid_usd:,.2f} paid, {spec.discount_fraction:.0%} "
            f"below equity; {self.first_owners:.10%} are left to the first owners: {why}"
        )
        self.event(t_s, "shares issued", "firm", detail)

    def _call_off(self, t_s: int, usd: float, usd_per_btc: float, why: str) -> None:
        """Cancel projects under way, largest refund first, until `usd` is raised."""
        found_usd = 0.0
        for name, refund_usd in self.projects.refunds():
            if found_usd >= usd or refund_usd <= 0.0:
                return
            self.projects.cancel(name, t_s)
            self.event(t_s, "project called off", name, f"{refund_usd:,.2f} USD come back: {why}")
            found_usd += refund_usd

    def _j_per_th(self, group: int) -> float:
        nominal = self.rows[group][0]
        return nominal.power_w / nominal.hashrate_ths

    def machine_usd(self, t_s: int, group: int) -> float:
        """Price of a machine of a group in a distressed sale [USD]."""
        owned, (_, age_years) = self.assets.owned[group], self.rows[group]
        if owned <= 0.0:
            return 0.0
        market_usd = sum(
            self.residuals.market_usd(
                ASIC,
                lot.cost_usd * lot.left,
                (t_s - lot.from_s) / SECONDS_PER_YEAR,
                age_years,
            )
            for lot in self.assets.lots
            if (lot.kind, lot.group) == (ASIC, group)
        )
        return market_usd / owned * (1.0 - self.spec.machine_discount_fraction)

    def _sell_machines(self, t_s: int, usd: float, usd_per_btc: float, why: str) -> None:
        """Sell the fewest whole ASICs that raise `usd`, least efficient first."""
        left_usd = usd
        order = sorted(range(len(self.rows)), key=lambda g: (-self._j_per_th(g), g))
        for group in order:
            if left_usd <= CENT:
                return
            each_usd = self.machine_usd(t_s, group)
            gone = sum(s.machines for s in self.sold if s.group == group)
            there = min(self.inventory.deployed(ASIC, group) - gone, int(self.assets.owned[group]))
            if each_usd <= CENT or there <= 0:
                continue
            machines = min(math.ceil((left_usd - CENT) / each_usd), there)
            brings_usd = math.floor(machines * each_usd * CENTS_PER_USD + 1e-6) / CENTS_PER_USD
            self.assets.sell(t_s, group, float(machines), brings_usd, f"sold used: {why}")
            self.sold.append(Sold(group, machines))
            self.machines_usd += brings_usd
            left_usd -= brings_usd
            detail = f"{machines} machines for {brings_usd:,.2f} USD: {why}"
            self.event(t_s, "machines sold", f"asics.csv row {group + 2}", detail)
