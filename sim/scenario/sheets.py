"""Reads the sheets of a scenario folder, CSV files or worksheets, as rows of texts by column.

A workbook may have any name and holds one worksheet per sheet; a workbook named after a sheet may
hold that sheet under any worksheet name. No sheet may occur twice.
"""

import difflib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sim.scenario.catalogue.specs import AsicSpec, GpuSpec, ModelSpec, ServingSpec
from sim.scenario.cells import Row, column_of, rows_of, title
from sim.scenario.deals import Lease
from sim.scenario.demand import Tenant
from sim.scenario.paths import reaches_out
from sim.scenario.problems import Problem, shown, suggest
from sim.scenario.quantity import Table
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
from sim.scenario.spreadsheet import Grid, SpreadsheetError, read_csv, read_workbook

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
    "asic_models": AsicSpec,
    "gpu_models": GpuSpec,
    "models": ModelSpec,
    "serving_models": ServingSpec,
}
OWN: Final = ("asic_models", "gpu_models", "models", "serving_models")  # in the order of Own
MORE: Final = "+"  # after a sheet's name: its rows are added to those of the base
_MODELS: Final = {**SHEETS, **{f"{name}{MORE}": model for name, model in SHEETS.items()}}
WORKBOOKS: Final = (".xlsx", ".xlsm")
OTHER_WORKBOOKS: Final = (".xls", ".xlsb", ".ods", ".numbers")
TABLE_SUFFIXES: Final = (
    ".csv", ".tsv", ".tab", ".txt", *WORKBOOKS, *OTHER_WORKBOOKS, ".parquet", ".gz", ".m",
)  # fmt: skip

Sheets = dict[str, list[Row]]


class _Found(NamedTuple):
    """A table of cells that is a sheet, and its place for messages."""

    sheet: str
    file: str
    grid: Grid


def read_sheets(
    folder: Path,
    named: Collection[str],
    anywhere: bool,
    problems: list[Problem],
    warnings: list[Problem],
) -> Sheets:
    """The sheets of a folder by name; `sites+` holds rows added to those of the base.

    `named` holds real paths of files that scenario.toml uses otherwise; other tables that are no
    sheet give a problem or a warning. Unless `anywhere`, links must not lead out of the folder.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        problems.append(Problem(str(folder), "", "", f"cannot be read: {error.strerror}"))
        return {}
    tables: list[_Found] = []
    strangers: dict[str, str] = {}  # by place: names that belong to no sheet
    for entry in entries:
        name, suffix = _sheet(entry.stem), entry.suffix.lower()
        if entry.name.startswith((".", "~$")) or os.path.realpath(entry) in named:
            continue
        is_sheet = suffix == ".csv" and name in _MODELS
        if not is_sheet and (suffix not in WORKBOOKS or entry.is_dir()):
            if suffix in TABLE_SUFFIXES:
                strangers[entry.name] = name
        elif not entry.is_file():
            what = "is a folder" if entry.is_dir() else "is no file"
            problems.append(Problem(entry.name, "", "", f"{what}; must be a CSV file"))
        elif not anywhere and (refusal := reaches_out(entry.name, entry, [folder])):
            problems.append(Problem(entry.name, "", "", refusal))
        else:
            try:
                if is_sheet:
                    tables.append(_Found(name, entry.name, _csv(entry, _MODELS[name])))
                else:
                    tables += _worksheets(entry, strangers, warnings)
            except SpreadsheetError as error:
                problems.append(Problem(entry.name, error.where, "", str(error)))
            except OSError as error:
                problems.append(Problem(entry.name, "", "", f"cannot be read: {error.strerror}"))
    places: dict[str, str] = {}
    found: Sheets = {}
    for sheet, file, grid in tables:
        if sheet in places:
            what = f"stands beside {places[sheet]}; keep one of them"
            problems.append(Problem(file, "", "", what))
            continue
        places[sheet] = file
        warnings += [Problem(file, "", "", note) for note in grid.notes]
        found[sheet] = rows_of(file, _MODELS[sheet], grid, problems, warnings)
    for sheet in found.keys() & {name.removesuffix(MORE) for name in found if MORE in name}:
        what = f"stands beside {places[sheet]}, which replaces the base's rows; keep one of them"
        problems.append(Problem(places[sheet + MORE], "", "", what))
    _unused(strangers, {table.sheet for table in tables}, problems, warnings)
    return found


def _sheet(text: str) -> str:
    """Sheet name of a file or worksheet: `Grid links` → grid_links, `sites+` as is."""
    name = title(text)
    return f"{name}{MORE}" if name in SHEETS and text.rstrip().endswith(MORE) else name


def _csv(file: Path, model: type[Table]) -> Grid:
    return read_csv(file, lambda text: column_of(text, model) in model.model_fields)


def _worksheets(file: Path, strangers: dict[str, str], warnings: list[Problem]) -> Iterator[_Found]:
    """The worksheets of a workbook that are sheets; others are added to `strangers`."""
    book = read_workbook(file)
    filled = [name for name, grid in book.items() if grid.rows]
    own = _sheet(file.stem)
    only = len(filled) == 1 and own in _MODELS and _sheet(filled[0]) not in _MODELS
    for name, grid in book.items():
        place = f"{file.name}, worksheet {name}"
        sheet = own if only and name == filled[0] else _sheet(name)
        if sheet in _MODELS and grid.rows:
            yield _Found(sheet, place, grid)
        elif sheet in _MODELS:
            warnings.append(Problem(place, "", "", "is empty; fill it, or leave it out"))
        elif grid.rows:
            strangers[place] = sheet


def _unused(
    strangers: dict[str, str],
    found: Collection[str],
    problems: list[Problem],
    warnings: list[Problem],
) -> None:
    """Report unused tables: a problem where the name resembles a missing sheet, else a warning."""
    for place, name in strangers.items():
        meant = _meant(name)
        if meant and meant not in found:
            what = f"is read by nothing; did you mean {meant}{'' if ',' in place else '.csv'}?"
            problems.append(Problem(place, "", "", f"{what} sheets are {', '.join(SHEETS)}"))
        elif meant or not place.endswith(".txt"):
            what = "is read by nothing: it is no sheet, and scenario.toml does not name it"
            old = place.lower().endswith(OTHER_WORKBOOKS)
            advice = "save it as .xlsx if it holds sheets" if old else "move or delete it"
            warnings.append(Problem(place, "", "", f"{what}; {advice}"))


def _meant(name: str) -> str:
    """The sheet with the closest name, "" if none is close."""
    near = difflib.get_close_matches(name, SHEETS, n=1, cutoff=0.7)
    if near:
        return near[0]
    parts = set(name.split("_"))  # copy_of_asics, asics_1, contracts
    for sheet in SHEETS:
        whole = set(sheet.split("_"))
        if whole <= parts or (parts < whole and parts != {"grid"}):
            return sheet
    return ""


def placed(problem: Problem, sheets: Sheets) -> Problem:
    """Move a problem of a sheet to the place of its row in the planner's own file.

    Checks count rows as in a plain CSV file, from 2; the planner may have empty rows, other files
    or a base.
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
    """Write `value` into the cells addressed by `SHEET.NAME.COLUMN`; names may have dots.

    `*` selects every row. Among rows of one name, `NAME#2` selects the second, `NAME#Antminer S21`
    that of a model, GPU or kind, and `NAME#*` all.
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
    """Values that distinguish rows of one name."""
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
