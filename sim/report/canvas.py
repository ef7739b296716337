"""Where every picture is written: names in it stay text, whatever they contain."""

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
    """Names with the year where it begins, and a mark on months that the run cuts off."""
    names = []
    for k, (month, entire) in enumerate(zip(months, whole, strict=True)):
        year = f"{month:%Y}" if k == 0 or month.month == 1 else ""
        below = " ".join(word for word in (year, "" if entire else "in part") if word)
        names.append(f"{month:%b}\n{below}")
    return names


def save(figure: Figure, file: Path, dpi: int) -> None:
    """Write a figure. `$` begins no formula, control characters are seen, lost glyphs are quiet."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":  # whose own labels are formulas
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter(NullFormatter())
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(visible(text.get_text()))
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, dpi=dpi, metadata={"Software": "hashwatt"})
