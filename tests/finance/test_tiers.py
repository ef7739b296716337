"""Tariffs whose price depends on the month's use, by hand and against a published bill."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.policy import Decision, Observation
from sim.scenario import Scenario, ScenarioError
from tests.builders.one_site import Share, one_site
from tests.builders.steps import Steps

FIXED = {"contract": "fixed", "tariff": "t", "price_zone": "zone", "adder_usd_per_mwh": 0}
PUBLISHED = [{"usd_per_mwh": 87.21}, {"usd_per_mwh": 108.03, "above_mwh_month": 12}]
WHOLE = {"start_utc": "2026-06-01T06:00:00Z", "days": 30, "step_s": 3600}


def site(prices: list[dict[str, Any]], horizon: dict[str, Any], clock: Any = -6) -> Scenario:
    tariff = {"prices": prices, "utc_offset_h": clock}
    return one_site({"horizon": horizon, "tariffs": {"t": tariff}}, FIXED)


def test_a_published_bill_of_two_tiers() -> None:
    """24,000 kWh in a month at 0.08721 USD for the first 12,000 and 0.10803 above: 2,342.88."""
    share = 24.0 / 720 / 7.0
    result = sim.run(site(PUBLISHED, WHOLE), Share(share))
    assert result.kpis["energy_mwh"] == pytest.approx(24.0)
    assert result.kpis["power_cost_usd"] == pytest.approx(2_342.88, abs=0.005)
    price = np.asarray(result.table("sites")["price_usd_per_mwh"])
    assert price[:360] == pytest.approx(np.full(360, 87.21))
    assert price[361:] == pytest.approx(np.full(359, 108.03))


def test_a_bound_within_a_step_cuts_it() -> None:
    """7 MW for three hours are 21 MWh: 12 in the second hour's middle."""
    share = np.zeros(30 * 8)
    share[0] = 1.0
    when = {**WHOLE, "step_s": 10_800, "record_s": 10_800}
    k = sim.run(site(PUBLISHED, when), Steps(share)).kpis
    assert k["power_cost_usd"] == pytest.approx(12 * 87.21 + 9 * 108.03)


def test_bounds_of_a_part_of_a_month_are_its_part() -> None:
    """Ten days of June at 7 MW: 4 MWh of 1,680 are in the first tier; ten days of July as well."""
    when = {**WHOLE, "start_utc": "2026-06-21T06:00:00Z", "days": 20}
    k = sim.run(site(PUBLISHED, when), "static").kpis
    first = 12 * 10 / 30 + 12 * 10 / 31
    assert k["power_cost_usd"] == pytest.approx(first * 87.21 + (3360 - first) * 108.03)


def test_tiers_and_hours_together_bill_the_metered_series() -> None:
    """Recomputed from the table `sites`: tiers of the day and of the night, over two months."""
    prices = [
        {"usd_per_mwh": 40}, {"usd_per_mwh": 90, "from_hour": 14, "to_hour": 20},
        {"usd_per_mwh": 30, "above_mwh_month": 900},
        {"usd_per_mwh": 110, "from_hour": 14, "to_hour": 20, "above_mwh_month": 1500},
    ]  # fmt: skip
    draw = np.random.Generator(np.random.Philox(key=5))
    when = {"start_utc": "2026-06-20T06:00:00Z", "days": 30, "step_s": 1800, "record_s": 1800}
    policy = Steps(draw.uniform(0.0, 1.0, 30 * 48))
    result = sim.run(site(prices, when), policy)
    usd, used = 0.0, 0.0
    for k, mw in enumerate(np.asarray(result.table("sites")["meter_mw"]).tolist()):
        if k == 11 * 48:
            used = 0.0
        share = 11 / 30 if k < 11 * 48 else 19 / 31
        peak = 14 <= k % 48 / 2 < 20
        by_tier = [90.0, 30.0, 110.0] if peak else [40.0, 30.0, 30.0]
        edges = [0.0, 900 * share, 1500 * share, np.inf]
        for price, low, high in zip(by_tier, edges, edges[1:], strict=False):
            usd += price * max(min(used + mw / 2, high) - max(used, low), 0.0)
        used += mw / 2
    assert result.kpis["power_cost_usd"] == pytest.approx(usd)


