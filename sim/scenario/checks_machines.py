"""Checks of a scenario's own machines, against each other and against the catalogue."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from sim.scenario import catalogue
from sim.scenario.catalogue.serving import models
from sim.scenario.problems import Problem, row_of, shown, unknown
from sim.scenario.scenario import Scenario

# Beyond anything ever sold: Antminer S9 98 J/TH, S23 Hyd 3U 9.5 J/TH.
LEAST_J_PER_TH: Final = 5.0
MOST_J_PER_TH: Final = 150.0
# H100 of 80 GB: 3.35 TB/s, 990 TFLOP/s dense; a hundred times that is a unit error.
MOST_TB_S: Final = 100.0
MOST_TFLOPS: Final = 100_000.0
# Active parameters over layers x hidden^2: 12 (DeepSeek-V3) to 36 (Gemma 3 270M, mostly its
# vocabulary) from config.json; 13 to 24 in the catalogue.
LEAST_SHAPE: Final = 5.0
MOST_SHAPE: Final = 100.0


def own_machines(s: Scenario) -> Iterator[Problem]:
    """Problems of asic_models.csv, gpu_models.csv, models.csv and serving_models.csv."""
    yield from _twice("asic_models", [(row.model, row.mode) for row in s.asic_models])
    yield from _twice("gpu_models", [(row.gpu,) for row in s.gpu_models])
    yield from _twice("models", [(row.model,) for row in s.models])
    yield from _twice("serving_models", [(r.model, r.gpu, r.tp) for r in s.serving_models])
    known = catalogue.asics(s.asic_models)
    for i, row in enumerate(s.asic_models):
        if row.model not in known:
            what = "is no machine yet: give it a row of mode normal, its nameplate"
            yield Problem("asic_models.csv", row_of(i, row.model, "mode"), shown(row.mode), what)
    cards, served = catalogue.gpus(s.gpu_models), models(s.models)
    for i, made in enumerate(s.serving_models):
        file = "serving_models.csv"
        where = row_of(i, made.model, "model")
        yield from unknown(file, where, made.model, served, "hashwatt list models")
        where = row_of(i, made.model, "gpu")
        yield from unknown(file, where, made.gpu, cards, "hashwatt list gpus")


def _twice(sheet: str, names: Sequence[tuple[Hashable, ...]]) -> Iterator[Problem]:
    seen: dict[tuple[Hashable, ...], int] = {}
    for i, name in enumerate(names):
        first = seen.setdefault(name, i)
        if first != i:
            value = ", ".join(str(part) for part in name)
            where = f"rows {first + 2} and {i + 2}"
            yield Problem(f"{sheet}.csv", where, shown(value), "must stand there once")


def odd_machines(s: Scenario) -> Iterator[Problem]:
    """Warn of figures of own machines that look like errors."""
    for i, row in enumerate(s.asic_models):
        if not LEAST_J_PER_TH <= row.j_per_th <= MOST_J_PER_TH:
            what = (
                f"{row.power_w:g} W for {row.hashrate_ths:g} TH/s are {row.j_per_th:.3g} J/TH; "
                f"machines have {LEAST_J_PER_TH:g} to {MOST_J_PER_TH:g}: check both (W and TH/s of "
                "one machine)"
            )
            where = row_of(i, row.model, "power_w")
            yield Problem("asic_models.csv", where, f"{row.power_w:g}", what)
    for i, card in enumerate(s.gpu_models):
        for column, value, most, unit in (
            ("bandwidth_tb_s", card.bandwidth_tb_s, MOST_TB_S, "TB/s"),
            ("bf16_tflops", card.bf16_tflops, MOST_TFLOPS, "TFLOP/s"),
        ):
            if value > most:
                what = f"is beyond any GPU; check that it is in {unit}"
                yield Problem("gpu_models.csv", row_of(i, card.gpu, column), f"{value:g}", what)
        if card.max_w_per_gpu < card.tdp_w:
            where = row_of(i, card.gpu, "max_w_per_gpu")
            what = f"is below its tdp_w, {card.tdp_w:g} W; give it with its share of the server"
            yield Problem("gpu_models.csv", where, f"{card.max_w_per_gpu:g}", what)
    for i, made in enumerate(s.models):
        column = "parameters_b" if made.active_b is None else "active_b"
        active_b = made.parameters_b if made.active_b is None else made.active_b
        shape = active_b * 1e9 / (made.layers * float(made.hidden) ** 2)
        if not LEAST_SHAPE <= shape <= MOST_SHAPE:
            what = (
                f"are {shape:.3g} parameters for each of layers x hidden^2, and models have "
                f"{LEAST_SHAPE:g} to {MOST_SHAPE:g}: check all three (parameters in 1e9)"
            )
            yield Problem("models.csv", row_of(i, made.model, column), f"{active_b:g}", what)
