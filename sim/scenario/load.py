"""Loads a folder as a Scenario: TOML and CSV, `base`, overrides; all problems in one error."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from sim.grid.matpower import Case, CaseError, read_case
from sim.scenario.catalogue.specs import Own, ServingSpec
from sim.scenario.cells import Row
from sim.scenario.changes import override
from sim.scenario.checks import check
from sim.scenario.engines import serving_row
from sim.scenario.megawatts import counted
from sim.scenario.model import FixedPrice
from sim.scenario.named_files import files_named, nested, real_paths, rebase
from sim.scenario.paths import base_reaches_out, no_folder_name, reaches_out
from sim.scenario.problems import Problem, ScenarioError, from_validation, shown
from sim.scenario.quantity import Table
from sim.scenario.rows import MovedGroup
from sim.scenario.scenario import Scenario, ScenarioFile
from sim.scenario.series import Series, SeriesError, read_series
from sim.scenario.sheets import MORE, OWN, SHEETS, Sheets, placed, read_sheets
from sim.scenario.shipped import not_found, scenario_folder
from sim.scenario.toml import TomlError, read_toml
from sim.scenario.warnings import warnings_of
from sim.serving.traces import Trace, TraceError, read_trace

TOML: Final = "scenario.toml"
DATA_VARIABLE: Final = "HASHWATT_DATA"
GIVE_DATA: Final = f"say --set data_dir=FOLDER or set the environment variable {DATA_VARIABLE}"


class _Sources(NamedTuple):
    """Unvalidated input: nested keys, and rows with their file."""

    tables: dict[str, Any]
    sheets: Sheets
    warnings: list[Problem]
    folders: tuple[Path, ...] = ()  # the scenario's and those of its bases


class _Places(NamedTuple):
    """Folders searched for files that a scenario names, and folders where they may lie."""

    folder: Path
    data: str | None
    roots: tuple[Path, ...]
    anywhere: bool

    def find(self, name: str) -> Path:
        """The path of a file in the scenario's folder or in the data folder."""
        if name.startswith("{data_dir}"):
            return Path(name.replace("{data_dir}", str(self.data)))
        return self.folder / name

    def refusal(self, name: str) -> str:
        """Why a file may not be read; "" if allowed."""
        users_own = name.startswith("{data_dir}/") and ".." not in PureWindowsPath(name).parts
        if self.anywhere or users_own:
            return ""
        return reaches_out(name, self.find(name), self.roots)


def load(
    path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    allow_path: bool = False,
) -> Scenario:
    """Load a scenario by its folder, or by its name if it comes with hashwatt (`"tiny"`).

    `overrides` change single values: `{"horizon.days": 7, "sites.alpha.power_limit_mw": 20}`; a
    key that begins with the name of a sheet addresses a row by the site's name (`*`: every row).
    With `allow_path` the scenario may name files anywhere (see `sim.scenario.paths`).

    Raises:
        ScenarioError: with every problem found, each with file, key or row, value, and what is
            allowed.
    """
    folder = scenario_folder(path)
    if folder.name == TOML:
        folder = folder.parent
    problems: list[Problem] = []
    given_files = files_named(nested(overrides or {}))
    sources = _read(folder, problems, (), allow_path, real_paths(folder, given_files))
    given = sources.tables.get("data_dir")
    if isinstance(given, str) and not allow_path and not {"data_dir"} & set(overrides or ()):
        refusal = reaches_out(given, Path(given), sources.folders)
        if refusal:
            problems.append(Problem(TOML, "data_dir", shown(given), f"{refusal}; {GIVE_DATA}"))
    if not problems:
        override(sources.tables, sources.sheets, overrides or {}, problems)
    if problems:
        raise ScenarioError(str(path), problems, sources.warnings)
    return _assembled(str(path), folder, sources, problems, allow_path)


def assemble(
    tables: Mapping[str, Any],
    sheets: Mapping[str, Sequence[Mapping[str, Any]]],
    name: str = "scenario",
) -> Scenario:
    """Build a scenario from values instead of files: tables as in TOML, sheets as rows by name.

    Raises:
        ScenarioError: as `load`.
    """
    rows = {
        sheet: [
            Row({k: str(v) for k, v in row.items() if v is not None}, f"{sheet}.csv", number)
            for number, row in enumerate(sheets.get(sheet, ()), 2)
        ]
        for sheet in SHEETS
    }
    sources = _Sources({"name": name, **tables}, rows, [])
    return _assembled(name, Path(), sources, [], anywhere=True)


