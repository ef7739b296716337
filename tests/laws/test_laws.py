"""The numbered laws of the model, as properties of whole runs (those that apply so far).

2 energy, 3 money, 4 limits, 5 clock, 6 additivity, 7 same bytes, 8 no peeking, 9 permutation,
11 pools agree, 12 a higher hashprice never lowers hashes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.engine import Engine
from sim.kernels import flows
from sim.policy import Decision, Observation
from sim.report.energy import draw_energy
from sim.report.summary import draw
from sim.scenario import Scenario
from sim.units import J_PER_MWH, W_PER_MW
from tests.builders.random_fleets import Restless, fleet, fleets
from tests.conftest import Build, build_scenario


class Watched:
    """A policy that keeps what it saw and said."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seen: list[Observation] = []
        self.said: list[Decision] = []

    def decide(self, observation: Observation) -> Decision:
        decision: Decision = self.inner.decide(observation)
        self.seen.append(observation)
        self.said.append(Decision(decision.asic_share.copy(), decision.gpu_share.copy()))
        return decision


def merit_order() -> Any:
    from sim.policies.merit_order import MeritOrder

    return MeritOrder()


@given(fleets)
def test_law_2_meter_is_the_sum_of_its_uses(values: dict[str, Any]) -> None:
    result = sim.run(fleet(values), Restless(values["seed"]), values["seed"])
    t = {n: np.asarray(result.table("sites")[n]) for n in result.table("sites").column_names}
    uses = t["asic_mw"] + t["gpu_mw"] + t["cooling_mw"] + t["overhead_mw"] + t["loss_mw"]
    np.testing.assert_allclose(t["meter_mw"], uses, rtol=1e-12, atol=1e-12)
    assert t["meter_mw"].max() > 0
    np.testing.assert_allclose(
        result.kpis["energy_mwh"], t["meter_mw"].sum() * 1.0, rtol=1e-9
    )  # record_s is an hour: MW are MWh


@given(fleets)
def test_law_2_hashes_have_one_fate_each(values: dict[str, Any]) -> None:
    result = sim.run(fleet(values), Restless(values["seed"]), values["seed"])
    t = result.table("sites")
    fates = [n for n in t.column_names if n.startswith("lost_")] + ["hashrate_phs"]
    total = sum(np.asarray(t[n]) for n in fates)
    np.testing.assert_allclose(total, np.asarray(t["deployed_phs"]), rtol=1e-9)
    assert np.asarray(t["hashrate_phs"]).min() >= -1e-9


@given(fleets, st.sampled_from(["hold", "sell-all"]), st.sampled_from(["fpps", "pplns", "solo"]))
def test_law_3_every_transaction_sums_to_zero(
    values: dict[str, Any], treasury: str, pool: str
) -> None:
    scenario = fleet(
        values,
        treasury={"model": treasury, "opening_usd": 1e6, "opening_btc": 3.0},
        pool={"model": pool, "hashrate_ehs": 300.0},
    )
    result = sim.run(scenario, "static", values["seed"])
    rows = result.table("ledger").to_pylist()
    sums: dict[tuple[int, str], Any] = {}
    for row in rows:
        key = row["transaction"], row["commodity"]
        sums[key] = sums.get(key, 0) + row["amount"]
    assert rows
    assert set(sums.values()) == {0}
    balance: dict[tuple[str, str], Any] = {}
    for row in rows:
        key2 = row["account"], row["commodity"]
        balance[key2] = balance.get(key2, 0) + row["amount"]
    assert float(balance["assets:cash", "USD"]) == result.kpis["cash_usd"]
    k = {name: value or 0.0 for name, value in result.kpis.items()}
    spent = -float(balance.get(("expenses:power", "USD"), 0))
    assert spent == pytest.approx(-k["power_cost_usd"], abs=0.02)
    earned = -float(balance.get(("income:inference", "USD"), 0))
    assert earned == pytest.approx(k["inference_revenue_usd"], abs=0.02)
    if treasury == "hold":
        mined = k["btc_mined_btc"] * (1 - scenario.pool.fee_fraction)
        assert k["btc_held_btc"] == pytest.approx(3.0 + mined, abs=1e-6)
    else:
        assert k["btc_held_btc"] == pytest.approx(3.0, abs=1e-6)


