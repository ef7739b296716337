"""Creates a new scenario from a template, another scenario, or a planner's sheets.

The files are loaded before they are put in place, so that a folder that exists can be run.
"""

import csv
import io
import json
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple

from sim.scenario.assumptions import assumptions
from sim.scenario.cells import column_of, rows_of, title
from sim.scenario.filling import PROFILE, Cells, filled
from sim.scenario.load import TOML, load
from sim.scenario.named_files import files_named
from sim.scenario.paths import no_folder_name, reaches_out
from sim.scenario.problems import Problem, ScenarioError, shown, suggest
from sim.scenario.sheets import SHEETS, WORKBOOKS, Sheets, placed
from sim.scenario.shipped import scenario_folder
from sim.scenario.spreadsheet import Grid, SpreadsheetError, read_csv, read_workbook
from sim.scenario.toml import TomlError, read_toml
from sim.text import visible

TEMPLATES: Final = {
    "two-sites": "Two sites on a volatile market, Bitcoin machines beside GPU nodes",
    "hosted": "Bitcoin machines at two hosts, for an all-in price",
    "hybrid": "One site that mines, rents out GPU nodes and serves tokens",
}
MADE: Final = "Made by `hashwatt new`"
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
NEEDS_DATA: Final = "needs recorded data to run"


class Started(NamedTuple):
    """A folder that was written: its files, assumptions and warnings."""

    folder: Path
    files: tuple[str, ...]
    filled: tuple[Problem, ...]  # values that the source lacked
    assumed: tuple[Problem, ...]  # other assumptions
    warnings: tuple[Problem, ...]


Texts = dict[str, str | bytes]  # by path within the folder


def start(
    folder: Path, source: Path | None = None, template: str = "two-sites", *, force: bool = False
) -> Started:
    """Write a scenario folder that runs.

    `source` is a scenario, which is copied with its bases, or sites.csv or a workbook with a
    worksheet per sheet, whose missing values are filled in; without a source the template is
    written. `force` overwrites the files of a folder made by this command, and no other file.

    Raises:
        ScenarioError: for an invalid name, a source that cannot be used, or an existing folder
            in the way.
        OSError: when the folder cannot be written.
    """
    _allowed(folder)
    lacking: list[Problem] = []
    noted: list[Problem] = []
    rows: Sheets = {}
    if source is None:
        texts = _of_template(folder.name, template)
    elif source.is_dir() or source.name == TOML:
        texts = _of_scenario(source if source.is_dir() else source.parent)
    else:
        rows = _rows(source, noted)
        texts = _of_sheets(folder.name, source, rows, lacking)
    _in_the_way(folder, texts, force)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
        draft = Path(scratch) / folder.name
        for name, text in texts.items():
            file = draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        try:
            more, warnings = _tried(draft)
        except ScenarioError as error:
            found = [placed(p, rows) for p in error.problems]
            raise ScenarioError(error.path, found, error.warnings) from None
        told = {(found.file, found.where.partition(",")[0]) for found in lacking}
        assumed = [m for m in more if m.value or (m.file, m.where) not in told]
        if not folder.exists():
            os.replace(draft, folder)
        else:
            for name in texts:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(draft / name, folder / name)
    return Started(folder, tuple(texts), tuple(lacking), tuple(assumed), (*noted, *warnings))


def _allowed(folder: Path) -> None:
    refusal = no_folder_name(folder.name)
    if not refusal and folder.name.startswith("-"):
        refusal = "must not begin with -: commands take it for an option"
    if not refusal and folder.suffix.lower() == ".toml":
        refusal = "must not end in .toml: that is the name of an experiment"
    if refusal:
        raise ScenarioError(str(folder), [Problem("NAME", "", shown(folder.name), refusal)])
    if not folder.absolute().parent.is_dir():
        what = f"there is no folder {str(folder.parent)!r} to put it in; make it first"
        raise ScenarioError(str(folder), [Problem("NAME", "", shown(str(folder)), what)])