def _assembled(
    path: str, folder: Path, sources: _Sources, problems: list[Problem], anywhere: bool
) -> Scenario:
    content: dict[str, Any] = {}
    warnings = sources.warnings
    try:
        tables = ScenarioFile.model_validate(sources.tables)
        content = {name: getattr(tables, name) for name in ScenarioFile.model_fields}
    except ValidationError as error:
        problems += from_validation(error, TOML, ScenarioFile)
    broken: set[str] = set()
    own = Own(*(_validated(SHEETS[name], sources.sheets[name], []) for name in OWN))
    sheets = counted(sources.sheets, own, problems)
    for sheet, rows in sheets.items():
        known = len(problems)
        content[sheet] = _validated(SHEETS[sheet], rows, problems)
        if len(problems) > known:
            broken.add(sheet)
    if "series" in content:
        data = content["data_dir"] or os.environ.get(DATA_VARIABLE)
        roots = (*sources.folders, *([Path(data)] if data else []))
        places = _Places(folder, data, roots, anywhere)
        content |= _recorded(places, content["series"], problems, warnings)
        traces = content["demand"].traces
        content["traces"] = _traces(places, traces, problems, warnings)
        for name, spec in traces.items():
            if name in content["traces"]:
                content["recorded_sha256"][f"trace {name}"] = _digest(places.find(spec.file))
        timed = _engines(places, content["engines"], problems)
        content["serving_models"] = (*content["serving_models"], *timed)
        content |= _case(places, content["grid"].case, problems, warnings)
        if content["case"] is not None:
            case = places.find(content["grid"].case)
            content["recorded_sha256"]["grid case"] = _digest(case)
    if "horizon" in content:
        content["name"] = content["name"] or folder.resolve().name
        if refusal := no_folder_name(content["name"]):
            problems.append(Problem(TOML, "name", shown(content["name"]), refusal))
        written = Scenario.model_construct(**content)
        scenario = _with_own_prices(written)
        problems += [placed(found, sources.sheets) for found in check(scenario, broken)]
        if not problems:
            warnings += [placed(found, sources.sheets) for found in warnings_of(written)]
            return scenario.model_copy(
                update={
                    "asics": scenario.asics + _moved(scenario),
                    "warnings": tuple(dict.fromkeys(warnings)),
                }
            )
    raise ScenarioError(path, problems, warnings)


def _with_own_prices(scenario: Scenario) -> Scenario:
    """Give each site without a zone a zone of its own, at its own price.

    For a tariff with tiers the zone's price is that of the first tier.
    """
    zones, sites = dict(scenario.prices.zones), []
    for site in scenario.sites:
        if not site.price_zone:
            zone = site.name if site.name not in zones else f"{site.name} (own price)"
            zones[zone] = FixedPrice(usd_per_mwh=site.energy_usd_per_mwh, tariff=site.tariff)
            sites.append(site.model_copy(update={"price_zone": zone}))
        else:
            sites.append(site)
    prices = scenario.prices.model_copy(update={"zones": zones})
    return scenario.model_copy(update={"prices": prices, "sites": tuple(sites)})


def _moved(scenario: Scenario) -> tuple[MovedGroup, ...]:
    """Hosted ASICs as they will be at the site they move to when the contract ends."""
    return tuple(
        MovedGroup(
            **{
                **group.model_dump(),
                "site": host.move_to,
                "project": "",
                "host": name,
                "origin": row,
            }
        )
        for name, host in scenario.hosts.items()
        if host.move_to is not None
        for row, group in enumerate(scenario.asics)
        if group.site in host.sites
    )


