"""What an Excel number format shows besides the digits: a unit, a currency, another magnitude.

The file stores `1500`, the planner sees `1,500 kW`, and means what is shown. Grammar of
formats: ECMA-376 part 1, 18.8.31 (sections for positive, negative, zero and text; literals in
quotes, behind a backslash or in [$…]; commas behind the digits divide by 1,000).
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

PIECES: Final = frozenset({"machines", "nodes", "gpus", "persons"})  # units of counts
COUNTED: Final = frozenset({
    "pc", "pcs", "piece", "pieces", "st", "stk", "stk.", "stück", "unit", "units", "x", "no",
    "nos", "ea", "machine", "machines", "miner", "miners", "asic", "asics", "node", "nodes",
    "server", "servers", "gpu", "gpus", "person", "persons", "people",
})  # fmt: skip
# Spellings of column units; other units are compared letter by letter.
SAME: Final = {
    "°c": "c", "°": "deg", "hours": "h", "hrs": "h", "hr": "h", "years": "y", "yrs": "y",
    "yr": "y", "a": "y", "usd": "usd", "dollars": "usd", "pu": "p.u.",
}  # fmt: skip
_TOKEN: Final = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|.', re.DOTALL)
_PARTS: Final = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[\$(?P<money>[^\]-]*)(?:-[^\]]*)?\]'
    r"|\[(?P<rule>[^\]]*)\]|[_*].|(?P<other>.)",
    re.DOTALL,
)
_MARKS: Final = " \u00a0-+()'’:/,.?#0@–—"  # signs, separators and blanks, which are no unit


class Shown(NamedTuple):
    """How a format displays a stored number."""

    words: str = ""  # text besides the digits
    divided_by: int = 1
    digits: bool = True  # False: the format hides the number
    percent: bool = False  # shown times 100, with a percent sign
    width: int = 0  # of 007; 0 for a number that is not padded


PLAIN: Final = Shown()


@lru_cache(maxsize=4096)
def shown_by(number_format: str, sign: int) -> Shown:
    """How a format displays a positive (1), negative (-1) or zero (0) number.

    A zero displayed as nothing or as a dash is still a zero.
    """
    if number_format in ("General", "@", ""):
        return PLAIN
    sections = [""]
    for token in _TOKEN.findall(number_format):
        if token == ";":
            sections.append("")
        else:
            sections[-1] += token
    conditions = any(re.search(r"\[[<>=]", section) for section in sections)
    chosen = {1: 0, -1: 1, 0: 2}[sign]
    if not conditions:
        sections = [sections[chosen] if chosen < min(len(sections), 3) else sections[0]]
    parts = [_section(section) for section in sections]
    words = " ".join(dict.fromkeys(p.words for p in parts if p.words))
    return Shown(
        words,
        max(p.divided_by for p in parts),
        sign == 0 or all(p.digits for p in parts),
        any(p.percent for p in parts),
        max(p.width for p in parts),
    )


def _section(section: str) -> Shown:
    if section.strip() in ("General", "@"):
        return PLAIN
    words, digits, percent = "", "", False
    for part in _PARTS.finditer(section):
        if part["rule"] is not None:
            continue
        other = part["other"]
        if other is not None and other in "0#?.,@":
            digits += other
        elif other is not None and other in "Ee":
            digits += "E"
        elif other == "%":
            percent = True
        else:
            words += next(x for x in (part["quoted"], part["escaped"], part["money"], other, "")
                          if x is not None)  # fmt: skip
    divided = re.search(r"[0#?](,+)(?:[.E]|$)", digits)
    return Shown(
        " ".join(words.strip(_MARKS).split()),
        1000 ** len(divided[1]) if divided else 1,
        "General" in section or any(c in digits for c in "0#?@"),
        percent,
        len(digits) if re.fullmatch("00+", digits) else 0,
    )


def trouble(shown: Shown, unit: str | None) -> str:
    """Why a stored number cannot be taken as meant; "" if it can. `unit` is None for a text."""
    if not shown.digits:
        instead = f"{shown.words!r} in its place" if shown.words else "nothing"
        return f"is stored, but its number format shows {instead}: write what is meant"
    if shown.divided_by > 1:
        return (
            f"is stored, but its number format shows it divided by {shown.divided_by:,}: write "
            f"what is meant{f' in {unit}' if unit else ''}, with the format General"
        )
    if shown.words and (unit is None or other_unit(shown.words, unit)):
        meant = "a text" if unit is None else unit.replace("-", "") or "a plain number"
        return (
            f"is shown with {shown.words!r} by its number format, and the column is "
            f"{meant if unit is None or not unit.replace('-', '') else f'in {unit}'}: write "
            f"{'the text itself' if unit is None else meant}, with the format General"
        )
    return ""


def other_unit(shown: str, unit: str) -> bool:
    """Whether the text of a format names another unit than the column's `unit`."""
    told = shown.casefold().replace("us$", "usd").replace("$", "usd")
    told = re.sub(r"[\s()\[\]]", "", told)
    wanted = unit.casefold().replace(" ", "")
    if wanted in PIECES and told in COUNTED | {wanted}:
        return False
    told = SAME.get(told, told)
    per = wanted.removeprefix("usd")
    return told not in (wanted, *(("usd", per, per.removeprefix("/")) if per != wanted else ()))