def _in_the_way(folder: Path, texts: Mapping[str, Any], force: bool) -> None:
    """Refuse to replace files that this command did not make."""
    if not os.path.lexists(folder):
        return
    made = False
    if folder.is_dir() and not folder.is_symlink() and (folder / TOML).is_file():
        made = MADE.encode() in (folder / TOML).read_bytes()[:2000]
    if not made:
        what = "exists, and is no scenario that `hashwatt new` made; choose another name"
    elif not force:
        what = "exists; choose another name, or say --force to write its files anew"
    else:
        there = [f for f in folder.iterdir() if f.name not in texts]
        left = sorted(
            f.name
            for f in there
            if f.suffix.lower() in WORKBOOKS
            or (f.suffix.lower() == ".csv" and title(f.stem) in SHEETS)
        )
        what = f"holds {', '.join(left)}, which would stay and count; move it away" if left else ""
    if what:
        raise ScenarioError(str(folder), [Problem("NAME", "", shown(str(folder)), what)])


def _tried(draft: Path) -> tuple[list[Problem], list[Problem]]:
    """Load the draft before it is put in place; return its assumptions and warnings."""
    try:
        scenario = load(draft)
    except ScenarioError as error:
        if all(p.where == "data_dir" for p in error.problems):
            asked = [p._replace(message=f"{NEEDS_DATA}: {p.message}") for p in error.problems]
            return [], [*error.warnings, *asked]
        raise ScenarioError(draft.name, error.problems, error.warnings) from None
    return assumptions(scenario, draft), list(scenario.warnings)


def _of_template(name: str, template: str) -> Texts:
    room = files("sim.scenario.templates") / template
    tables = (room / "tables.toml").read_text(encoding="utf-8")
    about = TEMPLATES[template]
    texts: Texts = {TOML: _toml(name, about, tables, market="profile" in tables)}
    for sheet in SHEETS:
        if (room / f"{sheet}.csv").is_file():
            texts[f"{sheet}.csv"] = (room / f"{sheet}.csv").read_text(encoding="utf-8")
    return texts


def _toml(name: str, about: str, tables: str, *, market: bool) -> str:
    room = files("sim.scenario.templates")
    if market:
        market_text = (room / "market.toml").read_text(encoding="utf-8")
        tables = Template(market_text).substitute(name=shlex.quote(name)) + tables
    common = Template((room / "common.toml").read_text(encoding="utf-8"))
    return common.substitute(
        title=f"{name}: {about}", name=shlex.quote(name), description=_quoted(about), tables=tables
    )


def _quoted(text: str) -> str:
    """The text as a TOML string."""
    return json.dumps(text, ensure_ascii=False)


def _of_sheets(name: str, source: Path, rows: Sheets, lacking: list[Problem]) -> Texts:
    found = filled({sheet: [row.cells for row in of_sheet] for sheet, of_sheet in rows.items()})
    if found.problems:
        raise ScenarioError(str(source), [placed(p, rows) for p in found.problems])
    if not found.sheets["sites"]:
        what = "has no row of sites; a site is needed"
        raise ScenarioError(str(source), [Problem(source.name, "", "", what)])
    lacking += found.assumed
    tables = "".join(
        f"[prices.zones.{zone if _BARE.fullmatch(zone) else _quoted(zone)}]\n"
        f"{f'profile = {_quoted(PROFILE)}':42s}# assumed: a mean of Texas; no price was given\n"
        f"{f'utc_offset_h = {offset_h:g}':42s}# standard time of the zone's first site\n\n"
        for zone, offset_h in found.zones.items()
    )
    about = f"A fleet out of {visible(source.name)}"
    texts: Texts = {TOML: _toml(name, about, tables, market=bool(found.zones))}
    for sheet in SHEETS:
        if found.sheets.get(sheet):
            texts[f"{sheet}.csv"] = _csv(sheet, found.sheets[sheet])
    return texts


