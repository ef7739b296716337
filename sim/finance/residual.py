"""Value of used machines: market price and remaining earnings.

A machine sells for a share f of its price that falls with age, by kind (`residuals.csv` of the
catalogue, [residuals] of a scenario). A machine bought used, or on the books at the start, falls in
proportion from there: worth P at age a, it is worth P f(a + t) / f(a) after t years.

In continued use a machine is worth the lower of that and the discounted cash it earns in its
remaining useful life: above the first nobody would buy it, above the second nobody would keep it.
"""

from typing import Final

import numpy as np

from sim.plant.inventory import ASIC, GPU
from sim.scenario import catalogue
from sim.scenario.scenario import Scenario
from sim.types import Floats

BATTERY: Final = "battery"
BUILDING: Final = "building"
KINDS: Final = (ASIC, GPU, BATTERY, BUILDING)


class Residuals:
    """Market values and capital charges by a scenario's settings."""

    def __init__(self, scenario: Scenario) -> None:
        firm = scenario.firm
        self.factor = scenario.what_if.residual_factor
        self.rate_per_year = firm.discount_rate_per_year
        self.life_years: dict[str, float] = {
            ASIC: firm.asic_life_years,
            GPU: firm.gpu_life_years,
            BATTERY: firm.battery_life_years,
            BUILDING: firm.building_life_years,
        }
        self._curves = {kind: _curve(scenario, kind) for kind in KINDS}

    def fraction(self, kind: str, age_years: float) -> float:
        """Share of the price when new left at an age, before [what_if]."""
        ages, shares = self._curves[kind]
        return float(np.interp(age_years, ages, shares))

    def market_usd(self, kind: str, usd: float, years: float, age_years: float = 0.0) -> float:
        """Market value [USD] `years` after an asset was worth `usd` at `age_years`.

        Never above `usd`; zero if the curve is zero at that age.
        """
        then = self.fraction(kind, age_years)
        if then <= 0.0:
            return 0.0
        share = self.fraction(kind, age_years + max(years, 0.0)) / then
        return usd * min(share * self.factor, 1.0)

    def capital_usd_per_year(self, kind: str, usd: float, age_years: float = 0.0) -> float:
        """Yearly capital charge [USD/y] of an asset worth `usd` at an age, over its remaining life.

        An annuity, paid at the end of each year, that covers the price less the discounted market
        value at the end of the life, at the scenario's rate. Past its useful life a machine is
        charged a year's loss of value and the rate on its market value.
        """
        left = self.life_years[kind] - age_years
        if left < 1.0:
            rest = self.market_usd(kind, usd, 1.0, age_years)
            return usd * (1.0 + self.rate_per_year) - rest
        rest = self.market_usd(kind, usd, left, age_years)
        worth_later: float = (1.0 + self.rate_per_year) ** -left
        return (usd - rest * worth_later) / annuity(self.rate_per_year, left)


def annuity(rate_per_year: float, years: float, fade_per_year: float = 0.0) -> float:
    """Present value of 1 per year paid at year ends for `years`; a part year counts in part.

    With `fade_per_year` each payment is smaller than the last by that share.
    """
    if years <= 0.0:
        return 0.0
    growth = (1.0 - fade_per_year) / (1.0 + rate_per_year)
    if abs(growth - 1.0) < 1e-12:
        return years
    sum_of_powers: float = (1.0 - growth**years) / (1.0 - growth)
    return sum_of_powers / (1.0 + rate_per_year)


def terminal_usd(market_usd: float, earned_usd: float) -> float:
    """The lower of market value and discounted remaining earnings, at least 0 [USD]."""
    return max(min(market_usd, earned_usd), 0.0)


def _curve(scenario: Scenario, kind: str) -> tuple[Floats, Floats]:
    """Ages (point,) [y] and shares of the price when new."""
    own = getattr(scenario.residuals, kind)
    if own:
        return np.arange(len(own) + 1, dtype=np.float64), np.array([1.0, *own])
    points = [p for p in catalogue.residuals() if p.kind == kind]
    return np.array([p.age_years for p in points]), np.array([p.fraction for p in points])
