"""Tax on the operating income of a single site, project or the firm.

Taxable income is operating cash plus proceeds of machines, less tax depreciation
(`sim.finance.tax`); at the end of the run plus terminal value less remaining basis, as if all were
sold. Interest and treasury gains are excluded, as they are from the flows. Each level carries its
own losses forward, subject to the cap; savings from offsetting a loss elsewhere are not counted.
Tax is paid in the last month of a quarter.
"""

from typing import Any

import numpy as np

from sim.finance.tax import TaxBooks, taxed
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_DAY


def tax_usd(
    scenario: Scenario, months: Any, taxable_usd: Floats, losses_usd: float = 0.0
) -> Floats:
    """Tax (month,) on taxable income (month,) [USD]; negative: refunded within a year.

    `months` (month,) are datetime64[M].
    """
    rate, cap = scenario.firm.tax_fraction, scenario.tax.loss_cap_fraction
    number = months.astype(np.int64) % 12
    paid = np.zeros(len(taxable_usd))
    so_far = due = 0.0
    for m, usd in enumerate(taxable_usd):
        so_far += float(usd)
        last = m == len(taxable_usd) - 1
        year = taxed(so_far, losses_usd, rate, cap)
        if last or number[m] % 3 == 2:
            paid[m] = year.tax_usd - due
            due = year.tax_usd
        if number[m] == 11:
            losses_usd, so_far, due = year.left_usd, 0.0, 0.0
    return paid


def deducted_usd(books: TaxBooks, days: Floats) -> tuple[Floats, Floats]:
    """Tax depreciation (month, lot) and remaining tax basis at the end (lot,) [USD]."""
    lots = books.machines.assets.lots
    ends_s = np.rint(days * SECONDS_PER_DAY).astype(np.int64)
    before = np.zeros(len(lots))
    opening = books.history[0][1] if books.history else np.zeros(0)
    before[: len(opening)] = opening
    began_s = 0
    deducted = np.zeros((len(days), len(lots)))
    for m, end_s in enumerate(ends_s):
        known = [bases for t_s, bases in books.history if t_s <= end_s]
        now = np.zeros(len(lots))
        if known:
            now[: len(known[-1])] = known[-1]
        bought = np.array(
            [
                x.cost_usd if k >= len(opening) and began_s <= x.from_s <= end_s else 0.0
                for k, x in enumerate(lots)
            ]
        )
        added = np.where((before == 0.0) & (now > 0.0), bought, 0.0)
        deducted[m] = before + added - now
        before, began_s = now, int(end_s)
    return deducted, before
