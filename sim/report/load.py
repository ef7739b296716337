"""Latency of an engine against load."""

from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt
import numpy as np

from sim.report.canvas import save
from sim.serving.engine import Engine
from sim.serving.metrics import latencies, saturation_rps, scaled, serve_on
from sim.serving.traces import Trace

LOADS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1)
SHADES: Final = {50: "#9ecae1", 95: "#3182bd", 99: "#08306b"}


def draw_load(trace: Trace, engine: Engine, engines: int, title: str, file: Path) -> None:
    """Draw TTFT and TPOT percentiles against requests a second, from a tenth of saturation up."""
    most = saturation_rps(trace, engine, engines)
    own = len(trace.arrival_s) / max(float(trace.arrival_s[-1]), 1e-9)
    found: dict[str, list[list[float]]] = {"ttft_s": [], "tpot_s": []}
    for load in LOADS:
        again = scaled(trace, load * most / own)
        times = latencies(again.arrival_s, again.output_tokens, serve_on(again, engine, engines))
        for name in found:
            values = getattr(times, name)
            found[name].append([float(np.nanpercentile(values, q)) for q in SHADES])
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    rates = most * np.array(LOADS)
    names = {
        "ttft_s": ("Time to first token", 1.0, "s"),
        "tpot_s": ("Time per output token", 1e3, "ms"),
    }
    for axis, (name, (words, scale, unit)) in zip(axes, names.items(), strict=True):
        curves = np.array(found[name]) * scale
        for k, (q, colour) in enumerate(SHADES.items()):
            axis.plot(rates, curves[:, k], "o-", color=colour, markersize=3.5, label=f"p{q}")
        axis.axvline(most, color="0.6", linestyle=":", linewidth=1)
        axis.text(
            most, 0.02, "saturation ", color="0.4", fontsize=8, ha="right",
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
        axis.set(xlabel="requests / s", ylabel=f"{words} [{unit}]", xlim=(0, None))
        if name == "ttft_s":
            axis.set_yscale("log")
        else:
            axis.set_ylim(0, None)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="upper left")
    figure.suptitle(title)
    save(figure, file, 140)
    plt.close(figure)
