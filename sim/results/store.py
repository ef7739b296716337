"""SQL over result folders."""

import json
from pathlib import Path
from typing import Any, Final

import duckdb

TABLES: Final = (
    "sites", "fleet", "limits", "ledger", "statements", "valuation", "events", "creditors",
    "serving", "tenants", "requests",
)  # fmt: skip


def connect(folders: list[Path]) -> Any:
    """A DuckDB connection with views `sites`, `fleet`, `ledger`, `events` and `kpis`.

    Runs with serving nodes add `tenants` and `requests`. Each row carries `run`, the name of its
    folder. Raises FileNotFoundError for a folder that is
    not a complete result.
    """
    for folder in folders:
        manifest = folder / "manifest.json"
        if not manifest.is_file() or json.loads(manifest.read_text())["status"] != "complete":
            raise FileNotFoundError(f"{folder}: not a result folder (no complete manifest.json)")
    connection = duckdb.connect()
    for table in TABLES:
        parts = [
            f"SELECT {_quoted(f.name)} AS run, * FROM {_quoted(f / (table + '.parquet'))}"
            for f in folders
            if (f / f"{table}.parquet").is_file()
        ]
        if not parts:
            continue
        connection.execute(f"CREATE VIEW {table} AS {' UNION ALL BY NAME '.join(parts)}")
    connection.execute("CREATE TABLE kpis (run VARCHAR, kpi VARCHAR, value DOUBLE)")
    for folder in folders:
        kpis = json.loads((folder / "kpis.json").read_text())
        connection.executemany(
            "INSERT INTO kpis VALUES (?, ?, ?)", [(folder.name, k, v) for k, v in kpis.items()]
        )
    return connection


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"
