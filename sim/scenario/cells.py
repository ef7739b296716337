"""Cells of a sheet in the form that the models read: column names and plain numbers.

Titles may be in any case and include their unit. Numbers may use any national notation, and are
refused where they can be read in two ways.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pydantic.fields import FieldInfo

from sim.scenario.cell_formats import trouble
from sim.scenario.numbers import NumberError, excel_error, plain, stands_for_nothing
from sim.scenario.problems import Problem, shown, suggest
from sim.scenario.quantity import MAX_SHEET_ROWS, Table, kinds
from sim.scenario.spreadsheet import Cell, Grid
from sim.text import repeated

NAMES: Final = ("name", "site", "to_node", "model", "gpu")  # columns that name a row
LOOK_ROWS: Final = 20  # first rows searched for the header


class Row(NamedTuple):
    """A row: its texts by column, and its place in the planner's file."""

    cells: dict[str, str]
    file: str
    number: int

    @property
    def name(self) -> str:
        """The name of the row in messages and for `--set`."""
        return next((self.cells[c] for c in NAMES if self.cells.get(c)), "")


def title(text: str) -> str:
    """Normalise the title of a column or sheet: `Power limit (MW)` → power_limit_mw."""
    return re.sub(r"\W+", "_", text.casefold().replace("/", " per ")).strip("_")


_WITH_UNIT: Final = re.compile(r"(.+?)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]\s*")
_DEGREES: Final = ("°", "degrees", "degree")


def column_of(text: str, model: type[Table]) -> str:
    """The column that a title means; a unit in brackets may replace the unit in the name."""
    name, told = title(text), _WITH_UNIT.fullmatch(text)
    if name in model.model_fields or told is None:
        return name
    bare, unit = title(told[1]), told[2].casefold()
    meant = [
        column
        for column, field in model.model_fields.items()
        if _unit(field).casefold() == ("deg" if unit in _DEGREES else unit)
        and (column == bare or column.startswith(f"{bare}_"))
    ]
    return meant[0] if len(meant) == 1 else name


def rows_of(
    file: str, model: type[Table], grid: Grid, problems: list[Problem], warnings: list[Problem]
) -> list[Row]:
    """The rows below the header of a table of cells, with plain numbers."""
    columns = list(model.model_fields)
    if not grid.rows:
        what = f"is empty; its first row must name columns: {', '.join(columns)}"
        problems.append(Problem(file, "", "", what))
        return []
    heads = [
        sum(column_of(cell.text, model) in model.model_fields for cell in row.cells)
        for row in grid.rows[:LOOK_ROWS]
    ]
    at = heads.index(max(heads))
    header, rows = grid.rows[at], grid.rows[at + 1 :]
    if at:
        above = ", ".join(str(row.number) for row in grid.rows[:at])
        what = f"stand above the header in row {header.number} and are left out"
        warnings.append(Problem(file, f"rows {above}", "", what))
    if len(rows) > MAX_SHEET_ROWS:
        problems.append(Problem(file, "", "", f"must be at most {MAX_SHEET_ROWS:,} rows"))
        return []
    names = [column_of(cell.text, model) for cell in header.cells]
    while names and not names[-1]:
        names.pop()
    known = len(problems)
    for name, cell in zip(names, header.cells, strict=False):
        if name and name not in columns:
            what = f"unknown column; {suggest(name, columns)}"
            problems.append(Problem(file, f"column {cell.text!r}", "", what))
    for name in sorted(repeated(n for n in names if n)):
        problems.append(Problem(file, f"column {name!r}", "", "stands there more than once"))
    if len(problems) > known:
        return []
    found = []
    for row in rows:
        cells = [cell for cell in row.cells[len(names) :] if cell.text]
        cells += [c for n, c in zip(names, row.cells, strict=False) if c.text and not n]
        if cells or len(row.cells) < len(names):
            what = f"has more or fewer cells than the {len(names)} columns of the header"
            if cells:
                what += f": {shown(cells[0].text)} stands in none of them"
            problems.append(Problem(file, f"row {row.number}", "", what))
            continue
        filled = {n: c for n, c in zip(names, row.cells, strict=False) if n and c.text}
        found.append(_row(file, row.number, model, filled, problems))
    return found


def _row(
    file: str,
    number: int,
    model: type[Table],
    cells: dict[str, Cell],
    problems: list[Problem],
) -> Row:
    row = Row({column: cell.text for column, cell in cells.items()}, file, number)
    texts = {}
    for column, cell in cells.items():
        try:
            texts[column] = _text(cell, model.model_fields[column])
        except NumberError as error:
            where = f"row {number}{f' ({row.name})' if row.name else ''}, {column}"
            problems.append(Problem(file, where, shown(cell.text), str(error)))
    return Row({**row.cells, **texts}, file, number)


def _text(cell: Cell, field: FieldInfo) -> str:
    """A cell's text as the models read it. Raises NumberError where it is ambiguous."""
    text, allowed, unit = cell.text, kinds(field.annotation), _unit(field)
    if excel_error(text):
        raise NumberError("is an error of Excel, not a value; mend its formula, or write the value")
    as_text = str in allowed and unit != "UTC"
    if seen := trouble(cell.shown, None if as_text else unit):
        raise NumberError(seen)
    if as_text:
        if cell.kind == "date":
            raise NumberError("was made a date by Excel; format the column as text")
        return text.zfill(cell.shown.width) if text.isdigit() else text
    if stands_for_nothing(text):
        raise NumberError(f"is no value; {_instead(field)}")
    if unit == "UTC":
        return f"{text}Z" if cell.kind == "date" and "T" in text else text
    if cell.kind == "date":
        raise NumberError("was made a date by Excel; format the column as numbers")
    if cell.kind == "number" or not allowed & {int, float}:
        return text
    return plain(text, unit, lambda reading: _fits(reading, field, int in allowed))


def _instead(field: FieldInfo) -> str:
    if field.is_required():
        unit = _unit(field)
        return f"one is required{f' [{unit}]' if unit else ''}"
    default = "none" if field.default is None else f"{field.default}"
    return f"leave the cell empty for the default, {default}"


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


_BOUNDS: Final[tuple[tuple[str, Callable[[float, float], bool]], ...]] = (
    ("gt", lambda x, bound: x > bound),
    ("ge", lambda x, bound: x >= bound),
    ("lt", lambda x, bound: x < bound),
    ("le", lambda x, bound: x <= bound),
)


def _fits(reading: str, field: FieldInfo, whole: bool) -> bool:
    value = float(reading)
    return (not whole or value.is_integer()) and all(
        within(value, bound)
        for limit in field.metadata
        for key, within in _BOUNDS
        if (bound := getattr(limit, key, None)) is not None
    )
