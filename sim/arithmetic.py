"""Strict arithmetic for a run: no infinity, no NaN out of numbers, no wrapped integer."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class RunError(Exception):
    """A run whose numbers left the computable range: when, where and what."""


@contextmanager
def strict(now_s: Callable[[], int]) -> Iterator[None]:
    """Stop the run on overflow, division by zero or a NaN out of numbers; `now_s` gives its clock.

    Code that intends infinity or NaN says so with `numpy.errstate`.

    Raises:
        RunError: in place of any ArithmeticError (an amount that the ledger refuses is one).
    """
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            yield
    except ArithmeticError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        raise RunError(f"the run stopped at t = {now_s()} s ({where}): {error}") from error
