"""Fits of iteration time, power and the roofline's efficiencies for the serving catalogue.

    python experiments/fit_iteration_time.py [--data ../shared/data] [--write]

Prints each fit with its errors; `--write` writes `sim/scenario/catalogue/serving.csv`. Iteration
times come from AIConfigurator's operator database (`serving/iteration_time_table.csv`): prefills of
up to 16,384 tokens, decodes of up to 256 sequences and 128 to 8,192 tokens of context each. Power
comes from the ML.ENERGY leaderboard.
"""

import argparse
import csv
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc

from sim.scenario.catalogue import gpus
from sim.scenario.catalogue.serving import (
    ROOFLINE,
    Measured,
    all_reduce,
    models,
    roofline,
    served_models,
)
from sim.types import Floats

TABLE = "serving/iteration_time_table.csv"
GPUS = {"a100_sxm": "a100-sxm", "h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "l40s": "l40s"}
MODELS = {"8B": "llama-3.1-8b", "70B": "llama-3.1-70b"}
SCALE = np.array([10e-3, 2e-5, 5e-3, 5e-5, 1e-5, 1e-7, 1e-9])
STARTS = 16
MOST = 6.0  # times the ideal, at worst
# Below it a row says nothing of a GPU, but of what stood in the way: the database's 70B on four and
# eight L40S, whose all-reduce goes over PCIe, is at 9 and 2 %.
LEAST_MFU = 0.2
MOST_MAPE = 10.0  # per cent: nor does a row that these bounds cannot follow
COLUMNS = (
    *Measured._fields[: Measured._fields.index("host_s") + 1],
    *("mape_pct", "worst_pct", "source"),
)
FILE = Path(__file__).parent.parent / "sim/scenario/catalogue/serving.csv"
# LLMServingSim's layer profiles of vLLM 0.19; head and sampler, and decode attention, are on top.
RTX = {
    "rtx-4090": ((15.49, 0.0309, 5.09, 0.0881, 0.0064, 1.42e-4, 4.3e-6), 1.1 + 0.4),
    "rtx-pro-6000": ((9.94, 0.0170, 5.28, 0.0352, 0.0036, 9.1e-5, 2.3e-6), 0.70 + 0.4),
}
# ML.ENERGY leaderboard, steady chat: batch limit, W per GPU, ms per token.
ML_ENERGY = {
    "llama-3.1-8b": ((8, 486, 7.3), (32, 560, 8.9), (128, 669, 16.5), (512, 688, 47.4)),
    "llama-3.1-70b": ((8, 441, 16.6), (32, 449, 20.0), (128, 546, 27.9), (512, 623, 73.9)),
}


def points(data: Path) -> dict[tuple[str, str, int], Floats]:
    """Rows (n, B, K, Q, seconds) by model, GPU and tensor parallelism."""
    found: dict[tuple[str, str, int], list[tuple[float, ...]]] = {}
    with (data / TABLE).open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            size = "70B" if "70B" in row["model"] else "8B"
            key = (MODELS[size], GPUS[row["system"]], int(row["tp"]))
            batch, tokens, s = int(row["batch"]), int(row["tokens"]), float(row["ms"]) / 1e3
            if row["kind"] == "ctx" and batch * tokens <= 16_384:
                point = (batch * tokens, 0, 0, batch * tokens**2 / 2, s)
            elif row["kind"] == "gen" and batch <= 256 and 128 <= tokens <= 8192:
                point = (batch, batch, batch * tokens, 0, s)
            else:
                continue
            found.setdefault(key, []).append(point)
    return {key: np.array(rows) for key, rows in found.items()}


def seconds(p: Floats, x: Floats) -> Floats:
    """The kinked line and what attention adds, for rows of `points`."""
    lines = np.maximum(p[0] + p[1] * x[:, 0], p[2] + p[3] * x[:, 0])
    return np.asarray(lines + p[4] * x[:, 1] + p[5] * x[:, 2] + p[6] * x[:, 3])


class Bounds(NamedTuple):
    """Between which each coefficient lies (7,) [s]: no GPU beats its data sheet."""

    low: Floats
    high: Floats


def bounds(model: str, gpu: str, tp: int) -> Bounds:
    """Bounds by physics: bandwidth and arithmetic are those of the data sheet at best.

    Weights and KV are read no faster than memory gives them, a token costs its two FLOPs for each
    parameter, and attention its FLOPs. At worst a coefficient is MOST times the ideal; what has no
    ideal (a token where memory limits, a sequence that decodes) is at most what a token costs where
    arithmetic limits.
    """
    ideal = astuple(roofline(models()[model], gpus()[gpu], tp, None))[:7]
    base_s, _, _, token_s, _, kv_s, context_s = ideal
    low = np.array([base_s, 0.0, 0.0, token_s, 0.0, kv_s, context_s])
    most = np.array([base_s, token_s, base_s, token_s, token_s, kv_s, context_s])
    return Bounds(low, MOST * most)


def fit(x: Floats, within: Bounds) -> tuple[Floats, Floats]:
    """The seven coefficients [s] and the relative errors (point,): the best of STARTS fits.

    Starts lie on both sides of the ideal within the bounds, evenly in the logarithm. The greater of
    two lines is the same whichever comes first: the flatter one is the one that memory limits.
    """

    def error(z: Floats) -> Floats:
        return np.asarray(seconds(z * SCALE, x) / x[:, 4] - 1.0)

    low, high = within.low / SCALE, within.high / SCALE
    found = []
    for unit in qmc.Sobol(7, scramble=False).random(STARTS):
        start = np.clip(np.maximum(low, high / 1e3) * MOST**unit, low + 1e-9, high - 1e-9)
        found.append(least_squares(error, start, bounds=(low, high), loss="soft_l1", f_scale=0.03))
    best = min(found, key=lambda done: float(done.cost))
    return flatter_first(np.asarray(best.x * SCALE)), error(best.x)


def flatter_first(p: Floats) -> Floats:
    """The same coefficients (7,) with the line of the smaller slope first."""
    return p[[2, 3, 0, 1, 4, 5, 6]] if p[1] > p[3] else p


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    rows = []
    for (model, gpu, tp), x in sorted(points(chosen.data).items()):
        within = bounds(model, gpu, tp)
        p, error = fit(x, within)
        mape, worst = 100 * np.abs(error).mean(), 100 * np.abs(error).max()
        mfu = within.low[3] / p[3]
        if mfu < LEAST_MFU or mape > MOST_MAPE:
            print(
                f"{model} {gpu} tp{tp}: {mfu:.0%} of its FLOP/s, MAPE {mape:.1f} %: not credible, "
                "left out"
            )
            continue
        print(
            f"{model} {gpu} tp{tp}: {len(x)} points, MAPE {mape:.2f} %, worst {worst:.1f} %, "
            f"{mfu:.0%} of its FLOP/s"
        )
        source = (
            "fit to AIConfigurator 0.12's operator database by experiments/fit_iteration_time.py"
        )
        rows.append(
            (model, gpu, tp, *(f"{v:.4g}" for v in p), "0", f"{mape:.2f}", f"{worst:.1f}", source)
        )
    for gpu, (ms, beside) in RTX.items():
        p = np.array(ms) * 1e-3
        p[[0, 2]] += beside * 1e-3
        source = (
            "LLMServingSim layer profiles of vLLM 0.19, with head, sampler and decode attention"
        )
        rows.append((MODELS["8B"], gpu, 1, *(f"{v:.4g}" for v in p), "0", "", "", source))
    if chosen.write:
        with FILE.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
    for model, table in ML_ENERGY.items():
        batch, watts, ms_per_token = (np.array(c, dtype=float) for c in zip(*table, strict=True))
        rate = 1e3 * batch / ms_per_token
        slope, busy = np.polyfit(rate, watts, 1)
        left = ", ".join(f"{v:+.0f}" for v in busy + slope * rate - watts)
        print(f"power of {model}: busy {busy:.0f} W, {slope:.4g} J a token; residuals {left} W")
    print("roofline: observed over ideal, medians to be written into ROOFLINE", ROOFLINE)
    ratios: dict[str, list[float]] = {}
    for m in served_models():
        place = (models()[m.model], gpus()[m.gpu], m.tp)
        ideal, (begin_s, each_s) = roofline(*place, None), all_reduce(*place)
        beside = dict.fromkeys(("base_s", "compute_base_s"), begin_s)
        beside |= dict.fromkeys(("token_s", "compute_token_s"), each_s)
        for name in vars(ideal):
            if getattr(ideal, name) > 0.0:
                own_s = getattr(m.engine.iteration, name) - beside.get(name, 0.0)
                share = max(own_s, 0.0) / getattr(ideal, name)
                ratios.setdefault(name, []).append(share)
    for name, values in ratios.items():
        print(f"  {name}: median {np.median(values):.3f} of", " ".join(f"{v:.2f}" for v in values))
    for m in served_models():
        guess, true = roofline(models()[m.model], gpus()[m.gpu], m.tp), m.engine.iteration
        parts = [(b, guess.of(b, b, b * 1000) / true.of(b, b, b * 1000)) for b in (1, 32, 256)]
        parts.append((4096, guess.of(4096, 0, 0, 4096**2 / 2) / true.of(4096, 0, 0, 4096**2 / 2)))
        print(
            f"  {m.model} {m.gpu} tp{m.tp}: roofline / measured",
            *(f"{b}: {v:.2f}" for b, v in parts),
        )


if __name__ == "__main__":
    main()