@given(fleets)
def test_law_4_no_limit_is_ever_broken(values: dict[str, Any]) -> None:
    """At every step and in every interval: all meters below a limit, and each for itself."""
    scenario = fleet(values)
    engine = Engine(scenario, Restless(values["seed"]), values["seed"])
    limit_w = {s.name: s.power_limit_mw * W_PER_MW for s in scenario.sites}
    feeder_w = values["feeder_mw"] * W_PER_MW
    record = engine.phases[-1]
    checked: list[float] = []

    def look() -> None:
        record()
        p = engine.plant
        meter_w = p.sites.overhead_w / (1 - p.sites.loss)
        shares = p.asic.shares[2]
        asic_w = p.asic.running * p.asic.heat * (shares * p.asics.mode_w).sum(axis=1)
        np.add.at(meter_w, p.asics.site, asic_w * p.asic.factor)
        node_w = p.node.running * p.node.shares[2] * p.nodes.node_w
        np.add.at(meter_w, p.nodes.site, node_w * p.node.factor)
        np.testing.assert_allclose(meter_w, p.site.granted_w, rtol=1e-9)
        for name, w in zip(p.site_names, meter_w, strict=True):
            assert w <= limit_w[name] * (1 + 1e-9)
        assert meter_w.sum() <= feeder_w * (1 + 1e-9)
        checked.append(float(meter_w.sum()))

    engine.phases = (*engine.phases[:-1], look)
    engine.run()
    assert len(checked) == scenario.horizon.steps
    flow = engine.recorder.flow[:, flows.METER_J, :] / engine.recorder.record_s
    assert (flow <= values["limit_mw"] * W_PER_MW * (1 + 1e-9)).all()
    assert (flow.sum(axis=1) <= feeder_w * (1 + 1e-9)).all()


def test_law_5_the_clock_never_goes_back(build: Build) -> None:
    scenario = build({"faults": {"asic": {"mtbf_h": 300}}, "horizon": {"days": 20}})
    engine = Engine(scenario, merit_order(), 3)
    instants: list[int] = []
    settle = engine.phases[1]
    inner = settle

    def watched() -> None:
        instants.append(engine.now_s)
        inner()

    engine.phases = (engine.phases[0], watched, *engine.phases[2:])
    engine.run()
    assert instants == sorted(instants)
    assert instants == list(range(0, scenario.horizon.seconds, scenario.horizon.step_s))
    for name in ("events", "ledger"):
        times = np.asarray(engine_table(engine, name))
        assert (np.diff(times) >= 0).all()
    assert {"failure", "repair", "retarget"} <= set(
        engine.recorder.events_table()["event"].to_pylist()
    )


def engine_table(engine: Engine, name: str) -> Any:
    table = engine.recorder.events_table() if name == "events" else engine.firm.ledger.table()
    return table["t_s"].to_numpy()


