"""Histograms of latencies: which bin a time is in, without a logarithm."""

from typing import Final

import numpy as np

from sim.kernels.jit import kernel, part
from sim.types import Floats, Ints

# Histograms: bins of 2 % from 0.1 ms on, so that the middle of a bin is within 1 %.
FIRST_BIN_S: Final = 1e-4
BIN_LOG: Final = float(np.log(1.02))
BINS: Final = 1024  # the last one begins after 17 hours
# Where a bin is found without a logarithm: by the exponent and the first CELL_BITS bits behind the
# point, which a float has in its upper bits. A cell is narrower than a bin, so that it lies in the
# bin of its lower end or in the next.
CELL_BITS: Final = 6
CELL_SHIFT: Final = 52 - CELL_BITS
FIRST_CELL: Final = int(np.float64(FIRST_BIN_S).view(np.int64)) >> CELL_SHIFT
BIN_EDGES: Final[Floats] = FIRST_BIN_S * np.power(1.02, np.arange(BINS + 1, dtype=np.float64))


def _bins_of_cells() -> Ints:
    last = int(BIN_EDGES[BINS - 1].view(np.int64)) >> CELL_SHIFT
    lower = (np.arange(FIRST_CELL, last + 1) << CELL_SHIFT).view(np.float64)
    return np.maximum(np.searchsorted(BIN_EDGES, lower, side="right") - 1, 0)


BIN_CELLS: Final[Ints] = _bins_of_cells()  # (cell,) the bin of its lower end


@part
def bin_of(t_s: float) -> int:
    """The bin of a time [s]."""
    if t_s <= FIRST_BIN_S:
        return 0
    cell = (np.float64(t_s).view(np.int64) >> CELL_SHIFT) - FIRST_CELL
    if cell >= BIN_CELLS.shape[0]:
        return BINS - 1
    k = BIN_CELLS[cell]
    return int(k + 1 if t_s >= BIN_EDGES[k + 1] else k)


@kernel
def bins_of(times_s: Floats) -> Ints:
    """The bin (time,) of each of some times (time,) [s]."""
    found = np.zeros(times_s.shape[0], dtype=np.int64)
    for i in range(times_s.shape[0]):
        found[i] = bin_of(times_s[i])
    return found
