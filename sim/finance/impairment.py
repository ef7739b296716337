"""Impairment of machines whose cash flows no longer recover book value (ASC 360-10-35)."""

from typing import NamedTuple

import numpy as np

from sim.finance.assets import FixedAssets, Lot
from sim.finance.ledger import Ledger
from sim.finance.meters import Meters
from sim.finance.residual import Residuals, annuity
from sim.finance.site_flows import SiteFlows
from sim.finance.terminal import market_usd, yearly_usd
from sim.plant.inventory import ASIC, GPU
from sim.scenario import catalogue
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_DAY, SECONDS_PER_YEAR

CENT = 0.005


class Loss(NamedTuple):
    """A write-down of a group of machines [USD]."""

    kind: str
    group: int  # row of asics.csv or gpus.csv
    book_usd: float
    undiscounted_usd: float
    fair_usd: float

    @property
    def usd(self) -> float:
        """Loss: book value less fair value [USD]."""
        return self.book_usd - self.fair_usd


class Impairment:
    """Quarterly impairment test of assets held and used (ASC 360-10-35).

    - Unit: a row of asics.csv or gpus.csv, the lowest level with known cash flows, from its meters
      (35-23).
    - Indicators, each requiring `idle_months` months on the books so that cash flows are known:
      its market price is below book value by more than `market_fall_fraction` (35-21(a): machines
      enter the books at market, and depreciation stands for their loss by age); or in each of the
      last `idle_months` months its ASICs hashed less than `idle_fraction` of nameplate (35-21(b))
      or it earned nothing before capital, financing and tax (35-21(e)). Market prices are curves by
      age and [what_if]; the bitcoin price does not move them.
    - Recoverable amount (35-17, 35-29): last year's earnings, floored at zero because a machine may
      idle, fading by `fade_per_year` of [residuals], over the remaining useful life, undiscounted;
      plus the market value at its end.
    - If book value exceeds this, it is written down to fair value: the used price by the curves of
      `sim.finance.residual`. Write-downs are never reversed (35-20).

    Works, batteries and rights of use are not tested.
    """

    def __init__(
        self, scenario: Scenario, ledger: Ledger, assets: FixedAssets, meters: Meters
    ) -> None:
        self.scenario, self.ledger = scenario, ledger
        self.assets, self.meters = assets, meters
        self.residuals = Residuals(scenario)
        known = catalogue.asics(scenario.asic_models)
        self.ths = np.array([known[r.model].nominal.hashrate_ths for r in scenario.asics])
        self.months = scenario.firm.idle_months

    def close_quarter(self, t_s: int) -> list[Loss]:
        """Test all groups on the books and return the write-downs. Depreciate first."""
        groups = sorted({(x.kind, x.group) for x in self.assets.lots if x.kind in (ASIC, GPU)})
        groups = [g for g in groups if self._book_usd(*g) > CENT]
        if not groups:
            return []
        flows = SiteFlows(self.scenario, self.ledger)
        ended = int(np.searchsorted(flows.days * SECONDS_PER_DAY, t_s + 0.5))  # months ended so far
        at = [flows.sites.index(s.name) for s in self.scenario.sites]
        cash_usd = self.meters.operating(flows.other[:, at] + self.meters.spent_usd)[:ended]
        losses = []
        for kind, group in groups:
            row = group + (self.meters.asics if kind == GPU else 0)
            found = self._test(t_s, kind, group, cash_usd[:, row], flows.days[:ended])
            if found is not None:
                losses.append(found)
        return losses

    def _test(self, t_s: int, kind: str, group: int, cash_usd: Floats, days: Floats) -> Loss | None:
        if not self._indicated(t_s, kind, group, cash_usd, days):
            return None
        book_usd = self._book_usd(kind, group)
        undiscounted_usd = self._undiscounted_usd(t_s, kind, group, cash_usd, days)
        fair_usd = self._market_usd(t_s, kind, group)
        if book_usd <= undiscounted_usd or book_usd - fair_usd <= CENT:
            return None
        memo = f"{kind}s.csv row {group + 2} is not recoverable: ASC 360-10-35-17"
        self.assets.impair(t_s, kind, group, book_usd - fair_usd, memo)
        return Loss(kind, group, book_usd, undiscounted_usd, fair_usd)

    def _indicated(self, t_s: int, kind: str, group: int, cash_usd: Floats, days: Floats) -> bool:
        first = len(days) - self.months
        if first < 0:
            return False
        begin_s = float(days[first - 1]) * SECONDS_PER_DAY if first else 0.0
        if min(x.from_s for x in self._lots(kind, group)) > begin_s:
            return False  # not on the books long enough
        lost = bool((cash_usd[first:] <= 0.0).all())
        return lost or self._fallen(t_s, kind, group) or self._idle(kind, group, first, len(days))

    def _fallen(self, t_s: int, kind: str, group: int) -> bool:
        book_usd = sum(x.book_usd for x in self._lots(kind, group))
        least_usd = (1.0 - self.scenario.firm.market_fall_fraction) * book_usd
        return self._market_usd(t_s, kind, group) < least_usd

    def _idle(self, kind: str, group: int, first: int, end: int) -> bool:
        if kind == GPU:
            return False
        there_th = self.meters.there_s[first:end, group] * self.ths[group]
        hashed_th = self.meters.hashed_th[first:end, group]
        rests = hashed_th < self.scenario.firm.idle_fraction * there_th
        return bool(((there_th > 0.0) & rests).all())

    def _undiscounted_usd(
        self, t_s: int, kind: str, group: int, cash_usd: Floats, days: Floats
    ) -> float:
        since_s = min(x.from_s for x in self._lots(kind, group))
        left_years = self.residuals.life_years[kind] - (t_s - since_s) / SECONDS_PER_YEAR
        yearly = yearly_usd(cash_usd, days, max(since_s, 0))
        earned = max(yearly, 0.0) * annuity(0.0, left_years, self.scenario.residuals.fade_per_year)
        end_s = t_s + round(max(left_years, 0.0) * SECONDS_PER_YEAR)
        return earned + self._market_usd(end_s, kind, group)

    def _book_usd(self, kind: str, group: int) -> float:
        return sum(x.book_usd + x.interest_book_usd for x in self._lots(kind, group))

    def _market_usd(self, t_s: int, kind: str, group: int) -> float:
        lots = self._lots(kind, group)
        return sum(market_usd(self.scenario, self.residuals, x, t_s) for x in lots)

    def _lots(self, kind: str, group: int) -> list[Lot]:
        return [x for x in self.assets.lots if (x.kind, x.group) == (kind, group)]
