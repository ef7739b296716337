"""Checks, checks that were skipped and why, and the list of all topics."""

import csv
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

from pyarrow import ArrowException

from sim.scenario import ScenarioError


class Check(NamedTuple):
    """One published or theoretical figure and the model's present result."""

    check: str
    item: str
    expected: float | str
    simulated: float | str
    unit: str
    tolerance: str
    ok: bool
    source: str


class LeftOut(NamedTuple):
    """What was not checked, and why."""

    what: str
    why: str


Found = Check | LeftOut

# Modules of this package with `checks(data)`; `data` is None without a data folder.
TOPICS: Final = (
    "chain",
    "shock",
    "miners",
    "firms",
    "grid",
    "thermal",
    "serving",
    "offline",
    "theory",
)
# Exceptions that a foreign data folder may cause in reading and running: no defect of the program.
UNFIT: Final = (
    ScenarioError, OSError, EOFError, ValueError, LookupError, ArithmeticError, csv.Error,
    zlib.error, ArrowException,
)  # fmt: skip


def guarded(what: str, make: Callable[[], Iterable[Found]]) -> Iterator[Found]:
    """Yield what `make` finds; if recorded data are unusable, that `what` was left out and why."""
    try:
        yield from make()
    except UNFIT as error:
        yield LeftOut(what, _said(error))


def validate(
    data: Path | None, progress: Callable[[Check], None] | None = None
) -> tuple[list[Check], list[LeftOut]]:
    """Run all possible checks; returns them and the skipped ones, each with its reason."""
    made: list[Check] = []
    left_out: list[LeftOut] = []
    for topic in TOPICS:
        module = import_module(f"sim.validation.{topic}")
        if data is None:
            left_out += [LeftOut(what, "needs --data") for what in module.NEEDS_DATA]
        for found in guarded(topic, partial(module.checks, data)):
            if isinstance(found, LeftOut):
                left_out.append(found)
                continue
            made.append(found)
            if progress is not None:
                progress(found)
    return made, left_out


def _said(error: BaseException) -> str:
    """The error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if isinstance(error, LookupError):
        return f"nothing called {text}"
    return text or type(error).__name__
