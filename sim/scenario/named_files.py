"""Files that a scenario refers to: series, traces, engines and the grid case."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.scenario.quantity import MAX_TEXT


def nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides from `--set` as nested tables."""
    tables: dict[str, Any] = {}
    for key, value in overrides.items():
        *outer, last = key.split(".")
        table = tables
        for part in outer:
            inner = table.setdefault(part, {})
            table = inner if isinstance(inner, dict) else {}
        table[last] = value
    return tables


def real_paths(folder: Path, files: Iterable[str]) -> frozenset[str]:
    """Real paths of files, with links resolved."""
    return frozenset(os.path.realpath(folder / file) for file in files)


def _namers(tables: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The tables that name a file of the scenario, each with the key that names it."""
    demand = tables.get("demand")
    traces = demand.get("traces") if isinstance(demand, dict) else None
    found = (tables.get("series"), tables.get("engines"), traces)
    holders = [holder for holder in found if isinstance(holder, dict)]
    named = [(spec, "file") for holder in holders for spec in holder.values()]
    for spec, key in [*named, (tables.get("grid"), "case")]:
        if isinstance(spec, dict) and isinstance(spec.get(key), str):
            if not spec[key].startswith("{data_dir}"):
                yield spec, key


def files_named(tables: dict[str, Any]) -> Iterator[str]:
    """Files that a scenario names outside the data folder."""
    for spec, key in _namers(tables):
        if "\0" not in spec[key] and len(spec[key]) <= MAX_TEXT:
            yield spec[key]


def rebase(tables: dict[str, Any], origin: Path, folder: Path) -> None:
    """Rewrite paths of the base's own files relative to the folder that builds on it."""
    for spec, key in _namers(tables):
        file = origin / spec[key]
        try:
            spec[key] = os.path.relpath(file, folder)
        except ValueError:  # on another Windows drive, with no relative path
            spec[key] = str(file.absolute())
