"""All cells of an experiment: the same bytes on any executor, and after any interruption."""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sim.results.disk import flush_file, flush_names, flush_tree
from sim.results.folder import Folder, claim
from sim.results.manifest import DamagedError, read_kpis, read_manifest
from sim.results.provenance import provenance, sha256_of
from sim.results.store import consolidate
from sim.results.worth_spread import spread
from sim.studies import money_spread
from sim.studies.cells import Cell, Outcome, run_cell
from sim.studies.checked import CheckedExperiment, Row, check_experiment
from sim.studies.executors import execute
from sim.studies.experiment import Keep
from sim.types import OnProgress

DONE: Final = "done"
FAILED: Final = "failed"
CELL_FILES: Final = ("manifest.json", "kpis.json", "timing.json")
Draw = Callable[[pa.Table, Path], None]


class Record(NamedTuple):
    """How a cell ended."""

    kpis: dict[str, float | None]
    error: str = ""


class Sweep(NamedTuple):
    """The result of `sim.sweep`; `sim.open_results(folder)` reads the same."""

    folder: Path
    plan: CheckedExperiment
    cells: pa.Table
    reused: int
    outdated: Mapping[str, int] = MappingProxyType({})  # cells rerun, by reason
    undrawn: tuple[str, ...] = ()  # why pictures are missing

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The rows of cells that failed, with `error`."""
        rows: list[dict[str, Any]] = self.cells.to_pylist()
        return [row for row in rows if row["status"] != DONE]


def sweep(
    experiment: str | Path | CheckedExperiment,
    out: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: OnProgress | None = None,
    *,
    force: bool = False,
    allow_code: bool = False,
    allow_path: bool = False,
    drawings: Sequence[Draw] = (),
) -> Sweep:
    """Run all cells of an experiment file.

    Args:
        experiment: the file, or the result of `sim.studies.checked.check_experiment`.
        out: result folder; default: runs/NAME.
        workers: number of local processes, one thread each; 1: this process.
        scheduler: address of a running Dask scheduler to use instead.
        resume: keep cells that an earlier sweep into the same folder has finished with the same
            code and library versions.
        progress: called with the numbers of finished cells and of all cells.
        force: rerun all cells, or use the folder of another experiment. Its cells stay.
        allow_code: the experiment may name code as policies.
        allow_path: its scenarios may name files anywhere.
        drawings: called with the table of cells and a folder to draw into.

    Raises:
        ScenarioError: if the experiment is invalid.
        FileExistsError: if the folder has cells and `resume` is not set, or is something else.
        FolderBusyError: if another process writes into the folder.
        ExecutorError: if the cluster cannot be reached.
    """
    checked = (
        experiment
        if isinstance(experiment, CheckedExperiment)
        else check_experiment(experiment, allow_code=allow_code, allow_path=allow_path)
    )
    folder = Path(out) if out is not None else Path("runs") / checked.name
    cells = [row.cell for row in checked.rows]
    asked = sha256_of(name=checked.name, cells=[cell.asked for cell in cells])
    with claim(folder, "sweep", asked, force=force, go_on=True) as claimed:
        _refuse_started(folder, checked.name, resume, force)
        claimed.begin(_manifest(checked))
        outdated = dict(_outdated(folder, cells)) if resume else {}
        records, reused = run_cells(
            cells, folder, checked.experiment.keep, workers, scheduler, resume, progress,
            drafts=claimed.draft,
        )  # fmt: skip
        table = cells_table(checked.rows, records)
        if reused == len(records) and not outdated and _nothing_left(folder, table, drawings):
            return Sweep(folder, checked, table, reused, {}, ())
        _finish(claimed, checked, table, records)
        for key in outdated:
            _drop_cell(folder / "cells" / key)
        undrawn = [claimed.draw(lambda draft, d=draw: d(table, draft)) for draw in drawings]  # type: ignore[misc]  # a default in a lambda has no type
    why = dict(Counter(outdated.values()))
    return Sweep(folder, checked, table, reused, why, tuple(filter(None, undrawn)))


def _refuse_started(folder: Path, name: str, resume: bool, force: bool) -> None:
    if force or not (folder / "manifest.json").exists():
        return
    holds = read_manifest(folder).get("name")
    if holds != name:
        what = f"{folder} holds the experiment {holds!r}: choose another folder, or say --force"
        raise FileExistsError(what)
    if not resume:
        there = len(_folders(folder / "cells"))
        what = f"{folder} has {there} cells already: say --resume, or another --out"
        raise FileExistsError(f"{what}, or --force to run them anew")


def _finish(
    claimed: Folder, checked: CheckedExperiment, table: pa.Table, records: dict[str, Record]
) -> None:
    """Combine the tables of all cells, and replace earlier ones."""
    draft = claimed.draft
    scenarios = {"sha256": list(checked.resolved), "resolved": list(checked.resolved.values())}
    write_table(pa.table(scenarios), draft / "scenarios.parquet")
    write_table(table, draft / "cells.parquet")
    consolidate(claimed.path / "cells", draft)
    spread(draft)
    money_spread.spread(draft)
    failed = sum(1 for record in records.values() if record.error)
    status = FAILED if failed else "complete"
    claimed.commit({**_manifest(checked), "status": status, "failed": failed})


def _nothing_left(folder: Path, table: pa.Table, drawings: Sequence[Draw]) -> bool:
    """Whether an earlier sweep has combined exactly these cells, and drawn them."""
    try:
        manifest = read_manifest(folder)
        drawn = any(folder.glob("*.png"))
        same = pq.read_table(folder / "cells.parquet").equals(table)
    except (OSError, DamagedError, pa.ArrowException):
        return False
    return manifest.get("status") == "complete" and same and (drawn or not drawings)


def _outdated(folder: Path, cells: Sequence[Cell]) -> Iterator[tuple[str, str]]:
    """Keys of cells that answer the same questions with other code, and what differs."""
    wanted = {cell.asked: cell for cell in cells}
    keys = {cell.key for cell in cells}
    for there in _folders(folder / "cells"):
        if there.name in keys:
            continue
        try:
            manifest = read_manifest(there)
        except (OSError, DamagedError):
            continue
        cell = wanted.get(manifest.get("cell", ""))
        if cell is not None and manifest.get("key") == there.name:
            yield there.name, cell.outdated(manifest)


def _drop_cell(folder: Path) -> None:
    """Remove the files of a cell that has been rerun, and only files that we wrote."""
    for file in folder.glob("*"):
        if file.suffix == ".parquet" or file.name in CELL_FILES:
            file.unlink()
    with suppress(OSError):
        folder.rmdir()


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    keep: Keep = "small",
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: OnProgress | None = None,
    drafts: Path | None = None,
) -> tuple[dict[str, Record], int]:
    """Run cells into `folder/cells/KEY`; returns the record of each key, and how many were reused.

    Each folder is written in `drafts` (default: `folder`) and then renamed.
    """
    distinct = {cell.key: cell for cell in cells}
    records: dict[str, Record] = {}
    if resume:
        for key in distinct:
            found = finished(folder / "cells" / key, distinct[key], keep)
            if found is not None:
                records[key] = found
    reused = len(records)
    for failure in (folder / "failures").glob("*.txt"):
        if re.fullmatch("[0-9a-f]{64}", failure.stem):
            failure.unlink()
    with suppress(OSError):
        (folder / "failures").rmdir()
    waiting = [replace(cell, expected=key) for key, cell in distinct.items() if key not in records]
    if progress is not None:
        progress(reused, len(distinct))
    for cell, outcome, error in execute(_TASKS[keep], waiting, workers, scheduler):
        ended = outcome if outcome is not None else Outcome({}, {}, error, error)
        _write_cell(folder, cell.expected, ended, drafts or folder)
        records[cell.expected] = Record(ended.kpis, ended.error)
        if progress is not None:
            progress(len(records), len(distinct))
    return records, reused


# Importable functions of one argument, because other processes need them.


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


def finished(folder: Path, cell: Cell, keep: Keep = "kpis") -> Record | None:
    """The record of a finished cell; None if it is missing, of other code, or lacks tables."""
    try:
        manifest = read_manifest(folder)
        kpis = read_kpis(folder)
    except (OSError, DamagedError):
        return None
    wanted = {"status": "complete", "key": cell.key, **cell.made}
    whole = all(manifest.get(name) == value for name, value in wanted.items())
    return Record(kpis) if whole and (folder / _WITNESS[keep]).is_file() else None


def cells_table(rows: Sequence[Row], records: dict[str, Record]) -> pa.Table:
    """cells.parquet: one row per cell, in the order of the experiment.

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
    """Write a Parquet file atomically."""
    draft = file.with_name(f".{file.name}")
    pq.write_table(table, draft, compression="zstd")
    flush_file(draft)
    os.replace(draft, file)


