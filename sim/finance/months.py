"""Month-end bills: demand charges, take-or-pay, coincident peaks."""

from datetime import timedelta

import numpy as np

from sim.finance.chart import Account
from sim.finance.demand import DemandCharges
from sim.finance.ledger import Ledger
from sim.finance.take_or_pay import TakeOrPay
from sim.finance.tiers import Tiers
from sim.kernels import flows
from sim.kernels.arrays import MeterState, SiteState
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_DAY, W_PER_MW
from sim.world.peaks import Peaks

MONTHS = 12


class MonthlyBills:
    """Bills by month in local standard time; a month cut off by the run's end is billed."""

    def __init__(self, scenario: Scenario, peaks: Peaks | None) -> None:
        horizon = scenario.horizon
        self.step_s, self.steps = horizon.step_s, horizon.steps
        count = len(scenario.sites)
        self.take = TakeOrPay(scenario)
        self.ends: dict[int, list[int]] = {self.steps: list(range(count))}
        for s, site in enumerate(scenario.sites):
            local = horizon.start_utc + timedelta(hours=site.offset_h)
            start = np.datetime64(local.replace(tzinfo=None), "s")
            begins = start + np.arange(self.steps + 1) * self.step_s
            month = begins.astype("datetime64[M]")
            for step in np.flatnonzero(month[1:] != month[:-1]) + 1:
                if step != self.steps:
                    self.ends.setdefault(int(step), []).append(s)
        self.demand = DemandCharges(scenario, self.ends)
        self.tiers = Tiers(scenario, self.ends)
        spec = scenario.coincident_peak
        tariff = spec.usd_per_mw_year if spec is not None else 0.0
        pays = np.array([s.contract == "market" for s in scenario.sites], dtype=np.float64)
        self.usd_per_w = pays * tariff / W_PER_MW  # (site,) fixed and hosted prices are all-in
        self.opening_w = np.array([s.coincident_mw for s in scenario.sites]) * W_PER_MW
        self.counted = peaks.counted if peaks is not None else 1
        self.peak_usd_per_mw = self.usd_per_w * W_PER_MW / self.counted  # (site,) at one peak
        self.peak_year: dict[int, int] = {}
        if peaks is not None:
            steps = (peaks.peak_steps + 1).tolist()
            self.peak_year = dict(zip(steps, peaks.year.tolist(), strict=True))
        offset = timedelta(hours=spec.utc_offset_h if spec is not None else 0.0)
        self.local_start = horizon.start_utc + offset
        self.owed_w: dict[int, Floats] = {self.local_start.year - 1: self.opening_w}

    def close_step(self, step: int, site: SiteState, meters: MeterState) -> None:
        """After billing a control step: record a coincident peak, close a month that ends."""
        np.maximum(meters.month_peak_w, meters.last_w, out=meters.month_peak_w)
        self.demand.read(step * self.step_s, meters)
        self.tiers.close_step(step, site, meters)
        self.take.close_step(step, meters)
        if step in self.peak_year:
            share_w = np.maximum(meters.last_w, 0.0) / self.counted
            year = self.peak_year[step]
            self.owed_w[year] = self.owed_w.get(year, np.zeros(len(share_w))) + share_w
            site.flow[flows.PEAK_USD] += share_w * self.usd_per_w
        if step not in self.ends:
            return
        at = self.ends[step]
        self.demand.close_step(step, site)
        self.take.close_month(at, site)
        for of_month in (meters.month_peak_w, meters.month_block_j, meters.month_offer_j):
            of_month[at] = 0.0

    def transmission(self, t_s: int) -> Floats | None:
        """A twelfth of the cost of last year's peaks (site,) [USD], on a month's last day."""
        if not self.usd_per_w.any():
            return None
        today = self.local_start + timedelta(seconds=t_s - SECONDS_PER_DAY)
        tomorrow = today + timedelta(days=1)
        if today.month == tomorrow.month:
            return None
        owed_w = self.owed_w.get(today.year - 1)
        return None if owed_w is None else owed_w * self.usd_per_w / MONTHS

    def open(self, ledger: Ledger) -> None:
        """Post the liability for last year's peaks, owed from the start."""
        usd = self.opening_w * self.usd_per_w
        ledger.post(0, Account.OPENING, Account.TRANSMISSION_OWED, "USD", usd, "last year's 4CP")
