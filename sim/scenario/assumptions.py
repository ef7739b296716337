"""Assumptions of a scenario: comments, rows and defaults marked "assumed"."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from sim.scenario.problems import Problem, instant
from sim.scenario.quantity import Table
from sim.scenario.scenario import Scenario, ScenarioFile
from sim.scenario.sheets import SHEETS
from sim.text import decoded

TOML: Final = "scenario.toml"
_TABLE: Final = re.compile(r"\s*\[+\s*([^\[\]]+?)\s*\]+")
_ASSUMED: Final = re.compile(r"\s*([\w.-]+)\s*=\s*(.*?)\s*#\s*([^#]*\bassumed\b.*)")


def assumptions(scenario: Scenario, folder: Path, given: Collection[str] = ()) -> list[Problem]:
    """Everything assumed, each with its place, value and reason.

    Lines of scenario.toml whose comment says "assumed" (of `folder` itself, not of a base), rows of
    sheets whose `source` does, and defaults in use whose source does. `given` are keys that the
    user has set outside the file.
    """
    commented = [found for found in _commented(folder / TOML) if found.where not in given]
    said = {found.where for found in commented}
    defaults = [found for found in _defaults(scenario) if found.where not in said]
    return [*commented, *_rows(scenario), *defaults]


def _commented(file: Path) -> Iterator[Problem]:
    table = ""
    for line in decoded(file.read_bytes()).text.split("\n"):
        if (opened := _TABLE.match(line)) is not None:
            table = f"{opened[1]}."
        elif (told := _ASSUMED.match(line)) is not None:
            yield Problem(TOML, table + told[1], told[2], told[3].strip())


def _rows(s: Scenario) -> Iterator[Problem]:
    for sheet, model in SHEETS.items():
        for i, row in enumerate(getattr(s, sheet)):
            source = str(getattr(row, "source", ""))
            if type(row) is model and "assumed" in source:  # other types derive from it
                names = (
                    getattr(row, key, None) for key in ("name", "site", "to_node", "model", "gpu")
                )
                name = next(name for name in names if name)
                yield Problem(f"{sheet}.csv", f"row {i + 2} ({name})", "", source)


def _defaults(s: Scenario) -> Iterator[Problem]:
    unused = {
        "asics": ("mining", "faults.asic"),
        "gpus": ("inference", "faults.gpu"),
        "tenants": ("demand",),
    }
    left_out = [key for sheet, keys in unused.items() if not getattr(s, sheet) for key in keys]
    for name in ScenarioFile.model_fields:
        for found in _at_default(getattr(s, name), name):
            if not any(found.where.startswith(f"{key}.") for key in left_out):
                yield found
    for sheet, model in SHEETS.items():
        rows = getattr(s, sheet)
        for column, field in model.model_fields.items():
            source = _source(field)
            count = sum(getattr(row, column) == field.default for row in rows)
            if source.startswith("assumed") and count:
                what = f"the default in {count} of {len(rows)} rows: {source}"
                yield Problem(f"{sheet}.csv", f"column {column}", f"{field.default}", what)


def _at_default(value: Any, where: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _at_default(inner, f"{where}.{name}")
    elif isinstance(value, Table):
        for name, field in type(value).model_fields.items():
            inner, source = getattr(value, name), _source(field)
            if source.startswith("assumed") and inner == field.default:
                shown = instant(inner) if hasattr(inner, "astimezone") else f"{inner}"
                yield Problem(TOML, f"{where}.{name}", shown, f"the default: {source}")
            else:
                yield from _at_default(inner, f"{where}.{name}")


def _source(field: Any) -> str:
    extra = field.json_schema_extra
    return str(extra.get("source", "")) if isinstance(extra, dict) else ""
