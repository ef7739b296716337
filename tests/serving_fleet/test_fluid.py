"""Counts in place of requests: close to the exact kernel, and nobody is lost either."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine as Run
from sim.kernels.ahead import OnProgress, Task
from sim.kernels.fluid import OUTSTANDING, REFUSED, STAY_S, flow
from sim.kernels.traffic import LANE_RETURNED, POWER_OF_TWO
from sim.policies.static import Static
from sim.scenario.catalogue.serving import served
from sim.serving.mix import Recorded, Stream, draw_lengths, draw_sent, lognormal, mean_tokens
from sim.serving.surface import LOADS, MOST_ENGINES, measure, measured, surface, surfaces
from sim.serving_fleet import FluidServingFleet
from tests.builders.serving_scenarios import Storm, assert_nobody_is_lost, scenario_with


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
        ("gpu_utilisation_pct", 0.02),
    ):
        assert fluid.kpis[name] == pytest.approx(exact.kpis[name], rel=within), name


@pytest.mark.parametrize("rate", [10.0, 200.0])
def test_nobody_is_lost_in_a_fluid(rate: float) -> None:
    hurried = {"name": "acme", "rate_rps": rate, "patience_s": 20.0}
    demand = {"fidelity": "fluid", "queue_limit": 200}
    run = Run(scenario_with([hurried, TENANTS[1]], demand, days=0.5), Storm(), seed=3)
    assert isinstance(run.serving_fleet, FluidServingFleet)

    def record() -> None:
        Run.record(run)
        assert run.serving_fleet is not None
        assert_nobody_is_lost(run.serving_fleet)

    run.phases = (*run.phases[:-1], record)
    recorder = run.run()
    assert run.serving_fleet.tally.lanes[LANE_RETURNED].sum() > 0
    assert recorder.serving is not None
    served_ = recorder.serving_tables()["serving"].to_pylist()[0]["requests_served"]
    assert recorder.serving.bins[:, 2].sum() == served_


def test_a_node_that_loads_its_weights_idles_until_it_serves() -> None:
    """Far above saturation, so that what an open engine draws is always the same."""
    crowd = {"name": "acme", "rate_rps": 200.0, "patience_s": 20.0}
    scenario = scenario_with([crowd, TENANTS[1]], {"fidelity": "fluid"}, days=0.5)
    x = Run(scenario, Static(), seed=1).serving_fleet
    assert isinstance(x, FluidServingFleet)
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
    assert beyond_w == pytest.approx(steady_j / 60.0 - idle_w, rel=5e-3)


def test_same_cell_same_bytes() -> None:
    one, two = (
        sim.run(scenario_with(TENANTS, {"fidelity": "fluid"}, days=0.25), Storm(), seed=5)
        for _ in range(2)
    )
    for name in ("tenants", "requests", "serving", "sites"):
        assert one.table(name).equals(two.table(name))


MIX = [Stream(1.0, 800.0, 1.0, 150.0, 0.8, 16_384)]


def test_a_surface_is_measured_once_and_grows_with_load(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = served("llama-3.1-8b", "h100-sxm").engine
    for name in ("REQUESTS", "LONG_REQUESTS"):
        monkeypatch.setattr(f"sim.serving.surface.{name}", 40_000)
    asked = (engine, MIX, 2, POWER_OF_TWO, 256)
    made, kept, again = measure(*asked), surface(*asked), surface(*asked)
    for name in made._fields:
        assert np.array_equal(getattr(made, name), getattr(kept, name)), name
        assert np.array_equal(getattr(made, name), getattr(again, name)), name
    assert (np.diff(made.outstanding[LOADS <= 1.05]) > 0).all()
    assert (np.diff(made.power_w[LOADS < 0.95]) > 0).all()
    full_w = made.power_w[LOADS >= 0.95]  # batches grow without end, power has its limit
    assert (np.abs(full_w / made.power_w.max() - 1.0) < 0.02).all()


def test_missing_surfaces_are_measured_side_by_side_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two of three asks are one; what helpers leave is the same as what is measured here."""
    monkeypatch.setenv("HASHWATT_CACHE", str(tmp_path))
    monkeypatch.setattr("sim.serving.surface.usable_cores", lambda: 2)
    monkeypatch.setattr("sim.serving.surface.LOADS", LOADS[:2])
    for name in ("REQUESTS", "LONG_REQUESTS"):
        monkeypatch.setattr(f"sim.serving.surface.{name}", 4_000)
    asked: list[tuple[int, int]] = []

    def helped(tasks: dict[Path, Task], told: OnProgress, helpers: int) -> Iterator[Path]:
        asked.append((len(tasks), helpers))
        for path, task in tasks.items():
            pickle.loads(pickle.dumps(task)).do()
            told(1, 1)
            yield path

    monkeypatch.setattr("sim.serving.surface.side_by_side", helped)
    engine = served("llama-3.1-8b", "h100-sxm").engine
    one, large = (measured(engine, MIX, n, POWER_OF_TWO, 256) for n in (1, 10_000))
    assert large.engines == MOST_ENGINES
    said: list[tuple[int, int]] = []
    made = surfaces([one, large, one], lambda done, total: said.append((done, total)))
    assert asked == [(2, 2)]
    assert len(said) == 2
    assert np.array_equal(made[0].power_w, made[2].power_w)
    assert np.array_equal(made[0].ttft_s, measure(*one).ttft_s)
    surfaces([one, large], lambda done, total: said.append((done, total)))
    assert len(said) == 2  # all are there


