"""The command line as a newcomer meets it: version, help, lists, policies, plain terminals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sim import PolicyError, __version__
from sim.cli import app
from sim.cli.built_in import KINDS
from sim.policy import policy_spec
from sim.scenario.problems import MOST_NAMES, suggest
from tests.conftest import ROOT

runner = CliRunner()
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
MINE = """
import numpy as np
import sim


class Half:
    '''A share of every machine.'''

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def decide(self, observation):
        return sim.Decision(
            observation.asic.default_share * self.share,
            np.ones_like(observation.gpu.available),
        )
"""


def test_the_version_is_said() -> None:
    assert runner.invoke(app, ["--version"]).stdout.strip() == f"hashwatt {__version__}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_that_name_the_command(command: str) -> None:
    said = runner.invoke(app, [command, "--help"]).stdout
    examples = said.partition("Examples:")[2].split("\n")
    assert any(line.startswith(f"    hashwatt {command} ") for line in examples) or any(
        line.strip() == f"hashwatt {command}" for line in examples
    )


def test_square_brackets_are_units_not_markup() -> None:
    said = runner.invoke(app, ["tornado", "--help"]).stdout
    assert "[what_if]" in said
    assert "[d]" in said


@pytest.mark.parametrize("what", KINDS)
def test_lists_fit_eighty_columns(what: str) -> None:
    done = runner.invoke(app, ["list", what])
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "http" not in done.stdout  # sources come on request


def test_sources_are_listed_on_request() -> None:
    assert "http" in runner.invoke(app, ["list", "asics", "--sources"]).stdout
    none = runner.invoke(app, ["list", "kpis", "--sources"])
    assert (none.exit_code, none.stdout) == (2, "")


def test_what_is_allowed_is_never_cut_without_saying_where_all_of_it_stands() -> None:
    few = [f"site-{i}" for i in range(MOST_NAMES)]
    assert all(name in suggest("sit", few) for name in few)
    many = [f"site-{i}" for i in range(MOST_NAMES + 1)]
    assert "41 in all (see hashwatt list asics)" in suggest("x", many, "hashwatt list asics")
    wrong = runner.invoke(app, ["check", "tiny", "--set", "asics.*.model=Antminer S22"])
    assert wrong.exit_code == 2
    assert "hashwatt list asics" in wrong.stderr


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("static", "static", {}),
        ("price-threshold:max_usd_per_mwh=60", "price-threshold", {"max_usd_per_mwh": 60}),
        ("mine:P", "mine:P", {}),
        ("mine:P:a=1.5,b=true,c=[1, 2],d=word", "mine:P",
         {"a": 1.5, "b": True, "c": [1, 2], "d": "word"}),
        ('a.b:C:when="2026-01-01T00:00:00Z, or so",n=3', "a.b:C",
         {"when": "2026-01-01T00:00:00Z, or so", "n": 3}),
    ],
)  # fmt: skip
def test_a_policy_takes_parameters(text: str, name: str, parameters: dict[str, object]) -> None:
    assert policy_spec(text) == (name, parameters)


@pytest.mark.parametrize("text", ["static:a=", "static:=3", "static:a=1,a=2", "static:a b=3"])
def test_parameters_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="key=value"):
        policy_spec(text)


def test_a_policy_of_the_current_folder_is_found_in_a_plain_terminal(tmp_path: Path) -> None:
    """A process of its own, as the path and the characters of a terminal belong to one."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    command = [sys.executable, "-c", "from sim.cli import main; main()", "run"]
    command += [str(ROOT / "configs/tiny"), "--days", "0.25", "--policy", "mine:Half:share=0"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="ascii", check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tiny - mine:Half - seed 1" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("tiny-mine-Half-1-")  # with a digest: it has parameters


def test_an_unknown_parameter_names_what_is_allowed() -> None:
    wrong = runner.invoke(app, ["run", "tiny", "--policy", "price-threshold:usd=60"])
    assert wrong.exit_code == 2
    assert "allowed: max_usd_per_mwh" in wrong.stderr
