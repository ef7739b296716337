"""All cells of an experiment: whatever ran them, whenever it was cut off, the same bytes."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sim.results.store import SMALL, consolidate
from sim.studies.cells import Cell, Outcome, run_cell, versions
from sim.studies.executors import execute
from sim.studies.experiment import Keep
from sim.studies.plan import Plan, Row, plan

DONE: Final = "done"
FAILED: Final = "failed"
Progress = Callable[[int, int], None]


class Record(NamedTuple):
    """How a cell ended."""

    kpis: dict[str, float | None]
    error: str = ""


class Sweep(NamedTuple):
    """What `sim.sweep` returns; `sim.open_results(folder)` reads the same."""

    folder: Path
    plan: Plan
    cells: pa.Table
    reused: int

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The rows of cells that failed, with `error`."""
        rows: list[dict[str, Any]] = self.cells.to_pylist()
        return [row for row in rows if row["status"] != DONE]


def sweep(
    experiment: str | Path | Plan,
    out: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Sweep:
    """Run all cells of an experiment file.

    Args:
        experiment: the file, or what `sim.studies.plan.plan` made of it.
        out: result folder; default: runs/NAME.
        workers: local processes, one thread each; 1: this process.
        scheduler: address of a running Dask scheduler instead.
        resume: keep cells that an earlier sweep into the same folder has finished.
        progress: called with the numbers of cells ended and of all cells.

    Raises:
        ScenarioError: if the experiment is wrong.
        FileExistsError: if the folder has cells and `resume` is not said, or is something else.
        ExecutorError: if the cluster cannot be reached.
    """
    planned = experiment if isinstance(experiment, Plan) else plan(experiment)
    folder = Path(out) if out is not None else Path("runs") / planned.name
    open_folder(folder, "sweep", resume=resume)
    _write_manifest(folder, planned, "unfinished", {})
    scenarios = {"sha256": list(planned.resolved), "resolved": list(planned.resolved.values())}
    write_table(pa.table(scenarios), folder / "scenarios.parquet")
    cells = [row.cell for row in planned.rows]
    records, reused = run_cells(
        cells, folder, planned.experiment.keep, workers, scheduler, resume, progress
    )
    table = cells_table(planned.rows, records)
    write_table(table, folder / "cells.parquet")
    consolidate(folder)
    failed = sum(1 for record in records.values() if record.error)
    _write_manifest(folder, planned, FAILED if failed else "complete", {"failed": failed})
    return Sweep(folder, planned, table, reused)


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    keep: Keep = "small",
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[dict[str, Record], int]:
    """Run cells into `folder/cells/KEY`; how each ended by key, and how many were there already."""
    distinct = {cell.key: cell for cell in cells}
    records: dict[str, Record] = {}
    if resume:
        for key in distinct:
            found = finished(folder / "cells" / key, keep)
            if found is not None:
                records[key] = found
    reused = len(records)
    shutil.rmtree(folder / "failures", ignore_errors=True)
    waiting = [cell for key, cell in distinct.items() if key not in records]
    if progress is not None:
        progress(reused, len(distinct))
    for cell, outcome, error in execute(_TASKS[keep], waiting, workers, scheduler):
        ended = outcome if outcome is not None else Outcome({}, {}, error, error)
        _write_cell(folder, cell.key, ended)
        records[cell.key] = Record(ended.kpis, ended.error)
        if progress is not None:
            progress(len(records), len(distinct))
    return records, reused


# Importable functions of one argument, as other processes need them.


def _kpis(cell: Cell) -> Outcome:
    return run_cell(cell, "kpis")


def _small(cell: Cell) -> Outcome:
    return run_cell(cell, "small")


def _tables(cell: Cell) -> Outcome:
    return run_cell(cell, "tables")


_TASKS: Final[dict[Keep, Callable[[Cell], Outcome]]] = {
    "kpis": _kpis,
    "small": _small,
    "tables": _tables,
}
_WITNESS: Final[dict[Keep, str]] = {
    "kpis": "kpis.json",
    "small": "fleet.parquet",
    "tables": "sites.parquet",
}


def finished(folder: Path, keep: Keep = "kpis") -> Record | None:
    """What a finished cell found; None if there is none, or other versions or fewer tables."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        kpis = json.loads((folder / "kpis.json").read_bytes())
    except (OSError, ValueError):
        return None
    whole = manifest.get("status") == "complete" and manifest.get("versions") == versions()
    return Record(kpis) if whole and (folder / _WITNESS[keep]).is_file() else None


def cells_table(rows: Sequence[Row], records: dict[str, Record]) -> pa.Table:
    """cells.parquet: a row for each cell of the experiment, in its order.

    Columns: key, one for each axis (level) or key of the design (value), policy, seed, status,
    error, scenario_sha256, and one for each KPI (null where it has no meaning).
    """
    ended = [records[row.cell.key] for row in rows]
    names = list(dict.fromkeys(name for record in ended for name in record.kpis))
    columns: dict[str, Any] = {
        "key": [row.cell.key for row in rows],
        **{name: [row.levels[name] for row in rows] for name in (rows[0].levels if rows else ())},
        "policy": [row.policy for row in rows],
        "seed": pa.array([row.cell.seed for row in rows], pa.int64()),
        "status": [FAILED if record.error else DONE for record in ended],
        "error": pa.array([record.error or None for record in ended], pa.string()),
        "scenario_sha256": [row.cell.source.sha256 for row in rows],
    }
    for name in names:
        columns[name] = pa.array([record.kpis.get(name) for record in ended], pa.float64())
    return pa.table(columns)


def write_table(table: pa.Table, file: Path) -> None:
    """Write a Parquet file whole or not at all."""
    draft = file.with_name(f".{file.name}")
    pq.write_table(table, draft, compression="zstd")
    os.replace(draft, file)


def write_text(file: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    draft = file.with_name(f".{file.name}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, file)


def _write_cell(folder: Path, key: str, outcome: Outcome) -> None:
    """A cell's folder appears whole, or not at all; of a failed one, only the traceback."""
    if outcome.error:
        (folder / "failures").mkdir(parents=True, exist_ok=True)
        write_text(folder / "failures" / f"{key}.txt", outcome.trace + "\n")
        return
    target = folder / "cells" / key
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".cell-", dir=folder))
    try:
        draft.chmod(0o755)
        for name, content in outcome.files.items():
            (draft / name).write_bytes(content)
        if target.exists():
            shutil.rmtree(target)
        os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def open_folder(folder: Path, kind: str, *, resume: bool = False, replace: bool = False) -> None:
    """Begin in a new folder, or go on in, or replace, one of the same kind.

    Raises FileExistsError where that would touch anything else.
    """
    if folder.exists() and any(folder.iterdir()):
        manifest = folder / "manifest.json"
        ours = manifest.is_file() and json.loads(manifest.read_text()).get("kind") == kind
        if not ours:
            raise FileExistsError(f"{folder} exists and is not the folder of a {kind}")
        if replace:
            shutil.rmtree(folder)
        elif not resume:
            there = len(_folders(folder / "cells"))
            what = f"{folder} has {there} cells already: say --resume, or another --out"
            raise FileExistsError(what)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = {"kind": kind, "status": "unfinished"}
    write_text(folder / "manifest.json", json.dumps(unfinished) + "\n")
    for draft in folder.glob(".cell-*"):  # of a sweep that was killed
        shutil.rmtree(draft, ignore_errors=True)
    for table in SMALL:  # put together from the cells at the end
        (folder / f"{table}.parquet").unlink(missing_ok=True)


def _folders(folder: Path) -> list[Path]:
    return [f for f in folder.iterdir() if f.is_dir()] if folder.is_dir() else []


def _write_manifest(folder: Path, planned: Plan, status: str, counts: dict[str, int]) -> None:
    content = {
        "kind": "sweep",
        "status": status,
        "name": planned.name,
        "experiment": planned.experiment.model_dump(mode="json"),
        "factors": planned.experiment.factors,
        "rows": len(planned.rows),
        "cells": planned.cells,
        "scenarios": len(planned.resolved),
        **counts,
        "versions": versions(),
    }
    write_text(folder / "manifest.json", json.dumps(content, indent=2, default=str) + "\n")
