"""Insurance: losses from incidents less a deductible, paid with a delay."""

import numpy as np

from sim.finance.agreements import Payments
from sim.finance.assets import FixedAssets
from sim.finance.calendar import Month
from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.plant.inventory import ASIC, Change
from sim.scenario import catalogue
from sim.scenario.money import Insurance as Spec
from sim.scenario.scenario import Scenario
from sim.types import OnEvent
from sim.units import SECONDS_PER_DAY


class Insurers:
    """All policies of the firm; if several cover a site, the first pays."""

    def __init__(
        self, scenario: Scenario, ledger: Ledger, assets: FixedAssets, payments: Payments
    ) -> None:
        self.scenario = scenario
        self.ledger, self.assets, self.payments = ledger, assets, payments

    def close_month(self, t_s: int, month: Month) -> None:
        """Post the premiums of the month that ends."""
        usd = sum(p.premium_usd_per_month for p in self.scenario.insurance.values()) * month.share
        self.ledger.post(t_s, Account.PREMIUMS, Account.CASH, "USD", np.array(usd), "premiums")

    def claim(
        self, t_s: int, peril: str, site: str, lost: list[tuple[Change, float]], event: OnEvent
    ) -> float:
        """Claim for destroyed machines (changes, book values [USD]); return the payout [USD]."""
        found = self._covered(peril, site, lost)
        if found is None:
            return 0.0
        name, loss, usd = found
        self._owe(t_s, t_s, name, usd, Account.INSURANCE_PAID)
        days = self.scenario.insurance[name].delay_days
        detail = f"loss {loss:,.0f} USD, pays {usd:,.0f} USD in {days:g} days"
        event(t_s, "insurance claim", name, detail)
        return usd

    def had_claimed(
        self, t_s: int, peril: str, site: str, lost: list[tuple[Change, float]]
    ) -> None:
        """Post a claim for a loss before the run (`t_s` below 0) if it is still unpaid."""
        found = self._covered(peril, site, lost)
        if found is None:
            return
        name, _, usd = found
        if t_s + self.scenario.insurance[name].delay_days * SECONDS_PER_DAY > 0:
            self._owe(0, t_s, name, usd, Account.OPENING)

    def _covered(
        self, peril: str, site: str, lost: list[tuple[Change, float]]
    ) -> tuple[str, float, float] | None:
        """The paying policy, the insured loss [USD] and the payout [USD]; None if uncovered."""
        for name, policy in self.scenario.insurance.items():
            if peril not in policy.perils or (policy.sites and site not in policy.sites):
                continue
            loss = sum(self._insured(policy, change, book_usd) for change, book_usd in lost)
            usd = max(loss - policy.deductible_usd, 0.0)
            return name, loss, usd if policy.limit_usd is None else min(usd, policy.limit_usd)
        return None

    def _owe(self, t_s: int, since_s: int, name: str, usd: float, credit: str) -> None:
        """Post a claim at `t_s`; it is paid `delay_days` after the loss at `since_s`."""
        due_s = since_s + self.scenario.insurance[name].delay_days * SECONDS_PER_DAY
        part, claims = np.array(usd), Account.INSURANCE_CLAIMS
        self.ledger.post(t_s, claims, credit, "USD", part, f"{name}: claim")
        self.payments.later(due_s, Account.CASH, claims, part, f"{name}: claim paid")

    def _insured(self, policy: Spec, change: Change, book_usd: float) -> float:
        machines = change.before - change.now
        if change.kind == ASIC:
            if policy.asic_usd_per_th is None:
                return book_usd
            row = self.scenario.asics[change.group]
            ths = catalogue.asics(self.scenario.asic_models)[row.model].nominal.hashrate_ths
            return machines * ths * policy.asic_usd_per_th
        if policy.gpu_usd_per_gpu is None:
            return book_usd
        return machines * self.scenario.gpus[change.group].gpus_per_node * policy.gpu_usd_per_gpu
