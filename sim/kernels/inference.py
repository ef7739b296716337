"""GPU nodes as reserved capacity: hours delivered and missed, energy."""

from sim.kernels.arrays import GRANTED, NODE_J, NODE_MISSED_S, NODE_ON_S, NodeGroups, NodeState
from sim.kernels.jit import kernel


@kernel
def advance_node_group(groups: NodeGroups, state: NodeState, n: int, t_s: float) -> None:
    """Move one group to `t_s` [s]: node-seconds on and missed, energy [J]."""
    dt = t_s - state.last_s[n]
    if dt <= 0.0:
        return
    state.last_s[n] = t_s
    on = state.running[n] * state.shares[GRANTED, n]
    state.flow[NODE_ON_S, n] += on * dt
    state.flow[NODE_MISSED_S, n] += (groups.nodes[n] - on) * dt
    state.flow[NODE_J, n] += on * groups.node_w[n] * dt


@kernel
def advance_nodes(groups: NodeGroups, state: NodeState, t_s: float) -> None:
    """Move every group to `t_s` [s]."""
    for n in range(groups.site.shape[0]):
        advance_node_group(groups, state, n, t_s)