def _write_cell(folder: Path, key: str, outcome: Outcome, drafts: Path) -> None:
    """Write a cell's folder atomically; for a failed cell, only the traceback.

    An existing folder is first moved away whole, as half of it could pass for a finished cell.
    """
    if outcome.error:
        (folder / "failures").mkdir(parents=True, exist_ok=True)
        trace = f"{outcome.trace}\n".encode()
        (folder / "failures" / f"{key}.txt").write_bytes(trace)
        return
    target = folder / "cells" / key
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".cell-", dir=drafts))
    draft = made / "new"
    try:
        draft.mkdir()
        for name, content in outcome.files.items():
            (draft / name).write_bytes(content)
        flush_tree(draft)
        if target.exists():
            os.replace(target, made / "old")
        os.replace(draft, target)
        flush_names(target.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _folders(folder: Path) -> list[Path]:
    return [f for f in folder.iterdir() if f.is_dir()] if folder.is_dir() else []


def _manifest(checked: CheckedExperiment) -> dict[str, Any]:
    return {
        "name": checked.name,
        "experiment": checked.experiment.model_dump(mode="json"),
        "factors": checked.experiment.factors,
        "rows": len(checked.rows),
        "cells": checked.cells,
        "scenarios": len(checked.resolved),
        **provenance(),
    }
