"""Interpolation between quantiles."""

import numpy as np

from sim.types import Floats


def between(levels: Floats, nodes: Floats, deviates: Floats) -> Floats:
    """Values of normal deviates (instant,), from quantiles (instant, level) at `nodes` (level,).

    Linear between the levels, and extrapolated beyond the outermost two.
    """
    at = np.clip(np.searchsorted(nodes, deviates) - 1, 0, len(nodes) - 2)
    row = np.arange(len(deviates))
    part = (deviates - nodes[at]) / (nodes[at + 1] - nodes[at])
    low, high = levels[row, at], levels[row, at + 1]
    return np.asarray(low + (high - low) * part, dtype=np.float64)
