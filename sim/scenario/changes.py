"""Changes of single values on top of a scenario's files: `--set`, axes of sweeps, `sim.load`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_origin

from pydantic import BaseModel

from sim.scenario.problems import Problem, models_in, shown, suggest
from sim.scenario.quantity import kinds
from sim.scenario.scenario import ScenarioFile
from sim.scenario.sheets import SHEETS, Sheets, override_cell

SAID: Final = "--set"
TOLD: Final = "series"  # an additional series has no effect by itself, which is reported elsewhere


def override(
    tables: dict[str, Any], sheets: Sheets, changes: Mapping[str, Any], problems: list[Problem]
) -> None:
    """Apply `changes` by key to `tables` as parsed from TOML, or to the sheet that a key names.

    A name in a table of names (zones, programmes, demand charges, …) must exist already: a new name
    would add an entry, and is most often a typing error.
    """
    for key, value in changes.items():
        parts = key.split(".")
        if parts[0] in SHEETS:
            problems += override_cell(sheets, key, value)
            continue
        if strange := _strange_name(tables, parts):
            problems.append(strange)
            continue
        table = tables
        for part in parts[:-1]:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                problems.append(Problem(SAID, key, shown(value), f"{part!r} is not a table"))
                break
            table = inner
        else:
            table[parts[-1]] = value


def _strange_name(tables: dict[str, Any], parts: Sequence[str]) -> Problem | None:
    """The problem of a key that adds a name to a table of names."""
    models: list[type[BaseModel]] = [ScenarioFile]
    table: Any = tables
    at = 0
    while at < len(parts) - 1 and parts[0] != TOLD:
        fields = [
            field
            for model in models
            for name, field in model.model_fields.items()
            if parts[at] in (name, field.alias)
        ]
        models = [m for field in fields for m in models_in(field.annotation)]
        table = table.get(parts[at], {})
        if not isinstance(table, dict):
            return None  # reported where it is created or read
        at += 1
        if any(get_origin(kind) is dict for f in fields for kind in kinds(f.annotation)):
            named = ".".join(parts[: at + 1])
            if parts[at] not in table:
                what = f"there is no {named}; {suggest(parts[at], table)}"
                what = f"{what}; a new one belongs into the scenario's own file"
                return Problem(SAID, ".".join(parts), "", what)
            table = table[parts[at]]
            at += 1
    return None
