"""Reads a file as a table of columns: encodings, delimiters, preambles, compression, bounds."""

import bz2
import contextlib
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

import numpy as np
import numpy.typing as npt
import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from openpyxl.utils.exceptions import InvalidFileException

from sim.scenario.cell_formats import shown_by, trouble
from sim.scenario.quantity import MAX_TEXT
from sim.scenario.series.layouts import LAYOUTS, Layout, layout_named
from sim.scenario.series.recorded import SeriesError
from sim.text import decoded, repeated, unwrapped

MOST_BYTES: Final = (
    2**29
)  # assumed: a year of 5-minute prices of 1,000 nodes is 10 GB: filter first
NOTHING: Final = [
    "", "#N/A", "N/A", "NA", "NULL", "NaN", "-nan", "n/a", "n/e", "nan", "null", "-", "–",
]  # fmt: skip
LOOK_LINES: Final = 60  # assumed: a preamble is shorter
OPENERS: Final[dict[str, Callable[..., Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


class Sheet(NamedTuple):
    """Columns as stored in a file."""

    table: pa.Table
    row: npt.NDArray[np.int64]  # (row,) line number in the file, from 1
    layout: Layout | None
    units: dict[str, str]  # by column: from a row of units or number formats
    above: str = ""  # text above the header


def read_sheet(path: Path, time_column: str | None, layout: str | None) -> Sheet:
    """Read CSV (also compressed), Parquet or a workbook. Raises SeriesError with the reason.

    The header is searched among the first lines: that of `layout`, one with `time_column`, or one
    of a known layout; lines above it are a preamble.
    """
    sheet = _sheet(path, time_column, layout)
    for place, title in enumerate(sheet.table.column_names, start=1):
        if len(title) > MAX_TEXT:
            size = f"{len(title):,} letters; at most {MAX_TEXT:,} are read"
            raise SeriesError(f"column {place} has a title of {size}")
    return sheet


def _sheet(path: Path, time_column: str | None, layout: str | None) -> Sheet:
    try:
        if path.name.endswith(".parquet"):
            table = pyarrow.parquet.read_table(path)
            first = {n: str(table[n][0]) for n in table.column_names} if table.num_rows else {}
            known = _layout(list(table.column_names), layout, list(first.values()))
            return Sheet(table, np.arange(table.num_rows, dtype=np.int64) + 1, known, {})
        if path.suffix.lower() == ".xlsx":
            text, shown = _workbook(path)
            sheet = _csv(text, time_column, layout, typed=True)
            names = dict(enumerate(sheet.table.column_names))
            more = {names[i]: f"{sheet.units.get(names[i], '')} {words}"
                    for i, words in shown.items() if i in names}  # fmt: skip
            return sheet._replace(units={**sheet.units, **more})
        if path.suffix.lower() == ".xls":
            raise SeriesError("is a workbook of the old kind: save it as .xlsx or CSV")
        text = _text(_bytes(path))
        return _csv(text, time_column, layout)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise SeriesError(f"cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise SeriesError(f"is no text: byte {error.start + 1} belongs to no encoding") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise SeriesError(f"cannot be read: {error or 'it ends too early'}") from None


def _bytes(path: Path) -> bytes:
    if path.suffix.lower() == ".zip":
        return _zipped(path)
    opener = OPENERS.get(path.suffix.lower())
    with opener(path, "rb") if opener is not None else path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    return _bounded(bytes(content))


def _zipped(path: Path) -> bytes:
    """The single file of a ZIP archive, as markets publish them."""
    with zipfile.ZipFile(path) as archive:
        files = [x for x in archive.infolist() if not x.is_dir() and "__MACOSX" not in x.filename]
        if len(files) != 1:
            names = ", ".join(x.filename for x in files[:5])
            raise SeriesError(f"holds {len(files)} files ({names}): unpack the one that is meant")
        if files[0].flag_bits & 1:
            raise SeriesError("is locked by a password: unpack it")
        try:
            with archive.open(files[0]) as stream:
                content = stream.read(MOST_BYTES + 1)
        except NotImplementedError as error:
            raise SeriesError(f"cannot be read: {error}: unpack it") from None
    return _bounded(content)


def _bounded(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise SeriesError(
            f"is larger than {MOST_BYTES >> 20} MiB when it is unpacked: cut it to what is needed"
        )
    return content


def _workbook(path: Path) -> tuple[str, dict[int, str]]:
    """The sheets of a workbook as tab-separated text, and what number formats show by column.

    Sheets with the same header form one table: a year of prices often has a sheet per month.
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
    shown: dict[int, str] = {}
    for sheet in book.worksheets:
        rows = []
        for cells in sheet.iter_rows():
            rows.append("\t".join(_cell(cell.value) for cell in cells).rstrip("\t"))
            for i, cell in enumerate(cells):
                words = "" if cell.value is None else _said(cell, sheet.title)
                if words and shown.setdefault(i, words) != words:
                    raise SeriesError(
                        f"worksheet {sheet.title!r}, cell {cell.coordinate} is shown with "
                        f"{words!r} by its number format, cells above with {shown[i]!r}: "
                        "a column has one unit"
                    )
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
    return "\n".join(lines), shown


def _said(cell: Any, sheet: str) -> str:
    """Text of a cell's number format besides the digits; refused where it misleads."""
    if not cell.has_style:
        return ""
    what = "is struck out: delete it if it does not hold" if cell.font.strike else ""
    words, value = "", cell.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        seen = shown_by(str(cell.number_format), (value > 0) - (value < 0))
        words = seen.words
        what = what or trouble(seen._replace(words=""), None)
    if what:
        raise SeriesError(f"worksheet {sheet!r}, cell {cell.coordinate} = {value!r}: {what}")
    return words


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


def _csv(text: str, time_column: str | None, layout: str | None, *, typed: bool = False) -> Sheet:
    """Parse CSV text; `typed`: numbers are in Python notation, whatever the delimiter."""
    start = text.lstrip()[:2]
    if start[:1] in ("<", "{") or start == "[{":
        raise SeriesError(f"begins with {start[:1]!r}: a web page or JSON, not CSV")
    text = unwrapped(text)
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
    twice = repeated(n for n in names if n)
    if twice:
        raise SeriesError(f"column {twice[0]!r} stands there more than once")
    names = [name or f"unnamed {i + 1}" for i, name in enumerate(names)]
    skipped, units = 0, dict[str, str]()
    unit = [_bare(cell) for cell in body.split("\n", 1)[0].split(delimiter)]
    if len(unit) == len(names) and not any(re.search(r"\d", cell) for cell in unit):
        body, skipped = body.split("\n", 1)[1] if "\n" in body else "", 1  # a row of units
        units = dict(zip(names, unit, strict=True))
    first = row + 2 + skipped
    table = _table(body, names, delimiter, first, typed)
    at = np.arange(table.num_rows, dtype=np.int64)
    there = _lines(body)
    at = there if len(there) == len(at) else at  # differs if a cell has several lines
    table, at = _filled(table, at)
    above = " ".join(cell for head in heads[: max(row, 0)] for cell in head if cell)
    return Sheet(table, at + first, known, units, above)


def _table(body: str, names: list[str], delimiter: str, first: int, typed: bool) -> pa.Table:
    """Columns below a header; `first` is the line of the file at which they begin."""
    comma = not typed and delimiter != "," and _decimal_comma(body)
    texts = _two_readings(body, names) if delimiter == ";" and not comma and not typed else []
    convert = pyarrow.csv.ConvertOptions(
        decimal_point="," if comma else ".",
        null_values=NOTHING,
        column_types=dict.fromkeys(texts, pa.string()),
    )
    wrong: list[Any] = []

    def keep(row: Any) -> str:
        wrong.append(row)
        return "error"

    def read(threads: bool) -> pa.Table:
        return pyarrow.csv.read_csv(
            pa.BufferReader(body.encode()),
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, block_size=1 << 24, use_threads=threads
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, invalid_row_handler=None if threads else keep
            ),
            convert_options=convert,
        )

    with contextlib.suppress(pa.ArrowInvalid):
        return read(threads=True)
    try:
        return read(threads=False)  # row numbers need a single thread
    except pa.ArrowInvalid:
        if not wrong or wrong[0].number is None:
            raise
        row, there = wrong[0], _lines(body)
        at = int(there[row.number - 1]) if row.number <= len(there) else row.number - 1
        raise SeriesError(
            f"row {at + first} has another number of cells than the header, "
            f"{row.actual_columns} for {row.expected_columns}: {row.text[:60]!r}"
        ) from None


def _lines(body: str) -> npt.NDArray[np.int64]:
    """Indices of non-empty lines, from 0: empty lines are no rows but count in the file."""
    if "\n\n" not in body and not body.startswith("\n"):
        return np.arange(body.count("\n") + (not body.endswith("\n")), dtype=np.int64)
    return np.flatnonzero([line != "" for line in body.split("\n")])


def _filled(table: pa.Table, at: npt.NDArray[np.int64]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Drop rows with only empty cells, which spreadsheets leave at the end."""
    bare = np.ones(table.num_rows, dtype=np.bool_)
    for column in table.columns:
        if not bare.any():
            return table, at
        nothing = column.is_null()
        if pa.types.is_string(column.type):
            blank = pc.equal(pc.utf8_trim_whitespace(column), "")
            nothing = pc.or_(nothing, pc.fill_null(blank, True))
        bare &= nothing.to_numpy()
    if not bare.any():
        return table, at
    if bare.all():
        raise SeriesError("has no row")
    return table.filter(pa.array(~bare)), at[~bare]


def _delimiter(lines: list[str]) -> str:
    """The delimiter that most lines contain equally often; semicolon and tab before comma."""
    best, most = ",", 0
    for mark in (";", "\t", "|", ","):
        counts = Counter(n for line in lines if (n := line.count(mark)))
        if counts and counts.most_common(1)[0][1] > most:
            best, most = mark, counts.most_common(1)[0][1]
    return best


def _decimal_comma(body: str) -> bool:
    """Whether some number has a comma that can only be a decimal comma."""
    some = re.findall(r'(?:^|[;\t|"])\s*-?(\d*,\d+)\s*(?=$|[;\t|"])', body[:20_000], re.MULTILINE)
    return any(not re.fullmatch(r"[1-9]\d{0,2},\d{3}", number) for number in some)


def _two_readings(body: str, names: list[str]) -> list[str]:
    """Numeric columns whose points may separate thousands, as is usual with `;` as delimiter."""
    rows = [line.split(";") for line in body.split("\n", 2_000)[:2_000]]
    found = []
    for i, name in enumerate(names):
        marked = [
            x for cells in rows if len(cells) > i and "." in (x := cells[i].strip().strip('"'))
        ]
        if marked and all(re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", x) for x in marked):
            found.append(name)
    return found


def _header(
    heads: list[list[str]], time_column: str | None, layout: str | None
) -> tuple[int, Layout | None]:
    """Line of the header (-1: none) and its layout."""
    for row, cells in enumerate(heads):
        if time_column is not None and time_column in cells:
            return row, _layout(cells, layout, _below(heads, row))
    if time_column is None:
        for row, cells in enumerate(heads):
            known = _layout(cells, layout, _below(heads, row))
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


def _below(heads: list[list[str]], row: int) -> list[str]:
    """The first row below a header that holds a digit, and so no units."""
    return next((x for x in heads[row + 1 :] if any(re.search(r"\d", cell) for cell in x)), [])


def _layout(columns: list[str], name: str | None, first: list[str]) -> Layout | None:
    """The layout of a file with these columns, and these cells in its first row.

    Layouts that spell the columns identically are preferred to those that differ in blanks, marks
    or case.
    """
    cells = dict(zip(columns, first, strict=False))
    known = [x for x in LAYOUTS if name in (None, x.name)]
    spelt = [called for x in known if (called := x.spelt(columns)) is not None]
    return next(
        (
            x
            for x in (*(x for x in known if set(x.columns) <= set(columns)), *spelt)
            if re.search(x.looks, cells.get(x.columns[0], ""))
        ),
        None,
    )


def _bare(cell: str) -> str:
    return cell.strip().strip('"').strip()
