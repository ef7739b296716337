"""Reads spreadsheets: CSV with any delimiter and common encodings, and Excel workbooks.

This module does not know what columns mean; a table is rows of cells, each row with its number in
the file as a spreadsheet program shows it.
"""

import csv
import io
import re
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from xml.etree.ElementTree import ParseError

from sim.scenario.cell_formats import PLAIN, Shown, shown_by
from sim.text import GUESSED, decoded, unwrapped

MAX_BYTES: Final = 32_000_000  # of a file, and of a workbook when unpacked
MAX_ROWS: Final = 100_000  # of a file; some tables allow fewer
MAX_CELLS: Final = 2_000_000  # of a worksheet, up to its last non-empty cell
DELIMITERS: Final = (",", ";", "\t", "|")
ZIP: Final = b"PK\x03\x04"
OLE: Final = b"\xd0\xcf\x11\xe0"  # workbooks before 2007, and those with a password
SNIFFED_ROWS: Final = 20


class SpreadsheetError(ValueError):
    """A file is no spreadsheet or cannot be used; `where` is the cell or row, if any."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class Cell(NamedTuple):
    """A cell: its text, and its type and format in the file (CSV has none)."""

    text: str
    kind: Literal["text", "number", "date"] = "text"
    shown: Shown = PLAIN  # display by its number format


class Row(NamedTuple):
    """A non-empty row, and its number in the file, from 1."""

    number: int
    cells: tuple[Cell, ...]


class Grid(NamedTuple):
    """A table of cells from a file or worksheet; `notes` lists assumptions made."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read_csv(file: Path, known: Callable[[str], bool]) -> Grid:
    """The non-empty rows of a CSV file.

    `known` tells whether a text is a column name: the delimiter that gives most names is used. A
    line `sep=;`, as written by Excel, is obeyed.

    Raises:
        SpreadsheetError: for a file that is no text, too large, or no CSV.
        OSError: when it cannot be read.
    """
    text, notes = _decoded(_bounded(file))
    text = unwrapped(text)
    delimiter = ""
    if (told := re.match(r"sep=(.)\n", text)) is not None:
        delimiter, text = told[1], text[told.end() :]
    try:
        chosen = delimiter or max(DELIMITERS, key=lambda d: _names(text, d, known))
        rows = []
        for number, texts in enumerate(_records(text, chosen, strict=True), 1):
            if number > MAX_ROWS:
                raise SpreadsheetError(f"must be at most {MAX_ROWS:,} rows")
            cells = tuple(Cell(_clean(cell)) for cell in texts)
            if any(cell.text for cell in cells):
                rows.append(Row(number, cells))
    except csv.Error as error:
        raise SpreadsheetError(f"is not a CSV file: {error}") from None
    return Grid(tuple(rows), notes)


