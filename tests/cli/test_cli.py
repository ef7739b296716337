"""The command line, as a user meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli import app
from tests.conftest import ROOT

runner = CliRunner()
TINY = str(ROOT / "configs/tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result folder of two days."""
    out = tmp_path_factory.mktemp("results") / "tiny"
    done = runner.invoke(app, ["run", TINY, "--days", "2", "--seed", "4", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "gross_margin_usd" in done.stdout
    assert "deployed; the rest, by cause" in done.stdout
    return out


def test_run_writes_the_promised_folder(folder: Path) -> None:
    names = {f.name for f in folder.iterdir()}
    assert names == {
        "manifest.json",
        "kpis.json",
        "sites.parquet",
        "fleet.parquet",
        "limits.parquet",
        "ledger.parquet",
        "statements.parquet",
        "valuation.parquet",
        "uses.parquet",
        "worth.parquet",
        "worth_sites.parquet",
        "capital.parquet",
        "lettings.parquet",
        "warnings.parquet",
        "events.parquet",
        "summary.png",
        "energy.png",
        "timing.json",
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["seed"] == 4
    assert manifest["resolved"]["horizon"]["days"] == 2
    assert (folder / "summary.png").read_bytes()[:4] == b"\x89PNG"
    assert [f for f in folder.parent.iterdir() if f.name.startswith(".")] == []


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    done = runner.invoke(
        app,
        ["run", TINY, "--days", "1", "--policy", "static", "--out", str(tmp_path / "o"), "--json"],
    )
    document = json.loads(done.stdout)
    assert document["policy"] == "static"
    assert document["kpis"]["deployed_ehs"] > 0


def test_an_older_result_is_replaced_but_nothing_else(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    done = runner.invoke(app, ["run", TINY, "--days", "1", "--out", str(out)])
    assert done.exit_code == 2
    assert "is not a result folder" in done.stderr
    assert (out / "thesis.txt").read_text() == "years of work"
    before = (folder / "kpis.json").read_bytes()
    again = runner.invoke(app, ["run", TINY, "--days", "2", "--seed", "4", "--out", str(folder)])
    assert again.exit_code == 0
    assert (folder / "kpis.json").read_bytes() == before


def test_query(folder: Path) -> None:
    sql = "SELECT commodity, sum(amount) AS total FROM ledger GROUP BY commodity ORDER BY 1"
    done = runner.invoke(app, ["query", str(folder), sql, "--json"])
    rows = json.loads(done.stdout)
    assert [(r["commodity"], float(r["total"])) for r in rows] == [("BTC", 0.0), ("USD", 0.0)]
    both = runner.invoke(
        app, ["query", str(folder), str(folder), "SELECT count(*) AS n FROM sites"]
    )
    assert both.exit_code == 0
    assert "192" in both.stdout  # two folders × 48 hours × 2 sites
    wrong = runner.invoke(app, ["query", str(folder), "SELECT nothing FROM sites"])
    assert wrong.exit_code == 2
    assert "nothing" in wrong.stderr
    absent = runner.invoke(app, ["query", str(folder.parent), "SELECT 1"])
    assert absent.exit_code == 2
    assert "not a result folder" in absent.stderr


def test_check_and_list() -> None:
    done = runner.invoke(app, ["check", "tiny"])
    assert done.exit_code == 0
    assert "no problem; 2 sites" in done.stdout
    for what, word in (
        ("policies", "merit-order"),
        ("asics", "Antminer S21"),
        ("gpus", "h100-sxm"),
        ("scenarios", "cango-2026"),
    ):
        listed = runner.invoke(app, ["list", what, "--json"])
        assert word in listed.stdout
        assert json.loads(listed.stdout)
        assert runner.invoke(app, ["list", what]).exit_code == 0
    wrong = runner.invoke(app, ["list", "asic"])
    assert wrong.exit_code == 2
    assert "did you mean 'asics'? allowed: asics, climates" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere"], "no such folder; allowed: cango-2026"),
        (["check", "tinny"], "did you mean 'tiny'?"),
        (["sweep", "policies-tyni"], "did you mean 'policies-tiny'?"),
        (["run", TINY, "--set", "horizon.days"], "write KEY=VALUE"),
        (["run", TINY, "--set", "horizon.dayz=3"], "horizon.dayz"),
        (["run", TINY, "--days", "0.01"], "whole number of recording intervals"),
        (["run", TINY, "--policy", "best"], "allowed: autoscale, gpu-first, look-ahead"),
        (["query", "x"], "at least one folder"),
        (["schema", "fleet"], "allowed: scenario"),
        (["validate", "--data", "nowhere"], "not a folder"),
        (["run", str(ROOT / "configs/ercot-2024")], "HASHWATT_DATA"),
    ],
)
def test_wrong_input_gives_one_message_and_exit_2(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_validate_without_data_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    done = runner.invoke(app, ["validate"])
    assert done.exit_code == 0, done.output
    assert (
        "left out: retargets of the main chain (bitcoin_network/retargets.csv): needs --data"
        in done.stdout
    )
    assert "24 of 24 checks hold" in done.stdout


def test_validate_with_data_reproduces_the_published_figures(data: Path) -> None:
    done = runner.invoke(app, ["validate", "--data", str(data), "--json"])
    checks = json.loads(done.stdout)
    assert set(checks[0]) == {
        "check", "item", "expected", "simulated", "unit", "tolerance", "ok", "source",
    }  # fmt: skip
    assert [c for c in checks if not c["ok"]] == []
    assert done.exit_code == 0
    cango = next(c for c in checks if c["item"] == "Cango 2026-01")
    assert cango["expected"] == 496.35
    assert cango["simulated"] == pytest.approx(499, abs=1)


def test_validate_misses_what_is_wrong(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader's own rows are read; one that does not fit and explains nothing exits 3."""
    monkeypatch.setattr("sim.validation.check.TOPICS", ("miners",))
    for topic in ("bitcoin_network", "miner_reports"):
        (tmp_path / topic).mkdir()
        for file in (data / topic).iterdir():
            (tmp_path / topic / file.name).write_bytes(file.read_bytes())
    monthly = tmp_path / "miner_reports/miner_monthly.csv"
    header, *_ = monthly.read_text().splitlines()
    row = dict.fromkeys(header.split(","), "")
    row |= {"company": "Mine", "month": "2025-03", "btc_produced": "100", "avg_operating_ehs": "9"}
    monthly.write_text(header + "\n" + ",".join(row.values()) + "\n")
    done = runner.invoke(app, ["validate", "--data", str(tmp_path)])
    assert done.exit_code == 3
    assert "Mine 2025-03" in done.stdout
    assert "MISSED" in done.stdout
