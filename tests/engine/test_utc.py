"""Every table with `t_s` says the same instant as a UTC time stamp beside it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import sim
from sim.studies.checked import check_experiment
from sim.studies.sweep import sweep
from tests.conftest import ROOT

START = datetime(2024, 2, 28, 17, 30, tzinfo=UTC)  # written as 12:00 of a zone; a leap day follows
CHANGES = {
    "horizon.days": 2,
    "horizon.step_s": 3600,
    "horizon.start_utc": "2024-02-28T12:00:00-05:30",
}


def agrees(table: pa.Table) -> bool:
    """Whether `utc` follows `t_s` and is the start and so many seconds."""
    names = table.column_names
    assert names.index("utc") == names.index("t_s") + 1
    assert pa.types.is_timestamp(table.schema.field("utc").type)
    assert table.schema.field("utc").type.tz == "UTC"
    return table["utc"].to_pylist() == [
        START + timedelta(seconds=t_s) for t_s in table["t_s"].to_pylist()
    ]


def test_tables_of_a_run_as_written_and_in_sql(tmp_path: Path) -> None:
    result = sim.run(sim.load(ROOT / "configs/tiny", CHANGES), "static", 1)
    dated = [name for name, table in result.tables.items() if "t_s" in table.column_names]
    assert set(dated) >= {"sites", "fleet", "limits", "ledger", "events"}
    assert all(agrees(result.table(name)) for name in dated)
    result.save(tmp_path / "run")
    assert all(agrees(pq.read_table(tmp_path / f"run/{name}.parquet")) for name in dated)
    rows = sim.open_results(tmp_path / "run").query(
        "SELECT count(*) AS n FROM sites WHERE utc >= '2024-02-29' AND utc < '2024-03-01'"
    )
    assert rows.to_pylist() == [{"n": 2 * 24}]  # a UTC day, whatever zone this machine is in


def test_tables_of_a_study(tmp_path: Path) -> None:
    file = tmp_path / "question.toml"
    file.write_text(
        f'scenario = "{(ROOT / "configs/tiny").as_posix()}"\n[changes]\n'
        + "\n".join(f'"{k}" = {v!r}' for k, v in CHANGES.items()),
        encoding="utf-8",
    )
    found = sweep(check_experiment(file), tmp_path / "out")
    for name in ("fleet", "events"):
        assert agrees(sim.open_results(found.folder).table(name).drop_columns(["cell"]))
