"""The sheets of a scenario folder, CSV files or worksheets, as rows of texts by column.

What people save is read: any delimiter and usual encoding, titles in any case, empty rows and
columns, numbers as their country writes them. What can be read in two ways is refused.
"""

import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from sim.scenario.deals import Lease
from sim.scenario.demand import Tenant
from sim.scenario.numbers import NumberError, excel_error, plain, stands_for_nothing
from sim.scenario.paths import reaches_out
from sim.scenario.problems import Problem, shown, suggest
from sim.scenario.quantity import MAX_SHEET_ROWS, Table
from sim.scenario.rows import (
    AsicGroup,
    Battery,
    Generator,
    GpuGroup,
    GridLink,
    GridNode,
    PowerContract,
    Site,
)
from sim.scenario.spreadsheet import Cell, Grid, SpreadsheetError, read_csv

SHEETS: Final[dict[str, type[Table]]] = {
    "sites": Site,
    "asics": AsicGroup,
    "gpus": GpuGroup,
    "tenants": Tenant,
    "leases": Lease,
    "power_contracts": PowerContract,
    "batteries": Battery,
    "generators": Generator,
    "grid_nodes": GridNode,
    "grid_links": GridLink,
}
LOOK_ROWS: Final = 20  # among which the header is looked for
TABLE_SUFFIXES: Final = (
    ".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".numbers",
    ".parquet", ".gz", ".m",
)  # fmt: skip


class Row(NamedTuple):
    """A row: its texts by column, and where it stands in a file of the planner's."""

    cells: dict[str, str]
    file: str
    number: int

    @property
    def name(self) -> str:
        """What the row is called in messages and by `--set`."""
        cells = self.cells
        return cells.get("name") or cells.get("site") or cells.get("to_node") or ""


Sheets = dict[str, list[Row]]


def title(text: str) -> str:
    """A title of a column or sheet as scenarios write it: `Power limit (MW)` → power_limit_mw."""
    return re.sub(r"\W+", "_", text.casefold().replace("/", " per ")).strip("_")


def read_sheets(
    folder: Path,
    named: Collection[str],
    anywhere: bool,
    problems: list[Problem],
    warnings: list[Problem],
) -> Sheets:
    """The sheets of a folder by name.

    `named` are real paths of files of which scenario.toml makes another use; other tables that are
    no sheet are a problem or a warning. Unless `anywhere`, links must not lead out of the folder.
    """
    found: Sheets = {}
    files: dict[str, Path] = {}
    strangers = []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        problems.append(Problem(str(folder), "", "", f"cannot be read: {error.strerror}"))
        return {}
    for entry in entries:
        name, suffix = _name(entry), entry.suffix.lower()
        if entry.name.startswith((".", "~$")) or os.path.realpath(entry) in named:
            continue
        if suffix != ".csv" or name not in SHEETS:
            strangers.append(entry)
        elif not entry.is_file():
            what = "is a folder" if entry.is_dir() else "is no file"
            problems.append(Problem(entry.name, "", "", f"{what}; must be a CSV file"))
        elif name in files:
            what = f"stands beside {files[name].name}; keep one of them"
            problems.append(Problem(entry.name, "", "", what))
        elif not anywhere and (refusal := reaches_out(entry.name, entry, [folder])):
            problems.append(Problem(entry.name, "", "", refusal))
        else:
            files[name] = entry
    for name, file in files.items():
        grid = _grid(file, SHEETS[name], problems, warnings)
        if grid is not None:
            found[name] = rows_of(file.name, SHEETS[name], grid, problems, warnings)
    _unused(strangers, found, problems, warnings)
    return found


def _name(file: Path) -> str:
    return title(file.stem)


def _grid(
    file: Path, model: type[Table], problems: list[Problem], warnings: list[Problem]
) -> Grid | None:
    try:
        grid = read_csv(file, lambda text: title(text) in model.model_fields)
    except SpreadsheetError as error:
        problems.append(Problem(file.name, error.where, "", str(error)))
        return None
    except OSError as error:
        problems.append(Problem(file.name, "", "", f"cannot be read: {error.strerror}"))
        return None
    warnings += [Problem(file.name, "", "", note) for note in grid.notes]
    return grid


def _unused(
    files: Sequence[Path], found: Sheets, problems: list[Problem], warnings: list[Problem]
) -> None:
    """Tables that nothing reads: a problem where one of them is as good as a sheet's name."""
    for file in files:
        if file.suffix.lower() not in TABLE_SUFFIXES:
            continue
        meant = _meant(_name(file))
        if meant and meant not in found:
            what = f"is read by nothing; did you mean {meant}.csv? sheets are {', '.join(SHEETS)}"
            problems.append(Problem(file.name, "", "", what))
        elif meant or file.suffix.lower() != ".txt":
            what = "is read by nothing: it is no sheet, and scenario.toml does not name it"
            warnings.append(Problem(file.name, "", "", f"{what}; move or delete it"))


def _meant(name: str) -> str:
    """The sheet whose name is nearest, "" if none is near."""
    near = re.search(r"did you mean '(\w+)'", suggest(name, SHEETS))
    if near:
        return near[1]
    parts = set(name.split("_"))  # copy_of_asics, asics_1, asics_old
    return next((sheet for sheet in SHEETS if set(sheet.split("_")) <= parts), "")


