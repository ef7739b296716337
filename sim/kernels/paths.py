"""Recursions over time that numpy cannot write as one expression."""

import numpy as np

from sim.kernels.jit import kernel
from sim.types import Floats


@kernel
def decayed(impulses: Floats, decay: float) -> Floats:
    """x[t] = decay · x[t-1] + impulses[t], from x[-1] = 0 (instant,)."""
    path = np.empty_like(impulses)
    level = 0.0
    for t in range(impulses.shape[0]):
        level = decay * level + impulses[t]
        path[t] = level
    return path
