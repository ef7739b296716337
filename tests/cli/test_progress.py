"""What is said while a command works, and what is not said with --quiet."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.cli.progress import EVERY_S, Progress
from sim.kernels.ahead import Task, do_missing

runner = CliRunner()
RUN = ["run", "configs/tiny", "--days", "1", "--policy", "static", "--out"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_says_each_stage_of_a_run(tmp_path: Path) -> None:
    done = runner.invoke(app, [*RUN, str(tmp_path / "a"), "--json"])
    stages = dict.fromkeys(line.split()[0] for line in done.stderr.splitlines())
    assert [s for s in stages if s.endswith("ing")][:1] == ["loading"]
    assert [s for s in stages if s.endswith("ing")][-2:] == ["writing", "drawing"]
    assert json.loads(done.stdout)["scenario"] == "tiny"
    assert "\r" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        RUN,
        ["compare", "configs/tiny", "--policy", "static", "--policy", "random", "--seeds", "2",
         "--workers", "1", "--no-bound", "--set", "horizon.days=1", "--out"],
        ["tornado", "configs/tiny", "--days", "1", "--policy", "static", "--factor",
         "energy_price_factor", "--kpi", "gross_margin_usd", "--out"],
        ["bound", "configs/tiny", "--days", "1", "--out"],
    ],
)  # fmt: skip
def test_quiet_says_nothing_but_results(arguments: list[str], tmp_path: Path) -> None:
    loud = runner.invoke(app, [*arguments, str(tmp_path / "a")])
    quiet = runner.invoke(app, [*arguments, str(tmp_path / "b"), "--quiet"])
    assert loud.exit_code == quiet.exit_code == 0, quiet.output
    assert "loading configs/tiny" in loud.stderr
    assert not re.search(r"(?m)^(loading|compiling|running|solving|writing|drawing)", quiet.stderr)
    assert loud.stdout == quiet.stdout != ""


def test_quiet_still_says_what_is_wrong(tmp_path: Path) -> None:
    done = runner.invoke(app, [*RUN, str(tmp_path), "--set", "horizon.dais=1", "--quiet"])
    assert done.exit_code == 2
    assert "horizon.dais" in done.stderr


def test_a_log_says_how_far_a_run_is_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = [0.0]
    shown = Progress(clock=lambda: now_s[0])
    with shown.days(40, "tiny") as told:
        assert told.day is not None
        for done in range(4):
            told.compiling(done, 3)
        for day in range(1, 41):
            now_s[0] += EVERY_S / 10
            told.day(day)
    assert capsys.readouterr().err.splitlines() == [
        "compiling, once: 0 of 3", "compiling, once: 3 of 3",
        *(f"tiny: day {day} of 40" for day in (10, 20, 30, 40)),
    ]  # fmt: skip


def test_a_terminal_gets_a_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    shown = Progress()
    shown.stage("loading a\x1b[2Jb")
    with shown.days(3, "tiny [s]") as told:
        for done in range(3):
            told.compiling(done, 2)
        assert told.day is not None
        told.day(2)
    shown.stage("drawing")
    shown.end()
    text = terminal.getvalue()
    assert "\x1b[2J" not in text
    assert "compiling, once" in text
    assert text.endswith("drawing\r\x1b[K")


# Compiling before a run.


def test_what_is_missing_is_done_side_by_side_and_once(tmp_path: Path) -> None:
    tasks = [Task("os", "mkdir", (str(tmp_path / f"made-{i}"),)) for i in range(5)]
    told: list[tuple[int, int]] = []
    for _ in range(2):
        do_missing(tasks[:4], tmp_path / "marks", lambda *count: told.append(count), tasks[4:], 2)
    assert told == [(done, 5) for done in range(6)]
    assert len([*tmp_path.glob("made-*")]) == 5


def test_what_a_helper_fails_to_do_is_left_to_the_run(tmp_path: Path) -> None:
    tasks = [Task("os", "mkdir", (str(tmp_path / "not there" / "a"),)),
             *(Task("os", "mkdir", (str(tmp_path / f"made-{i}"),)) for i in range(3))]  # fmt: skip
    told: list[int] = []
    do_missing(tasks, tmp_path / "marks", lambda done, _: told.append(done), (), 2)
    assert told == [0, 1, 2, 3]
    assert len([*(tmp_path / "marks").iterdir()]) == 3


def test_where_there_is_no_help_only_the_run_s_own_kernels_are_compiled(tmp_path: Path) -> None:
    tasks = [Task("os", "mkdir", (str(tmp_path / f"made-{i}"),)) for i in range(2)]
    do_missing(tasks[:1], tmp_path / "marks", lambda *count: None, tasks[1:], 1)
    assert [p.name for p in tmp_path.glob("made-*")] == ["made-0"]


def test_what_a_run_compiles_is_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """After what is compiled ahead no step needs a kernel for other types, nor does the policy."""
    before: dict[Any, set[Any]] = {}

    def learn(entries: Any, told: Any, others: Any) -> None:
        for entry in entries:
            entry.function.compile(entry.types)
        for task in others:
            task.do()
        for name, module in [*sys.modules.items()]:
            if name.startswith("sim.kernels."):
                found = [v for v in vars(module).values() if hasattr(v, "overloads")]
                before.update({kernel: set(kernel.overloads) for kernel in found})

    monkeypatch.setattr("sim.engine.engine.compile_ahead", learn)
    scenario = sim.load("configs/tiny", {"horizon.days": 1})
    sim.run(scenario, "merit-order", compiling=lambda done, total: None)
    names = {kernel.py_func.__name__ for kernel in before}
    assert names >= {"box", "grant_nested", "settle", "merit_order"}
    late = {k.py_func.__name__: set(k.overloads) - types for k, types in before.items()}
    assert {name: types for name, types in late.items() if types} == {}
