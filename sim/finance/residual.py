"""What machines are worth when they are not new: what the market pays, what they still earn.

A machine fetches a share of its price that falls with its age, by its kind (`residuals.csv` of the
catalogue, [residuals] of a scenario). What was bought used, or stands in the books at the start,
falls in proportion from there: what is worth P at an age a is worth P f(a + t) / f(a) after t
years.

To whoever goes on using it a machine is worth the lower of that and the discounted cash it still
earns in the rest of its useful life: above the first nobody would buy it, above the second nobody
would keep it.
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
    """Market values and capital charges under the keys of a scenario."""

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
        """What is left of the price when new at an age, before [what_if]."""
        ages, shares = self._curves[kind]
        return float(np.interp(age_years, ages, shares))

    def market_usd(self, kind: str, usd: float, years: float, age_years: float = 0.0) -> float:
        """What something fetches `years` after it was worth `usd` at an age [USD].

        Never more than it was worth; nothing that was worth nothing is worth something later.
        """
        then = self.fraction(kind, age_years)
        if then <= 0.0:
            return 0.0
        share = self.fraction(kind, age_years + max(years, 0.0)) / then
        return usd * min(share * self.factor, 1.0)

    def capital_usd_per_year(self, kind: str, usd: float, age_years: float = 0.0) -> float:
        """The yearly charge for something worth `usd` at an age, to the end of its useful life.

        An annuity, paid at the end of each year, that covers the price less the discounted market
        value at the end of the life, at the scenario's rate. Past its useful life a machine is
        charged what it loses in a year and the rate on what it would fetch.
        """
        left = self.life_years[kind] - age_years
        if left < 1.0:
            rest = self.market_usd(kind, usd, 1.0, age_years)
            return usd * (1.0 + self.rate_per_year) - rest
        rest = self.market_usd(kind, usd, left, age_years)
        worth_later: float = (1.0 + self.rate_per_year) ** -left
        return (usd - rest * worth_later) / annuity(self.rate_per_year, left)


def annuity(rate_per_year: float, years: float, fade_per_year: float = 0.0) -> float:
    """Present value of 1 a year for so many years, at the end of each; a broken year in part.

    With `fade_per_year` each year brings that share less than the one before.
    """
    if years <= 0.0:
        return 0.0
    growth = (1.0 - fade_per_year) / (1.0 + rate_per_year)
    if abs(growth - 1.0) < 1e-12:
        return years
    sum_of_powers: float = (1.0 - growth**years) / (1.0 - growth)
    return sum_of_powers / (1.0 + rate_per_year)


def terminal_usd(market_usd: float, earned_usd: float) -> float:
    """The lower of what the market pays and what is still earned (discounted), never below 0."""
    return max(min(market_usd, earned_usd), 0.0)


def _curve(scenario: Scenario, kind: str) -> tuple[Floats, Floats]:
    """Ages (point,) [y] and shares of the price when new."""
    own = getattr(scenario.residuals, kind)
    if own:
        return np.arange(len(own) + 1, dtype=np.float64), np.array([1.0, *own])
    points = [p for p in catalogue.residuals() if p.kind == kind]
    return np.array([p.age_years for p in points]), np.array([p.fraction for p in points])