def test_a_policy_sees_what_the_next_mwh_costs() -> None:
    """Machines that earn less than the second tier run until the first is used up."""
    prices = [{"usd_per_mwh": 1}, {"usd_per_mwh": 9_000, "above_mwh_month": 700}]
    table = sim.run(site(prices, WHOLE), "merit-order").table("sites")
    mw = np.asarray(table["meter_mw"])
    off = int(np.argmax(mw == 0.0))
    assert mw[:off].sum() == mw.sum()
    assert 700 <= mw.sum() < 708

    seen: list[float] = []

    class Watch(Share):
        def decide(self, observation: Observation) -> Decision:
            seen.append(float(observation.price_usd_per_mwh[0]))
            return super().decide(observation)

    sim.run(site(prices, WHOLE), Watch(1.0))
    assert seen[:101] == [1.0] * 100 + [9_000.0]


@pytest.mark.parametrize("second", [60.0, 20.0])
def test_no_policy_is_above_the_bound_of_tiers(second: float) -> None:
    prices = [{"usd_per_mwh": 40}, {"usd_per_mwh": second, "above_mwh_month": 800},
              {"usd_per_mwh": 45, "from_hour": 8, "to_hour": 12}]  # fmt: skip
    scenario = site(prices, WHOLE)
    best = sim.bound(scenario, 3).usd
    for policy in ("static", "merit-order", "look-ahead"):
        usd = sim.run(scenario, policy, 3).kpis["gross_margin_usd"]
        assert usd is not None
        assert usd <= best * (1.0 + 1e-9)


def test_the_bound_is_exact_where_prices_rise_with_use() -> None:
    """A cent more above 800 MWh moves nobody: the bound loses it on what merit-order uses above."""
    flat = [{"usd_per_mwh": 40}]
    rising = [*flat, {"usd_per_mwh": 40.01, "above_mwh_month": 800}]
    lost = sim.bound(site(flat, WHOLE), 3).usd - sim.bound(site(rising, WHOLE), 3).usd
    used = sim.run(site(flat, WHOLE), "merit-order", 3).kpis["energy_mwh"]
    assert used is not None
    assert lost == pytest.approx(0.01 * (used - 800), rel=1e-3)


def test_what_tiers_cannot_be_is_refused() -> None:
    tariff = {"t": {"prices": PUBLISHED}}
    zones = {"zones": {"zone": {"model": "fixed", "tariff": "t"}}}
    with pytest.raises(ScenarioError, match="only the contract of a site can have"):
        one_site({"tariffs": tariff, "prices": zones})
    with pytest.raises(ScenarioError, match="months or above_mwh_month"):
        site(PUBLISHED[::-1], WHOLE)
    higher = {"usd_per_mwh": 120, "above_mwh_month": 40}
    with pytest.raises(ScenarioError, match=r"entry 2 .* never holds: entry 3 comes later"):
        site([PUBLISHED[0], higher, PUBLISHED[1]], WHOLE)
    evening = {**PUBLISHED[1], "from_hour": 17}
    assert site([PUBLISHED[0], higher, evening], WHOLE).sites  # in other hours it does


def test_a_site_with_tiers_needs_no_zone_unless_it_sells() -> None:
    """Two days of January at 7 MW, its bounds by two parts in 31."""
    tables = {
        "horizon": {"days": 2, "step_s": 3600},
        "tariffs": {"t": {"utc_offset_h": -6, "prices": PUBLISHED}},
    }
    own = FIXED | {"price_zone": ""}
    first = 12 * 2 / 31
    k = sim.run(one_site(tables, own), "static").kpis
    assert k["power_cost_usd"] == pytest.approx(first * 87.21 + (336 - first) * 108.03)
    with pytest.raises(ScenarioError, match=r"export_mw = 3: .* name one as price_zone"):
        one_site(tables, own | {"export_mw": 3})
