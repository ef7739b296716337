"""Engines of the catalogue: measured where somebody measured, a roofline elsewhere."""

import csv
import gzip
import statistics
from pathlib import Path

import numpy as np
import pytest

from experiments.fit_iteration_time import bounds, fit, points
from sim.scenario.catalogue import gpus
from sim.scenario.catalogue.serving import (
    all_reduce,
    measured,
    models,
    roofline,
    served,
    served_models,
)
from sim.scenario.model import FaultTables
from sim.serving import serve


def test_every_row_has_a_source_and_makes_an_engine_that_serves() -> None:
    assert all(m.source for m in models().values())
    assert all(m.source for m in measured().values())
    assert len(served_models()) >= 13
    for made in served_models():
        out = serve([0.0, 0.1], [500, 900], [20, 30], made.engine)
        assert np.isfinite(out.finish_s).all(), made
        assert made.engine.power.idle_w < made.engine.power.busy_w < made.engine.power.limit_w


def test_kv_memory_is_that_of_the_record() -> None:
    """The vLLM 0.19 record: 2,588 blocks of an 8B model on an RTX 4090."""
    assert served("llama-3.1-8b", "rtx-4090").engine.kv_blocks == pytest.approx(2588, rel=0.01)
    assert models()["llama-3.1-8b"].kv_bytes_per_token == 131_072
    assert models()["llama-3.1-70b"].kv_bytes_per_token == 327_680


def test_memory_is_what_drivers_report_not_billions() -> None:
    """80 GiB are 85.9 GB: 70B fits on two H100, and an 8B has 28,614 blocks on one."""
    assert served("llama-3.1-70b", "h100-sxm").tp == 2
    free_bytes = 0.9 * 85.9e9 - 1.24e9 - 16.06e9
    blocks = served("llama-3.1-8b", "h100-sxm").engine.kv_blocks
    assert blocks == int(free_bytes / (16 * 131_072))


@pytest.mark.parametrize(
    ("gpu", "tokens", "seqs"),
    [
        ("a100-sxm", 2048, 256),
        ("l40s", 2048, 256),
        ("h100-sxm", 8192, 1024),
        ("b200", 16_384, 1024),
    ],
)
def test_defaults_are_those_of_the_server(gpu: str, tokens: int, seqs: int) -> None:
    engine = served("llama-3.1-8b", gpu).engine
    assert (engine.max_batched_tokens, engine.max_seqs) == (tokens, seqs)


def test_narrow_weights_are_read_and_multiplied_faster() -> None:
    card = gpus()["h100-sxm"]
    wide, narrow = (
        roofline(models()[name], card, 1, None) for name in ("llama-3.1-8b", "llama-3.1-8b-fp8")
    )
    assert narrow.base_s == pytest.approx(wide.base_s / 2)
    assert narrow.compute_token_s == pytest.approx(wide.compute_token_s * 990 / 1979)
    old = gpus()["a100-sxm"]  # has no fp8: only the reading is faster
    narrow = roofline(models()["llama-3.1-8b-fp8"], old, 1, None)
    assert (
        narrow.compute_token_s == roofline(models()["llama-3.1-8b"], old, 1, None).compute_token_s
    )


def test_the_roofline_is_near_what_was_measured() -> None:
    """All-reduces of tensor parallelism included, over PCIe too."""
    for made in served_models():
        guess, true = (
            roofline(models()[made.model], gpus()[made.gpu], made.tp),
            made.engine.iteration,
        )
        for batch in (1, 32, 256):
            ratio = guess.of(batch, batch, batch * 1000) / true.of(batch, batch, batch * 1000)
            assert 0.7 < ratio < 1.4, (made, batch)


def test_no_fitted_row_beats_its_data_sheet() -> None:
    """Nor is it far below it: 70B on four and eight L40S is at 9 and 2 % of their FLOP/s."""
    fitted = {place: row for place, row in measured().items() if row.mape_pct}
    assert len(fitted) >= 13
    for (model, gpu, tp), row in fitted.items():
        ideal = roofline(models()[model], gpus()[gpu], tp, None)
        for name in ("base_s", "compute_token_s", "kv_token_s", "prefill_context_s"):
            ratio = getattr(row.iteration, name) / getattr(ideal, name)
            assert 0.99 < ratio < 6.01, (model, gpu, tp, name)
    assert not {("llama-3.1-70b", "l40s", 4), ("llama-3.1-70b", "l40s", 8)} & set(measured())
    assert float(measured()["llama-3.1-70b", "h100-sxm", 4].mape_pct) < 1.8


def test_an_all_reduce_by_hand() -> None:
    """70B on four H100: 160 of them, 2 x 8192 B a token, sent 1.5 times at 60 % of 450 GB/s."""
    begin_s, each_s = all_reduce(models()["llama-3.1-70b"], gpus()["h100-sxm"], 4)
    assert begin_s == pytest.approx(1.6e-3)
    assert each_s == pytest.approx(160 * 16_384 * 1.5 / 270e9)
    assert all_reduce(models()["llama-3.1-70b"], gpus()["h100-sxm"], 1) == (0.0, 0.0)


def test_what_nobody_measured_is_marked() -> None:
    made = served("qwen2.5-32b", "h100-sxm")
    assert not made.measured
    assert "roofline" in made.source
    assert served("llama-3.1-8b", "h100-sxm").measured


