"""Flows of a meshed grid out of injections: the check that every wish meets."""

import math
from typing import Final

from sim.kernels.jit import pure_kernel
from sim.types import Floats, Ints

OVERLOAD_MW: Final = 1e-6  # a solver's tolerance is not an overload
BALANCE: Final = 1e-9  # of the demand
SINGULAR: Final = 1e-12  # a pivot, of the greatest entry


@pure_kernel
def line_flows(ptdf_t: Floats, injection: Floats, base: Floats, flow_out: Floats) -> None:
    """Flow of each line: its base and what every bus adds.

    `ptdf_t` (bus, line), `injection` (bus,), `base` and `flow_out` (line,), all in one unit. Bus by
    bus, so that the inner loop runs over neighbours in memory and has no sum to keep in order.
    """
    lines = flow_out.shape[0]
    for line in range(lines):
        flow_out[line] = base[line]
    for bus in range(injection.shape[0]):
        power = injection[bus]
        if power != 0.0:
            for line in range(lines):
                flow_out[line] += ptdf_t[bus, line] * power


@pure_kernel
def worst_overload(flow: Floats, limit: Floats) -> int:
    """The line furthest above its limit either way, -1 for none; (line,) both, in MW."""
    worst = -1
    most = OVERLOAD_MW
    for line in range(flow.shape[0]):
        over = abs(flow[line]) - limit[line]
        if over > most:
            most = over
            worst = line
    return worst


@pure_kernel
def balance(
    demand: Floats,
    bus_island: Ints,
    source_island: Ints,
    least: Floats,
    most: Floats,
    sums: Floats,
    dispatch: Floats,
) -> bool:
    """Move a dispatch to the demand of each island; False when the sources' bounds forbid it.

    `demand`, `bus_island` (bus,); `source_island`, `least`, `most` and `dispatch` (source,), which
    is within its bounds before and after; `sums` (island, 3) is scratch. Sources move by equal
    shares of what they can still do; where some have no upper bound, those rise alike.
    """
    sums[:] = 0.0  # what is missing, room of bounded sources, number of unbounded ones
    for bus in range(demand.shape[0]):
        sums[bus_island[bus], 0] += demand[bus]
    for source in range(dispatch.shape[0]):
        sums[source_island[source], 0] -= dispatch[source]
    for source in range(dispatch.shape[0]):
        island = source_island[source]
        if sums[island, 0] <= 0.0:
            sums[island, 1] += dispatch[source] - least[source]
        elif math.isinf(most[source]):
            sums[island, 2] += 1.0
        else:
            sums[island, 1] += most[source] - dispatch[source]
    for source in range(dispatch.shape[0]):
        missing, room, endless = sums[source_island[source]]
        if missing <= 0.0:
            if room > 0.0:
                dispatch[source] -= (dispatch[source] - least[source]) * min(-missing / room, 1.0)
        elif endless > 0.0:
            if math.isinf(most[source]):
                dispatch[source] += missing / endless
        elif room > 0.0:
            dispatch[source] += (most[source] - dispatch[source]) * min(missing / room, 1.0)
    for island in range(sums.shape[0]):
        missing, room, endless = sums[island]
        if endless == 0.0 and abs(missing) > room + BALANCE * (1.0 + abs(missing)):
            return False
    return True


@pure_kernel
def invert(matrix: Floats, inverse: Floats) -> bool:
    """Inverse of a square matrix, which is used up; False when it has none.

    Gauss and Jordan with row pivots. Half as fast as LAPACK at a hundred buses, but without its
    threads, which wait for each other for 10 to 100 ms where other runs keep the cores busy; and
    its last digits do not depend on the LAPACK that a machine has.
    """
    size = matrix.shape[0]
    least = 0.0
    for i in range(size):
        for j in range(size):
            least = max(least, SINGULAR * abs(matrix[i, j]))
            inverse[i, j] = 1.0 if i == j else 0.0
    for k in range(size):
        pivot = k
        for i in range(k + 1, size):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if not abs(matrix[pivot, k]) > least:
            return False
        if pivot != k:
            for j in range(size):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
                inverse[k, j], inverse[pivot, j] = inverse[pivot, j], inverse[k, j]
        scale = 1.0 / matrix[k, k]
        for j in range(size):
            matrix[k, j] *= scale
            inverse[k, j] *= scale
        for i in range(size):
            share = matrix[i, k]
            if i != k and share != 0.0:
                for j in range(k, size):
                    matrix[i, j] -= share * matrix[k, j]
                for j in range(size):
                    inverse[i, j] -= share * inverse[k, j]
    return True
