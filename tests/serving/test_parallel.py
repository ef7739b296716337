"""Stages and spread experts, as the commands of one engine know them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.scenario import ScenarioError, load
from sim.scenario.catalogue.serving import served
from sim.scenario.engines import engine_of, shares
from sim.serving import Engine, IterationTime
from sim.serving.engine import NodePower
from sim.serving.metrics import serve_on
from sim.serving.recommend import Candidate, Prices, Slo, load_of_rate, recommend, settings
from sim.serving.request_log import RequestLog
from sim.serving.traces import Trace, read_trace
from tests.builders.request_logs import write

DENSE, MIXTURE, GPU = "llama-3.1-70b", "qwen3-30b-a3b", "h100-sxm"
TRACE = "arrival_s,prompt_tokens,output_tokens\n" + "".join(
    f"{0.05 * i},{200 + 37 * i % 900},{20 + 11 * i % 60}\n" for i in range(60)
)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments])


def test_batches_share_what_a_server_has() -> None:
    assert shares({"max_seqs": 100, "kv_blocks": 7, "block_tokens": 16}, 2) == {
        "max_seqs": 50, "kv_blocks": 3, "block_tokens": 16,
    }  # fmt: skip
    assert shares({"max_seqs": 1, "kv_blocks": 0}, 4) == {"max_seqs": 1, "kv_blocks": 0}
    engine, word, stages = engine_of(f"{DENSE}@{GPU}:4", {"max_seqs": 100}, pp=2)
    made = served(DENSE, GPU, 4, pp=2).engine
    assert (engine, stages) == (replace(made, max_seqs=50), 2)
    assert "tp 4, pp 2" in word
    assert "2 stages approximate" in word
    engine, word, stages = engine_of(f"{MIXTURE}@{GPU}:4", {}, ep=4)
    assert (engine, stages) == (served(MIXTURE, GPU, 4, ep=4).engine, 1)
    assert "experts on 4 GPUs approximate" in word


def test_a_trace_on_two_stages_is_one_on_two_batches(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(TRACE)
    given = ["serve-trace", str(tmp_path / "trace.csv"), "--engine", f"{DENSE}@{GPU}:4", "--json"]
    done = run(*given, "--pp", "2", "--engines", "3", "--quiet")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    out = serve_on(read_trace(tmp_path / "trace.csv"), served(DENSE, GPU, 4, pp=2).engine, 6)
    assert document["energy_j"] == out.energy_j
    assert document["iterations"] == out.iterations
    assert "approximate" in document["about"]


def test_a_replica_with_stages_is_as_many_engines() -> None:
    """Two stages on two GPUs each: four GPUs a replica, and half of the sequences a batch."""
    power = NodePower(idle_w=100.0, busy_w=300.0, limit_w=500.0)
    engine = Engine(IterationTime(0.01, 0.0), kv_blocks=4_000, power=power)
    slo, free = Slo(1.0, 1.0, 95.0), Prices(0.0, 5.0, None, np.inf)
    trace = load_of_rate(20.0, (100.0, 1.0), (50.0, 1.0))
    tried = settings([Candidate("x", 2, engine, 1e4, True, pp=2)])
    assert {c.engine.max_seqs for c in tried} == {16, 64, 256}
    (whole,) = recommend(trace, [Candidate("x", 2, engine, 1e4, True)], slo, free)
    (cut,) = recommend(trace, [Candidate("x", 2, engine, 1e4, True, pp=2)], slo, free)
    assert cut.gpus == 4 * cut.replicas
    assert cut.limit_kw == pytest.approx(2 * cut.replicas * engine.power.limit_w / 1e3)
    assert cut.max_seqs == 2 * whole.max_seqs
    assert (cut.pp, whole.pp, cut.replicas) == (2, 1, -(-whole.replicas // 2))
    twice = recommend(trace, [Candidate("x", 2, engine, 1e4, True, pp=2)] * 2, slo, free)
    assert twice == [cut]


def test_recommend_tries_stages_and_spread_experts(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(TRACE)
    given = ["recommend", "--model", MIXTURE, "--gpus", GPU, "--slo", "ttft=5,tpot=1", "--quiet",
             "--trace", str(tmp_path / "trace.csv")]  # fmt: skip
    done = run(*given, "--pp", "1,2", "--ep", "1,tp", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    seen = {(c["tp"], c["pp"], c["ep"]) for c in document["choices"]}
    assert {(2, 1, 1), (2, 2, 1), (2, 1, 2), (2, 2, 2)} <= seen
    assert all(c["gpus"] == c["replicas"] * c["tp"] * c["pp"] for c in document["choices"])
    assert any("nobody waits for a stage" in text for text in document["assumed"])
    table = run(*given, "--pp", "2", "--all").stdout
    assert "~" in table
    assert "~" not in run(*given, "--all").stdout


def test_an_engine_with_stages_is_calibrated_and_served_again(tmp_path: Path) -> None:
    """A server's record says its stages; the file that is written says them too."""
    start = served(DENSE, GPU, 4, pp=2).engine
    true = replace(start, max_seqs=8, kv_blocks=4_000)
    draw = np.random.default_rng(3)
    arrival = np.cumsum(draw.exponential(0.1, 160))
    arrival -= arrival[0]
    prompt, output = draw.integers(50, 1500, 160), draw.integers(10, 120, 160)
    trace = Trace(arrival, prompt, output, None, "made", 0, True)
    out = serve_on(trace, true, 2)
    log = write(
        RequestLog(arrival, prompt, output, out.first_token_s, out.finish_s, 0),
        tmp_path / "log.csv",
    )
    meta, file = tmp_path / "meta.json", tmp_path / "mine.toml"
    said: dict[str, Any] = {"max_num_seqs": 16, "pipeline_parallel_size": 2}
    meta.write_text(json.dumps({"engine_kwargs": said, "kv_cache": {"num_gpu_blocks": 8_000}}))
    given = ["calibrate-engine", str(log), "--engine", f"{DENSE}@{GPU}:4", "--meta", str(meta),
             "--quiet"]  # fmt: skip
    done = run(*given, "--out", str(file), "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["test"]["e2e_mape_pct"] < 1.0
    assert (document["engine"]["pp"], document["engine"]["max_seqs"]) == (2, 8)
    assert any("approximate" in note for note in document["notes"])
    engine, word, stages = engine_of(str(file), {})
    assert (engine.kv_blocks, stages) == (4_000, 2)
    assert "approximate: 2 stages" in word
    wrong = run(*given, "--pp", "4")
    assert wrong.exit_code == 2
    assert "says 2 stages" in wrong.output
    said |= {"enable_expert_parallel": True}
    meta.write_text(json.dumps({"engine_kwargs": said}))
    assert "ep = 4 for llama-3.1-70b on tp = 4: must be 1: no mixture" in run(*given).output
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    (fleet / "scenario.toml").write_text('[engines.mine]\nfile = "mine.toml"\n')
    (fleet / "mine.toml").write_bytes(file.read_bytes())
    (fleet / "sites.csv").write_text(
        "name,climate,utc_offset_h,contract,energy_usd_per_mwh,power_limit_mw\n"
        "alpha,midland-tx,-6,fixed,40,5\n"
    )
    with pytest.raises(ScenarioError, match="pp = 2: must be 1 for a scenario"):
        load(fleet)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["serve-trace", "T", "--engine", f"{DENSE}@{GPU}:4", "--pp", "0"],
         "greater than or equal to 1"),
        (["serve-trace", "T", "--engine", "llama-3.1-8b@h100-sxm", "--pp", "33"],
         "pp = 33 for llama-3.1-8b: must be 1 to 32, its layers"),
        (["serve-trace", "T", "--engine", f"{DENSE}@{GPU}:4", "--ep", "4"],
         "must be 1: no mixture"),
        (["serve-trace", "T", "--engine", f"{MIXTURE}@{GPU}:4", "--ep", "2"], "must be 1 or 4"),
        (["serve-trace", "T", "--engine", "F", "--pp", "2"],
         "an engine file says itself; write pp there"),
        (["recommend", "--model", MIXTURE, "--gpus", GPU, "--slo", "ttft=1,tpot=1", "--rate", "1",
          "--pp", "1,x"], "write whole numbers of stages, 1 to 64"),
        (["recommend", "--model", MIXTURE, "--gpus", GPU, "--slo", "ttft=1,tpot=1", "--rate", "1",
          "--ep", "2"], "must be 1, tp or 1,tp"),
        (["recommend", "--model", DENSE, "--gpus", GPU, "--slo", "ttft=1,tpot=1", "--rate", "1",
          "--ep", "tp"], "no mixture"),
    ],
)  # fmt: skip
def test_wrong_stages_and_experts_are_refused_with_what_is_allowed(
    tmp_path: Path, arguments: list[str], what: str
) -> None:
    (tmp_path / "trace.csv").write_text(TRACE)
    (tmp_path / "f.toml").write_text("[iteration]\nbase_s = 0.01\ntoken_s = 0.0\n")
    there = {"T": str(tmp_path / "trace.csv"), "F": str(tmp_path / "f.toml")}
    done = run(*(there.get(a, a) for a in arguments))
    assert done.exit_code == 2
    assert what in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("pp = 0", "pp = 0: must be a whole number, 1 to 64"),
        ("pp = true", "pp = True: must be a whole number"),
        ("ep = 2", "ep = 2: must be 1 or tp, which is None"),
    ],
)
def test_a_file_says_stages_rightly_or_is_refused(tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "f.toml"
    file.write_text(f"{line}\n[iteration]\nbase_s = 0.01\ntoken_s = 0.0\n")
    with pytest.raises(ValueError, match=what):
        engine_of(str(file), {})
