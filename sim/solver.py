"""The one place that creates solvers of linear programmes: HiGHS, deterministic and silent."""

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
STDOUT: Final = 1  # file descriptor, independent of Python's `sys.stdout`
_lock: Final = threading.Lock()


def solver() -> highspy.Highs:
    """A solver with the options of this project.

    HiGHS (Huangfu and Hall, Parallelizing the dual revised simplex method, Mathematical Programming
    Computation 10, 2018) through its Python interface. From 1.16 its constructor prints two lines
    from C before any option can be set, into output that may be a document of ours.
    """
    with _lock, _silent():
        made = highspy.Highs()
        for option, setting in OPTIONS.items():
            made.setOptionValue(option, setting)
    return made


@contextmanager
def _silent() -> Iterator[None]:
    """Discard what the process writes to its standard output; HiGHS flushes each line."""
    try:
        kept = os.dup(STDOUT)
    except OSError:  # no standard output: nothing to silence
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
