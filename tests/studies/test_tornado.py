"""How far a KPI moves with each factor: rows, order, errors, the command and its picture."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.report.tornado import draw_tornado
from sim.scenario import Scenario
from sim.studies.statistics import t_interval
from sim.studies.tornado import factors_of, tornado
from tests.conftest import ROOT, build_scenario


@pytest.fixture(scope="module")
def day() -> Scenario:
    return build_scenario({"horizon": {"days": 1}}, gpus=[])


def test_the_base_is_the_run_itself_and_the_widest_comes_first(day: Scenario) -> None:
    table = tornado(day, "mining_revenue_usd", "static", seed=3, change=0.2)
    rows = {r["factor"]: r for r in table.to_pylist()}
    base = sim.run(day, "static", 3).kpis["mining_revenue_usd"]
    assert {r["kpi_base"] for r in rows.values()} == {base}
    # All machines on: revenue is proportional to the price and inverse to the network.
    price, network = rows["btc_price_factor"], rows["network_factor"]
    assert (price["low"], price["high"]) == (0.8, 1.2)
    assert price["kpi_low"] == pytest.approx(0.8 * base)
    assert price["kpi_high"] == pytest.approx(1.2 * base)
    assert network["kpi_low"] == pytest.approx(base / 0.8)
    assert network["kpi_high"] == pytest.approx(base / 1.2)
    assert rows["energy_price_factor"]["span"] == 0.0
    spans = table["span"].to_pylist()
    assert spans == sorted(spans, reverse=True)
    assert network["span"] == pytest.approx(base / 0.8 - base / 1.2)


def test_the_scenario_as_written_is_the_base() -> None:
    written = build_scenario(
        {"horizon": {"days": 1}, "what_if": {"btc_price_factor": 2.0}}, gpus=[]
    )
    (row,) = tornado(written, "usd_per_btc", "static", factors=("btc_price_factor",)).to_pylist()
    assert (row["low"], row["high"]) == (1.8, 2.2)
    assert row["kpi_high"] == pytest.approx(1.1 * row["kpi_base"])


def test_factors_without_anything_to_act_upon_are_left_out(day: Scenario, tiny: Scenario) -> None:
    assert factors_of(day) == ("btc_price_factor", "network_factor", "energy_price_factor")
    assert "gpu_price_factor" in factors_of(tiny)
    assert "gpu_opex_factor" not in factors_of(tiny)


def test_several_seeds_give_paired_intervals(day: Scenario, tmp_path: Path) -> None:
    """What is exactly proportional is told from zero under any luck; what does nothing is not."""
    kpi, factors = "mining_revenue_usd", ("btc_price_factor", "energy_price_factor")
    table = tornado(day, kpi, "static", seed=2, factors=factors, seeds=3)
    price, energy = table.to_pylist()
    each = [sim.run(day, "static", seed).kpis[kpi] or 0.0 for seed in (2, 3, 4)]
    assert price["seeds"] == 3
    assert price["kpi_base"] == pytest.approx(sum(each) / 3)
    low = t_interval([-0.1 * x for x in each])
    assert (price["low_from"], price["low_to"]) == pytest.approx((low.low, low.high))
    assert price["told"]
    assert (energy["span"], energy["told"], energy["high_to"]) == (0.0, False, 0.0)
    draw_tornado(table, "three seeds", tmp_path / "tornado.png")
    assert (tmp_path / "tornado.png").stat().st_size > 10_000
    one = tornado(day, kpi, "static", seed=2, factors=factors).to_pylist()[0]
    assert (one["told"], one["low_from"]) == (None, None)
    with pytest.raises(ValueError, match="seeds 0: must be >= 1"):
        tornado(day, kpi, seeds=0)


def test_wrong_questions_are_named(day: Scenario) -> None:
    with pytest.raises(ValueError, match=r"'profit': allowed: gross_margin_usd, "):
        tornado(day, "profit")
    with pytest.raises(ValueError, match="'moon': allowed: btc_price_factor"):
        tornado(day, "btc_mined_btc", factors=("moon",))
    with pytest.raises(ValueError, match="change 1: must be above 0 and below 1"):
        tornado(day, "btc_mined_btc", change=1.0)
    with pytest.raises(ValueError, match="'slo_attainment_pct': has no meaning"):
        tornado(day, "slo_attainment_pct", "static")


def test_the_command_writes_a_table_and_a_picture(tmp_path: Path) -> None:
    arguments = ["tornado", str(ROOT / "configs/tiny"), "--days", "1", "--policy", "static",
                 "--factor", "btc_price_factor", "--kpi", "usd_per_btc"]  # fmt: skip
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "t"), "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["rows"]
    assert row["kpi_high"] == pytest.approx(1.1 * row["kpi_base"])
    assert (tmp_path / "t/tornado.png").read_bytes()[:4] == b"\x89PNG"
    wrong = CliRunner().invoke(app, [*arguments, "--change", "2"])
    assert wrong.exit_code == 2
    assert "change 2: must be above 0" in wrong.stderr