def _rows(source: Path, warnings: list[Problem]) -> Sheets:
    """The rows of a planner's file by sheet, without empty cells."""
    problems: list[Problem] = []
    grids: dict[str, tuple[str, Grid]] = {}
    try:
        if source.suffix.lower() in WORKBOOKS:
            grids = _worksheets(source, problems)
        else:
            model = SHEETS["sites"]
            grid = read_csv(source, lambda text: column_of(text, model) in model.model_fields)
            grids["sites"] = source.name, grid
    except SpreadsheetError as error:
        problems.append(Problem(source.name, error.where, "", str(error)))
    except OSError as error:
        problems.append(Problem(str(source), "", "", f"cannot be read: {error.strerror}"))
    warnings += [Problem(place, "", "", n) for place, grid in grids.values() for n in grid.notes]
    rows = {
        sheet: rows_of(place, SHEETS[sheet], grid, problems, warnings)
        for sheet, (place, grid) in grids.items()
    }
    if problems:
        raise ScenarioError(str(source), problems)
    return rows


def _worksheets(source: Path, problems: list[Problem]) -> dict[str, tuple[str, Grid]]:
    """The worksheets of a workbook, each with its place; a single one holds the sites."""
    book = {name: grid for name, grid in read_workbook(source).items() if grid.rows}
    lone = len(book) == 1 and title(next(iter(book))) not in SHEETS
    found: dict[str, tuple[str, Grid]] = {}
    for name, grid in book.items():
        place, sheet = f"{source.name}, worksheet {name}", "sites" if lone else title(name)
        if sheet not in SHEETS:
            what = f"is no sheet of a scenario; {suggest(sheet, SHEETS)}, or take it out"
            problems.append(Problem(place, "", "", what))
        elif sheet in found:
            what = f"stands beside {found[sheet][0]}; keep one of them"
            problems.append(Problem(place, "", "", what))
        else:
            found[sheet] = place, grid
    return found


def _csv(sheet: str, rows: Sequence[Cells]) -> str:
    columns = [c for c in SHEETS[sheet].model_fields if any(c in row for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _of_scenario(folder: Path) -> Texts:
    """A copy of a scenario; its base is copied into its folder `base`."""
    load_error = _unloadable(folder)
    if load_error is not None:
        raise load_error
    texts = _copied(folder, "")
    own = str(texts[TOML])
    texts[TOML] = (
        f"# {MADE} as a copy of {folder.resolve().name}; everything is yours to change.\n{own}"
    )
    return texts


def _unloadable(folder: Path) -> ScenarioError | None:
    try:
        load(folder)
    except ScenarioError as error:
        if any(p.where != "data_dir" for p in error.problems):
            return error
    return None


def _copied(folder: Path, into: str) -> Texts:
    try:
        tables = read_toml(folder / TOML)
    except TomlError as error:
        raise ScenarioError(str(folder), [Problem(TOML, "", "", f"is not TOML: {error}")]) from None
    text = (folder / TOML).read_text(encoding="utf-8-sig")
    texts: Texts = {}
    base = tables.get("base")
    if isinstance(base, str):
        text, count = re.subn(r'(?m)^base\s*=\s*(["\']).*?\1', 'base = "base"', text, count=1)
        if not count:
            what = 'cannot be found as a line of its own; write base = "…"'
            raise ScenarioError(str(folder), [Problem(TOML, "base", shown(base), what)])
    texts[f"{into}{TOML}"] = text
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix.lower() in (".csv", *WORKBOOKS):
            texts[into + file.name] = file.read_bytes()
    for name in files_named(tables):
        if reaches_out(name, folder / name, [folder]):
            what = f"lies outside of {folder.name}, and is not copied; put it into the folder"
            raise ScenarioError(str(folder), [Problem(TOML, "file", shown(name), what)])
        texts[into + Path(name).as_posix()] = (folder / name).read_bytes()
    if isinstance(base, str):
        texts |= _copied(scenario_folder(base, folder), f"{into}base/")
    return texts