def test_beyond_saturation_an_engine_is_full_and_finishes_what_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Served is 1 / load of what is asked for, and Little's law tells how long it takes."""
    monkeypatch.setattr("sim.serving.surface.LONG_REQUESTS", 40_000)
    engine = served("llama-3.1-8b", "h100-sxm").engine
    made = measure(engine, MIX, 2, POWER_OF_TWO, 256)
    for k in np.flatnonzero(LOADS >= 1.2):
        assert made.served[k, 0] * LOADS[k] == pytest.approx(1.0, abs=0.03)
        assert made.refused[k, 0] == pytest.approx(1.0 - made.served[k, 0])
        assert made.outstanding[k] == pytest.approx(256, rel=0.03)
        assert made.e2e_s[k].mean() == pytest.approx(256 / made.saturation_rps, rel=0.05)
    below = LOADS <= 0.9
    assert (made.served[below] == 1.0).all()
    rate = LOADS[below] * made.saturation_rps
    assert made.outstanding[below] == pytest.approx(rate * made.e2e_s[below].mean(axis=1), rel=0.1)


@pytest.mark.parametrize(
    ("mean", "cv", "longest"), [(1155.0, 0.96, 16_384), (2.0, 1.0, 50), (9000.0, 3.0, 8_192)]
)
def test_the_mean_of_lengths_is_that_of_their_distribution(
    mean: float, cv: float, longest: int
) -> None:
    draw = np.random.Generator(np.random.Philox(key=1))
    many = np.minimum(lognormal(draw, mean, cv, 2_000_000), longest)
    error = float(many.std()) / np.sqrt(len(many))
    assert abs(mean_tokens(mean, cv, longest) - many.mean()) < 4.0 * error
    few = draw_lengths(draw, mean, cv, longest, 5_000)
    assert few.mean() == pytest.approx(mean_tokens(mean, cv, longest), rel=2e-3)


def test_lengths_without_variation_are_their_mean() -> None:
    assert mean_tokens(100.4, 0.0, 1000) == 100.0
    assert mean_tokens(100.0, 0.0, 64) == 64.0


def test_a_stream_has_the_bursts_of_its_tenant_and_less_of_them_where_it_is_split() -> None:
    """Gaps of cv c, of which a share p is kept: squared p c^2 + 1 - p (a geometric sum)."""
    draw = np.random.Generator(np.random.Philox(key=1))
    for kept, cv in ((1.0, 4.0), (0.25, 4.0), (0.5, 1.0)):
        sent = draw_sent(draw, [MIX[0]._replace(cv=cv, kept=kept)], 200_000)
        gaps = np.diff(sent.at)
        assert gaps.mean() == pytest.approx(1.0, rel=0.03)
        wanted = kept * cv**2 + 1.0 - kept
        assert (gaps.std() / gaps.mean()) ** 2 == pytest.approx(wanted, rel=0.06)


def test_a_recorded_stream_replays_its_trace_round_after_round() -> None:
    """Three requests at 0, 1 and 4 s, and a mean gap of 2 s before the next round."""
    trace = Recorded(np.array([0.0, 1.0, 4.0]), np.array([5, 6, 70]), np.array([1, 2, 3]))
    sent = draw_sent(np.random.default_rng(1), [MIX[0]._replace(recorded=trace, longest=50)], 6)
    assert sent.at == pytest.approx([0.0, 0.5, 2.0, 3.0, 3.5, 5.0])
    assert sent.prompt.tolist() == [5, 6, 50] * 2
    assert sent.output.tolist() == [1, 2, 3] * 2


def test_two_streams_share_a_pool_by_their_weights() -> None:
    mix = [MIX[0], MIX[0]._replace(weight=3.0, prompt_mean=50.0)]
    sent = draw_sent(np.random.default_rng(1), mix, 40_000)
    assert np.bincount(sent.stream) == pytest.approx([10_000, 30_000], rel=0.03)
    assert sent.prompt[sent.stream == 1].mean() == pytest.approx(50.0, rel=0.01)
    assert (np.diff(sent.at) >= 0.0).all()


