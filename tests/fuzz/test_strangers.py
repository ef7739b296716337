"""A few files of each kind that strangers have; `python -m experiments.strangers` makes more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.strangers.__main__ import KINDS, READ, REFUSED, outcome, trials
from experiments.strangers.trial import Trial
from sim.scenario import ScenarioError
from sim.scenario.problems import Problem


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_read_right_or_refused_clearly(kind: str, tmp_path: Path) -> None:
    for number, trial in enumerate(trials(kind, 20260101, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert outcome(trial, folder) in (READ, REFUSED)


def refused(_: Path) -> object:
    raise ScenarioError("mine", [Problem("sites.csv", "row 3, name", "7", "must be a text")])


def broken(_: Path) -> object:
    raise KeyError("hydr")


# what happens → (who reads, the right value, words of a refusal, what it is called)
VERDICTS: dict[str, tuple[Callable[[Path], object], object, tuple[str, ...], str]] = {
    "the value": (lambda _: [1, (2.0, "a")], [1.0, (2.0, "a")], (), READ),
    "another value": (lambda _: [1.0], [1.001], (), "MISREAD"),
    "another number of values": (lambda _: [1.0, 2.0], [1.0], (), "MISREAD"),
    "read what cannot be": (lambda _: 5, None, ("row 3",), "SILENT"),
    "refused by place": (refused, None, ("sites.csv", "row 3"), REFUSED),
    "refused without the place": (refused, None, ("row 4",), "UNCLEAR"),
    "refused what is right": (refused, 5, (), "WRONGLY REFUSED"),
    "an error of Python's": (broken, None, ("row 3",), "TRACEBACK"),
}


@pytest.mark.parametrize("what", VERDICTS)
def test_the_table_tells_reading_from_misreading(what: str, tmp_path: Path) -> None:
    read, right, says, told = VERDICTS[what]
    assert outcome(Trial({"a/b.csv": "x"}, read, right, says), tmp_path).startswith(told)
