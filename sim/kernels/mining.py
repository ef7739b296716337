"""Hashes and energy of all ASIC groups under constant controls."""

from sim.kernels import flows
from sim.kernels.arrays import GRANTED, READY, WISH, AsicGroups, AsicState
from sim.kernels.jit import pure_kernel


@pure_kernel
def advance_groups(groups: AsicGroups, state: AsicState, first: int, last: int, t_s: float) -> None:
    """Move the groups first to last - 1 to `t_s` [s]: hashes by fate [TH] and energy [J].

    The losses are a waterfall in the order of the rows: what a failed machine would have hashed is
    not lost again to heat or price, and so on; deployed = hashed + all losses, exactly. The loop is
    inside because a call for each group would count references to every array.
    """
    for g in range(first, last):
        dt = t_s - state.last_s[g]
        if dt <= 0.0:
            continue
        start_s = state.last_s[g]
        state.last_s[g] = t_s
        nominal = groups.nominal_ths[g]
        able = state.running[g] * state.heat[g]
        wish = 0.0
        wish_ths = 0.0
        ready_ths = 0.0
        on = 0.0
        on_ths = 0.0
        on_w = 0.0
        for m in range(groups.mode_ths.shape[1]):
            ths = groups.mode_ths[g, m]
            wish += state.shares[WISH, g, m]
            wish_ths += state.shares[WISH, g, m] * ths
            ready_ths += state.shares[READY, g, m] * ths
            share = state.shares[GRANTED, g, m]
            on += share
            on_ths += share * ths
            on_w += share * groups.mode_w[g, m]
        booting_s = min(max(state.starting_until_s[g] - start_s, 0.0), dt)
        booting = 0.0
        if on > 0.0:
            booting = state.starting[g] / on * on_ths * booting_s
        flow = state.flow
        off = state.deployed[g] - state.running[g] - state.shut[g]
        flow[flows.DEPLOYED, g] += state.deployed[g] * nominal * dt
        flow[flows.LOST_FAILURE, g] += off * nominal * dt
        flow[flows.LOST_OUTAGE, g] += state.shut[g] * nominal * dt
        flow[flows.LOST_THERMAL, g] += state.running[g] * (1.0 - state.heat[g]) * nominal * dt
        idle_th = able * (1.0 - wish) * nominal * dt
        slowed_th = able * (wish * nominal - wish_ths) * dt
        if state.blocked[g] > 0.0:  # a policy that knows the limits does not wish for more
            flow[flows.LOST_LIMIT, g] += idle_th + max(slowed_th, 0.0)
            flow[flows.LOST_MODE, g] += min(slowed_th, 0.0)
        else:
            flow[flows.LOST_PRICE, g] += idle_th
            flow[flows.LOST_MODE, g] += slowed_th
        flow[flows.LOST_RESTART, g] += able * ((wish_ths - ready_ths) * dt + booting)
        flow[flows.LOST_LIMIT, g] += able * (ready_ths - on_ths) * dt
        flow[flows.HASHED, g] += able * (on_ths * dt - booting)
        flow[flows.ASIC_J, g] += able * on_w * dt
