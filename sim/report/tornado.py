"""`tornado.png`: change of a KPI with each factor."""

from pathlib import Path
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure

from sim.report.canvas import save
from sim.report.summary import BLUE, GREY, ORANGE
from sim.results.kpis import unit_of

SCALES: Final = ((1e9, "billion "), (1e6, "million "), (1e3, "thousand "), (1.0, ""))


def draw_tornado(table: pa.Table, title: str, file: Path) -> None:
    """Draw bars of `sim.studies.tornado` from the base to each side, the widest on top."""
    rows = table.to_pylist()
    kpi, base = rows[0]["kpi"], rows[0]["kpi_base"]
    most = max(abs(row[side]) for row in rows for side in ("kpi_low", "kpi_base", "kpi_high"))
    scale, word = next((s for s in SCALES if most >= s[0]), SCALES[-1])
    unit = f"{word}{unit_of(kpi)}".strip()
    figure = Figure(figsize=(12, 2.2 + 0.75 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    change = rows[0]["high"] / (0.5 * (rows[0]["low"] + rows[0]["high"])) - 1.0
    reach = max(row["span"] for row in rows) / scale or 1.0
    for y, row in enumerate(reversed(rows)):
        for side, colour in (("kpi_low", ORANGE), ("kpi_high", BLUE)):
            at = (row[side] - base) / scale
            known = row["told"] is not False
            axes.barh(y, at, 0.6, base / scale, color=colour if known else GREY)
        for ends, at in (("low", y - 0.1), ("high", y + 0.1)):
            if row[f"{ends}_from"] is not None:
                reach_to = [(base + row[f"{ends}_{side}"]) / scale for side in ("from", "to")]
                axes.plot(reach_to, [at, at], color="black", linewidth=1.5)
        lower, higher = sorted((row["kpi_low"], row["kpi_high"]))
        for value, outside, left in (
            (lower, min(lower, base), True),
            (higher, max(higher, base), False),
        ):
            axes.annotate(
                f"{value / scale:,.2f}", (outside / scale, y), (-5 if left else 5, 0),
                textcoords="offset points", va="center", ha="right" if left else "left",
                fontsize=10,
            )  # fmt: skip
    axes.axvline(base / scale, color="black", linewidth=1.0)
    names = [row["factor"].removesuffix("_factor").replace("_", " ") for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), [_proper(name) for name in names], fontsize=11)
    for label, colour in ((f"factor {-change:+.0%}", ORANGE), (f"factor {change:+.0%}", BLUE)):
        axes.barh([0], [0], color=colour, label=label)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    reached = [row[side] / scale for row in rows for side in ("kpi_low", "kpi_base", "kpi_high")]
    reached += [
        (base + row[end]) / scale
        for row in rows
        for end in ("low_from", "low_to", "high_from", "high_to")
        if row[end] is not None
    ]
    axes.set_xlim(min(reached) - 0.16 * reach, max(reached) + 0.16 * reach)
    axes.set_xlabel(f"{kpi}, {unit} (line: {base / scale:,.2f} as written)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    if rows[0]["seeds"] > 1:
        title += (
            f"\nmeans of {rows[0]['seeds']} seeds; lines: 95 % paired t; grey: not told from zero"
        )
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    save(figure, file, 90)


def _proper(name: str) -> str:
    return name.replace("btc", "bitcoin").replace("gpu", "GPU")