def rows_of(
    file: str, model: type[Table], grid: Grid, problems: list[Problem], warnings: list[Problem]
) -> list[Row]:
    """The rows below the header of a table of cells, their numbers written plainly."""
    columns = list(model.model_fields)
    if not grid.rows:
        what = f"is empty; its first row must name columns: {', '.join(columns)}"
        problems.append(Problem(file, "", "", what))
        return []
    heads = [
        sum(title(cell.text) in model.model_fields for cell in row.cells)
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
    names = [title(cell.text) for cell in header.cells]
    while names and not names[-1]:
        names.pop()
    known = len(problems)
    for name, cell in zip(names, header.cells, strict=False):
        if name and name not in columns:
            what = f"unknown column; {suggest(name, columns)}"
            problems.append(Problem(file, f"column {cell.text!r}", "", what))
    for name in sorted({n for n in names if n and names.count(n) > 1}):
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
    """A cell's text as the models read it. Raises NumberError where it cannot be said."""
    text, kinds, unit = cell.text, _kinds(field.annotation), _unit(field)
    if excel_error(text):
        raise NumberError("is an error of Excel, not a value; mend its formula, or write the value")
    if str in kinds and unit != "UTC":
        if cell.kind == "date":
            raise NumberError("was made a date by Excel; format the column as text")
        return text
    if stands_for_nothing(text):
        raise NumberError(f"is no value; {_instead(field)}")
    if unit == "UTC":
        return f"{text}Z" if cell.kind == "date" and "T" in text else text
    if cell.kind == "date":
        raise NumberError("was made a date by Excel; format the column as numbers")
    if cell.kind == "number" or not kinds & {int, float}:
        return text
    return plain(text, unit, lambda reading: _fits(reading, field, int in kinds))


def _instead(field: FieldInfo) -> str:
    if field.is_required():
        unit = _unit(field)
        return f"one is required{f' [{unit}]' if unit else ''}"
    default = "none" if field.default is None else f"{field.default}"
    return f"leave the cell empty for the default, {default}"


def _kinds(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return {kind for argument in get_args(annotation) for kind in _kinds(argument)}
    return {annotation}


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


def placed(problem: Problem, sheets: Sheets) -> Problem:
    """A problem of a sheet as it was checked, where the row stands in the planner's own file.

    Checks count rows as in a plain CSV file, from 2; there may be empty ones, other files, a base.
    """
    rows = sheets.get(problem.file.removesuffix(".csv"), [])
    told = re.match(r"rows? (\d+(?:(?:, | and )\d+)*)", problem.where)
    if not told or not problem.file.endswith(".csv"):
        return problem
    meant = [int(n) - 2 for n in re.findall(r"\d+", told[1])]
    if not all(0 <= i < len(rows) for i in meant):
        return problem
    file = rows[meant[0]].file
    places = (
        str(rows[i].number) + (f" of {rows[i].file}" if rows[i].file != file else "") for i in meant
    )
    where = re.sub(r"\d+", lambda _: next(places), told[0])
    return problem._replace(file=file, where=where + problem.where[told.end() :])


def override_cell(sheets: Sheets, key: str, value: object) -> list[Problem]:
    """Write `value` into the cells that `SHEET.NAME.COLUMN` names; names may have dots.

    `*` is every row; of several rows of one name `NAME#2` is the second, `NAME#Antminer S21` that
    of a model, GPU or kind, and `NAME#*` all.
    """
    sheet, _, rest = key.partition(".")
    name, _, column = rest.rpartition(".")

    def problem(what: str) -> list[Problem]:
        return [Problem("--set", key, shown(value), what)]

    if not name or not column:
        return problem(f"write {sheet}.NAME.COLUMN")
    columns = SHEETS[sheet].model_fields
    if column not in columns:
        return problem(f"unknown column; {suggest(column, columns)}")
    rows = sheets[sheet]
    hits = rows if name == "*" else [row for row in rows if row.name == name]
    if not hits and "#" in name:
        name, _, which = name.rpartition("#")
        alike = [row for row in rows if row.name == name]
        hits = _chosen(alike, which)
        if alike and not hits:
            return problem(f"{_ways(sheet, name, column, alike)}, not {which!r}")
    elif len(hits) > 1 and name != "*":
        return problem(f"meets {len(hits)} rows; {_ways(sheet, name, column, hits)}")
    if not hits:
        return problem(f"no such row; {suggest(name, {row.name for row in rows})}")
    for row in hits:
        row.cells[column] = str(value)
    return []


def _chosen(rows: list[Row], which: str) -> list[Row]:
    if which == "*":
        return rows
    if which.isascii() and which.isdigit():
        return rows[int(which) - 1 : int(which)] if len(which) < 9 and int(which) else []
    found = [row for row in rows if which in _marks(row)]
    return found if len(found) == 1 else []


def _marks(row: Row) -> list[str]:
    """What tells rows of one name apart."""
    return [row.cells[c] for c in ("model", "gpu", "kind", "from_node") if c in row.cells]


def _ways(sheet: str, name: str, column: str, rows: list[Row]) -> str:
    each = ", ".join(
        f"#{i} ({', '.join([*_marks(row), f'row {row.number}'])})"
        for i, row in enumerate(rows[:12], 1)
    )
    more = f" and {len(rows) - 12} more" if len(rows) > 12 else ""
    return (
        f"name one as {sheet}.{name}#2.{column} or all as {sheet}.{name}#*.{column}; "
        f"there are {each}{more}"
    )
