"""Stub to be replaced."""

from typing import NamedTuple

from sim.serving.engine import *


class ServedModel(NamedTuple):
    model: str
    gpu: str
    tp: int
    engine: Engine
    weights_gb: float
    kv_bytes_per_token: float
    load_s: float
    measured: bool
    source: str


def served(model: str, gpu: str, tp: int | None = None) -> ServedModel:
    it = IterationTime(6.39e-3, 0.0105e-3, 2.18e-3, 0.0189e-3, 0, 4.21e-8, 1.3e-9)
    return ServedModel(
        model,
        gpu,
        tp or 1,
        Engine(it, kv_blocks=25000, power=NodePower(350, 470, 0.0043, 0.0215, 1275)),
        16,
        131072,
        60,
        True,
        "",
    )
