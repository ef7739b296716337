"""The laws for sites with everything: contracts, programmes, batteries, generation, outages."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.engine import Engine
from sim.kernels import flows
from sim.kernels.arrays import GRANTED
from sim.units import J_PER_MWH, W_PER_MW
from tests.builders.energy_fleets import Looking, Reckless, fleet, fleets

BELOW = [[0, 2], [1], [2]]  # sites below each link of the tree
DUST = 1e-3  # J, USD: what rounding leaves of flows that are nothing, as exports where none may be


@given(fleets)
def test_law_2_meter_is_uses_less_generation_plus_charging(values: dict[str, Any]) -> None:
    result = sim.run(fleet(values), Reckless(values["seed"]), values["seed"])
    t = {n: np.asarray(result.table("sites")[n]) for n in result.table("sites").column_names}
    uses = t["asic_mw"] + t["gpu_mw"] + t["cooling_mw"] + t["overhead_mw"] + t["loss_mw"]
    net = uses - t["generation_mw"] + t["battery_mw"]
    np.testing.assert_allclose(t["meter_mw"], net, rtol=1e-9, atol=1e-9)
    assert t["generation_mw"].max() > 0.0
    assert np.abs(t["battery_mw"]).max() > 0.0


@given(fleets)
def test_law_2_a_battery_gives_back_what_it_took_less_its_losses(values: dict[str, Any]) -> None:
    engine = Looking(fleet(values), values["seed"], lambda e: None).run()
    asset, assets = engine.plant.asset, engine.plant.assets
    assert (asset.stored_j >= 0.0).all()
    assert (asset.stored_j <= assets.energy_j).all()
    flow = engine.recorder.flow.sum(axis=0)
    initial_j = 0.5 * assets.energy_j
    gained_j = np.bincount(assets.battery_site, asset.stored_j - initial_j, 3)
    assert (flow[flows.BATTERY_J] >= gained_j - 1.0).all()


@given(fleets)
@settings(max_examples=20)
def test_law_4_no_limit_is_broken_whatever_fails_and_whoever_calls(
    values: dict[str, Any],
) -> None:
    scenario = fleet(values)
    seen: list[float] = []

    def look(engine: Engine) -> None:
        p = engine.plant
        load_w = p.sites.overhead_w * p.supply.powered / (1 - p.sites.loss)
        asic_w = p.asic.running * p.asic.heat * p.asic.factor
        np.add.at(load_w, p.asics.site, asic_w * (p.asic.shares[GRANTED] * p.asics.mode_w).sum(1))
        node_w = p.node.running * p.node.shares[GRANTED] * p.nodes.node_w * p.node.factor
        np.add.at(load_w, p.nodes.site, node_w)
        net_w = load_w * (1 - p.sites.loss)
        np.add.at(net_w, p.assets.battery_site, p.asset.battery_w)
        np.add.at(net_w, p.assets.generator_site, -p.asset.generator_w)
        meter_w = net_w / (1 - p.sites.loss)
        np.testing.assert_allclose(meter_w, p.site.granted_w, rtol=1e-6, atol=1.0)
        assert (meter_w >= -p.sites.export_w - 1.0).all()
        limit_w = np.array([s.power_limit_mw for s in scenario.sites]) * W_PER_MW
        assert (meter_w <= limit_w * (1 + 1e-6) + 1.0).all()
        drawn_w = np.maximum(meter_w, 0.0)
        if p.meshed is not None:
            mesh = p.meshed.grid.mesh
            most = np.where(mesh.in_service, mesh.limit_mw, 0.0) + 1e-6
            assert (np.abs(p.meshed.flow_mw) <= most).all()
            assert (drawn_w[p.meshed.dead] <= 1.0).all()
        else:
            for row, below in enumerate(BELOW):
                room_mw = scenario.grid_links[row].capacity_mw * p.links_left.get(row, 1.0)
                assert drawn_w[below].sum() <= room_mw * W_PER_MW * (1 + 1e-9) + 1.0
        if values["response"] == "automatic":
            assert (
                meter_w <= p.demand_response.called_w[0] + p.sites.overhead_w * 1.03 + 1.0
            ).all()
        seen.append(float(meter_w.sum()))

    engine = Looking(scenario, values["seed"], look).run()
    assert len(seen) >= scenario.horizon.steps
    events = {e[1] for e in engine.recorder._events}
    assert "call" in events
    assert values["mtbf_h"] > 100 or "link out" in events


@given(fleets)
def test_law_3_the_ledger_holds_all_of_it(values: dict[str, Any]) -> None:
    result = sim.run(fleet(values), Reckless(values["seed"]), values["seed"])
    rows = result.table("ledger").to_pylist()
    sums: dict[tuple[int, str], Any] = {}
    balance: dict[tuple[str, str], Any] = {}
    for row in rows:
        key = row["transaction"], row["commodity"]
        sums[key] = sums.get(key, 0) + row["amount"]
        key2 = row["account"], row["commodity"]
        balance[key2] = balance.get(key2, 0) + row["amount"]
    assert set(sums.values()) == {0}
    k = {name: value or 0.0 for name, value in result.kpis.items()}
    costs = ("power", "demand", "fuel", "battery-wear", "transmission")
    spent = sum(float(balance.get((f"expenses:{c}", "USD"), 0)) for c in costs)
    assert spent == pytest.approx(k["power_cost_usd"], abs=0.2)
    earned = -float(balance.get(("income:grid-services", "USD"), 0))
    assert earned == pytest.approx(k["grid_services_usd"], abs=0.1)
    lost = float(balance.get(("expenses:penalties", "USD"), 0))
    assert lost == pytest.approx(k["penalties_usd"], abs=0.1)
    if values["response"] == "automatic" and not values["meshed"] and values["mtbf_h"] > 100:
        # an outage may end in a call and bring overhead back, which no relay sheds
        assert k["penalties_usd"] == 0.0


@given(fleets, st.lists(st.integers(1, 86_399), min_size=1, max_size=12))
def test_law_6_advancing_in_pieces_equals_one(values: dict[str, Any], cuts: list[int]) -> None:
    scenario = fleet(values)
    whole = Engine(scenario, Reckless(values["seed"]), values["seed"]).run()
    engine = Engine(scenario, Reckless(values["seed"]), values["seed"])

    def cutter() -> Any:
        for t_s in sorted(set(cuts)):
            yield engine.env.timeout(t_s - engine.now_s)
            engine.advance()
            engine.settle()

    engine.env.process(cutter())
    pieces = engine.run()
    scale = np.abs(whole.flow).max(axis=(0, 2), keepdims=True)
    for row in np.flatnonzero(scale.ravel() < DUST):  # in neither is there anything to compare
        assert np.abs(pieces.flow[:, row]).max() < DUST
        pieces.flow[:, row] = whole.flow[:, row]
    a, b = pieces.flow / (scale + 1e-300), whole.flow / (scale + 1e-300)
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_law_9_permuting_sites_permutes_results() -> None:
    """On the tree; on a mesh, grants of equal worth may fall to either site."""
    values = {
        "meshed": False, "scale": 0.3, "limit_mw": 2.5, "mtbf_h": 1e6, "export_mw": 0.4,
        "response": "automatic", "step_s": 900, "seed": 4,
    }  # fmt: skip
    scenario = fleet(values)
    sheets = ("sites", "asics", "gpus", "batteries", "generators", "power_contracts")
    turned = scenario.model_copy(update={n: getattr(scenario, n)[::-1] for n in sheets})
    tables = []
    for s in (scenario, turned):
        table = sim.run(s, "merit-order", 4).table("sites")
        plain = table.set_column(
            table.column_names.index("site"), "site", table["site"].cast("string")
        )
        tables.append(plain.sort_by([("t_s", "ascending"), ("site", "ascending")]))
    for name in tables[0].drop_columns(["t_s", "utc", "site"]).column_names:
        a, b = np.asarray(tables[0][name]), np.asarray(tables[1][name])
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=name)
    assert J_PER_MWH == 3.6e9
