"""The table `worth` as text: USD per MWh, best first, with footnotes."""

from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Any, Final

WIDE: Final = 120  # terminal columns from which a use fits on one line
NAME: Final = 38
UNITS: Final = {
    "hashprice_usd_per_ph_day": "USD/PH/day",
    "usd_per_gpu_h": "USD/GPU-h",
    "usd_per_mtok_out": "USD/Mtoken",
    "usd_per_mwh": "USD/MWh",
}
COLUMNS: Final = {
    "revenue": "revenue_usd_per_mwh",
    "energy": "energy_usd_per_mwh",
    "other": "other_usd_per_mwh",
    "capital": "capital_usd_per_mwh",
    "tax": "tax_usd_per_mwh",
    "left": "result_usd_per_mwh",
    "k/MW-y": "result_usd_per_mw_year",
}
TITLE: Final = "what a megawatt earns: USD per MWh; left per MW-year of connection in thousand USD"
TURNS: Final = (
    "turns at (now): the price at which a use earns as much for a MW-year as the one above it; the "
    "first as the one below it"
)


def lines(rows: Sequence[dict[str, Any]], width: int = 1000) -> Iterator[str]:
    """Format the table for a terminal `width` columns wide."""
    letters = _letters(rows)
    wide = width >= WIDE
    head = "".join(f"{name:>8s}" for name in COLUMNS)
    yield TITLE if len(TITLE) <= width else TITLE.replace("; ", ";\n")
    yield f"{'':{NAME}s}{head}  turns at (now)" if wide else f"  {head}  turns at (now)"
    for row in rows:
        marks = "".join(letters[n] for n in _sentences(row))
        room = NAME - len(marks) - 1
        use = row["use"] if len(row["use"]) <= room else row["use"][: room - 1] + "…"
        name = f"{use} {marks}"
        numbers = "".join(_number(row, column) for column in COLUMNS.values())
        if wide:
            yield f"{name:{NAME}s}{numbers}  {_turning(row)}".rstrip()
        else:
            yield f"{name:{NAME}s}  {_turning(row)}".rstrip()
            yield f"  {numbers}"
    yield from _folded(TURNS, width)
    for sentence, letter in letters.items():
        yield from _folded(f"{letter}: {sentence}", width)


def _letters(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A letter for each footnote, in order of appearance."""
    sentences = dict.fromkeys(n for row in rows for n in _sentences(row))
    return dict(zip(sentences, ascii_lowercase, strict=False))


def _sentences(row: dict[str, Any]) -> list[str]:
    return str(row["notes"]).split("; ") if row["notes"] else []


def _number(row: dict[str, Any], column: str) -> str:
    value = row[column]
    if value is None:
        return f"{'-':>8s}"
    if column.endswith("_mw_year"):
        value /= 1e3
    return f"{value + 0.0:>8,.0f}" if abs(value) >= 1000.0 else f"{value + 0.0:>8.1f}"


def _turning(row: dict[str, Any]) -> str:
    if row["turns_at"] is None:
        return ""
    unit = UNITS[row["price"]]
    return f"{row['turns_at']:,.4g} ({row['price_now']:,.4g}) {unit}"


def _folded(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = "  " + word
        else:
            line = f"{line} {word}" if line else word
    yield line
