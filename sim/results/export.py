"""The answer to a query as a file for others: CSV, Parquet, or a workbook.

Spreadsheets run a text that begins like a formula. Such texts get an apostrophe in front, which
spreadsheets take for "this is text"; numbers stay numbers, and Parquet stays as it is.
"""

import os
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sim.results.manifest import MANIFEST, ours

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
SUFFIXES: Final = (".csv", ".parquet", ".xlsx")
MOST_ROWS: Final = 1_048_576  # of a sheet of a workbook


class ExportError(ValueError):
    """A table that cannot be written as was asked."""


def export(table: pa.Table, file: Path, *, force: bool = False) -> None:
    """Write a table whole or not at all, by the end of the file's name.

    Raises:
        ExportError: for another end, too many rows, or a library that is not installed.
        FileExistsError: if the file is there, unless `force`; if it is part of a result, always.
        OSError: if it cannot be written.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ExportError(f"{file}: allowed: {', '.join(f'FILE{s}' for s in SUFFIXES)}")
    if (file.exists() or file.is_symlink()) and not force:
        raise FileExistsError(f"{file} exists: choose another name, or say --force")
    _refuse_results(file)
    if not file.parent.is_dir():
        raise ExportError(f"{file}: there is no folder {file.parent}")
    draft = file.with_name(f".{file.name}.draft")
    try:
        if file.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(harmless(table), draft)
        elif file.suffix.lower() == ".parquet":
            pq.write_table(table, draft, compression="zstd")
        else:
            _write_workbook(table, draft)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _refuse_results(file: Path) -> None:
    """Raise FileExistsError for a file that a result folder lists as its own."""
    whole = file.resolve()
    for folder in whole.parents:
        known = {MANIFEST, *ours(folder).get("files", [])}
        if len(known) > 1 and whole.relative_to(folder).as_posix() in known:
            raise FileExistsError(f"{file} is part of the result in {folder}: choose another name")


def harmless(table: pa.Table) -> pa.Table:
    """The table with every text, and every name of a column, that is no formula."""
    columns = [_as_text(column) for column in table.columns]
    return pa.table(columns, names=[_harmless(name) for name in table.column_names])


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_temporal,
             pa.types.is_decimal)  # fmt: skip
    if any(is_plain(kind) for is_plain in plain):
        return column
    texts = [None if v is None else _harmless(str(v)) for v in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _write_workbook(table: pa.Table, file: Path) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    from sim.text import visible

    if table.num_rows >= MOST_ROWS:
        raise ExportError(f"{table.num_rows:,} rows: a sheet holds {MOST_ROWS - 1:,}; write CSV")
    book = Workbook(write_only=True)
    sheet = book.create_sheet("query")
    safe = harmless(table)

    def cell(value: Any) -> Any:
        if getattr(value, "tzinfo", None) is not None:
            return value.isoformat()  # a workbook knows no time zones
        if not isinstance(value, str):
            return value
        made = WriteOnlyCell(sheet, visible(value))
        made.data_type = "s"
        return made

    sheet.append([cell(name) for name in safe.column_names])
    for row in zip(*(column.to_pylist() for column in safe.columns), strict=True):
        sheet.append([cell(value) for value in row])
    with file.open("wb") as stream:
        book.save(stream)
