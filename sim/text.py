"""Text from files: its encoding, and how to show it to people safely."""

import codecs
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Final, NamedTuple, TypeVar

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the start of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
GUESSED: Final = "windows-1252"
LOOK_LINES: Final = 60  # the lines by which a table is judged


T = TypeVar("T", bound=Hashable)


class Decoded(NamedTuple):
    """The text of a file, its lines ended by a line feed, and the encoding it was read in."""

    text: str
    encoding: str  # `GUESSED`: assumed, since it is not UTF-8


def decoded(raw: bytes) -> Decoded:
    """Text as spreadsheets and markets save it: UTF-8, UTF-16 or UTF-32, else Windows-1252.

    Raises:
        UnicodeDecodeError: if the bytes are none of these.
    """
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "")
    head = raw[:4096]
    if not encoding:  # two-byte letters contain zeros, even without a mark
        little, big = 3 * head[1::2].count(0) > len(head), 3 * head[::2].count(0) > len(head)
        encoding = "utf-16-le" if little else "utf-16-be" if big else ""
    try:
        text = raw.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        if encoding:
            raise
        encoding = GUESSED
        text = raw.decode(encoding)
    return Decoded(text.replace("\r\n", "\n").replace("\r", "\n"), encoding or "utf-8")


def unwrapped(text: str) -> str:
    """The rows of a table in which each row is quoted as a whole, as a single cell.

    Spreadsheets save this when they have taken a CSV file for a single column, and some markets
    export it: `"2026-01-01,""a, b"",3"`. Other text is returned unchanged.
    """
    lines = text.split("\n")
    head = [line for line in lines[:LOOK_LINES] if line]
    if 2 * sum(map(_wrapped, head)) <= len(head):
        return text
    return "\n".join(
        line.strip()[1:-1].replace('""', '"') if _wrapped(line) else line for line in lines
    )


def _wrapped(line: str) -> bool:
    """Whether a line is one quoted cell that holds several."""
    bare = line.strip()
    inner = bare[1:-1].replace('""', "")
    whole = len(bare) > 2 and bare[0] == bare[-1] == '"' and '"' not in inner
    return whole and any(mark in inner for mark in ",;\t")


def visible(text: str) -> str:
    """Escape control characters, so that a terminal shows them instead of obeying them.

    Line ends, tabs and everything printable stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def repeated(values: Iterable[T]) -> list[T]:
    """Values that occur more than once, each once, in order of first occurrence."""
    return [value for value, count in Counter(values).items() if count > 1]
