"""Insurance: what incidents destroy, less a deductible, paid late."""

import numpy as np

from sim.finance.assets import FixedAssets
from sim.finance.calendar import Month
from sim.finance.duties import Event, Payments
from sim.finance.ledger import Ledger
from sim.plant.presence import ASIC, Change
from sim.scenario import catalogue
from sim.scenario.money import Insurance as Spec
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_DAY


class Insurers:
    """All policies of the firm; of several that cover a site, the first pays."""

    def __init__(
        self, scenario: Scenario, ledger: Ledger, assets: FixedAssets, payments: Payments
    ) -> None:
        self.scenario = scenario
        self.ledger, self.assets, self.payments = ledger, assets, payments

    def close_month(self, t_s: int, month: Month) -> None:
        """Premiums of the month that ends."""
        usd = sum(p.premium_usd_per_month for p in self.scenario.insurance.values()) * month.share
        self.ledger.post(
            t_s, "expenses:insurance", "assets:cash", "USD", np.array([usd]), "premiums"
        )

    def claim(
        self, t_s: int, peril: str, site: str, lost: list[tuple[Change, float]], event: Event
    ) -> float:
        """Claim what an incident destroyed: changes with their book value [USD]; what is paid."""
        for name, policy in self.scenario.insurance.items():
            if peril not in policy.perils or (policy.sites and site not in policy.sites):
                continue
            loss = sum(self._insured(policy, change, book_usd) for change, book_usd in lost)
            usd = max(loss - policy.deductible_usd, 0.0)
            if policy.limit_usd is not None:
                usd = min(usd, policy.limit_usd)
            due_s = t_s + policy.delay_days * SECONDS_PER_DAY
            part = np.array([usd])
            self.ledger.post(
                t_s, "assets:insurance-claims", "income:insurance", "USD", part, f"{name}: claim"
            )
            memo = f"{name}: claim paid"
            self.payments.later(due_s, "assets:cash", "assets:insurance-claims", part, memo)
            detail = f"loss {loss:,.0f} USD, pays {usd:,.0f} USD in {policy.delay_days:g} days"
            event(t_s, "insurance claim", name, detail)
            return usd
        return 0.0

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
