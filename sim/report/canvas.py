"""Writes every picture; names in it are drawn as plain text, whatever characters they contain."""

import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter

from sim.text import visible


def month_labels(months: Sequence[date], whole: Sequence[bool]) -> list[str]:
    """Month names, with the year at its first month and a mark on months cut off by the run."""
    names = []
    for k, (month, entire) in enumerate(zip(months, whole, strict=True)):
        year = f"{month:%Y}" if k == 0 or month.month == 1 else ""
        below = " ".join(word for word in (year, "" if entire else "in part") if word)
        names.append(f"{month:%b}\n{below}")
    return names


def save(figure: Figure, file: Path, dpi: int) -> None:
    """Write a figure: `$` is literal, control characters show, missing glyphs do not warn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":  # its tick labels are formulas
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter(NullFormatter())
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(visible(text.get_text()))
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, dpi=dpi, metadata={"Software": "hashwatt"})
