"""Flows of a meshed grid out of injections: the check that every wish meets."""

from typing import Final

from sim.kernels.arrays import Floats
from sim.kernels.jit import pure_kernel

OVERLOAD_MW: Final = 1e-6  # a solver's tolerance is not an overload


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
