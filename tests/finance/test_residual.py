"""What used machines fetch: curves with sources, doubted by keys; capital charges by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.finance.residual import BATTERY, BUILDING, KINDS, Residuals, annuity, terminal_usd
from sim.plant.inventory import ASIC, GPU
from sim.scenario import ScenarioError, catalogue
from tests.conftest import build_scenario


def residuals(**tables: Any) -> Residuals:
    return Residuals(build_scenario(tables))


@pytest.mark.parametrize("kind", KINDS)
def test_curves_of_the_catalogue_fall_from_one_and_name_their_sources(kind: str) -> None:
    points = [p for p in catalogue.residuals() if p.kind == kind]
    ages, shares = [p.age_years for p in points], [p.fraction for p in points]
    assert ages[0] == 0.0
    assert shares[0] == 1.0
    assert (np.diff(ages) > 0).all()
    assert (np.diff(shares) < 0).all()
    assert all("http" in p.source or "assumed" in p.source for p in points[1:-1])


def test_a_machine_falls_along_its_curve() -> None:
    """Half after a year; 0.5 to 0.23 in the second: 0.365 in its middle."""
    found = residuals()
    assert found.market_usd(ASIC, 1000.0, 1.0) == pytest.approx(500.0)
    assert found.market_usd(ASIC, 1000.0, 1.5) == pytest.approx(365.0)
    assert found.market_usd(GPU, 1000.0, 3.0) == pytest.approx(460.0)
    assert found.market_usd(BATTERY, 1000.0, 7.5) == pytest.approx(550.0)


def test_a_used_machine_falls_from_what_it_is_worth_used() -> None:
    """Worth 500 when a year old; a year later 0.23 / 0.5 of that."""
    assert residuals().market_usd(ASIC, 500.0, 1.0, age_years=1.0) == pytest.approx(230.0)


def test_beyond_the_last_point_the_last_value_holds() -> None:
    found = residuals()
    assert found.market_usd(GPU, 100.0, 50.0) == pytest.approx(3.0)
    assert found.market_usd(GPU, 3.0, 5.0, age_years=20.0) == pytest.approx(3.0)


def test_a_scenario_may_doubt_a_curve() -> None:
    """Half and a quarter in place of the catalogue's; after the second year a quarter."""
    found = residuals(residuals={"gpu": [0.5, 0.25]})
    assert found.market_usd(GPU, 1000.0, 1.5) == pytest.approx(375.0)
    assert found.market_usd(GPU, 1000.0, 9.0) == pytest.approx(250.0)
    assert found.market_usd(ASIC, 1000.0, 1.0) == pytest.approx(500.0)  # others stay


def test_a_curve_that_is_nothing_leaves_nothing() -> None:
    found = residuals(residuals={"gpu": [0.0]})
    assert found.market_usd(GPU, 1000.0, 1.0) == 0.0
    assert found.market_usd(GPU, 1000.0, 1.0, age_years=2.0) == 0.0


@pytest.mark.parametrize("shares", [[0.5, 0.6], [1.2], [-0.1]])
def test_a_curve_that_rises_is_refused(shares: list[float]) -> None:
    with pytest.raises(ScenarioError, match=r"residuals.*after \d years is .*must lie between"):
        residuals(residuals={"gpu": shares})


def test_a_factor_on_all_of_them() -> None:
    found = residuals(what_if={"residual_factor": 0.5})
    assert found.market_usd(GPU, 1000.0, 3.0) == pytest.approx(230.0)
    dear = residuals(what_if={"residual_factor": 3.0})
    assert dear.market_usd(GPU, 1000.0, 1.0) == 1000.0  # never more than it was worth


@given(st.sampled_from(KINDS), st.floats(0.0, 30.0), st.floats(0.0, 30.0), st.floats(0.0, 30.0))
def test_value_only_falls(kind: str, age: float, years: float, more: float) -> None:
    found = residuals()
    now = found.market_usd(kind, 1000.0, years, age)
    assert 0.0 <= found.market_usd(kind, 1000.0, years + more, age) <= now <= 1000.0


def test_a_capital_charge_by_hand() -> None:
    """1,000 USD over two years at 10 %, sold for 600 then: 1000 = a / 1.1 + (a + 600) / 1.21."""
    found = residuals(firm={"discount_rate_per_year": 0.10, "gpu_life_years": 2.0})
    charge = found.capital_usd_per_year(GPU, 1000.0)
    assert charge / 1.1 + (charge + 600.0) / 1.21 == pytest.approx(1000.0)
    assert charge == pytest.approx(290.476, abs=0.001)


def test_at_no_rate_the_charge_is_the_loss_of_value_a_year() -> None:
    found = residuals(firm={"discount_rate_per_year": 0.0, "gpu_life_years": 4.0})
    assert found.capital_usd_per_year(GPU, 1000.0) == pytest.approx((1000.0 - 350.0) / 4)


def test_past_its_useful_life_a_machine_is_charged_what_it_loses_in_a_year() -> None:
    found = residuals(firm={"discount_rate_per_year": 0.10, "gpu_life_years": 3.0})
    rest = 1000.0 * 0.35 / 0.46
    assert found.capital_usd_per_year(GPU, 1000.0, 3.0) == pytest.approx(1100.0 - rest)


def test_a_shorter_life_costs_more_a_year() -> None:
    long, short = (
        residuals(firm={"gpu_life_years": years}).capital_usd_per_year(GPU, 1000.0)
        for years in (5.0, 3.0)
    )
    assert short > long


def test_annuities_of_the_textbook() -> None:
    """Three payments of 1 at 10 %: 2.48685; each 20 % less than the one before: 2.01653…"""
    assert annuity(0.10, 3.0) == pytest.approx(2.486852, abs=1e-6)
    assert annuity(0.0, 3.0) == 3.0
    faded = 1 / 1.1 + 0.8 / 1.21 + 0.64 / 1.331
    assert annuity(0.10, 3.0, 0.2) == pytest.approx(faded)
    assert annuity(0.1, 0.0) == annuity(0.1, -1.0) == 0.0


def test_a_terminal_value_is_the_lower_of_market_and_earnings() -> None:
    assert terminal_usd(100.0, 60.0) == 60.0
    assert terminal_usd(40.0, 60.0) == 40.0
    assert terminal_usd(40.0, -5.0) == 0.0


def test_kinds_have_useful_lives() -> None:
    found = residuals(firm={"building_life_years": 7.0})
    assert found.life_years[BUILDING] == 7.0
    assert set(found.life_years) == set(KINDS)
