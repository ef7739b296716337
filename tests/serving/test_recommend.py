"""Settings that keep a promise: no fewer replicas would, and what they cost by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.serving import Engine, IterationTime, NodePower
from sim.serving.recommend import (
    Candidate,
    Prices,
    Slo,
    attained,
    fewest,
    load_of_rate,
    recommend,
    settings,
)
from sim.serving.traces import Trace

POWER = NodePower(idle_w=100.0, busy_w=300.0, limit_w=500.0)
ENGINE = Engine(IterationTime(0.01, 0.0, kv_token_s=1e-7), max_seqs=4, power=POWER)
SLO = Slo(0.2, 0.02, 95.0)
FREE = Prices(0.0, 5.0, None, math.inf)


def test_one_replica_less_would_miss_the_promise() -> None:
    for rate in (5.0, 40.0, 200.0):
        load = load_of_rate(rate, (100.0, 1.0), (20.0, 1.0))
        replicas = fewest(load, ENGINE, SLO)
        assert replicas is not None
        assert attained(load, ENGINE, replicas, SLO) >= 95.0
        if replicas > 1:
            assert attained(load, ENGINE, replicas - 1, SLO) < 95.0
        else:
            assert rate == 5.0


def test_what_no_number_of_replicas_keeps_is_left_out() -> None:
    load = load_of_rate(1.0, (100.0, 1.0), (20.0, 1.0))
    assert fewest(load, ENGINE, Slo(0.2, 0.009, 95.0)) is None  # an iteration takes 10 ms
    assert recommend(load, [Candidate("x", 1, ENGINE, 1.0, True)], Slo(0.001, 1, 95), FREE) == []


def test_costs_are_those_of_a_load_worked_by_hand() -> None:
    """Two requests of 10 tokens, each 100 ms alone, 50 s apart: 0.2 s busy of 50.1 s."""
    engine = Engine(IterationTime(0.01, 0.0), power=POWER)
    load = Trace(np.array([0.0, 50.0]), np.array([8, 8]), np.array([10, 10]), None, "", 0, True)
    prices = Prices(50.0, 2.0, 7.0, math.inf)
    (choice,) = recommend(load, [Candidate("x", 2, engine, 17_532.0, True)], SLO, prices)
    assert (choice.replicas, choice.gpus, choice.attained_pct) == (1, 2, 100.0)
    assert (choice.ttft_s, choice.tpot_s) == (pytest.approx(0.01), pytest.approx(0.01))
    joules = 0.2 * 300.0 + 49.9 * 100.0
    assert choice.power_kw == pytest.approx(joules / 50.1 / 1e3)
    assert choice.limit_kw == 0.5
    mwh = joules / 3.6e9
    assert choice.tokens_per_mwh == pytest.approx(20 / mwh)
    capital = 2 * 17_532.0 / (2 * 8_766) * 50.1 / 3600  # a dollar an hour for each GPU
    assert choice.usd_per_mtok == pytest.approx((capital + 50.0 * mwh) / 20e-6)
    assert choice.cost_usd_per_mw_year == pytest.approx((capital + 50 * mwh) / (mwh / 8_766))
    assert choice.margin_usd_per_mw_year == pytest.approx(
        (20e-6 * 7.0 - capital - 50 * mwh) / (mwh / 8_766)
    )


def test_beaten_choices_are_told_apart_and_the_power_cap_holds() -> None:
    load = load_of_rate(20.0, (100.0, 1.0), (20.0, 1.0))
    dear = Candidate("dear", 1, ENGINE, 2e4, True)
    cheap = Candidate("cheap", 1, ENGINE, 1e4, False)
    found = recommend(load, [dear, cheap], SLO, FREE)
    assert [(c.gpu, c.pareto) for c in found] == [("cheap", True), ("dear", False)]
    capped = Prices(0.0, 5.0, None, found[0].limit_kw * 1e3 - 1.0)
    assert recommend(load, [dear, cheap], SLO, capped) == []


def test_every_setting_is_tried_where_it_makes_sense() -> None:
    tried = settings([Candidate("x", 1, Engine(IterationTime(0.01, 0.0), kv_blocks=200), 1, True)])
    assert {(c.engine.max_batched_tokens, c.engine.max_seqs) for c in tried} == {
        (budget, seqs) for budget in (2048, 8192, 16_384) for seqs in (32, 128)
    }


def test_the_command_answers_and_refuses(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,100,20\n1,200,30\n")
    base = ["recommend", "--model", "llama-3.1-8b", "--gpus", "h100-sxm", "--quiet"]
    given = [*base, "--slo", "ttft=1,tpot=0.05", "--trace", str(trace)]
    picture = tmp_path / "it.png"
    done = CliRunner().invoke(app, [*given, "--json", "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["slo"] == {"ttft_s": 1.0, "tpot_s": 0.05, "percentile": 95.0}
    assert any(choice["pareto"] for choice in document["choices"])
    assert picture.stat().st_size > 10_000
    assert "h100-sxm" in CliRunner().invoke(app, given).stdout
    for arguments, what in (
        ([*base, "--slo", "ttft=1"], "needs ttft and tpot"),
        ([*base, "--slo", "ttft=x,tpot=1"], "write ttft=S,tpot=S"),
        ([*base, "--slo", "ttft=1,tpot=1"], "give one of --trace and --rate"),
        ([*base, "--slo", "ttft=1,tpot=1", "--rate", "-1"], "must be above 0"),
        ([*base, "--slo", "ttft=1,tpot=1", "--rate", "1e30"], "at most 100000 requests a second"),
        (["recommend", "--model", "x", "--gpus", "h100-sxm", "--slo", "ttft=1,tpot=1", "--rate",
          "1"], "'x' is not in the catalogue"),
    ):  # fmt: skip
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert what in done.output
