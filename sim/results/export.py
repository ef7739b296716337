"""Export of query results to CSV, Parquet or a workbook.

Spreadsheets evaluate text that begins like a formula. Such text is prefixed with an apostrophe,
which marks it as text; numbers stay numbers, and Parquet is left unchanged.
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
MOST_ROWS: Final = 1_048_576  # limit of a worksheet


class ExportError(ValueError):
    """The table cannot be written as requested."""


def export(table: pa.Table, file: Path, *, force: bool = False) -> None:
    """Write a table atomically, in the format of the file suffix.

    Raises:
        ExportError: for another suffix, too many rows, or a missing library.
        FileExistsError: if the file exists, unless `force`; always if it is part of a result.
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
    """The table with all text and column names escaped so that none is a formula."""
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
            return value.isoformat()  # workbooks have no time zones
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
