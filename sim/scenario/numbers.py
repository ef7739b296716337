"""Parses numbers as written in spreadsheets; ambiguous ones are refused.

By country, a point or a comma separates thousands or decimals. `1.234,5` and `12,5` have one
reading. `4.000` may be 4 or 4000 and is refused, unless the column's limits exclude one of them.
"""

import re
from collections.abc import Callable
from typing import Final

SPACES: Final = "\u0020\u00a0\u202f\u2009\u2007'’"  # thousands separators of some countries
_GROUPED: Final = re.compile(rf"([+-]?\d{{1,3}})((?:[{SPACES}]\d{{3}})+)(?:[.,](\d+))?", re.ASCII)
_ONE_MARK: Final = re.compile(r"([+-]?)(\d*)([.,])(\d+)", re.ASCII)
_MARKS: Final = re.compile(
    r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?", re.ASCII
)
_EXCEL_ERROR: Final = re.compile(
    r"#(REF!|N/A|NAME\?|VALUE!|DIV/0!|NULL!|NUM!|SPILL!|CALC!|GETTING_DATA|#+)", re.IGNORECASE
)
_BLANKS: Final = frozenset({"n/a", "na", "nan", "null", "none", "nil", "-", "–", "—", "?", "tbd"})


class NumberError(ValueError):
    """A number is ambiguous; the message lists its readings."""


def excel_error(text: str) -> bool:
    """Whether a cell holds an Excel error instead of a value."""
    return _EXCEL_ERROR.fullmatch(text) is not None


def stands_for_nothing(text: str) -> bool:
    """Whether a text is a common mark for a missing value."""
    return text.lower() in _BLANKS


def plain(text: str, unit: str, fits: Callable[[str], bool]) -> str:
    """A number in Python notation; a text that is no number is returned unchanged.

    Args:
        text: the cell, without blanks around it.
        unit: of the column; "-" and "%" may be written with a percent sign.
        fits: whether a reading is within the limits of the column.

    Raises:
        NumberError: where two readings are possible.
    """
    if text.endswith("%") and unit in ("-", "%"):
        share = plain(text[:-1].rstrip(SPACES), unit, lambda _: True)
        return _percent(share) if unit == "-" else share
    text = text.replace("\u2212", "-")
    grouped = _GROUPED.fullmatch(text)
    if grouped:
        whole = grouped[1] + "".join(c for c in grouped[2] if c.isdigit())
        return f"{whole}.{grouped[3]}" if grouped[3] else whole
    if text.count(",") + text.count(".") > 1 and _MARKS.fullmatch(text):
        decimal = "." if text.rfind(".") > text.rfind(",") else ","
        if text.count(decimal) > 1:  # 1.234.567: thousands only
            return text.replace(decimal, "")
        thousands = "," if decimal == "." else "."
        return text.replace(thousands, "").replace(decimal, ".")
    mark = _ONE_MARK.fullmatch(text)
    if not mark:
        return text
    sign, before, _, after = mark.groups()
    with_decimals = f"{sign}{before or '0'}.{after}"
    if len(after) != 3 or not 1 <= len(before) <= 3 or before.startswith("0"):
        return with_decimals
    return _one_of(text, with_decimals, f"{sign}{before}{after}", fits)


def _one_of(text: str, decimals: str, thousands: str, fits: Callable[[str], bool]) -> str:
    possible = [reading for reading in (decimals, thousands) if fits(reading)]
    if len(possible) == 1:
        return possible[0]
    raise NumberError(
        f"can be read as {float(decimals):g} or as {thousands}; "
        f"write {_unmistakable(decimals)} or {thousands}"
    )


def _unmistakable(decimals: str) -> str:
    short = decimals.rstrip("0").rstrip(".")
    return short if len(short.partition(".")[2]) != 3 else f"{short}0"


def _percent(share: str) -> str:
    try:
        return repr(round(float(share) / 100.0, 15))
    except ValueError:
        return f"{share}%"
