"""What is left at the end of a run: the lower of what machines fetch and of what they still earn.

Group by group of machines, for one may earn while its neighbour idles. What they still earn is
what they earned in the last year of the run (or since they are live), each year a share less
(`fade_per_year` of [residuals]), for what is left of their useful life, discounted. A group without
a day of its own is taken at the market. Works and buildings of a site are worth what they fetch, as
far as the site earns more than its machines are counted for. Deposits, batteries and what is not
delivered yet count for what they stand in the books.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.finance.assets import FixedAssets, Lot
from sim.finance.residual import BUILDING, Residuals, annuity, terminal_usd
from sim.plant.inventory import ASIC
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_YEAR

LEAST_DAYS: Final = 1.0  # of earning, from which a year is concluded


class Rest(NamedTuple):
    """Of a group, a site or the firm at the end [USD]."""

    book_usd: float
    market_usd: float
    earned_usd: float  # discounted, what it still earns; NaN: not known
    terminal_usd: float

    def plus(self, other: "Rest") -> "Rest":
        """Both together."""
        return Rest(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING: Final = Rest(0.0, 0.0, 0.0, 0.0)


def market_usd(scenario: Scenario, residuals: Residuals, lot: Lot, t_s: int) -> float:
    """What a lot fetches at an instant: from its price, or from its value at the start, by age."""
    age_years = 0.0
    if lot.kind != BUILDING:
        rows = scenario.asics if lot.kind == ASIC else scenario.gpus
        age_years = rows[lot.group].age_years
    since_s, usd = lot.from_s, lot.cost_usd
    if lot.from_s < 0:  # in the opening balance at what its age left of its price
        age_years += -lot.from_s / SECONDS_PER_YEAR
        since_s, usd = 0, lot.cost_usd * (1.0 - lot.worn(0))
    years = (t_s - since_s) / SECONDS_PER_YEAR
    return lot.left * residuals.market_usd(lot.kind, usd, years, age_years)


class Ends:
    """Values at the end of a run. Shapes: `month`, `row` of the meters."""

    def __init__(
        self, scenario: Scenario, assets: FixedAssets, days: Floats, cash_usd: Floats
    ) -> None:
        """`cash_usd` (month, row) is what groups earned by month, `days` (month,) its ends."""
        self.scenario, self.assets = scenario, assets
        self.residuals = Residuals(scenario)
        self.days, self.cash_usd = days, cash_usd
        self.end_s = round(float(days[-1]) * SECONDS_PER_DAY)
        self.first_gpu = len(scenario.asics)

    def of_group(self, kind: str, group: int) -> Rest:
        """A row of asics.csv or gpus.csv."""
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
        """Works of a site that earned `cash_usd` (month,); its machines count for so much."""
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
        """Present value at the end of what is still earned in so many years [USD]."""
        yearly = yearly_usd(cash_usd, self.days, since_s)
        fade = self.scenario.residuals.fade_per_year
        return yearly * annuity(self.residuals.rate_per_year, years, fade)


def yearly_usd(cash_usd: Floats, days: Floats, since_s: float) -> float:
    """What was earned in the last year, or since an instant if that is less, as of a year [USD].

    `cash_usd` (month,) of months that end `days` (month,) after the start; a month counts evenly
    over the part of it that lies after `since_s`. NaN: less than a day.
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
