"""Terminal values at the end of a run: the lower of market value and remaining earnings.

Valued by group of machines, since one may earn while its neighbour idles. Remaining earnings are
those of the last year of the run (or since going live), fading by `fade_per_year` of [residuals]
over the remaining useful life, discounted. A group live for less than a day is valued at market.
Works and buildings of a site count at market value as far as the site's earnings exceed the value
of its machines. Deposits, batteries and undelivered orders count at book value.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.finance.assets import FixedAssets, Lot
from sim.finance.residual import BUILDING, Residuals, annuity, terminal_usd
from sim.plant.inventory import ASIC
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_YEAR

LEAST_DAYS: Final = 1.0  # fewest days of earnings to extrapolate a year from


class Rest(NamedTuple):
    """Values of a group, a site or the firm at the end of the run [USD]."""

    book_usd: float
    market_usd: float
    earned_usd: float  # discounted remaining earnings; NaN: unknown
    terminal_usd: float

    def plus(self, other: "Rest") -> "Rest":
        """The sum of both."""
        return Rest(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING: Final = Rest(0.0, 0.0, 0.0, 0.0)


def market_usd(scenario: Scenario, residuals: Residuals, lot: Lot, t_s: int) -> float:
    """Market value of a lot at an instant [USD], by age from its price or opening value."""
    age_years = 0.0
    if lot.kind != BUILDING:
        rows = scenario.asics if lot.kind == ASIC else scenario.gpus
        age_years = rows[lot.group].age_years
    since_s, usd = lot.from_s, lot.cost_usd
    if lot.from_s < 0:  # its opening value is its price depreciated by age
        age_years += -lot.from_s / SECONDS_PER_YEAR
        since_s, usd = 0, lot.cost_usd * (1.0 - lot.worn(0))
    years = (t_s - since_s) / SECONDS_PER_YEAR
    return lot.left * residuals.market_usd(lot.kind, usd, years, age_years)


class Ends:
    """Values at the end of a run. Shapes: `month`, `row` of the meters."""

    def __init__(
        self, scenario: Scenario, assets: FixedAssets, days: Floats, cash_usd: Floats
    ) -> None:
        """`cash_usd` (month, row) is groups' monthly earnings, `days` (month,) the month ends."""
        self.scenario, self.assets = scenario, assets
        self.residuals = Residuals(scenario)
        self.days, self.cash_usd = days, cash_usd
        self.end_s = round(float(days[-1]) * SECONDS_PER_DAY)
        self.first_gpu = len(scenario.asics)

    def of_group(self, kind: str, group: int) -> Rest:
        """Values of a row of asics.csv or gpus.csv."""
        lots = [x for x in self.assets.lots if (x.kind, x.group) == (kind, group)]
        if not lots:
            return NOTHING
        book = sum(x.book_usd for x in lots)
        market = sum(market_usd(self.scenario, self.residuals, x, self.end_s) for x in lots)
        row = group + (0 if kind == ASIC else self.first_gpu)
        since_s = max(min(x.from_s for x in lots), 0)
        age = max((self.end_s - min(x.from_s for x in lots)) / SECONDS_PER_YEAR, 0.0)
        earned = self._still(self.cash_usd[:, row], since_s, self.residuals.life_years[kind] - age)
        if np.isnan(earned):
            return Rest(book, market, market, market)
        return Rest(book, market, earned, terminal_usd(market, earned))

    def of_building(self, site: int, cash_usd: Floats, machines_usd: float) -> Rest:
        """Values of a site's works: site earnings `cash_usd` (month,), machines `machines_usd`."""
        lots = [x for x in self.assets.lots if (x.kind, x.site) == (BUILDING, site)]
        if not lots:
            return NOTHING
        book = sum(x.book_usd for x in lots)
        market = sum(market_usd(self.scenario, self.residuals, x, self.end_s) for x in lots)
        left = self.residuals.life_years[BUILDING]
        left -= max((self.end_s - min(x.from_s for x in lots)) / SECONDS_PER_YEAR, 0.0)
        earned = self._still(cash_usd, 0, left) - machines_usd
        if np.isnan(earned):
            return Rest(book, market, market, market)
        return Rest(book, market, max(earned, 0.0), terminal_usd(market, earned))

    def _still(self, cash_usd: Floats, since_s: float, years: float) -> float:
        """Present value at the end of the run of earnings over `years` more years [USD]."""
        yearly = yearly_usd(cash_usd, self.days, since_s)
        fade = self.scenario.residuals.fade_per_year
        return yearly * annuity(self.residuals.rate_per_year, years, fade)


def yearly_usd(cash_usd: Floats, days: Floats, since_s: float) -> float:
    """Annualised earnings of the last year, or since `since_s` if shorter [USD/y].

    `cash_usd` (month,) is for months ending `days` (month,) after the start; a month's cash is
    spread evenly over its part after `since_s`. NaN if under a day.
    """
    end = float(days[-1])
    begins = np.concatenate([[0.0], days[:-1]])
    first = max(since_s / SECONDS_PER_DAY, end - DAYS_PER_YEAR)
    if end - first < LEAST_DAYS:
        return float("nan")
    length = days - begins
    there = np.clip(days - np.maximum(begins, first), 0.0, None)
    alive = np.maximum(days - np.maximum(begins, since_s / SECONDS_PER_DAY), 0.0)
    part = np.divide(there, alive, out=np.zeros_like(length), where=alive > 0.0)
    return float((cash_usd * part).sum()) / (end - first) * DAYS_PER_YEAR
