"""Machines of one's own beside those of the catalogue, checked as carefully."""

from pathlib import Path
from typing import Any

import pytest

import sim
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
    with pytest.raises(ScenarioError, match=r"column 'Hashrate \(TH/s\)': unknown column"):
        load(base)
    (base / "asic_models.csv").write_text("Model;Hashrate (THS);Power W\nX1;400;4 000\n")
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
