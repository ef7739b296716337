"""Counts in place of requests: close to the exact kernel, and nobody is lost either."""

import numpy as np
import pytest

import sim
from sim.engine import Engine as Run
from sim.inference import FluidInference
from sim.kernels.routing import LANE_RETURNED, POWER_OF_TWO
from sim.policies.static import Static
from sim.scenario.catalogue.serving import served
from sim.serving.surface import LOADS, Lengths, measure, surface
from tests.serving.test_fleet import Storm, assert_nobody_is_lost, scenario_with


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHWATT_CACHE", str(tmp_path_factory.getbasetemp() / "surfaces"))


TENANTS = [{"name": "acme", "rate_rps": 14.0}, {"name": "bits", "rate_rps": 6.0, "residency": "CA"}]


def test_fluid_is_near_exact_below_saturation() -> None:
    exact, fluid = (
        sim.run(scenario_with(TENANTS, {"fidelity": kind}, days=0.5, nodes=1), "static", seed=1)
        for kind in ("exact", "fluid")
    )
    for name, within in (
        ("requests_served", 0.02),
        ("tokens_out_mtok", 0.03),
        ("token_revenue_usd", 0.03),
        ("ttft_p50_s", 0.05),
        ("ttft_p95_s", 0.15),
        ("tpot_p50_s", 0.05),
        ("tpot_p95_s", 0.15),
        ("e2e_p50_s", 0.05),
        ("e2e_p95_s", 0.10),
        ("joules_per_token", 0.10),
        ("slo_attainment_pct", 0.02),
    ):
        assert fluid.kpis[name] == pytest.approx(exact.kpis[name], rel=within), name


@pytest.mark.parametrize("rate", [10.0, 200.0])
def test_nobody_is_lost_in_a_fluid(rate: float) -> None:
    hurried = {"name": "acme", "rate_rps": rate, "patience_s": 20.0}
    demand = {"fidelity": "fluid", "queue_limit": 200}
    run = Run(scenario_with([hurried, TENANTS[1]], demand, days=0.5), Storm(), seed=3)
    assert isinstance(run.inference, FluidInference)

    def record() -> None:
        Run.record(run)
        assert run.inference is not None
        assert_nobody_is_lost(run.inference)

    run.phases = (*run.phases[:-1], record)
    recorder = run.run()
    assert run.inference.book.lanes[LANE_RETURNED].sum() > 0
    assert recorder.serving is not None
    served_ = recorder.serving_tables()["serving"].to_pylist()[0]["requests_served"]
    assert recorder.serving.bins[:, 2].sum() == served_


def test_a_node_that_loads_its_weights_idles_until_it_serves() -> None:
    """Far above saturation, so that what an open engine draws is always the same."""
    crowd = {"name": "acme", "rate_rps": 200.0, "patience_s": 20.0}
    scenario = scenario_with([crowd, TENANTS[1]], {"fidelity": "fluid"}, days=0.5)
    x = Run(scenario, Static(), seed=1).inference
    assert isinstance(x, FluidInference)
    x.switch(np.zeros(2))
    assert x.advance(900.0).sum() == 0.0  # dark
    x.switch(np.ones(2))
    load_s, idle_w = float(x.load_s[0]), float(x.idle_w.sum())
    assert load_s > 10.0
    assert x.advance(900.0 + round(load_s / 2)).sum() == pytest.approx(idle_w * round(load_s / 2))
    first_s = 900.0 + load_s + 60.0
    spent_j = x.advance(np.ceil(first_s)).sum()
    seconds = np.ceil(first_s) - 900.0 - round(load_s / 2)
    beyond_w = (spent_j - idle_w * seconds) / (np.ceil(first_s) - 900.0 - load_s)
    steady_j = x.advance(np.ceil(first_s) + 60.0).sum()
    assert beyond_w == pytest.approx(steady_j / 60.0 - idle_w, rel=1e-3)


def test_same_cell_same_bytes() -> None:
    one, two = (
        sim.run(scenario_with(TENANTS, {"fidelity": "fluid"}, days=0.25), Storm(), seed=5)
        for _ in range(2)
    )
    for name in ("tenants", "requests", "serving", "sites"):
        assert one.table(name).equals(two.table(name))


def test_a_surface_is_measured_once_and_grows_with_load() -> None:
    engine = served("llama-3.1-8b", "h100-sxm").engine
    mix = [Lengths(1.0, 800.0, 1.0, 150.0, 0.8, 16_384)]
    made, kept = measure(engine, mix, 4, POWER_OF_TWO), surface(engine, mix, 4, POWER_OF_TWO)
    again = surface(engine, mix, 4, POWER_OF_TWO)
    for name in made._fields:
        assert np.array_equal(getattr(made, name), getattr(kept, name))
        assert np.array_equal(getattr(made, name), getattr(again, name))
    assert (np.diff(made.e2e_s.mean(axis=1)) > 0).all()
    assert (np.diff(made.power_w[LOADS < 0.95]) > 0).all()
    full_w = made.power_w[LOADS >= 0.95]  # batches grow without end, power has its limit
    assert (np.abs(full_w / made.power_w.max() - 1.0) < 1e-3).all()
    assert made.at(0.5) == (LOADS.tolist().index(0.4), LOADS.tolist().index(0.5), 1.0)
