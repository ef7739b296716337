"""The one place that makes solvers of linear programmes: HiGHS, deterministic and silent."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import highspy

OPTIONS: Final[dict[str, bool | int | str]] = {
    "output_flag": False,
    "threads": 1,  # parallelism is across runs
    "parallel": "off",
    "solver": "simplex",  # keeps its basis, so the next solution is a few pivots away
    "random_seed": 1,
}
STDOUT: Final = 1  # the descriptor, whatever Python's `sys.stdout` is at the moment
_lock: Final = threading.Lock()


def solver() -> highspy.Highs:
    """A solver with the options of this project.

    HiGHS (Huangfu and Hall, Parallelizing the dual revised simplex method, Mathematical Programming
    Computation 10, 2018) through its Python interface. From 1.16 its constructor prints two lines
    from C before any option can be set, where a document of ours may be expected.
    """
    with _lock, _silent():
        made = highspy.Highs()
        for option, setting in OPTIONS.items():
            made.setOptionValue(option, setting)
    return made


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing written to the process's standard output arrives there; HiGHS flushes each line."""
    try:
        kept = os.dup(STDOUT)
    except OSError:  # a process without one: nothing to keep clean
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDOUT)
        yield
    finally:
        os.dup2(kept, STDOUT)
        os.close(nowhere)
        os.close(kept)
