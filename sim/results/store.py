"""SQL over result folders of runs, sweeps and comparisons."""

import re
from functools import cached_property
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sim.results.folder import settle
from sim.results.manifest import CELL, FORMAT, KPI_FILE, DamagedError, read_kpis, read_manifest

TABLES: Final = (
    "sites", "fleet", "limits", "ledger", "statements", "valuation", "events", "creditors",
    "serving", "serving_use", "tenants", "requests", "warnings", "uses", "worth", "worth_sites",
    "capital", "demand", "lettings", "gpu_market", "worth_quantiles", "equity_differences",
    "liquidity",
)  # fmt: skip
SMALL: Final = (
    "fleet",
    "events",
    "worth",
    "statements",
)  # kept for every cell of a study by default
CELL_COLUMNS: Final = ("policy", "seed", "scenario_sha256")
STUDIES: Final = ("sweep", "comparison")
LAST_BEFORE_KPIS: Final = "scenario_sha256"  # the columns of cells.parquet after it are KPIs


def connect(folders: list[Path], sql: str | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with tables `sites`, `fleet`, `ledger`, `events`, `cells` and `kpis`.

    They are read into memory; then the connection has no access to files or settings, so that SQL
    cannot reach beyond the results.

    Runs with serving nodes add `tenants`, `serving` and `requests`. Each row has `run`, the
    name of its folder; rows of a study also have `cell`, the key of the table `cells`, which holds
    axes, policy, seed, status and KPIs. With `sql`, only tables it names are loaded: a study has a
    file for each cell and table.

    Raises:
        FileNotFoundError: for a folder that is neither a complete result nor a study with cells.
        DamagedError: for one with invalid files.
    """
    found = [Results(folder) for folder in folders]
    connection = duckdb.connect()
    for table in (*TABLES, "cells", "kpis"):
        if sql is not None and not re.search(rf"\b{table}\b", sql, re.IGNORECASE):
            continue
        try:
            parts = [part for results in found if (part := results.select(table))]
            if parts:
                union = " UNION ALL BY NAME ".join(f"({part})" for part in parts)
                connection.execute(f"CREATE TABLE {table} AS {union}")
        except (duckdb.Error, pa.ArrowException) as error:
            told = " ".join(str(error).split())
            where = ", ".join(str(results.folder) for results in found)
            raise DamagedError(f"{where}: table {table} is damaged: {told}") from None
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


class Results:
    """A result folder: of a run, or of a study with many cells. See `open_results`."""

    def __init__(self, folder: str | Path) -> None:
        """Raises FileNotFoundError without a complete result, DamagedError for a broken one."""
        self.folder = Path(folder)
        settle(self.folder)
        there = (self.folder / "manifest.json").is_file()
        self.manifest = read_manifest(self.folder) if there else {}
        if self.manifest.get("format", FORMAT) != FORMAT:
            what = (
                f"a result folder of format {self.manifest['format']}; this version reads {FORMAT}"
            )
            raise FileNotFoundError(f"{folder}: {what}")
        self.is_study = self.manifest.get("kind") in STUDIES
        if self.is_study:
            if not (self.folder / "cells.parquet").is_file():
                what = "its cells are not finished; go on with --resume"
                raise FileNotFoundError(f"{folder}: {what}")
        elif self.manifest.get("status") != "complete":
            raise FileNotFoundError(f"{folder}: not a result folder (no complete manifest.json)")

    @cached_property
    def cells(self) -> pa.Table:
        """A row for each cell: factors, policy, seed, status, KPIs. A run is its only cell."""
        if self.is_study:
            return pq.read_table(self.folder / "cells.parquet")
        return self.query("SELECT * FROM cells")

    def table(self, name: str) -> pa.Table:
        """One table; for a study, rows of all cells with a column `cell`.

        Raises KeyError, listing the names available.
        """
        if name == "cells":
            return self.cells
        if name not in (*TABLES, "kpis") or self.select(name) is None:
            there = [t for t in (*TABLES, "kpis") if self.select(t) is not None]
            raise KeyError(f"no table {name!r}; there are {', '.join(['cells', *there])}")
        return self.query(f"SELECT * EXCLUDE (run) FROM {name}")

    def query(self, sql: str) -> pa.Table:
        """Result of a SQL statement. Raises duckdb.Error for an invalid one."""
        relation = connect([self.folder], sql).sql(sql)
        return relation.to_arrow_table() if relation is not None else pa.table({})

    def select(self, table: str) -> str | None:
        """SQL that reads a table; None if the folder lacks it."""
        if table in ("cells", "kpis"):
            if self.manifest.get("kind", "run") not in ("run", CELL, *STUDIES):
                return None
            return self._cells() if table == "cells" else self._kpis()
        if not self.is_study:
            file = self.folder / f"{table}.parquet"
            return f"SELECT {self._run} AS run, * FROM {_file(file)}" if file.is_file() else None
        whole = self.folder / f"{table}.parquet"
        if whole.is_file():
            return f"SELECT {self._run} AS run, * FROM {_file(whole)}"
        rows = gathered(table, self.folder / "cells", self.folder / "cells.parquet")
        return f"SELECT {self._run} AS run, * FROM ({rows})" if rows else None

    @property
    def _run(self) -> str:
        return _quoted(self.folder.name)

    def _cells(self) -> str:
        if self.is_study:
            return f"SELECT {self._run} AS run, * FROM {_file(self.folder / 'cells.parquet')}"
        missing = [name for name in CELL_COLUMNS if name not in self.manifest]
        if missing:
            file = self.folder / "manifest.json"
            raise DamagedError(f"{file} is damaged: {missing[0]} is missing")
        constants = ", ".join(f"{_literal(self.manifest[k])} AS {k}" for k in CELL_COLUMNS)
        values = read_kpis(self.folder).items()
        kpis = "".join(f", {_literal(value)}::DOUBLE AS {_named(name)}" for name, value in values)
        return f"SELECT {self._run} AS run, {constants}, 'done' AS status{kpis}"

    def _kpis(self) -> str | None:
        if not self.is_study:
            values = read_kpis(self.folder).items()
            if not values:
                raise DamagedError(f"{self.folder / KPI_FILE} is damaged: it holds no KPI")
            rows = ", ".join(f"({_literal(k)}, {_literal(v)}::DOUBLE)" for k, v in values)
            return f"SELECT {self._run} AS run, kpi, value FROM (VALUES {rows}) AS t(kpi, value)"
        file = _file(self.folder / "cells.parquet")
        names = pq.read_schema(self.folder / "cells.parquet").names
        if LAST_BEFORE_KPIS not in names:
            raise DamagedError(f"{self.folder / 'cells.parquet'} is damaged: not a table of cells")
        kpis = ", ".join(_named(name) for name in names[names.index(LAST_BEFORE_KPIS) + 1 :])
        if not kpis:  # every cell failed
            return None
        cells = f"SELECT DISTINCT key AS cell, {kpis} FROM {file}"
        long = f"({cells}) UNPIVOT INCLUDE NULLS (value FOR kpi IN ({kpis}))"
        return f"SELECT {self._run} AS run, cell, kpi, value FROM {long}"


def gathered(table: str, cells: Path, known: Path) -> str | None:
    """SQL that reads a table of all cells of a study, one file per cell; None without any.

    `cells` has a folder per cell; `known` is the Parquet file of cell keys, since an earlier
    experiment may have left cells there that are not part of this one.
    """
    if next(cells.glob(f"*/{table}.parquet"), None) is None:
        return None
    files = _quoted(f"{_no_pattern(cells)}/*/{table}.parquet")
    keys = f"SELECT key FROM {_file(known)}"
    return (
        "SELECT parse_path(filename)[-2] AS cell, * EXCLUDE (filename) "
        f"FROM read_parquet({files}, filename = true, union_by_name = true) "
        f"WHERE parse_path(filename)[-2] IN ({keys})"
    )


def consolidate(cells: Path, target: Path) -> None:
    """Merge the small tables of a study's cells into one file each: many files open slowly.

    `target` is the output folder, which holds cells.parquet.
    """
    for table in SMALL:
        rows = gathered(table, cells, target / "cells.parquet")
        if rows is not None:
            file = _quoted(target / f"{table}.parquet")
            connection = duckdb.connect(config={"threads": 1})  # the same bytes every time
            connection.execute(f"COPY ({rows}) TO {file} (FORMAT parquet, CODEC zstd)")


def open_results(folder: str | Path) -> Results:
    """Open a result folder of a run, a sweep or a comparison.

    `.cells` and `.table(name)` are Arrow tables (`.to_pandas()`, `polars.from_arrow`),
    `.query(sql)` runs SQL over them, `.manifest` is the folder's manifest.

    Raises:
        FileNotFoundError: if there is no complete result in the folder.
    """
    return Results(folder)


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _named(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _file(path: Path) -> str:
    return _quoted(_no_pattern(path))


def _no_pattern(path: Path) -> str:
    """The path with DuckDB's glob characters escaped."""
    return re.sub(r"([\[*?])", r"[\1]", path.as_posix())


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return repr(value) if isinstance(value, int | float) else _quoted(value)
