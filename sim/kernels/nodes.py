"""GPU nodes as capacity: hours delivered and missed, energy of those without engines."""

from sim.kernels import flows
from sim.kernels.arrays import GRANTED, NodeGroups, NodeState
from sim.kernels.jit import pure_kernel


@pure_kernel
def advance_nodes(groups: NodeGroups, state: NodeState, first: int, last: int, t_s: float) -> None:
    """Move the groups first to last - 1 to `t_s` [s]: node-seconds on and missed, energy [J]."""
    for n in range(first, last):
        dt = t_s - state.last_s[n]
        if dt <= 0.0:
            continue
        state.last_s[n] = t_s
        on = state.running[n] * state.shares[GRANTED, n]
        state.flow[flows.NODE_ON_S, n] += on * dt
        state.flow[flows.NODE_MISSED_S, n] += (state.deployed[n] - on) * dt
        state.flow[flows.NODE_J, n] += on * groups.drawn_w[n] * dt