def _read(
    folder: Path,
    problems: list[Problem],
    seen: tuple[Path, ...],
    anywhere: bool,
    used: frozenset[str],
) -> _Sources:
    """Read a folder on top of its base; `used` holds real paths of files that others name."""
    empty = _Sources({}, {sheet: [] for sheet in SHEETS}, [])
    file = folder / TOML
    if not file.is_file():
        what = not_found(folder) if not folder.is_dir() else f"no {TOML} in this folder"
        problems.append(Problem(str(folder), "", "", what))
        return empty
    if not anywhere and (refusal := reaches_out(TOML, file, [folder])):
        problems.append(Problem(TOML, "", "", refusal))
        return empty
    if folder.resolve() in seen:
        problems.append(Problem(str(file), "base", "", "the scenario is its own base"))
        return empty
    try:
        tables = read_toml(file)
    except TomlError as error:
        problems.append(Problem(TOML, "", "", f"is not TOML: {error}"))
        return empty
    base = tables.get("base")
    below = empty
    if isinstance(base, str):
        origin = scenario_folder(base, folder)
        refusal = "" if anywhere else base_reaches_out(base, origin, folder)
        if refusal:
            problems.append(Problem(TOML, "base", shown(base), refusal))
            return empty
        used |= real_paths(folder, files_named(tables))
        below = _read(origin, problems, (*seen, folder.resolve()), anywhere, used)
        rebase(below.tables, origin, folder)
    merged = _merged(below.tables, tables)
    named = used | real_paths(folder, files_named(merged))
    own = read_sheets(folder, named, anywhere, problems, below.warnings)
    sheets = dict(below.sheets)
    for name, rows in own.items():
        sheet = name.removesuffix(MORE)
        if not rows and (name != sheet or not below.sheets[sheet]):  # else it removes all rows
            what = "has a header and no row; fill it, or leave it out"
            below.warnings.append(Problem(f"{name}.csv", "", "", what))
        if name != sheet and base is None:
            what = f"adds rows to those of a base, and there is none; call it {sheet}"
            problems.append(Problem(rows[0].file if rows else name, "", "", what))
        sheets[sheet] = rows if name == sheet else below.sheets[sheet] + rows
    if not seen and not sheets["sites"] and not problems:
        problems.append(Problem("sites.csv", "", "", "is missing or has no row; a site is needed"))
    return _Sources(merged, sheets, below.warnings, (folder, *below.folders))


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, table by table; a table with another `model` replaces the old one."""
    result = dict(below)
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            other = "model" in value and value["model"] != old.get("model")
            result[key] = value if other else _merged(old, value)
        else:
            result[key] = value
    return result


def _validated(model: type[Table], rows: Sequence[Row], problems: list[Problem]) -> tuple[Any, ...]:
    result = []
    for row in rows:
        try:
            result.append(model.model_validate(row.cells))
        except ValidationError as error:
            where = f"row {row.number}{f' ({row.name})' if row.name else ''}, "
            problems += from_validation(error, row.file, model, where)
    return tuple(result)


def _recorded(
    places: _Places, specs: dict[str, Any], problems: list[Problem], warnings: list[Problem]
) -> dict[str, Any]:
    """Read the series; a missing data folder is reported once."""
    data = places.data
    recorded: dict[str, Series] = {}
    hashes: dict[str, str] = {}
    users = [name for name, spec in specs.items() if spec.file.startswith("{data_dir}")]
    if users and (not data or not Path(data).is_dir()):
        given = f"{data!r} is not a folder" if data else "no data folder is given"
        what = f"{given}; {len(users)} series need it ({', '.join(users)}): {GIVE_DATA}"
        problems.append(Problem(TOML, "data_dir", "", what))
        return {"recorded": recorded, "recorded_sha256": hashes}
    for name, spec in specs.items():
        file = places.find(spec.file)
        where = f"series.{name}"
        if refusal := places.refusal(spec.file):
            problems.append(Problem(TOML, f"{where}.file", shown(spec.file), refusal))
            continue
        if not file.is_file():
            problems.append(Problem(TOML, f"{where}.file", shown(spec.file), "no such file"))
            continue
        try:
            recorded[name] = read_series(file, spec)
            hashes[name] = _digest(file)
        except SeriesError as error:
            problems.append(Problem(TOML, f"{where} ({file.name})", "", str(error)))
    return {"recorded": recorded, "recorded_sha256": hashes}


def _traces(
    places: _Places, specs: dict[str, Any], problems: list[Problem], warnings: list[Problem]
) -> dict[str, Trace]:
    """Read the recorded request traces."""
    data = places.data
    found: dict[str, Trace] = {}
    for name, spec in specs.items():
        file, where = places.find(spec.file), f"demand.traces.{name}.file"
        if refusal := places.refusal(spec.file):
            problems.append(Problem(TOML, where, shown(spec.file), refusal))
            continue
        if not file.is_file():
            hint = "no such file" + (f"; data_dir is {data!r}" if "{data_dir}" in spec.file else "")
            problems.append(Problem(TOML, where, shown(spec.file), hint))
            continue
        try:
            found[name] = read_trace(file)
        except TraceError as error:
            problems.append(Problem(TOML, where, shown(spec.file), str(error)))
    return found


def _engines(
    places: _Places, specs: dict[str, Any], problems: list[Problem]
) -> Iterator[ServingSpec]:
    """Calibrated engines as rows of serving_models.csv."""
    for name, spec in specs.items():
        file, where = places.find(spec.file), f"engines.{name}.file"
        if refusal := places.refusal(spec.file):
            problems.append(Problem(TOML, where, shown(spec.file), refusal))
            continue
        try:
            yield serving_row(file)
        except ValueError as error:
            problems.append(Problem(TOML, where, shown(spec.file), str(error)))


def _case(
    places: _Places, name: str | None, problems: list[Problem], warnings: list[Problem]
) -> dict[str, Case | None]:
    """Read the MATPOWER case."""
    if name is None:
        return {"case": None}
    data = places.data
    file = places.find(name)
    where, given = "grid.case", shown(name)
    if refusal := places.refusal(name):
        problems.append(Problem(TOML, where, given, refusal))
        return {"case": None}
    if not file.is_file():
        hint = "no such file"
        if "{data_dir}" in name:
            hint = f"no such file: {file}" if data else f"no data folder is given; {GIVE_DATA}"
        problems.append(Problem(TOML, where, given, hint))
        return {"case": None}
    try:
        return {"case": read_case(file)}
    except CaseError as error:
        problems += [Problem(TOML, where, given, x) for x in str(error).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(TOML, where, given, f"is not a MATPOWER file: {error}"))
    return {"case": None}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
