"""What is under way, on stderr: a changing line or bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import typer

from sim.text import visible
from sim.types import OnProgress

COMPILING: Final = "compiling"
MEASURING: Final = "measuring serving engines"
EVERY_S: Final = 10.0  # between two lines of a log that say how far a thing is

Quiet = Annotated[
    bool, typer.Option("--quiet", help="No progress; results, warnings and errors remain.")
]


class Days(NamedTuple):
    """Whom a run tells how far it is; None with --quiet."""

    compiling: OnProgress
    measuring: OnProgress
    day: Callable[[int], None] | None


class Progress:
    """Says what a command does and how far it is; nothing when `quiet`.

    In a log each new stage is a line, and how far it is another one every EVERY_S seconds.
    """

    def __init__(self, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.quiet = quiet
        self.clock = clock
        self._said_s = clock()

    def stage(self, what: str) -> None:
        """What begins now: loading, writing, drawing."""
        if self.quiet:
            return
        if sys.stderr.isatty():
            print(f"\r\033[K{visible(what)}", end="", file=sys.stderr, flush=True)
        else:
            self._line(what)

    def now(self, what: str) -> None:
        """What is at work this moment; in a log only now and then."""
        if sys.stderr.isatty() or self.clock() - self._said_s >= EVERY_S:
            self.stage(what)

    def end(self) -> None:
        """Nothing is under way: what follows are results."""
        if not self.quiet and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    @contextmanager
    def days(self, days: float, text: str) -> Iterator[Days]:
        """A run of so many simulated days, and the compiling and measuring that may come first."""
        if self.quiet:
            yield Days(_nothing, _nothing, None)
        elif not sys.stderr.isatty():
            yield self._days_in_log(days, text)
        else:
            self.end()
            with _bar() as bar:
                building = f"{_shown(text)}: building"
                task = bar.add_task(building, total=None)

                def once(what: str, done: int, total: int) -> None:
                    text = f"{what}, once: {done} of {total}"
                    bar.update(task, description=text, completed=done, total=total, refresh=True)
                    if done == total:
                        bar.update(task, description=building, total=None)

                def day(number: int) -> None:
                    bar.update(task, description=_shown(text), completed=number, total=days)

                yield Days(partial(once, COMPILING), partial(once, MEASURING), day)

    @contextmanager
    def cells(self, text: str, of: str = "cells") -> Iterator[OnProgress | None]:
        """Many runs, with the time that is left; `of` is what they are called."""
        if self.quiet:
            yield None
        elif not sys.stderr.isatty():
            yield lambda done, total: self.now(f"{text}: {done} of {total} {of}")
        else:
            self.end()
            with _bar(of=of) as bar:
                task = bar.add_task(_shown(text), total=None)
                yield lambda done, total: bar.update(task, completed=done, total=total)

    def _days_in_log(self, days: float, text: str) -> Days:
        def once(what: str, done: int, total: int) -> None:
            (self.now if 0 < done < total else self.stage)(f"{what}, once: {done} of {total}")

        def day(number: int) -> None:
            self.now(f"{text}: day {number} of {days:g}")

        return Days(partial(once, COMPILING), partial(once, MEASURING), day)

    def _line(self, what: str) -> None:
        print(visible(what), file=sys.stderr, flush=True)
        self._said_s = self.clock()


def _nothing(done: int, total: int) -> None:
    pass


def _shown(text: str) -> str:
    from rich.markup import escape

    return escape(visible(text))


def _bar(of: str = "") -> Any:
    """A bar that goes away when its work is done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    console = Console(stderr=True)
    if not of:
        return Bar(console=console, transient=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(of),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    return Bar(*columns, console=console, transient=True)
