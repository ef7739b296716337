"""Law 10: no policy earns more than the clairvoyant could have, whatever the fleet and the luck."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.policies import BUILTIN
from sim.scenario import Scenario
from sim.studies.bound.clairvoyant import bound
from tests.builders import energy_fleets, random_firms, random_fleets
from tests.builders.energy_fleets import Reckless
from tests.builders.random_fleets import Restless
from tests.conftest import build_scenario

NEGATIVE = {"zone": {"model": "fixed", "usd_per_mwh": -25}}
SPIKY = {"zone": {"model": "seasonal-jump", "profile": "ercot-west"}}


def exceeds(scenario: Scenario, policies: list[Any], seed: int) -> list[str]:
    """The policies that earned more than the bound."""
    best = bound(scenario, seed).usd
    found = []
    for policy in policies:
        usd = sim.run(scenario, policy, seed).kpis["gross_margin_usd"]
        assert usd is not None
        if usd > best + 1e-6 * max(abs(best), 1.0):
            found.append(f"{policy}: {usd:,.4f} above {best:,.4f}")
    return found


@given(random_fleets.fleets)
@settings(max_examples=4)
def test_law_10_bound_of_sites_on_a_feeder(values: dict[str, Any]) -> None:
    scenario = random_fleets.fleet(values)
    assert exceeds(scenario, [*BUILTIN, Restless(values["seed"])], values["seed"]) == []


@given(
    energy_fleets.fleets,
    st.sampled_from([None, NEGATIVE, SPIKY]),
    st.permutations([*BUILTIN]),
)
@settings(max_examples=8)
def test_law_10_bound_of_sites_with_everything(
    values: dict[str, Any], zones: dict[str, Any] | None, names: list[str]
) -> None:
    """Trees and rings that fail, batteries, generators, calls, blocks, demand charges, export."""
    horizon = {"days": 2, "step_s": values["step_s"]}  # a baseline, then a day that is paid by it
    scenario = energy_fleets.fleet(values, horizon=horizon)
    if zones is not None:
        prices = build_scenario({"prices": {"zones": zones}}).prices
        blocks = tuple(c for c in scenario.power_contracts if c.kind == "ppa")
        scenario = scenario.model_copy(update={"prices": prices, "power_contracts": blocks})
    policies = [*names[:3], Reckless(values["seed"])]  # another three in each example
    assert exceeds(scenario, policies, values["seed"]) == []


@given(random_firms.firms(), st.permutations([*BUILTIN]), st.integers(0, 1000))
@settings(max_examples=8)
def test_law_10_bound_of_firms(tables: dict[str, Any], names: list[str], seed: int) -> None:
    """Machines arrive with projects, burn and move; firms fail, which the bound does not know."""
    tables["horizon"] = {"days": 12, "step_s": 21_600, "record_s": 86_400}
    assert exceeds(random_firms.scenario_of(tables), names[:3], seed) == []
