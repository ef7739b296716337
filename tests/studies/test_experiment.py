"""Experiment files: what they mean, and every problem of them at once."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from scipy.stats import qmc
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.studies.checked import CheckedExperiment, check_experiment
from sim.studies.design import points_of, sampled
from sim.studies.experiment import Design, Experiment, Range, read_experiment
from tests.conftest import ROOT
from tests.studies.conftest import Write

runner = CliRunner()


def test_a_full_factorial_over_axes_policies_and_seeds(question: CheckedExperiment) -> None:
    assert len(question.rows) == question.cells == 2 * 2 * 2 * 3
    assert len(question.resolved) == 4
    first, last = question.rows[0], question.rows[-1]
    assert first.levels == {"prices": "usual", "limit": "ten"}
    assert (first.policy, first.cell.seed) == ("static", 1)
    assert last.levels == {"prices": "dear", "limit": "five"}
    resolved = json.loads(question.resolved[last.cell.source.sha256])
    assert [s["power_limit_mw"] for s in resolved["sites"]] == [5, 5]
    assert resolved["prices"]["zones"]["west"]["mean_usd_per_mwh"] == 60
    assert resolved["horizon"]["days"] == 1


def test_keys_say_what_determines_a_run_and_nothing_else(write: Write) -> None:
    same = check_experiment(write("seeds = [1]", "[axes.a.x]\n[axes.a.y]\nhorizon.days = 1\n"))
    assert len(same.rows) == 2
    assert same.cells == 1  # a level that changes nothing is the same run
    described = check_experiment(write('seeds = [1]\ndescription = "x"', name="other"))
    assert described.rows[0].cell.key == same.rows[0].cell.key
    others = [
        check_experiment(write("seeds = [2]", name="s")),
        check_experiment(write('policies = ["static"]', name="p")),
        check_experiment(write("", "horizon.record_s = 7200", name="r")),
        check_experiment(
            write("", '[[policies]]\nname = "merit-order"\nparameters = { }', name="q")
        ),
    ]
    keys = [p.rows[0].cell.key for p in others]
    assert len({same.rows[0].cell.key, *keys[:3]}) == 4
    assert keys[3] == same.rows[0].cell.key  # the scenario's own parameters, written out


def test_policies_carry_parameters_and_labels(write: Write) -> None:
    tables = """
[[policies]]
name = "price-threshold"
parameters = { max_usd_per_mwh = 30.0 }
[[policies]]
name = "price-threshold"
label = "dear"
parameters = { max_usd_per_mwh = 70.0 }
"""
    checked = check_experiment(write("", tables))
    labels = [row.policy for row in checked.rows]
    assert labels == ["price-threshold(max_usd_per_mwh=30.0)", "dear"]
    assert checked.cells == 2
    assert checked.rows[1].cell.parameters == {"max_usd_per_mwh": 70.0}


@pytest.mark.parametrize("method", ["latin-hypercube", "sobol"])
def test_designs_fill_their_ranges_evenly(method: str) -> None:
    ranges = {
        "a": Range(low=10, high=20),
        "b": Range(low=1, high=1000, log=True),
        "c": Range(low=1, high=4, integer=True),
    }
    design = Design(method=method, points=32, seed=3, ranges=ranges)  # type: ignore[arg-type]
    points = sampled(design, {"k": 1})
    assert points == sampled(design, {"k": 1})
    assert points[0].changes == {"k": 1, **points[0].levels}
    a, b, c = (np.array([p.levels[n] for p in points], dtype=float) for n in "abc")
    assert (a.min() >= 10) & (a.max() <= 20)
    assert np.bincount(((a - 10) / 10 * 32).astype(int)).tolist() == [1] * 32  # one per stratum
    assert np.median(b) == pytest.approx(1000**0.5, rel=0.3)
    assert np.bincount(c.astype(int)).tolist() == [0, 8, 8, 8, 8]
    unit = np.column_stack([(a - 10) / 10, np.log(b) / np.log(1000)])
    assert qmc.discrepancy(unit) < qmc.discrepancy(np.random.default_rng(1).random((32, 2)))


def test_axes_are_crossed_with_a_design(write: Write) -> None:
    """Every combination of levels meets the same points, policies and seeds."""
    found = check_experiment(
        write(
            'seeds = 2\npolicies = ["static", "merit-order"]',
            """
[axes.feeder.narrow]
[axes.feeder.wide]
grid_links.feeder-1.capacity_mw = 30
[design]
method = "sobol"
points = 4
[design.ranges."mining.restart_s"]
low = 0
high = 600
integer = true
""",
        )
    )
    assert found.experiment.factors == ["feeder", "mining.restart_s"]
    assert len(found.rows) == 2 * 4 * 2 * 2
    points = {
        level: [r.levels["mining.restart_s"] for r in found.rows if r.levels["feeder"] == level]
        for level in ("narrow", "wide")
    }
    assert points["narrow"] == points["wide"]
    assert len(set(points["narrow"])) == 4
    assert len(found.resolved) == 8


def test_a_design_becomes_rows(write: Write) -> None:
    tables = """
