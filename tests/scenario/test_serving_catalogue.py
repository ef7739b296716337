"""Engines of the catalogue: measured where somebody measured, a roofline elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from experiments.fit_iteration_time import fit, points
from sim.scenario.catalogue import gpus
from sim.scenario.catalogue.serving import measured, models, roofline, served, served_models
from sim.serving import serve


def test_every_row_has_a_source_and_makes_an_engine_that_serves() -> None:
    assert all(m.source for m in models().values())
    assert all(m.source for m in measured().values())
    assert len(served_models()) >= 14
    for made in served_models():
        out = serve([0.0, 0.1], [500, 900], [20, 30], made.engine)
        assert np.isfinite(out.finish_s).all(), made
        assert made.engine.power.idle_w < made.engine.power.busy_w < made.engine.power.limit_w


def test_kv_memory_is_that_of_the_record() -> None:
    """The vLLM 0.19 record: 2,588 blocks of an 8B model on an RTX 4090."""
    assert served("llama-3.1-8b", "rtx-4090").engine.kv_blocks == pytest.approx(2588, rel=0.01)
    assert models()["llama-3.1-8b"].kv_bytes_per_token == 131_072
    assert models()["llama-3.1-70b"].kv_bytes_per_token == 327_680


def test_the_roofline_is_a_factor_of_two_at_worst_where_gpus_are_linked_well() -> None:
    """PCIe between GPUs (l40s, tp above 1) is not in a roofline: left out, and far off."""
    linked = [m for m in served_models() if not (m.gpu == "l40s" and m.tp > 1)]
    assert len(linked) >= 12
    for made in linked:
        guess, true = (
            roofline(models()[made.model], gpus()[made.gpu], made.tp),
            made.engine.iteration,
        )
        for batch in (1, 32, 256):
            ratio = guess.of(batch, batch, batch * 1000) / true.of(batch, batch, batch * 1000)
            assert 0.5 < ratio < 2.0, made


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
        ("llama-3.1-70b", "h100-sxm", 1, "141 GB, leave no room for KV on 1 h100-sxm of 80 GB; tp"),
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


@pytest.mark.needs_data
def test_the_table_is_the_fit(data: Path) -> None:
    key = ("llama-3.1-8b", "h100-sxm", 1)
    found, error = fit(points(data)[key])
    written = measured()[key]
    np.testing.assert_allclose(written[3:10], found, rtol=1e-3, atol=1e-12)
    assert float(written.mape_pct) == pytest.approx(100 * np.abs(error).mean(), abs=0.01)