@given(fleets, st.lists(st.integers(1, 86_399), min_size=1, max_size=40))
def test_law_6_advancing_in_pieces_equals_one(values: dict[str, Any], cuts: list[int]) -> None:
    """Cutting every interval at further instants changes nothing but the last digits."""
    scenario = fleet(values)
    whole = Engine(scenario, Restless(1), values["seed"]).run()
    engine = Engine(scenario, Restless(1), values["seed"])

    def cutter() -> Any:
        for t_s in sorted(set(cuts)):
            yield engine.env.timeout(t_s - engine.now_s)
            engine.advance()
            engine.settle()

    engine.env.process(cutter())
    pieces = engine.run()
    scale = np.abs(whole.flow).max(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(
        pieces.flow / (scale + 1e-300), whole.flow / (scale + 1e-300), atol=1e-9
    )


def test_law_7_same_cell_same_bytes(tiny: Scenario, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        sim.run(tiny, "merit-order", 7).save(tmp_path / folder, [draw, draw_energy])
    files = sorted(f.name for f in (tmp_path / "first").iterdir())
    assert {"summary.png", "energy.png"} <= set(files)
    for name in files:
        same = (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
        assert same or name == "timing.json", name
    other = sim.run(tiny, "merit-order", 8)
    assert other.kpis != sim.run(tiny, "merit-order", 7).kpis


def test_law_8_no_peeking(tiny: Scenario) -> None:
    """Another world after t leaves all decisions up to t unchanged, and changes some after."""
    decisions = []
    half = tiny.horizon.steps // 2
    for changed in (False, True):
        policy = Watched(merit_order())
        engine = Engine(tiny, policy, 5)
        if changed:
            engine.terms.price[half:] = 500.0 - engine.terms.price[half:]
            engine.world.ambient_c[half:] += 15.0
            engine.world.usd_per_btc[half:] *= 0.5
        engine.run()
        decisions.append(policy.said)
    same = [
        np.array_equal(a.asic_share, b.asic_share) and np.array_equal(a.gpu_share, b.gpu_share)
        for a, b in zip(*decisions, strict=True)
    ]
    assert all(same[:half])
    assert not all(same[half:])


def test_law_8_luck_does_not_depend_on_the_policy(build: Build) -> None:
    scenario = build({"faults": {"asic": {"mtbf_h": 500}}, "horizon": {"days": 5}})
    events = [sim.run(scenario, p, 2).table("events") for p in ("static", "price-threshold")]
    assert events[0].num_rows > 100
    assert events[0].equals(events[1])


@given(fleets)
def test_law_9_permuting_sites_permutes_results(values: dict[str, Any]) -> None:
    scenario = fleet(values)
    turned = scenario.model_copy(
        update={
            "sites": scenario.sites[::-1],
            "asics": scenario.asics[::-1],
            "gpus": scenario.gpus[::-1],
        }
    )
    tables = []
    for s in (scenario, turned):
        table = sim.run(s, "merit-order", values["seed"]).table("sites")
        plain = table.set_column(
            table.column_names.index("site"), "site", table["site"].cast("string")
        )
        tables.append(plain.sort_by([("t_s", "ascending"), ("site", "ascending")]))
    assert tables[0]["site"].to_pylist() == tables[1]["site"].to_pylist()
    for name in tables[0].drop_columns(["t_s", "utc", "site"]).column_names:
        a, b = np.asarray(tables[0][name]), np.asarray(tables[1][name])
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=name)


def test_law_11_pools_agree_in_the_mean() -> None:
    from sim.validation.theory import checks

    made = [c for c in checks(None) if c.check.startswith("pools")]
    assert len(made) == 2
    assert all(c.ok for c in made), made


@given(st.floats(20_000, 90_000), st.floats(1.0, 2.0), st.integers(0, 1000))
def test_law_12_a_higher_hashprice_never_lowers_hashes(
    usd_per_btc: float, by: float, seed: int
) -> None:
    hashed = []
    for price in (usd_per_btc, usd_per_btc * by):
        scenario = build_scenario(
            {
                "horizon": {"days": 1, "step_s": 3600},
                "btc_price": {"model": "constant", "usd_per_btc": price},
                "mining": {"restart_s": 0, "min_off_s": 0, "ramp_up_per_min": 10},
                "faults": {"enabled": False},
            },
            gpus=[],
            feeder_mw=5.0,
        )
        hashed.append(
            Engine(scenario, merit_order(), seed)
            .run()
            .flow[:, flows.FATES + flows.HASHED]
            .sum(axis=1)
        )
    assert (hashed[1] >= hashed[0] * (1 - 1e-9)).all()
    assert J_PER_MWH == 3.6e9
