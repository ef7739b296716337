"""`--json` is one document on stdout and nothing else, whatever libraries say from C.

Its keys and types are promised: they stand in `json_shapes.json`. Where a document is meant to
change, delete the file and run this test: it is written anew, fails once, and the difference shows
what users will see.
"""

import json
import os
import subprocess
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import highspy
import pytest
import typer

from sim.cli import app
from sim.results.kpis import KPIS
from sim.solver import solver
from tests.conftest import ROOT

BANNER = b"Running HiGHS: Copyright\n"  # what a talkative version prints in its constructor
SCENARIO = f"""
base = "{(ROOT / "configs/tiny").as_posix()}"
horizon.days = 1
horizon.step_s = 3600
policy.name = "look-ahead"
treasury.opening_usd = 1e6
"""
EXPERIMENT = """
scenario = "battery"
policies = ["look-ahead"]
seeds = 1
[axes.size.one]
[axes.size.two]
"batteries.*.power_mw" = 2
"""
BUILDOUT = """
scenario = "battery"
budget_usd = 10000
held_out_seeds = 2
order_utc = "2026-01-01T06:00:00Z"
[changes]
horizon.days = 3
[container]
gpu = "h100-sxm"
nodes = 1
usd_per_gpu_h = 2
capex_usd = 10000
lead_days = 0
commissioning_days = 0
[search]
seeds = 1
first_seeds = 1
swaps = 0
"""
TRACE = "arrival_s,prompt_tokens,output_tokens\n0,10,5\n1,20,5\n"
LOG = "queued_s,prompt_tokens,output_tokens,first_token_s,last_token_s\n" + "".join(
    f"{i},10,5,{i + 0.01},{i + 0.04}\n" for i in range(60)
)
PRICES = "time_utc,price\n2026-01-01T00:00:00Z,20\n2026-01-01T01:00:00Z,30\n"
# Each command that has --json, on what reaches the solver where the command can reach it.
COMMANDS = {
    "run": ["battery"],
    "bound": ["battery"],
    "check": ["battery"],
    "sweep": ["question.toml", "--workers", "1"],
    "compare": ["battery", "--policy", "static", "--policy", "look-ahead", "--seeds", "1",
                "--workers", "1"],
    "tornado": ["battery", "--kpi", "gross_margin_usd", "--factor", "energy_price_factor"],
    "buildout": ["buildout.toml", "--workers", "1"],
    "new": ["mine"],
    "query": ["done", "SELECT count(*) AS n FROM sites"],
    "convert": ["battery", "--site", "alpha", "--mw", "0.02", "--to", "h100-sxm", "--price", "2"],
    "import-series": ["prices.csv"],
    "calibrate-engine": ["log.csv", "--engine", "llama-3.1-8b@h100-sxm", "--quiet"],
    "recommend": ["--model", "llama-3.1-8b", "--gpus", "h100-sxm", "--slo", "ttft=1,tpot=0.05",
                  "--trace", "trace.csv"],
    "serve-trace": ["trace.csv", "--engine", "llama-3.1-8b@h100-sxm"],
    "validate": [],
    "list": ["scenarios"],
}  # fmt: skip


SHAPES = Path(__file__).parent / "json_shapes.json"


def shape(value: Any) -> Any:
    """Keys and types of a document; a table of KPIs by that word alone, a list by what it holds.

    A number that may be missing, null, is a number.
    """
    if isinstance(value, dict):
        if value and set(value) <= set(KPIS):
            return "kpis"
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reduce(both, map(shape, value))] if value else []
    if isinstance(value, bool | str):
        return type(value).__name__
    return "number"


def both(one: Any, other: Any) -> Any:
    """The shape of items of which some are like the one, some like the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = {**one, **other}
        return {k: both(one.get(k, other.get(k)), other.get(k, one.get(k))) for k in keys}
    if isinstance(one, list) and isinstance(other, list):
        return [reduce(both, one + other)] if one + other else []
    if one == other:
        return one
    return "|".join(sorted({*str(one).split("|"), *str(other).split("|")}))


class Talkative(highspy.Highs):  # type: ignore[misc]  # highspy has no types of its own
    """Prints past Python, as HiGHS 1.16 does once in a process."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        os.write(1, BANNER)
        Talkative.made += 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenario, experiment, build-out, trace; and a result."""
    here = tmp_path_factory.mktemp("json")
    (here / "battery").mkdir()
    (here / "battery/scenario.toml").write_text(SCENARIO, "utf-8")
    (here / "battery/batteries.csv").write_text("site,power_mw,energy_mwh\nalpha,1,2\n", "utf-8")
    (here / "question.toml").write_text(EXPERIMENT, "utf-8")
    (here / "buildout.toml").write_text(BUILDOUT, "utf-8")
    (here / "prices.csv").write_text(PRICES, "utf-8")
    (here / "trace.csv").write_text(TRACE, "utf-8")
    (here / "log.csv").write_text(LOG, "utf-8")
    app(["run", str(here / "battery"), "--out", str(here / "done")], standalone_mode=False)
    return here


def test_every_command_with_json_is_tried() -> None:
    group = typer.main.get_command(app)
    offered = {
        name
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert offered == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_document_is_all_of_stdout(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sim.solver.highspy.Highs", Talkative)
    topics = ("grid", "theory")  # the one that solves, and one that needs no data
    monkeypatch.setattr("sim.validation.check.TOPICS", topics)
    monkeypatch.setattr(Talkative, "made", 0)
    app([name, *COMMANDS[name], "--json"], standalone_mode=False)
    document = json.loads(capfd.readouterr().out)
    if name in ("run", "bound", "sweep", "compare", "tornado"):
        assert Talkative.made > 0
    assert shape(document) == promised(name, shape(document))


def promised(name: str, seen: Any) -> Any:
    """The shape that a command's document has; what is not written yet is written, and is none."""
    known = json.loads(SHAPES.read_text(encoding="utf-8")) if SHAPES.is_file() else {}
    if name in known:
        return known[name]
    text = json.dumps({**known, name: seen}, indent=1, sort_keys=True)
    SHAPES.write_text(text + "\n", encoding="utf-8")
    return None


def test_as_a_process_with_workers(folder: Path) -> None:
    """The installed solver's own words, in this process and in those that it starts."""
    arguments = ["compare", "battery", "--policy", "static", "--policy", "look-ahead", "--json"]
    command = [sys.executable, "-m", "sim.cli", *arguments, "--seeds", "1", "--workers", "2"]
    done = subprocess.run(
        [*command, "--out", "two"], cwd=folder, capture_output=True, encoding="utf-8", check=True
    )
    assert json.loads(done.stdout)["out"] == "two"


def test_a_process_without_stdout_still_gets_a_solver() -> None:
    program = "import os; os.close(1)\nfrom sim.solver import solver\nsolver()"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_solvers_are_made_in_one_place() -> None:
    """Anywhere else they would speak."""
    rooms = [f for f in (ROOT / "sim").rglob("*.py") if "Highs()" in f.read_text("utf-8")]
    assert rooms == [ROOT / "sim/solver.py"]
    assert solver().getOptionValue("output_flag")[1] is False
