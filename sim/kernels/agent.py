"""Observations as vectors of numbers, and vectors of numbers as decisions: for trained agents."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim.kernels.jit import pure_kernel
from sim.types import Floats, Ints

Numbers = npt.NDArray[np.float32]


class Machines(NamedTuple):
    """What runs and what is stored."""

    asic_share: Floats  # (group, mode)
    gpu_share: Floats  # (node,)
    stored_j: Floats  # (battery,)
    energy_j: Floats  # (battery,) most that can be stored


class Controls(NamedTuple):
    """What an action sets."""

    asic_share: Floats  # (group, mode)
    gpu_share: Floats  # (node,)
    battery_w: Floats  # (battery,) above 0 charging


@pure_kernel
def encode(
    fleet: tuple[float, ...],
    at_site: tuple[Floats, ...],
    called_w: Floats,
    machines: Machines,
    scale: Floats,
    out: Numbers,
) -> None:
    """Write what a policy may see into `out`, field after field, each divided by its scale.

    In this order: the values of `fleet`; each of `at_site` (site,), where the second one is NaN the
    first; calls in force and announced as 0 or 1, from `called_w` (2, site); the share of each
    ASIC group that is on; that of each group of nodes; the share of each battery that is full.
    `scale` has one value for each value of `fleet`, each table of `at_site`.
    """
    k = 0
    for value in fleet:
        out[k] = value / scale[k]
        k += 1
    field = k
    first = at_site[0]
    for values in at_site:
        for s in range(first.shape[0]):
            value = values[s]
            if value != value:
                value = first[s]
            out[k] = value / scale[field]
            k += 1
        field += 1
    for row in range(2):
        for s in range(called_w.shape[1]):
            out[k] = 1.0 if called_w[row, s] < np.inf else 0.0
            k += 1
    for g in range(machines.asic_share.shape[0]):
        on = 0.0
        for m in range(machines.asic_share.shape[1]):
            on += machines.asic_share[g, m]
        out[k] = on
        k += 1
    for n in range(machines.gpu_share.shape[0]):
        out[k] = machines.gpu_share[n]
        k += 1
    for b in range(machines.stored_j.shape[0]):
        out[k] = machines.stored_j[b] / machines.energy_j[b]
        k += 1


@pure_kernel
def within(value: float, low: float, high: float) -> float:
    """`value` held between `low` and `high`; NaN stays NaN, for the plant to refuse."""
    if value < low:
        return low
    if value > high:
        return high
    return value


@pure_kernel
def decode_sites(
    action: Floats,
    group_column: Ints,
    node_column: Ints,
    default_share: Floats,
    power_w: Floats,
    controls: Controls,
) -> None:
    """A share for the ASICs of each site in their own firmware mode, then nodes, then batteries.

    `group_column` (group,), `node_column` (node,): where in `action` the share of each stands;
    batteries come last, each as a share of its power `power_w` (battery,), above 0 charging.
    """
    for g in range(default_share.shape[0]):
        share = within(action[group_column[g]], 0.0, 1.0)
        for m in range(default_share.shape[1]):
            controls.asic_share[g, m] = default_share[g, m] * share
    _rest(action, node_column, power_w, controls)


@pure_kernel
def decode_groups(
    action: Floats, node_column: Ints, mode_w: Floats, power_w: Floats, controls: Controls
) -> None:
    """A share for each firmware mode of each group (row by row), then nodes, then batteries.

    Shares of a group that sum to more than 1 are scaled down to 1; a mode that a machine does not
    have stays at 0.
    """
    asic_share = controls.asic_share
    modes = mode_w.shape[1]
    for g in range(mode_w.shape[0]):
        total = 0.0
        for m in range(modes):
            share = within(action[g * modes + m], 0.0, 1.0)
            if mode_w[g, m] == 0.0:
                share = 0.0
            asic_share[g, m] = share
            total += share
        if total > 1.0:
            for m in range(modes):
                asic_share[g, m] /= total
    _rest(action, node_column, power_w, controls)


@pure_kernel
def _rest(action: Floats, node_column: Ints, power_w: Floats, controls: Controls) -> None:
    for n in range(node_column.shape[0]):
        controls.gpu_share[n] = within(action[node_column[n]], 0.0, 1.0)
    first = action.shape[0] - power_w.shape[0]
    for b in range(power_w.shape[0]):
        controls.battery_w[b] = within(action[first + b], -1.0, 1.0) * power_w[b]
