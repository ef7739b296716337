"""Sweeps: what they write, how they fail, what can be asked of them."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.policy import Decision, Observation
from sim.results.kpi import YES_NO
from sim.results.kpis import KPIS
from sim.studies.cells import Outcome
from sim.studies.checked import CheckedExperiment, check_experiment
from sim.studies.executors import execute
from sim.studies.problems import ExecutorError
from sim.studies.statistics import wilson_interval
from sim.studies.summary import lines, summarise
from sim.studies.sweep import Sweep, _write_cell, cells_table, run_cells, sweep
from tests.conftest import ROOT
from tests.studies.conftest import AXES, Write, digests

runner = CliRunner()


class Weak:
    """A policy that fails where the limit is five."""

    def decide(self, observation: Observation) -> Decision:
        if observation.limits.room_w.min() < 5.5e6:
            raise RuntimeError("no room")
        return Decision(observation.asic.default_share, np.ones_like(observation.gpu.available))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A finished sweep of 24 cells."""
    folder = tmp_path_factory.mktemp("sweep")
    file = folder / "question.toml"
    file.write_text(
        f'scenario = "{ROOT / "configs/tiny"}"\npolicies = ["static", "merit-order"]\nseeds = 3\n'
        f"[changes]\nhorizon.days = 1\nhorizon.step_s = 3600\n{AXES}"
    )
    return sweep(file, folder / "out")


def test_a_cell_is_the_run_of_its_scenario(done: Sweep) -> None:
    row = next(
        r for r in done.cells.to_pylist()
        if (r["prices"], r["limit"], r["policy"], r["seed"]) == ("dear", "five", "static", 2)
    )  # fmt: skip
    changes = {
        "horizon.days": 1,
        "horizon.step_s": 3600,
        "sites.*.power_limit_mw": 5,
        "prices.zones.west.mean_usd_per_mwh": 60,
        "prices.zones.north.mean_usd_per_mwh": 60,
    }
    scenario = sim.load(ROOT / "configs/tiny", changes)
    result = sim.run(scenario, "static", 2)
    assert row["scenario_sha256"] == scenario.sha256()
    assert {k: row[k] for k in result.kpis} == result.kpis
    cell = done.folder / "cells" / row["key"]
    assert json.loads((cell / "kpis.json").read_text()) == result.kpis
    assert pq.read_table(cell / "fleet.parquet").equals(result.table("fleet"))
    manifest = json.loads((cell / "manifest.json").read_text())
    assert manifest["key"] == row["key"]
    assert manifest["seed"] == 2
    scenarios = pq.read_table(done.folder / "scenarios.parquet").to_pylist()
    resolved = {s["sha256"]: json.loads(s["resolved"]) for s in scenarios}
    assert resolved[row["scenario_sha256"]] == scenario.resolved()


@pytest.mark.parametrize(
    ("keep", "tables"),
    [
        ("kpis", set()),
        ("small", {"fleet", "events", "worth", "statements"}),
        (
            "tables",
            {
                "sites",
                "fleet",
                "limits",
                "ledger",
                "statements",
                "valuation",
                "events",
                "warnings",
                "uses",
                "lettings",
                "worth",
                "worth_sites",
                "capital",
            },
        ),
    ],
)
def test_what_is_kept(write: Write, tmp_path: Path, keep: str, tables: set[str]) -> None:
    found = sweep(write(f'keep = "{keep}"'), tmp_path / "out")
    cell = next((found.folder / "cells").iterdir())
    assert {f.stem for f in cell.glob("*.parquet")} == tables


def test_a_failed_cell_is_reported_and_stops_nothing(write: Write, tmp_path: Path) -> None:
    file = write('policies = ["static", "tests.studies.test_sweep:Weak"]\nseeds = 2', AXES)
    out = tmp_path / "out"
    command = ["sweep", str(file), "--out", str(out), "--workers", "1", "--json", "--allow-code"]
    ended = runner.invoke(app, command)
    assert ended.exit_code == 1, ended.output
    failures = json.loads(ended.stdout)["failures"]
    assert [(f["limit"], f["policy"], f["error"]) for f in failures] == [
        ("five", "tests.studies.test_sweep:Weak", "RuntimeError: no room")
    ] * 4
    assert "4 of 16 failed" in ended.stderr
    assert "limit=five, policy=tests.studies.test_sweep:Weak, seed=1" in ended.stderr
    trace = (out / "failures" / f"{failures[0]['key']}.txt").read_text()
    assert 'raise RuntimeError("no room")' in trace
    assert json.loads((out / "manifest.json").read_text())["status"] == "failed"
    statuses = sim.open_results(out).query("SELECT status, count(*) AS n FROM cells GROUP BY ALL")
    assert {r["status"]: r["n"] for r in statuses.to_pylist()} == {"done": 12, "failed": 4}
    assert sim.sweep(file, out, resume=True, allow_code=True).reused == 12