def _bounded(file: Path) -> bytes:
    with file.open("rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise SpreadsheetError(f"must be at most {MAX_BYTES:,} bytes")
    return raw


def _decoded(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file with line feeds as line ends, and assumptions made."""
    if raw.startswith((ZIP, OLE)):
        raise SpreadsheetError("is not a CSV file but a workbook; name it .xlsx, or save it as CSV")
    try:
        text, encoding = decoded(raw)
    except UnicodeDecodeError as error:
        raise SpreadsheetError(f"is not a CSV file: {error}") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SpreadsheetError("is not a CSV file: it holds bytes that are no text", f"line {line}")
    if encoding != GUESSED:
        return text, ()
    line = next(i for i, part in enumerate(text.split("\n"), 1) if not part.isascii())
    seen = text.split("\n")[line - 1].strip()[:60]
    note = f"is not UTF-8 and is read as Windows-1252, line {line}: {seen!r}"
    return text, (f"{note}; check accents, or save it as UTF-8",)


def _records(text: str, delimiter: str, strict: bool = False) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)


def _names(text: str, delimiter: str, known: Callable[[str], bool]) -> tuple[int, int]:
    """Number of column names in the best row, and number of cells in the first."""
    try:
        rows = [row for row in islice(_records(text, delimiter), SNIFFED_ROWS) if any(row)]
    except csv.Error:
        return 0, 0
    counts = [sum(known(_clean(cell)) for cell in row) for row in rows]
    return max(counts, default=0), len(rows[0]) if rows else 0


def _clean(text: str) -> str:
    text = unicodedata.normalize("NFC", text)  # one form of é, however it was typed
    return text.replace("\u00a0", " ").replace("\ufeff", "").strip()


def read_workbook(file: Path) -> dict[str, Grid]:
    """Worksheets of an Excel workbook (.xlsx) by name, with the values that it stores.

    Raises:
        SpreadsheetError: for a file that is no workbook or too large when unpacked, a formula
            without a stored value, struck-out text, and merged cells below the first row.
        OSError: when it cannot be read.
    """
    raw = _bounded(file)
    if raw.startswith(OLE):
        raise SpreadsheetError("is encrypted or of the old kind (.xls); save it as a plain .xlsx")
    from openpyxl import load_workbook  # takes a third of a second to import
    from openpyxl.utils.exceptions import InvalidFileException

    broken = (
        zipfile.BadZipFile, zlib.error, EOFError, ParseError, InvalidFileException,  # a bad file
        KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError,  # bad parts
        NotImplementedError, RuntimeError,  # unknown compression or encryption
    )  # fmt: skip
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            unpacked = sum(part.file_size for part in packed.infolist())
        if unpacked > MAX_BYTES:
            raise SpreadsheetError(
                f"is {unpacked:,} bytes when unpacked; must be at most {MAX_BYTES:,}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about ignored styles and extensions
            values = load_workbook(io.BytesIO(raw), data_only=True, keep_links=False)
            written = load_workbook(io.BytesIO(raw), keep_links=False)
        return {sheet.title: _grid(sheet, written[sheet.title]) for sheet in values.worksheets}
    except SpreadsheetError:
        raise
    except broken as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise SpreadsheetError(f"is not a workbook that can be read ({what})") from None


def _grid(sheet: Any, written: Any) -> Grid:
    from openpyxl.utils import get_column_letter

    size = sheet.max_row * sheet.max_column
    if size > MAX_CELLS or sheet.max_row > MAX_ROWS:
        last = f"{sheet.max_row:,} rows and {sheet.max_column:,} columns"
        raise SpreadsheetError(
            f"worksheet {sheet.title!r} reaches over {last}; delete what is empty"
        )
    rows, struck = [], []
    for number, (cells, formulas) in enumerate(
        zip(sheet.iter_rows(), written.iter_rows(), strict=True), 1
    ):
        found = tuple(_cell(a, b, sheet.title) for a, b in zip(cells, formulas, strict=True))
        if any(cell.text for cell in found):
            rows.append(Row(number, found))
        struck += [c.coordinate for c, f in zip(cells, found, strict=True) if f.text and _out(c)]
    if struck:
        more = f" and {len(struck) - 5} more" if len(struck) > 5 else ""
        where = f"worksheet {sheet.title!r}, cells {', '.join(struck[:5])}{more}"
        raise SpreadsheetError(
            "are struck out: delete them if they no longer hold, else take the line away", where
        )
    merged = [str(r) for r in sheet.merged_cells.ranges if rows and r.max_row > rows[0].number]
    merged = [r for r in merged if any(_within(r, row.number) for row in rows[1:])]
    if merged:
        where = f"worksheet {sheet.title!r}, cells {', '.join(merged[:5])}"
        raise SpreadsheetError("are merged: write the value into each cell", where)
    notes = []
    if sheet.sheet_state != "visible":
        notes.append("is hidden, and counts")
    hidden = [row.number for row in rows if sheet.row_dimensions[row.number].hidden]
    if hidden:
        some = ", ".join(map(str, hidden[:10])) + (", …" if len(hidden) > 10 else "")
        notes.append(f"rows {some} are hidden, and count; delete them if they should not")
    width = max((len(row.cells) for row in rows), default=0)
    filled = [i + 1 for i in range(width) if any(row.cells[i].text for row in rows)]
    spans = [(d.min, d.max) for d in sheet.column_dimensions.values() if d.hidden]
    unseen = [get_column_letter(i) for i in filled if any(a <= i <= b for a, b in spans)]
    if unseen:
        notes.append(f"columns {', '.join(unseen[:10])} are hidden, and count")
    return Grid(tuple(rows), tuple(notes))


def _within(cells: str, row: int) -> bool:
    numbers = [int(n) for n in re.findall(r"\d+", cells)]
    return min(numbers) <= row <= max(numbers)


def _out(cell: Any) -> bool:
    return bool(cell.has_style and cell.font.strike)


def _cell(cell: Any, formula: Any, sheet: str) -> Cell:
    value = cell.value
    if value is None:
        if formula.data_type == "f" and cell.data_type == "n":  # else it is an empty text
            raise SpreadsheetError(
                "is a formula whose value is not stored: open the workbook, save it, or write the "
                "value itself",
                f"worksheet {sheet!r}, cell {formula.coordinate}",
            )
        return Cell("")
    if isinstance(value, bool):
        return Cell("TRUE" if value else "FALSE")
    if isinstance(value, int | float):
        seen = shown_by(str(cell.number_format), (value > 0) - (value < 0))
        if seen.percent:
            return Cell(f"{round(value * 100.0, 12)!r}%", shown=seen)
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        text = repr(int(value) if whole else value)
        if seen.words == "%":  # a quoted sign does not scale the number
            return Cell(f"{text}%")
        return Cell(text, "number", seen)
    if isinstance(value, date | time | timedelta):  # workbooks have no time zones
        return Cell(value.isoformat() if not isinstance(value, timedelta) else str(value), "date")
    return Cell(_clean(str(value)))
