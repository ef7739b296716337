"""Percentiles from the latency histograms of the router's kernel."""

from typing import Final

import numpy as np

from sim.kernels.bins import BIN_LOG, BINS, FIRST_BIN_S
from sim.types import Ints

BIN_MIDDLE_S: Final = FIRST_BIN_S * np.exp((np.arange(BINS) + 0.5) * BIN_LOG)


def percentile_s(bins: Ints, q: float) -> float:
    """Percentile `q` of a histogram of the kernel [s]: the middle of its bin, within 1 %."""
    total = int(bins.sum())
    if total == 0:
        return float("nan")
    rank = min(int(np.ceil(q / 100.0 * total)), total)
    return float(BIN_MIDDLE_S[np.searchsorted(np.cumsum(bins), max(rank, 1))])
