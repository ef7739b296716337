"""Arithmetic of a run that fails aloud: no infinity, no NaN out of nothing, no wrapped integer."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class RunError(Exception):
    """A run whose numbers went beyond what can be computed: when, where and what."""


@contextmanager
def strict(now_s: Callable[[], int]) -> Iterator[None]:
    """Overflow, division by zero and NaN out of numbers stop the run; `now_s` tells its clock.

    Raises RunError in place of any ArithmeticError (an amount that the ledger refuses is one).
    Code that means infinity or NaN says so with `numpy.errstate`.
    """
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            yield
    except ArithmeticError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        raise RunError(f"the run stopped at t = {now_s()} s ({where}): {error}") from error
