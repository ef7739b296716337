"""The script that times a decoder on a GPU: what of it needs no GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.time_decoder import (
    Point,
    catalogue_name,
    expected_s,
    grid,
    needed_gb,
    no_gpu,
    table,
)
from sim.scenario.catalogue import gpus
from sim.scenario.catalogue.serving import models
from sim.serving import IterationTime

T = IterationTime(0.01, 1e-5, 0.002, 2e-5, 1e-6, 1e-7, 1e-9)
ROOT = Path(__file__).parent.parent.parent


def test_a_dozen_points_of_batch_and_context() -> None:
    points = grid()
    assert len(set(points)) == 12
    assert {p.kind for p in points} == {"prefill", "decode"}
    assert len({(p.batch, p.context) for p in points if p.kind == "decode"}) == 8
    assert all(needed_gb(p, models()["llama-3.1-8b"]) < 40 for p in points), "fits on 80 GB"


def test_what_the_catalogue_says_of_a_point_by_hand() -> None:
    """A prefill of 1,000 is bound by arithmetic, 8 sequences of 499 tokens by memory."""
    prefill = expected_s(Point("prefill", 1, 0, 1000), T)
    assert prefill == pytest.approx(0.002 + 1000 * 2e-5 + 1000 * 500 * 1e-9)
    decode = expected_s(Point("decode", 8, 499, 1), T)
    assert decode == pytest.approx(0.01 + 8e-5 + 8e-6 + 8 * 500 * 1e-7)
    # 16.06 GB of weights and 8 x 500 tokens of 131,072 B
    gb = needed_gb(Point("decode", 8, 499, 1), models()["llama-3.1-8b"])
    assert gb == pytest.approx(16.06 + 0.524288)


def test_measured_stands_beside_the_row() -> None:
    first, second, third = Point("decode", 8, 499, 1), Point("decode", 1, 0, 1), grid()[0]
    lines = table(
        [(first, 2.0 * expected_s(first, T)), (second, expected_s(second, T)), (third, None)], T
    )
    assert len(lines) == 5
    assert lines[1].split() == ["decode", "8", "499", "1", "20.98", "ms", "10.49", "ms", "2.00"]
    assert "left out" in lines[3]
    assert lines[4] == "measured over catalogue: median 1.50, 1.00 to 2.00"
    assert len(table([(third, None)], T)) == 2


def test_devices_are_known_by_the_driver_s_names() -> None:
    assert catalogue_name("NVIDIA H100 80GB HBM3") == "h100-sxm"
    assert catalogue_name("NVIDIA GB200") == "gb200"
    assert catalogue_name("NVIDIA GeForce RTX 4090") == "rtx-4090"
    assert catalogue_name("Tesla K80") is None
    names = ("NVIDIA A100-SXM4-80GB", "NVIDIA H200", "NVIDIA L40S", "NVIDIA B200")
    assert {catalogue_name(n) for n in names} <= set(gpus())


@pytest.mark.skipif(not no_gpu(), reason="a GPU is at hand")
def test_without_a_gpu_it_says_so() -> None:
    command = [sys.executable, "experiments/time_decoder.py"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("time_decoder: PyTorch")
    assert "Traceback" not in ended.stderr