[design]
points = 3
[design.ranges."sites.alpha.power_limit_mw"]
low = 5
high = 12
[design.ranges."mining.restart_s"]
low = 60
high = 600
integer = true
"""
    checked = check_experiment(write("seeds = 2", tables))
    assert len(checked.rows) == 6
    assert len(checked.resolved) == 3
    assert checked.experiment.factors == ["sites.alpha.power_limit_mw", "mining.restart_s"]


BROKEN = """
seeds = 2
policies = ["statics"]
kpis = ["gross_margin"]
pareto = { uptime_pct = "up", pue = "min" }
keep = "some"
colour = 1
"""


def test_every_problem_of_a_file_at_once(write: Write) -> None:
    with pytest.raises(sim.ScenarioError) as found:
        check_experiment(write(BROKEN))
    text = str(found.value)
    assert "question.toml: pareto.uptime_pct = 'up': allowed: 'min' or 'max'" in text
    assert "question.toml: keep = 'some': allowed: 'kpis', 'small' or 'tables'" in text
    assert "question.toml: colour = 1: unknown key" in text
    assert "kpis.0: 'gross_margin' is no KPI; did you mean 'gross_margin_usd'?" in text
    assert len(found.value.problems) == 4


def test_policies_are_loaded_before_anything_runs(write: Write) -> None:
    with pytest.raises(
        sim.ScenarioError, match=r"policies: policy 'statics': did you mean 'static'"
    ):
        check_experiment(write('policies = ["statics", "static"]'))
    table = '[[policies]]\nname = "static"\nparameters = { pace = 3 }'
    with pytest.raises(sim.ScenarioError, match="'static': no parameter 'pace'; allowed: none"):
        check_experiment(write("", table))


def test_every_level_is_tried_before_anything_runs(write: Write) -> None:
    tables = """
[axes.limit.none]
"sites.alpha.power_limit_mw" = -3
[axes.limit.misspelt]
"sites.alpha.power_limit" = 3
[axes.days.many]
horizon.days = "many"
[axes.days.one]
horizon.dayz = 1
"""
    with pytest.raises(sim.ScenarioError) as found:
        check_experiment(write("", tables))
    text = str(found.value)
    assert "axes.limit.misspelt.sites.alpha.power_limit = 3: unknown column" in text
    assert "axes.days.many.horizon.days = 'many': must be a number in d" in text
    assert "axes.days.one.horizon.dayz = 1: unknown key; did you mean 'days'?" in text
    assert "axes.limit.none.sites.alpha.power_limit_mw = '-3': must be >= 0 MW" in text
    assert len(found.value.problems) == 4


@pytest.mark.parametrize(
    ("head", "tables", "words"),
    [
        ("seeds = 0", "", "seeds = 0: must be >= 1, or a list of seeds"),
        ("seeds = [1, 1]", "", "a seed stands there more than once"),
        ("seeds = [-1]", "", "must be >= 0"),
        ('seeds = "many"', "", "seeds"),
        ('scenario = "nowhere"', "", "no such folder beside this file; allowed: cango-2026"),
        ('pareto = { pue = "min" }', "", "two or three are allowed"),
        ('policies = ["static", "static"]', "", "more than once; give a label"),
        ("", "[axes.a]", "axes.a: has no level"),
        ("", "[axes.seed.a]", "is a column of the results"),
        (
            "",
            "[axes.a.x]\nhorizon.days=2\n[axes.b.x]\nhorizon.days=3",
            "is changed by axes.a too; a key belongs to one axis",
        ),
        (
            "",
            "[axes.a.x]\nk = 3\n[design]\npoints=2\nranges.k = { low = 1, high = 2 }",
            "design.ranges.k: is changed by axes.a too; a key belongs to one of them",
        ),
        ("", "[design]\npoints=2\nranges.k = { low = 3, high = 2 }", "must be below high = 2"),
        ("", "[design]\npoints=2\nranges.k = { low = 0, high = 2, log = true }", "must be > 0"),
        ("", "horizon.day = 2", "changes.horizon.day = 2: unknown key"),
        ("x", "", "is not TOML"),
    ],
)
def test_what_is_refused(write: Write, head: str, tables: str, words: str) -> None:
    file = write(head, tables)
    done = runner.invoke(app, ["check", str(file)])
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert done.stdout == ""


def test_check_and_schema_know_experiments(write: Write) -> None:
    done = runner.invoke(app, ["check", "policies-tiny"])
    assert done.exit_code == 0, done.output
    assert "no problem; 4 scenarios, 96 cells" in done.stdout
    shown = runner.invoke(app, ["schema", "experiment"])
    schema = json.loads(shown.stdout)
    jsonschema.validate({"scenario": "tiny", "seeds": 3, "policies": ["static"]}, schema)
    jsonschema.validate({"scenario": "x", "seeds": [3], "policies": [{"name": "a"}]}, schema)
    for wrong in ({"seeds": 1}, {"scenario": "x", "seeds": "a"}, {"scenario": "x", "axis": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_a_scenario_is_found_beside_the_file_or_in_configs(tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text('scenario = "tiny"')
    experiment, folder = read_experiment(file)
    assert folder == ROOT / "configs/tiny"
    assert experiment == Experiment(scenario="tiny")
    assert [p.levels for p in points_of(experiment)] == [{}]


def test_check_refuses_a_policy_that_nobody_knows(tmp_path: Path) -> None:
    file = tmp_path / "asked.toml"
    file.write_text('scenario = "tiny"\npolicies = ["static", "nope"]\n', encoding="utf-8")
    done = runner.invoke(app, ["check", str(file)])
    assert done.exit_code == 2
    assert "policy 'nope': allowed: autoscale, gpu-first" in done.stderr
