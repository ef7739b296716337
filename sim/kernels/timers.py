"""One heap of timers, by time: who is to be woken, and when.

It holds requests on their way to a site, clients whose patience may end, retries, and engines that
have loaded their weights. What has become outdated stays in it until its time.
"""

from sim.kernels.jit import part, pure_kernel
from sim.kernels.traffic import TIMERS, RouterState


@part
def push_timer(state: RouterState, t_s: float, what: int) -> None:
    """Wake the slot `what`, or the engine -1 - `what`, at `t_s` [s]."""
    timer_s = state.timer_s
    timer = state.timer
    i = state.marks[TIMERS]
    state.marks[TIMERS] += 1
    while i > 0 and timer_s[(i - 1) >> 1] > t_s:
        timer_s[i] = timer_s[(i - 1) >> 1]
        timer[i] = timer[(i - 1) >> 1]
        i = (i - 1) >> 1
    timer_s[i] = t_s
    timer[i] = what


@part
def pop_timer(state: RouterState) -> int:
    """Take the first timer off the heap: whom it wakes."""
    timer_s = state.timer_s
    timer = state.timer
    first = timer[0]
    n = state.marks[TIMERS] - 1
    state.marks[TIMERS] = n
    t_s = timer_s[n]
    what = timer[n]
    i = 0
    child = 1
    while child < n:
        if child + 1 < n and timer_s[child + 1] < timer_s[child]:
            child += 1
        if timer_s[child] >= t_s:
            break
        timer_s[i] = timer_s[child]
        timer[i] = timer[child]
        i = child
        child = 2 * i + 1
    timer_s[i] = t_s
    timer[i] = what
    return int(first)


@pure_kernel
def set_timer(state: RouterState, t_s: float, what: int) -> None:
    """Wake the slot `what`, or the engine -1 - `what`, at `t_s` [s]."""
    push_timer(state, t_s, what)