def test_the_command_refuses_to_begin_where_something_lies(write: Write, tmp_path: Path) -> None:
    file, out = write("seeds = 2"), tmp_path / "out"
    first = ["sweep", str(file), "--out", str(out), "--workers", "1"]
    assert runner.invoke(app, first).exit_code == 0
    again = runner.invoke(app, first)
    assert again.exit_code == 2
    assert "has 2 cells already: say --resume, or another --out" in again.stderr
    before = {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.is_file()}
    resumed = runner.invoke(app, [*first, "--resume"])
    assert resumed.exit_code == 0
    assert "0 cells run, 2 there already" in resumed.stderr
    untouched = {f: t for f, t in before.items() if ".hashwatt" not in f.parts}
    assert {f: f.stat().st_mtime_ns for f in untouched} == untouched  # nothing is left to do
    (out / "study.png").unlink()
    assert runner.invoke(app, [*first, "--resume"]).exit_code == 0
    assert (out / "study.png").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    other = runner.invoke(app, ["sweep", str(file), "--out", str(tmp_path / "mine")])
    assert other.exit_code == 2
    assert "is not a result folder" in other.stderr
    assert [f.name for f in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert "no such experiment; allowed:" in runner.invoke(app, ["sweep", "tiny"]).stderr


def test_a_larger_experiment_takes_over_the_cells_of_a_smaller(
    write: Write, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sweep(write("seeds = 3"), out)
    larger = sweep(write("seeds = [2, 3, 4]"), out, resume=True)
    assert larger.reused == 2
    results = sim.open_results(out)
    assert results.cells["seed"].to_pylist() == [2, 3, 4]
    assert results.query("SELECT count(DISTINCT cell) AS n FROM fleet")["n"].to_pylist() == [3]


def test_sql_over_a_sweep_beside_a_run(done: Sweep, tmp_path: Path) -> None:
    results = sim.open_results(done.folder)
    assert results.cells.equals(done.cells)
    sql = (
        "SELECT c.prices, sum(f.btc) AS btc FROM fleet f JOIN cells c ON f.cell = c.key GROUP BY 1"
    )
    mined = {r["prices"]: r["btc"] for r in results.query(sql).to_pylist()}
    for level, btc in mined.items():
        rows = [r for r in done.cells.to_pylist() if r["prices"] == level]
        assert btc == pytest.approx(sum(r["btc_mined_btc"] for r in rows), rel=0.02)
    kpis = results.table("kpis").to_pylist()
    assert len(kpis) == 24 * len(sim.run(sim.load(ROOT / "configs/tiny", {"horizon.days": 1})).kpis)
    events = results.table("events")
    assert set(events.column_names) == {"cell", "t_s", "utc", "event", "site", "subject", "detail"}
    with pytest.raises(
        KeyError,
        match="cells, fleet, statements, events, worth, worth_quantiles, equity_differences, kpis",
    ):
        results.table("sites")
    sim.run(sim.load(ROOT / "configs/tiny", {"horizon.days": 1}), "static").save(
        tmp_path / "single"
    )
    sql = "SELECT run, count(*) AS n, count(gross_margin_usd) AS m FROM cells GROUP BY 1 ORDER BY 2"
    both = runner.invoke(app, ["query", str(done.folder), str(tmp_path / "single"), sql, "--json"])
    assert [(r["run"], r["n"], r["m"]) for r in json.loads(both.stdout)] == [
        ("single", 1, 1),
        ("out", 24, 24),
    ]
    single = sim.open_results(tmp_path / "single")
    assert single.cells["policy"].to_pylist() == ["static"]
    assert single.table("sites").num_rows == 48
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/manifest.json").write_text('{"kind": "sweep", "status": "unfinished"}')
    with pytest.raises(FileNotFoundError, match="go on with --resume"):
        sim.open_results(tmp_path / "cut")


def test_tables_say_which_factor_matters(done: Sweep) -> None:
    asked = done.plan.experiment
    senses = {"gross_margin_usd": "max", "energy_mwh": "min"}
    summary = summarise(done.cells, asked.factors, asked.kpis, senses)  # type: ignore[arg-type]
    assert summary.factors == ("prices", "limit", "policy")
    assert len(summary.groups) == 8
    group = summary.groups[0]
    values = [
        r["gross_margin_usd"] for r in done.cells.to_pylist()
        if (r["prices"], r["limit"], r["policy"]) == ("usual", "ten", "static")
    ]  # fmt: skip
    assert (group.n, group.mean) == (3, pytest.approx(np.mean(values)))
    assert group.quantiles[2] == pytest.approx(np.median(values))
    effect = {e.factor: e for e in summary.effects}
    assert (effect["prices"].low, effect["prices"].high) == ("dear", "usual")
    assert effect["prices"].low_mean < effect["prices"].high_mean
    best = {(c.levels["prices"], c.levels["limit"], c.policy) for c in summary.pareto if c.on_front}
    assert best
    for c in summary.pareto:
        beaten = any(
            o.means["gross_margin_usd"] >= c.means["gross_margin_usd"]
            and o.means["energy_mwh"] <= c.means["energy_mwh"]
            and o.means != c.means
            for o in summary.pareto
        )
        assert c.on_front is not beaten
    text = "\n".join(lines(summary, "question", ""))
    assert "prices: " in text
    assert "not beaten in gross_margin_usd max, energy_mwh min" in text


def test_a_yes_or_no_is_shown_as_a_share(
    done: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sim.report.sweep import draw_sweep

    yes_no = KPIS["asic_failures"]._replace(unit=YES_NO)
    monkeypatch.setitem(KPIS, "asic_failures", yes_no)
    column = done.cells.column_names.index("asic_failures")
    cells = done.cells.set_column(column, "asic_failures", pa.array([1.0, 0.0, 0.0] * 8))
    summary = summarise(cells, ["prices", "limit"], ["asic_failures"], {})
    assert {g.mean for g in summary.groups} == {1 / 3}
    assert {g.interval for g in summary.groups} == {wilson_interval(1, 3)}
    assert "share, Wilson" in "\n".join(lines(summary, "q", ""))
    draw_sweep(summary, cells, "q", tmp_path)
    assert (tmp_path / "study.png").read_bytes()[:4] == b"\x89PNG"


def test_a_design_is_run_and_drawn(write: Write, tmp_path: Path) -> None:
    tables = """
[design]
method = "sobol"
points = 8
ranges."sites.*.power_limit_mw" = { low = 3, high = 12 }
ranges."prices.zones.west.mean_usd_per_mwh" = { low = 20, high = 70 }
"""
    head = 'policies = ["static"]\npareto = { gross_margin_usd = "max", energy_mwh = "min" }'
    out = tmp_path / "out"
    shown = runner.invoke(
        app, ["sweep", str(write(head, tables)), "--out", str(out), "--workers", "1"]
    )
    assert shown.exit_code == 0, shown.output
    assert "a linear model explains" in shown.stdout
    assert "sites.*.power_limit_mw: " in shown.stdout
    for name in ("study.png", "pareto.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"
    cells = sim.open_results(out).cells
    power = cells["sites.*.power_limit_mw"].to_numpy()
    assert np.corrcoef(power, cells["energy_mwh"].to_numpy())[0, 1] > 0.8


def test_rows_that_share_a_cell_run_once(write: Write, tmp_path: Path) -> None:
    checked = check_experiment(write("", "[axes.a.x]\n[axes.a.y]\nhorizon.days = 1\n"))
    counts: list[tuple[int, int]] = []
    cells = [row.cell for row in checked.rows]
    records, _ = run_cells(
        cells, tmp_path, progress=lambda done, total: counts.append((done, total))
    )
    assert counts == [(0, 1), (1, 1)]
    table = cells_table(checked.rows, records)
    assert table["a"].to_pylist() == ["x", "y"]
    assert len(set(table["key"].to_pylist())) == 1


def test_files_that_change_under_way_are_noticed(
    question: CheckedExperiment, tmp_path: Path
) -> None:
    from sim.studies.cells import Recipe, run_cell

    recipe = question.rows[0].cell.source
    assert isinstance(recipe, Recipe)
    stale = Recipe("0" * 64, recipe.path, recipe.changes)
    outcome = run_cell(type(question.rows[0].cell)(stale, "static", {}, 1))
    assert "files have changed since the study began" in outcome.error
    assert outcome.files == {}


def test_an_experiment_without_a_cluster_says_so(write: Write, tmp_path: Path) -> None:
    """With dask nobody answers at the address; without it the message names the extra."""
    command = ["sweep", str(write()), "--out", str(tmp_path / "o"), "--scheduler", "tcp://[::1]:9"]
    try:
        import distributed  # noqa: F401
    except ImportError:
        refused = runner.invoke(app, command)
        assert refused.exit_code == 2
        assert "pip install 'hashwatt[cluster]'" in refused.stderr
    else:
        with pytest.raises(ExecutorError, match="no Dask scheduler answers"):
            list(execute(str, [], scheduler="nonsense://nowhere"))  # type: ignore[arg-type]


def test_pictures_are_the_same_bytes_too(done: Sweep, tmp_path: Path) -> None:
    from sim.report.sweep import draw_sweep

    asked = done.plan.experiment
    summary = summarise(done.cells, asked.factors, asked.kpis, asked.pareto)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_sweep(summary, done.cells, "q", tmp_path / name)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_a_cell_that_is_replaced_is_never_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path, **_: object) -> None:
        next(f for f in Path(folder).rglob("*") if f.is_file()).unlink()
        raise KeyboardInterrupt

    names = ("manifest.json", "kpis.json", "fleet.parquet", "events.parquet")
    for text in (b"old", b"new"):
        with suppress(KeyboardInterrupt):
            _write_cell(tmp_path, "k", Outcome(dict.fromkeys(names, text), {}), tmp_path)
        monkeypatch.setattr("sim.studies.sweep.shutil.rmtree", killed)
    there = {f.name: f.read_bytes() for f in (tmp_path / "cells" / "k").iterdir()}
    assert there == dict.fromkeys(names, b"new")
