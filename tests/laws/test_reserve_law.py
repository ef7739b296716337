"""Laws of reserves sold the day before, on sites with everything and offers at random."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import sim
from sim.engine import Engine
from sim.kernels import flows
from sim.policy import Observation, ReserveOffers
from sim.scenario import Scenario
from sim.units import W_PER_MW
from tests.builders.energy_fleets import Looking, Reckless, fleet, fleets

PRODUCTS: dict[str, Any] = {
    "ers": {"model": "emergency", "usd_per_mw_h": 5, "offer_fraction": 0.2},
    "rrs": {"model": "reserve", "usd_per_mw_h": 9, "sites": ["alpha", "bravo"],
            "notice_s": 500, "calls_per_year": 800, "call_h": 1.3, "market_mw": 1.4,
            "price_response": 0.5},
    "ecrs": {"model": "reserve", "usd_per_mw_h": 14, "notice_s": 600, "calls_per_year": 500,
             "duration_h": 2, "penalty_usd_per_mwh": 300, "offer_fraction": 0.1},
}  # fmt: skip


class Seller(Reckless):
    """Offers at random too, beyond what there is."""

    def offer(self, observation: Observation, begins_s: Any) -> ReserveOffers:
        shape = len(begins_s), *observation.energy.reserve_usd_per_mw_h.shape
        draw = np.random.Generator(np.random.Philox(key=[observation.t_s, shape[0]]))
        power_w = draw.uniform(0.0, 3e6, shape) * (draw.random(shape) < 0.7)
        at_most_w = draw.uniform(0.0, 5e6, (shape[0], shape[2]))
        return ReserveOffers(power_w, draw.uniform(0.0, 15.0, shape), at_most_w)


def world(values: dict[str, Any], **programmes: Any) -> Scenario:
    tables = {"horizon": {"days": 3, "step_s": values["step_s"]}}
    products = {n: {**p, "response": values["response"]} for n, p in PRODUCTS.items()}
    return fleet(values, **tables, programmes=programmes or products)


class SellingLook(Looking):
    """As `Looking`, with a policy that sells."""

    def __init__(self, scenario: Scenario, seed: int, look: Any) -> None:
        super().__init__(scenario, seed, look)
        self.engine.policy = Seller(seed)


@given(fleets)
@settings(max_examples=12)
def test_nothing_stands_by_that_could_not_be_let_go_or_discharged(values: dict[str, Any]) -> None:
    """Of what no call takes: by site no more than load and batteries, by product than was sold."""
    scenario = world(values)
    durations_s = np.array([0.0, 3600.0, 7200.0])
    sold = []

    def look(engine: Engine) -> None:
        plant, state = engine.plant, engine.plant.demand_response.state
        sold.append(state.sold_w.sum())
        owed_w = np.where((state.phase > 0)[:, None], state.owed_w, 0.0)
        fresh_w = state.award_w - np.minimum(owed_w, state.award_w)
        assert (fresh_w >= -1e-6).all()
        by_day = plant.demand_response.by_day
        assert (state.award_w[by_day] <= state.sold_w[by_day] + 1.0).all()
        fixed_w = plant.sites.overhead_w * plant.supply.powered / (1.0 - plant.sites.loss)
        load_w = np.maximum(plant.site.load_w - fixed_w, 0.0)
        most_w, loss = fresh_w.sum(axis=0), plant.sites.loss
        assets, asset = plant.assets, plant.asset
        step_s = engine.step_s - engine.now_s % engine.step_s
        now_w = asset.battery_w
        left_j = asset.stored_j + np.minimum(now_w, 0.0) * step_s / assets.one_way
        spare_w = (assets.power_w + np.minimum(now_w, 0.0)) / (1 - loss)[assets.battery_site]
        power_w = np.bincount(assets.battery_site, spare_w, 3)
        assert (most_w <= load_w + power_w + 1.0).all()
        # what load cannot hold lasts as long as its product asks, longest products last
        given_j = np.bincount(assets.battery_site, left_j * assets.one_way, 3) / (1 - loss)
        shortest = np.maximum(most_w - load_w, 0.0) * durations_s[1]
        assert (shortest <= np.maximum(given_j, 0.0) + 3600.0).all()
        assert (most_w <= np.maximum(plant.site.granted_w + plant.sites.export_w, 0.0) + 1.0).all()

    SellingLook(scenario, values["seed"], look).run()
    assert max(sold) > 0.0


@given(fleets)
@settings(max_examples=12)
def test_no_hour_is_sold_beyond_the_market_the_offer_or_the_site(values: dict[str, Any]) -> None:
    scenario = world(values)
    kept: list[tuple[ReserveOffers, Any]] = []

    class Keeps(Seller):
        def offer(self, observation: Observation, begins_s: Any) -> ReserveOffers:
            offers = super().offer(observation, begins_s)
            kept.append((offers, begins_s))
            return offers

    engine = Engine(scenario, Keeps(values["seed"]), values["seed"])
    market, found = engine.plant.demand_response.market, []
    commit = market.commit

    def look(t_s: int, *arrays: Any) -> bool:
        found.extend(a for a in market.awards if all(a is not b for b in found))
        return commit(t_s, *arrays)

    market.commit = look  # type: ignore[method-assign]
    engine.run()
    hours = {int(b): (o, k) for o, begins in kept for k, b in enumerate(begins)}
    assert len(found) == 42  # begins at 18:00 in Chicago
    for award in found:
        offers, k = hours[award.begins_s]
        standing_w = 0.1 * 6e6  # no site has more ASIC load than 6 MW
        assert award.power_w[1].sum() <= 1.4 * W_PER_MW + 1.0
        assert (award.power_w[1] <= offers.power_w[k, 1] + 1.0).all()
        assert (award.power_w[2] <= np.maximum(offers.power_w[k, 2], standing_w) + 1.0).all()
        assert award.power_w[1, 2] == 0.0  # not enrolled
        assert award.usd_per_mw_h[1] == pytest.approx(9 * (1 - award.power_w[1].sum() / 2.8e6))
        taken = award.power_w[1] > 0.0
        assert (offers.least_usd_per_mw_h[k, 1][taken] <= award.usd_per_mw_h[1] + 1e-9).all()
        at_most_w = np.maximum(offers.at_most_w[k], standing_w)
        assert (award.power_w.sum(axis=0) <= at_most_w + 1.0).all()


@given(fleets)
@settings(max_examples=10)
def test_law_6_what_stands_by_is_paid_by_time_however_it_is_cut(values: dict[str, Any]) -> None:
    scenario = world(values)
    whole = Engine(scenario, Seller(values["seed"]), values["seed"]).run()
    engine = Engine(scenario, Seller(values["seed"]), values["seed"])

    def cutter() -> Any:
        for t_s in range(50_001, 3 * 86_400, 7_777):
            yield engine.env.timeout(t_s - engine.now_s)
            engine.advance()
            engine.settle()

    engine.env.process(cutter())
    pieces = engine.run()
    for row in (flows.AWARDED_J, flows.RESERVED_J, flows.SHORTFALL_USD):
        np.testing.assert_allclose(pieces.flow[:, row], whole.flow[:, row], rtol=1e-9, atol=1e-3)
    assert whole.flow[:, flows.AWARDED_J].sum() > 0.0


@given(fleets)
@settings(max_examples=12)
def test_law_10_no_seller_beats_the_bound(values: dict[str, Any]) -> None:
    scenario = world({**values, "meshed": False})
    bound = sim.bound(scenario, values["seed"]).usd
    for policy in (Seller(values["seed"]), "merit-order", "look-ahead", "slo-guard"):
        margin = sim.run(scenario, policy, values["seed"]).kpis["gross_margin_usd"]
        assert margin is not None
        assert margin <= bound + 1e-6 * abs(bound)


def test_at_plain_sites_the_bound_of_reserves_is_met() -> None:
    """Load that runs at any price, sold in full: nothing is lost, and nothing gained beyond."""
    from tests.builders.one_site import one_site

    rrs = {"model": "reserve", "usd_per_mw_h": 8, "calls_per_year": 0}
    scenario = one_site({"programmes": {"rrs": rrs}, "horizon": {"days": 3}})
    found = sim.run(scenario, "merit-order", 1).kpis
    assert found["reserve_sold_mw"] == pytest.approx(7.96 * 2 / 3)
    assert sim.bound(scenario, 1).usd == pytest.approx(found["gross_margin_usd"], rel=1e-9)
