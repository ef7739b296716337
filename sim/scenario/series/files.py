"""From a file to a table of columns: encodings, delimiters, preambles, compression, bounds."""

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import openpyxl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from openpyxl.utils.exceptions import InvalidFileException

from sim.scenario.series.layouts import LAYOUTS, Layout, layout_named
from sim.scenario.series.recorded import SeriesError
from sim.text import decoded

MOST_BYTES: Final = (
    2**29
)  # assumed: a year of 5-minute prices of 1,000 nodes is 10 GB: filter first
LOOK_LINES: Final = 60  # assumed: a preamble is shorter
OPENERS: Final[dict[str, Callable[..., Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


class Sheet(NamedTuple):
    """Columns as they stand in a file, and the row of the file that holds the first of them."""

    table: pa.Table
    first_row: int
    layout: Layout | None


def read_sheet(path: Path, time_column: str | None, layout: str | None) -> Sheet:
    """Read CSV (also compressed), Parquet or a workbook. Raises SeriesError with the reason.

    A header is looked for among the first lines: that of `layout`, one with `time_column`, or one
    of a known layout; lines before it are a preamble.
    """
    try:
        if path.name.endswith(".parquet"):
            table = pyarrow.parquet.read_table(path)
            return Sheet(table, 1, _layout(list(table.column_names), layout))
        if path.suffix.lower() == ".xlsx":
            return _csv(_workbook(path), time_column, layout)
        if path.suffix.lower() == ".xls":
            raise SeriesError("is a workbook of the old kind: save it as .xlsx or CSV")
        text = _text(_bytes(path))
        return _csv(text, time_column, layout)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise SeriesError(f"cannot be read: {error}") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError) as error:
        raise SeriesError(f"cannot be read: {error or 'it ends too early'}") from None


def _bytes(path: Path) -> bytes:
    opener = OPENERS.get(path.suffix.lower())
    with opener(path, "rb") if opener is not None else path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SeriesError(
            f"is larger than {MOST_BYTES >> 20} MiB when it is unpacked: cut it to what is needed"
        )
    return bytes(content)


def _workbook(path: Path) -> str:
    """The sheets of a workbook as text with tabs; sheets of one header are one table.

    A year of a market's prices often has a sheet for each month.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MOST_BYTES:
                raise SeriesError(
                    f"is larger than {MOST_BYTES >> 20} MiB when it is unpacked: cut it"
                )
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, SyntaxError, InvalidFileException):
        raise SeriesError("is not a workbook (.xlsx), or a damaged one") from None
    lines: list[str] = []
    titles: list[str] = []
    for sheet in book.worksheets:
        rows = ["\t".join(_cell(cell) for cell in row) for row in sheet.iter_rows(values_only=True)]
        rows = [row.rstrip("\t") for row in rows]
        if not any(rows):
            continue
        titles.append(sheet.title)
        if lines and rows[0] != lines[0]:
            raise SeriesError(
                f"sheets {titles[0]!r} and {sheet.title!r} have other columns: leave one in the "
                "file, or save it as CSV"
            )
        lines += rows[1:] if lines else rows
    book.close()
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, bool) or value is None:
        return {None: "", True: "true", False: "false"}[value]
    text = repr(value) if isinstance(value, float) else str(value)
    return text.replace("\t", " ").replace("\n", " ").replace("\r", " ")


def _text(content: bytes) -> str:
    text = decoded(content).text
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SeriesError(f"row {line} holds a NUL byte: this is no text")
    return text


def _csv(text: str, time_column: str | None, layout: str | None) -> Sheet:
    lines = text.split("\n", LOOK_LINES)[:LOOK_LINES]
    delimiter = _delimiter(lines)
    heads = [[_bare(cell) for cell in line.split(delimiter)] for line in lines]
    row, known = _header(heads, time_column, layout)
    names = heads[row] if row >= 0 else list(known.names if known else ())
    if row < 0:
        names = names[: len(heads[0])]
    body = text.split("\n", row + 1)[row + 1] if text.count("\n") > row else ""
    if not body.strip():
        raise SeriesError("has no row")
    twice = [name for name, count in Counter(n for n in names if n).items() if count > 1]
    if twice:
        raise SeriesError(f"column {twice[0]!r} stands there more than once")
    names = [name or f"unnamed {i + 1}" for i, name in enumerate(names)]
    skipped = 0
    unit = [_bare(cell) for cell in body.split("\n", 1)[0].split(delimiter)]
    if len(unit) == len(names) and not any(re.search(r"\d", cell) for cell in unit):
        body, skipped = body.split("\n", 1)[1] if "\n" in body else "", 1  # a row of units
    table = pyarrow.csv.read_csv(
        pa.BufferReader(body.encode()),
        read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=1 << 24),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(
            decimal_point="," if _decimal_comma(body, delimiter) else "."
        ),
    )
    return Sheet(table, row + 2 + skipped, known)


def _delimiter(lines: list[str]) -> str:
    """The one that most lines hold equally often; a semicolon or tab goes before a comma."""
    best, most = ",", 0
    for mark in (";", "\t", "|", ","):
        counts = Counter(n for line in lines if (n := line.count(mark)))
        if counts and counts.most_common(1)[0][1] > most:
            best, most = mark, counts.most_common(1)[0][1]
    return best


def _decimal_comma(body: str, delimiter: str) -> bool:
    if delimiter == ",":
        return False
    some = body[:20_000]
    return bool(re.search(r'(^|[;\t|"])-?\d+,\d+($|[;\t|"])', some, re.MULTILINE))


def _header(
    heads: list[list[str]], time_column: str | None, layout: str | None
) -> tuple[int, Layout | None]:
    """Line of the header (-1: there is none) and its layout."""
    for row, cells in enumerate(heads):
        if time_column is not None and time_column in cells:
            return row, _layout(cells, layout)
    if time_column is None:
        for row, cells in enumerate(heads):
            known = _layout(cells, layout)
            if known is not None:
                return row, known
        first = heads[0]
        klines = layout_named("binance-klines")
        if len(first) in (11, 12) and all(re.fullmatch(r"[\d.]+", c) for c in first):
            return -1, klines
    if layout is not None:
        known = layout_named(layout)
        wanted = ", ".join(known.columns) if known else ""
        raise SeriesError(f"is not of layout {layout!r}, whose columns are {wanted}")
    return 0, None


def _layout(columns: list[str], name: str | None) -> Layout | None:
    return next(
        (x for x in LAYOUTS if name in (None, x.name) and set(x.columns) <= set(columns)), None
    )


def _bare(cell: str) -> str:
    return cell.strip().strip('"').strip()
