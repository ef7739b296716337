"""Machines of one's own beside those of the catalogue, checked as carefully."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.plant.machines import build_nodes
from sim.scenario import Scenario, ScenarioError, catalogue, load
from sim.scenario.catalogue.serving import served
from sim.scenario.catalogue.specs import AsicSpec
from tests.conftest import ROOT, build_scenario

X1 = {"model": "X1", "hashrate_ths": 400, "power_w": 4000, "cooling": "hydro", "source": "quote"}
CARD = {
    "gpu": "mine", "memory_gb": 96, "tdp_w": 600, "idle_w_per_gpu": 100, "max_w_per_gpu": 800,
    "bandwidth_tb_s": 1.8, "bf16_tflops": 250,
}  # fmt: skip
TIMES = {
    "model": "llama-3.1-8b", "gpu": "mine", "tp": 1, "base_s": 0.01, "token_s": 1e-5,
    "compute_base_s": 0.002, "compute_token_s": 2e-5, "kv_token_s": 4e-8,
    "prefill_context_s": 1e-9,
}  # fmt: skip


def fleet(model: str = "X1", mode: str = "normal", **sheets: Any) -> Scenario:
    """A site with a hundred machines of one kind."""
    rows = {"asics": [{"site": "alpha", "model": model, "count": 100, "mode": mode}], "gpus": []}
    return build_scenario(sites=[{"name": "alpha"}], **{**rows, **sheets})


def test_an_own_machine_mines_as_its_row_says() -> None:
    result = sim.run(fleet(asic_models=[X1]), "static", seed=1)
    deployed = result.tables["fleet"]["deployed_ehs"].to_pylist()
    assert max(deployed) == pytest.approx(100 * 400 / 1e6)


def test_a_row_stands_in_for_a_machine_of_the_catalogue() -> None:
    built_in = catalogue.asics()["Antminer S21"]
    own = {"model": "Antminer S21", "hashrate_ths": 195, "power_w": 3500}
    eco = {**own, "mode": "eco", "hashrate_ths": 150, "power_w": 2200}
    known = catalogue.asics(fleet("Antminer S21", "eco", asic_models=[own, eco]).asic_models)
    assert list(known["Antminer S21"].modes) == ["eco", "normal"]  # in order of power
    assert known["Antminer S21"].nominal.hashrate_ths == 195
    assert catalogue.asics()["Antminer S21"] == built_in
    more = catalogue.asics(fleet("Antminer S21", "eco", asic_models=[eco]).asic_models)
    assert set(more["Antminer S21"].modes) == {*built_in.modes, "eco"}
    assert more["Antminer S21"].nominal == built_in.nominal


def test_an_own_gpu_serves_as_measured_or_by_the_roofline() -> None:
    gpus = [
        {"site": "alpha", "gpu": "mine", "nodes": 2, "state": "serving", "model": "llama-3.1-8b"}
    ]
    plain = fleet(asics=[], gpus=gpus, gpu_models=[CARD])
    timed = fleet(asics=[], gpus=gpus, gpu_models=[CARD], serving_models=[TIMES])
    assert not served("llama-3.1-8b", "mine", own=plain.own).measured
    made = served("llama-3.1-8b", "mine", own=timed.own)
    assert made.measured
    assert made.engine.iteration.base_s == 0.01
    assert made.engine.kv_blocks == served("llama-3.1-8b", "mine", own=plain.own).engine.kv_blocks
    batch = [{"site": "alpha", "gpu": "mine", "nodes": 2, "state": "batch", "utilisation": 1.0}]
    nodes, _ = build_nodes(fleet(asics=[], gpus=batch, gpu_models=[CARD]), ["alpha"])
    assert nodes.node_w.tolist() == [8 * 800]


SMALL = {
    "model": "ours-7b", "parameters_b": 7.2, "layers": 32, "hidden": 4096, "kv_heads": 8,
    "head_dim": 128,
}  # fmt: skip


def test_an_own_language_model_is_served_by_the_roofline_or_as_measured() -> None:
    gpus = [
        {"site": "alpha", "gpu": "h100-sxm", "nodes": 1, "state": "serving", "model": "ours-7b"}
    ]
    plain = fleet(asics=[], gpus=gpus, models=[SMALL])
    made = served("ours-7b", "h100-sxm", own=plain.own)
    assert not made.measured
    assert made.weights_gb == pytest.approx(14.4)  # bf16
    assert made.kv_bytes_per_token == 2 * 32 * 8 * 128 * 2
    timed = {**TIMES, "model": "ours-7b", "gpu": "h100-sxm"}
    with_times = fleet(asics=[], gpus=gpus, models=[SMALL], serving_models=[timed])
    assert served("ours-7b", "h100-sxm", own=with_times.own).engine.iteration.base_s == 0.01
    fp8 = fleet(asics=[], gpus=gpus, models=[{**SMALL, "bytes_per_parameter": 1}])
    assert served("ours-7b", "h100-sxm", own=fp8.own).engine.kv_blocks > made.engine.kv_blocks
    assert plain.sha256() != fp8.sha256()


def test_a_row_stands_in_for_a_language_model_of_the_catalogue() -> None:
    other = {**SMALL, "model": "llama-3.1-8b", "parameters_b": 9, "active_b": 8}
    own = fleet(asic_models=[X1], models=[other]).own
    assert served("llama-3.1-8b", "h100-sxm", own=own).weights_gb == 18
    assert served("llama-3.1-8b", "h100-sxm").weights_gb == pytest.approx(16.06)


def test_lists_show_a_scenario_s_own(tmp_path: Path) -> None:
    for sheet, row in (("asic_models", X1), ("gpu_models", CARD), ("models", SMALL)):
        text = f"{','.join(row)}\n{','.join(map(str, row.values()))}\n"
        (tmp_path / f"{sheet}.csv").write_text(text, encoding="utf-8")
    (tmp_path / "scenario.toml").write_text(f'base = "{(ROOT / "configs/tiny").as_posix()}"')
    for kind, column, name in (
        ("asics", "model", "X1"), ("gpus", "gpu", "mine"), ("models", "model", "ours-7b"),
    ):  # fmt: skip
        done = CliRunner().invoke(app, ["list", kind, str(tmp_path), "--json"])
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout)
        assert {row[column] for row in rows if row["of"] == "scenario"} >= {name}
        assert [row for row in rows if row["of"] == "catalogue"]
    done = CliRunner().invoke(app, ["list", "kpis", str(tmp_path)])
    assert done.exit_code == 2
    assert "asics, gpus, models" in done.output


def test_own_machines_are_part_of_what_is_hashed() -> None:
    one, other = fleet(asic_models=[X1]), fleet(asic_models=[{**X1, "power_w": 4001}])
    assert one.sha256() != other.sha256()


# what is wrong → (sheets, what the refusal must say)
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a way of cooling that there is not": (
        {"asic_models": [{**X1, "cooling": "hydr"}]},
        ["asic_models.csv: row 2 (X1), cooling = 'hydr'", "'hydro'"],
    ),
    "no hashrate": (
        {"asic_models": [{**X1, "hashrate_ths": 0}]}, ["row 2 (X1), hashrate_ths", "> 0 TH/s"],
    ),
    "no power": (
        {"asic_models": [{**X1, "power_w": None}]}, ["row 2 (X1), power_w: is required [W]"],
    ),
    "a mode without a nameplate": (
        {"asic_models": [{**X1, "mode": "eco"}]},
        ["asic_models.csv: row 2 (X1), mode = 'eco'", "a row of mode normal"],
    ),
    "a machine twice": (
        {"asic_models": [X1, X1]}, ["asic_models.csv: rows 2 and 3 = 'X1, normal'", "once"],
    ),
    "more idle than busy": (
        {"asic_models": [X1], "gpu_models": [{**CARD, "idle_w_per_gpu": 900}]},
        ["gpu_models.csv: row 2 (mine)", "idle_w_per_gpu = 900: must be < max_w_per_gpu, 800 W"],
    ),
    "times of an unknown GPU": (
        {"asic_models": [X1], "serving_models": [TIMES]},
        ["serving_models.csv: row 2 (llama-3.1-8b), gpu = 'mine'", "allowed"],
    ),
    "times of an unknown model": (
        {"asic_models": [X1], "gpu_models": [CARD], "serving_models": [{**TIMES, "model": "gpt"}]},
        ["serving_models.csv: row 2 (gpt), model = 'gpt'"],
    ),
    "more active than there are": (
        {"asic_models": [X1], "models": [{**SMALL, "active_b": 8}]},
        ["models.csv: row 2 (ours-7b)", "active_b = 8: must be <= parameters_b, 7.2"],
    ),
    "half a layer": (
        {"asic_models": [X1], "models": [{**SMALL, "layers": 0.5}]},
        ["models.csv: row 2 (ours-7b), layers = '0.5': must be a whole number"],
    ),
    "a language model twice": (
        {"asic_models": [X1], "models": [SMALL, SMALL]},
        ["models.csv: rows 2 and 3 = 'ours-7b'", "once"],
    ),
    "a machine that is not there": ({}, ["asics.csv: row 2 (alpha), model = 'X1'"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_cell_is_refused_where_it_stands(what: str) -> None:
    sheets, words = REFUSED[what]
    with pytest.raises(ScenarioError) as refused:
        fleet(**sheets)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("sheets", "words"),
    [
        (
            {"asic_models": [{**X1, "power_w": 8}]},
            ["asic_models.csv: row 2 (X1), power_w = 8", "0.02 J/TH", "5 to 150"],
        ),
        ({"asic_models": [{**X1, "hashrate_ths": 0.4}]}, ["1e+04 J/TH"]),
        (
            {"asic_models": [X1], "gpu_models": [{**CARD, "bandwidth_tb_s": 900}]},
            ["gpu_models.csv: row 2 (mine), bandwidth_tb_s = 900", "TB/s"],
        ),
        (
            {"asic_models": [X1], "models": [{**SMALL, "parameters_b": 7200}]},
            ["models.csv: row 2 (ours-7b), parameters_b = 7200", "check all three"],
        ),
        (
            {"asic_models": [X1], "gpu_models": [{**CARD, "max_w_per_gpu": 500}]},
            ["max_w_per_gpu = 500", "below its tdp_w, 600 W"],
        ),
    ],
)
def test_figures_that_no_machine_has_are_said(sheets: dict[str, Any], words: list[str]) -> None:
    said = "\n".join(str(warning) for warning in fleet(**sheets).warnings)
    for word in words:
        assert word in said


def test_own_machines_out_of_a_folder(tmp_path: Path) -> None:
    """Also those of a base, which a child may add to."""
    base, mine = tmp_path / "base", tmp_path / "mine"
    for folder in (base, mine):
        folder.mkdir()
    for name in ("scenario.toml", "sites.csv", "grid_nodes.csv", "grid_links.csv"):
        (base / name).write_bytes((ROOT / "configs/tiny" / name).read_bytes())
    (base / "asics.csv").write_text("site,model,count\nalpha,X1,10\n")
    (base / "asic_models.csv").write_text("Model;Hashrate (TH/s);Power W\nX1;400;4 000\n")
    assert load(base).asic_models[0].hashrate_ths == 400
    (base / "asic_models.csv").write_text("Model;Hashrate (PH/s);Power W\nX1;400;4 000\n")
    with pytest.raises(ScenarioError, match=r"column 'Hashrate \(PH/s\)': unknown column"):
        load(base)
    (base / "asic_models.csv").write_text("Model;Hashrate (TH/s);Power W\nX1;400;4 000\n")
    (mine / "scenario.toml").write_text('base = "../base"\n')
    (mine / "asic_models+.csv").write_text("model,hashrate_ths,power_w\nX2,200,3000\n")
    (mine / "asics+.csv").write_text("site,model,count\nbravo,X2,5\n")
    scenario = load(mine, {"asic_models.X1.power_w": 4100})
    known = catalogue.asics(scenario.asic_models)
    assert [known[group.model].nominal.power_w for group in scenario.asics] == [4100, 3000]


def test_a_bad_cell_of_the_catalogue_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    good = catalogue.rows("asics.csv")
    bad = [*good[:3], {**good[3], "cooling": "hydr"}, {**good[4], "power_w": "much"}]
    monkeypatch.setattr(catalogue, "rows", lambda name: bad)
    with pytest.raises(ScenarioError) as refused:
        catalogue.described("asics.csv", AsicSpec)
    assert "asics.csv: row 5, cooling = 'hydr'" in str(refused.value)
    assert "asics.csv: row 6, power_w = 'much'" in str(refused.value)
