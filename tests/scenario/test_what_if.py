"""[what_if]: each factor changes what it says, and nothing else; the luck stays."""

from typing import Any

import numpy as np
import pytest

from sim.finance.contracts import EnergyTerms, energy_price
from sim.plant.machines import build_nodes
from sim.scenario import Scenario, ScenarioError
from sim.serving_fleet import build_serving_fleet
from sim.streams import Streams
from sim.world.world import World, build_world
from tests.conftest import build_scenario

FACTORS = (
    "btc_price_factor",
    "network_factor",
    "energy_price_factor",
    "gpu_price_factor",
    "gpu_occupancy_factor",
    "gpu_opex_factor",
    "capex_factor",
    "interest_factor",
    "residual_factor",
)


def scenario(**what_if: float) -> Scenario:
    return build_scenario(
        {
            "what_if": what_if,
            "btc_price": {"model": "gbm", "usd_per_btc": 80_000.0},
            "prices": {
                "zones": {
                    "zone": {"model": "seasonal-jump", "profile": "ercot-west"},
                    "flat": {"model": "fixed", "usd_per_mwh": 40.0},
                }
            },
            "demand": {"regions": {"texas": {"latitude": 32, "longitude": -102}}},
        },
        sites=[
            {"name": "alpha", "adder_usd_per_mwh": 5.0, "latitude": 32, "longitude": -102},
            {"name": "bravo", "contract": "hosted", "energy_usd_per_mwh": 70.0},
            {"name": "charlie", "price_zone": "flat"},
        ],
        gpus=[
            {
                "site": "alpha",
                "gpu": "h100-sxm",
                "nodes": 2,
                "occupancy": 0.6,
                "opex_usd_per_node_month": 200.0,
            },
            {
                "site": "alpha",
                "gpu": "h100-sxm",
                "nodes": 1,
                "state": "serving",
                "model": "llama-3.1-8b",
            },
        ],
        tenants=[{"name": "t", "region": "texas", "model": "llama-3.1-8b"}],
    )


def figures(s: Scenario) -> dict[str, Any]:
    """Everything that a factor could touch, and all that luck decides."""
    world: World = build_world(s, Streams(1))
    nodes, _ = build_nodes(s, [site.name for site in s.sites])
    serving_fleet = build_serving_fleet(s, world, False)
    assert serving_fleet is not None
    assert world.day_ahead_usd_per_mwh is not None
    return {
        "usd_per_btc": world.usd_per_btc,
        "difficulty": world.chain.epoch_difficulty,
        "network_ths": world.chain.network_ths,
        "zone": world.zone_usd_per_mwh,
        "day_ahead": world.day_ahead_usd_per_mwh,
        "site": energy_price(s, world.zone_usd_per_mwh),
        "node_usd_per_h": nodes.usd_per_h,
        "let_worth_usd_per_h": nodes.worth_usd_per_h[:1],
        "serving_worth_usd_per_h": nodes.worth_usd_per_h[1:],
        "let_share": nodes.let_share[:1],
        "opex_usd_per_h": nodes.opex_usd_per_h,
        "node_credit_usd_per_h": nodes.credit_usd_per_h,
        "tokens_usd": serving_fleet.lane_usd,
        "block_s": world.chain.block_s,
        "luck": world.chain.luck,
        "fees_btc": world.chain.fees_btc,
        "ambient_c": world.ambient_c,
    }


SCALED = {
    "btc_price_factor": {"usd_per_btc"},
    "network_factor": {"difficulty", "network_ths"},
    "energy_price_factor": {"zone", "day_ahead", "site"},
    "gpu_price_factor": {
        "node_usd_per_h",
        "let_worth_usd_per_h",
        "serving_worth_usd_per_h",
        "node_credit_usd_per_h",
        "tokens_usd",
    },
    "gpu_occupancy_factor": {
        "node_usd_per_h",
        "let_worth_usd_per_h",
        "node_credit_usd_per_h",
        "let_share",
    },
    "gpu_opex_factor": {"opex_usd_per_h"},
    "capex_factor": set(),  # read where projects, loans and machines are valued
    "interest_factor": set(),
    "residual_factor": set(),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_scales_what_it_says_and_nothing_else(name: str) -> None:
    as_written, changed = figures(scenario()), figures(scenario(**{name: 1.25}))
    for what, values in as_written.items():
        expected = values
        if what in SCALED[name]:
            assert np.any(values != 0.0)
            expected = values * 1.25
            if what == "site":  # delivery and taxes stay
                expected = expected - np.array([0.25 * 5.0, 0.0, 0.0])
        np.testing.assert_allclose(changed[what], expected, rtol=1e-12, err_msg=what)


def test_no_more_than_all_hours_are_let() -> None:
    """0.6 of the hours twice over are all of them."""
    written, changed = figures(scenario()), figures(scenario(gpu_occupancy_factor=2.0))
    assert changed["let_share"].tolist() == [1.0]
    np.testing.assert_allclose(changed["node_usd_per_h"], written["node_usd_per_h"] / 0.6)


def test_locational_prices_are_scaled_when_the_power_flow_tells_them() -> None:
    s = scenario(energy_price_factor=2.0)
    terms = EnergyTerms(s, build_world(s, Streams(1)))
    terms.learn(3, np.array([10.0, 20.0, 30.0]))
    np.testing.assert_array_equal(terms.world.zone_usd_per_mwh[3], [20.0, 40.0, 60.0])
    market = [site.contract == "market" for site in s.sites]
    assert market == [True, False, True]  # a fixed price stays what it is
    np.testing.assert_array_equal(terms.price[3, market], [25.0, 60.0])
    assert terms.price[3, 1] == terms.price[2, 1]


def test_one_is_the_scenario_as_written() -> None:
    assert scenario().what_if.model_dump() == dict.fromkeys(FACTORS, 1.0)
    one, other = scenario(), scenario(btc_price_factor=1.1)
    assert one.sha256() != other.sha256()


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_factors_are_above_zero(value: float) -> None:
    with pytest.raises(ScenarioError, match="network_factor"):
        scenario(network_factor=value)
