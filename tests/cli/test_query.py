"""SQL sees the results and nothing else; answers go out as harmless files."""

import csv
import json
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.results.export import export

runner = CliRunner()


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """What a run leaves, as far as SQL looks at it."""
    folder = tmp_path / "a [1] *"
    folder.mkdir()
    head = {"status": "complete", "policy": "static", "seed": 1, "scenario_sha256": "0"}
    (folder / "manifest.json").write_text(json.dumps(head))
    (folder / "kpis.json").write_text('{"pue": 1.1, "odd \\" name": null}')
    pq.write_table(pa.table({"site": ["=1+1", "b"], "mw": [-1.5, 2.0]}), folder / "sites.parquet")
    return folder


def test_results_are_found_whatever_their_folder_is_called(result: Path) -> None:
    sql = "SELECT run, sum(mw) AS mw FROM sites GROUP BY 1"
    done = runner.invoke(app, ["query", str(result), sql, "--json"])
    assert json.loads(done.stdout) == [{"run": "a [1] *", "mw": 0.5}]
    done = runner.invoke(app, ["query", str(result), "SELECT pue FROM cells", "--json"])
    assert json.loads(done.stdout) == [{"pue": 1.1}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_csv('{secret}'), sites",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{folder}/*')",
        "COPY sites TO '{folder}/sites.parquet'",
        "COPY sites TO '{folder}/new.csv'",
        "ATTACH '{folder}/new.db'",
        "EXPORT DATABASE '{folder}/new'",
        "SET enable_external_access = true; SELECT * FROM read_text('{secret}')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET log_query_path = '{folder}/log'",
        "PRAGMA enable_profiling; PRAGMA profiling_output = '{folder}/plan'; SELECT 1",
        "SELECT * FROM sniff_csv('{secret}')",
        "SELECT * FROM read_blob('{secret}')",
        "SELECT 1; COPY sites TO '{folder}/new.csv'; SELECT 2",
    ],
)
def test_sql_reaches_no_file(result: Path, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\nhidden,word\n")
    before = {f.name: f.read_bytes() for f in result.iterdir()}
    text = sql.format(secret=secret, folder=result)
    done = runner.invoke(app, ["query", str(result), text])
    assert done.exit_code == 2, done.output
    assert "hidden" not in done.output + done.stderr
    assert {f.name: f.read_bytes() for f in result.iterdir()} == before


def test_texts_that_look_like_formulas_are_text(result: Path, tmp_path: Path) -> None:
    out = tmp_path / "answer.csv"
    sql = """SELECT site, mw, '@x' AS "=name", NULL AS n, 'plain-text' AS t FROM sites"""
    assert runner.invoke(app, ["query", str(result), sql, "--out", str(out)]).exit_code == 0
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["site", "mw", "'=name", "n", "t"]
    assert rows[1] == ["'=1+1", "-1.5", "'@x", "", "plain-text"]
    again = runner.invoke(app, ["query", str(result), sql, "--out", str(out)])
    assert again.exit_code == 2
    assert "--force" in again.stderr
    whole = tmp_path / "answer.parquet"
    export(pq.read_table(result / "sites.parquet"), whole)
    assert pq.read_table(whole)["site"].to_pylist() == ["=1+1", "b"]
    wrong = runner.invoke(app, ["query", str(result), sql, "--out", str(tmp_path / "answer.txt")])
    assert wrong.exit_code == 2
    assert "FILE.csv, FILE.parquet, FILE.xlsx" in wrong.stderr


def test_no_answer_takes_the_place_of_a_result(result: Path) -> None:
    head = {"kind": "run", "format": 1, "status": "complete", "files": ["sites.parquet"]}
    (result / "manifest.json").write_text(json.dumps(head))
    before = (result / "sites.parquet").read_bytes()
    aside = result.parent / "link"
    aside.symlink_to(result, target_is_directory=True)
    for place in (result, aside):
        out = ["--out", str(place / "sites.parquet"), "--force"]
        done = runner.invoke(app, ["query", str(result), "SELECT 1 AS a", *out])
        assert done.exit_code == 2
        assert "is part of the result" in done.stderr
    assert (result / "sites.parquet").read_bytes() == before
    export(pa.table({"a": [1]}), result / "mine.csv")
    export(pa.table({"a": [2]}), result / "mine.csv", force=True)


def test_columns_of_one_name_are_not_lost(result: Path) -> None:
    told(result, "SELECT 1 AS a, 2 AS a", "two columns are called 'a'")


def test_a_workbook_holds_numbers_and_text_but_no_formula(tmp_path: Path) -> None:
    table = pa.table({"=a": ["=1+1", "\x1b[31m", None], "mw": [-1.5, None, 2.0]})
    export(table, tmp_path / "answer.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "answer.xlsx")["query"]
    values = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert values == [["'=a", "mw"], ["'=1+1", -1.5], ["\\x1b[31m", None], [None, 2]]
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("kpis.json", "{"),
        ("kpis.json", "[1]"),
        ("kpis.json", '{"pue": "high"}'),
        ("kpis.json", '{"pue": NaN}'),
        ("kpis.json", '{"pue": 1.1, "x": -Infinity}'),
        ("kpis.json", '{"pue": 1e999}'),
        ("kpis.json", f'{{"pue": 1{"0" * 400}}}'),
        ("kpis.json", f'{{"pue": 1{"0" * 9000}}}'),
        ("kpis.json", '{"pue": true}'),
        ("kpis.json", '{"pue": [1]}'),
        ("kpis.json", f'{{"{"long" * 99}": {{}}}}'),
        ("kpis.json", '{"pue": 1, "pue": 2}'),
        ("kpis.json", "{}"),
        ("kpis.json", "[" * 99_999),
        ("kpis.json", None),
        ("manifest.json", "{"),
        ("manifest.json", '{"status": "complete"}'),
        ("manifest.json", "\x00"),
        ("manifest.json", '{"status": "complete", "policy": {"a": 1}}'),
        ("manifest.json", '{"status": "complete", "policy": "static", "seed": []}'),
        ("manifest.json", '{"status": "complete", "policy": "static", "seed": true}'),
        ("manifest.json", '{"status": "complete", "policy": "static", "seed": 1.5}'),
        ("manifest.json", '{"status": "complete", "scenario_sha256": 1}'),
        ("manifest.json", '{"status": "complete", "kind": "folder"}'),
        ("manifest.json", '{"status": "complete", "kind": ["run"]}'),
        ("manifest.json", '{"status": ["complete"]}'),
        ("manifest.json", '{"status": "complete", "kind": "sweep", "seed": NaN}'),
        ("sites.parquet", "PAR1"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(result: Path, name: str, content: str | None) -> None:
    (result / name).unlink() if content is None else (result / name).write_text(content)
    sql = "SELECT * FROM cells, kpis, sites"
    told(result, sql, name)


@pytest.mark.parametrize("kind", ["sweep", "comparison"])
@pytest.mark.parametrize("table", ["cells", "kpis", "fleet", "ledger"])
def test_a_damaged_table_of_a_study_is_told_in_one_line(
    result: Path, kind: str, table: str
) -> None:
    (result / "manifest.json").write_text(json.dumps({"kind": kind, "status": "complete"}))
    cell = result / "cells" / ("0" * 64)
    cell.mkdir(parents=True)
    for name in ("cells", "fleet", "cells/" + "0" * 64 + "/ledger"):
        (result / f"{name}.parquet").write_bytes(b"PAR1 and no more")
    told(result, f"SELECT * FROM {table}", "damaged")
    pq.write_table(pa.table({"a": [1]}), result / "cells.parquet")
    if table == "kpis":
        told(result, "SELECT * FROM kpis", "cells.parquet is damaged: not a table of cells")


def told(result: Path, sql: str, what: str) -> None:
    """A query fails, and says in a line what is wrong."""
    done = runner.invoke(app, ["query", str(result), sql])
    assert done.exit_code == 2, done.output
    assert what in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert len(done.stderr) < 1000


def test_a_folder_of_another_format_or_kind_says_so(result: Path) -> None:
    (result / "manifest.json").write_text('{"kind": "run", "format": 99, "status": "complete"}')
    told(result, "SELECT 1", "format 99; this version reads 1")
    (result / "manifest.json").write_text('{"kind": "tornado", "status": "complete"}')
    told(result, "SELECT * FROM kpis", "kpis does not exist")


def test_an_answer_is_json_whatever_its_numbers(result: Path) -> None:
    sql = "SELECT 'nan'::DOUBLE AS a, '-inf'::DOUBLE AS b, mw FROM sites ORDER BY mw LIMIT 1"
    done = runner.invoke(app, ["query", str(result), sql, "--json"])
    assert json.loads(done.stdout, parse_constant=pytest.fail) == [
        {"a": None, "b": None, "mw": -1.5}
    ]