BURSTY = {"arrivals": "gamma", "cv": 4.0, "profile": "flat"}
FLAT = {"profile": "flat"}


@pytest.mark.parametrize(
    ("tenant", "within"),
    [
        (
            {"rate_rps": 40.0, **BURSTY},
            {"ttft_p50_s": 0.05, "ttft_p95_s": 0.12, "slo_attainment_pct": 0.02},
        ),
        (
            {"rate_rps": 60.0, **FLAT},
            {
                "requests_rejected": 0.06,
                "ttft_p50_s": 0.05,
                "ttft_p99_s": 0.05,
                "credits_usd": 0.02,
            },
        ),
        (
            {"rate_rps": 60.0, **FLAT, "patience_s": 4.0, "retries": 1, "backoff_s": 20.0},
            {"requests_expired": 0.1, "ttft_p50_s": 0.05, "e2e_p95_s": 0.05},
        ),
    ],
    ids=["bursts", "overload", "overload of impatient clients"],
)
def test_a_fluid_is_near_exact_in_bursts_and_overload(
    tenant: dict[str, Any], within: dict[str, float]
) -> None:
    """Two engines, which finish some 48 requests of these in a second."""
    site = [{"name": "alpha", "latitude": 32.0, "longitude": -100.0, "country": "US"}]
    exact, fluid = (
        sim.run(
            scenario_with(
                [{"name": "acme", **tenant}], {"fidelity": kind}, days=0.25, nodes=1, sites=site
            ),
            "static",
            seed=1,
        ).kpis
        for kind in ("exact", "fluid")
    )
    common = {
        "requests_served": 0.02,
        "requests_per_seat": 0.3,
        "tokens_out_mtok": 0.02,
        "joules_per_token": 0.02,
    }
    for name, rel in (common | within).items():
        assert fluid[name] == pytest.approx(exact[name], rel=rel), name


def test_a_queue_that_takes_an_hour_to_fill_takes_an_hour_in_a_fluid() -> None:
    """A pool by hand: asked for 1.2 times what it can, it has room for some of the rest."""
    run = Run(
        scenario_with(
            [{"name": "acme", "rate_rps": 1.0, **FLAT}], {"fidelity": "fluid"}, days=0.25, nodes=1
        ),
        Static(),
        seed=1,
    )
    x = run.serving_fleet
    assert isinstance(x, FluidServingFleet)
    curves = x._stacked()
    loads, n = curves.loads, len(curves.loads)
    curves.saturation_rps[:], curves.peak_rps[:] = 1.0, 1.0
    curves.lane[:, :, :] = 0.0
    curves.lane[REFUSED] = np.maximum(loads - 1.0, 0.0)  # shares times load
    curves.lane[STAY_S] = 1.0
    curves.pool[OUTSTANDING] = np.where(loads <= 0.95, 10.0 * loads, 1000.0)
    asked = np.zeros(len(x.lanes), dtype=np.int64)
    x.traffic.weight[0] = [1.0, 0.0]  # two engines of the first site
    steps = []
    for arrived in (2160, 2160, 2160, 0, 1080):  # 900 s of two engines: 1,800 can be finished
        flow(
            x.router,
            curves,
            x.fluid,
            x.tally,
            np.array([arrived]),
            asked,
            np.full(2, 1800.0),
            900.0,
        )
        steps.append(
            (int(x.fluid.inside.sum() + x.fluid.backlog.sum()), int(x.tally.tenants[2, 0]))
        )
    held = 19  # at 0.95, which engines hold at once; then 360 more in each step
    assert n == len(LOADS)
    assert [inside for inside, _ in steps] == [held + 360, held + 720, held + 1080, 0, 12]
    assert [refused for _, refused in steps] == [0, 0, 0, 0, 0]


def test_a_run_says_where_its_fluid_is_not_to_be_trusted() -> None:
    """Two engines that finish some 48 requests a second: 47 are near that, 20 are not."""
    site = [{"name": "alpha", "latitude": 32.0, "longitude": -100.0, "country": "US"}]
    found = {}
    for rate in (20.0, 47.0):
        tenant = {"name": "acme", "rate_rps": rate, **FLAT}
        demand = {"fidelity": "fluid", "queue_limit": 5000 if rate == 20.0 else 512}
        run = sim.run(scenario_with([tenant], demand, days=0.25, nodes=1, sites=site), "static")
        found[rate] = [w for w in run.met if "fluid" in w.message]
    assert [w.where for w in found[20.0]] == ["demand.queue_limit"]
    (near,) = found[47.0]
    assert near.where == "pool llama-3.1-8b at alpha"
    assert near.value.endswith("% of its requests at 95% to 105% of saturation")