@pytest.mark.parametrize(
    ("model", "gpu", "tp", "what"),
    [
        ("llama-9", "h100-sxm", None, "'llama-9' is not in the catalogue; there are llama-2-7b"),
        ("llama-3.1-8b", "h1", None, "'h1' is not in the catalogue; there are a100-sxm"),
        (
            "llama-3.1-70b",
            "h100-sxm",
            1,
            "141 GB, leave no room for KV on 1 h100-sxm of 85.9 GB; tp",
        ),
    ],
)
def test_errors_say_what_is_allowed(model: str, gpu: str, tp: int | None, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        served(model, gpu, tp)


def test_power_of_an_h100_is_that_of_the_leaderboard() -> None:
    """ML.ENERGY: 486, 560, 669 and 688 W per GPU; ours without the server's share."""
    made, card = served("llama-3.1-8b", "h100-sxm"), gpus()["h100-sxm"]
    scale = (card.tdp_w - 75.0) / (card.max_w_per_gpu - card.idle_w_per_gpu)
    power = made.engine.power
    for batch, ms, watts in ((8, 7.3, 486), (32, 8.9, 560), (128, 16.5, 669), (512, 47.4, 688)):
        node_w = min(power.limit_w, power.busy_w + power.decode_j * batch / (ms / 1e3))
        assert 75.0 + (node_w - card.idle_w_per_gpu) * scale == pytest.approx(watts, rel=0.05)


@pytest.mark.parametrize(
    ("gpu", "beside_w", "idle_w", "limit_w"),
    [("a100-sxm", 1500 / 8, 63, 400), ("h100-sxm", 2800 / 8, 75, 700)],
)
def test_a_server_draws_beside_its_gpus_what_it_does(
    gpu: str, beside_w: float, idle_w: float, limit_w: float
) -> None:
    """splitwise-sim's power model: DGX A100 1,500 W, DGX H100 2,800 W, and the GPUs on top."""
    card = gpus()[gpu]
    assert card.tdp_w == limit_w
    assert card.idle_w_per_gpu == beside_w + idle_w
    assert card.max_w_per_gpu == beside_w + limit_w


def test_memory_limits_before_arithmetic_does() -> None:
    """The line of few tokens is above at none, the other one is steeper, in every row."""
    for place, row in measured().items():
        assert row.token_s <= row.compute_token_s, place
        assert row.base_s > row.compute_base_s, place


def test_a_cold_start_takes_one_to_three_minutes() -> None:
    """With weights read: 8B 72 s, 70B 135 s."""
    assert served("llama-3.1-8b", "l40s").load_s == pytest.approx(64 + 16.06 / 2)
    assert served("llama-3.1-70b", "h100-sxm").load_s == pytest.approx(64 + 141.1 / 2)


@pytest.mark.needs_data
def test_a_node_fails_as_often_as_its_hardware_did(data: Path) -> None:
    """Of the interruptions of the Llama 3 run, those that a node of eight GPUs answers for."""
    with (data / "gpu/llama3_h100_interruptions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(r["interruptions"]) for r in rows) == 419
    others = {"Software bug", "Network switch/cable", "Host maintenance", "Dependency"}
    mine = sum(int(r["interruptions"]) for r in rows if r["component"] not in others)
    assert mine == 296
    node_h = 16_384 / 8 * 54 * 24
    assert FaultTables().gpu.mtbf_h == pytest.approx(node_h / mine, rel=1e-3)


@pytest.mark.needs_data
def test_power_of_an_a100_is_near_what_was_measured(data: Path) -> None:
    """Llama-2-70B, one sequence and short prompts: 74, 60, 43 % of the limit on 2, 4, 8 GPUs.

    Ours is 62 % on any number: right on four, a sixth too low on two, where memory works harder,
    and two fifths too high on eight, where it waited for the host.
    """
    found: dict[int, list[float]] = {}
    with gzip.open(data / "gpu/splitwise_perf_model.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            share = float(row["average_power"])
            if (
                (row["model"], row["hardware"]) == ("llama2-70b", "a100-80gb")
                and (row["batch_size"], row["token_size"]) == ("1", "128")
                and int(row["prompt_size"]) <= 512
                and share > 0
            ):
                found.setdefault(int(row["tensor_parallel"]), []).append(share)
    card = gpus()["a100-sxm"]
    ratios = []
    for tp in (2, 4, 8):
        power = served("llama-3.1-70b", "a100-sxm", tp).engine.power
        step_s = served("llama-3.1-70b", "a100-sxm", tp).engine.iteration.of(1, 1, 600)
        beside_w = card.max_w_per_gpu - card.tdp_w
        gpu_w = (power.busy_w + power.decode_j / step_s) / tp - beside_w
        ratios.append(gpu_w / card.tdp_w / statistics.median(found[tp]))
    assert ratios == pytest.approx([0.84, 1.04, 1.43], abs=0.03)


@pytest.mark.needs_data
def test_the_table_is_the_fit(data: Path) -> None:
    key = ("llama-3.1-8b", "h100-sxm", 1)
    found, error = fit(points(data)[key], bounds(*key))
    written = measured()[key]
    np.testing.assert_allclose(written[3:10], found, rtol=1e-3, atol=1e-12)
    assert float(written.mape_pct) == pytest.approx(100 * np.abs(error).mean(), abs=0.01)
