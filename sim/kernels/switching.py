"""Engines open and close, and what they had goes back to the router."""

import numpy as np

from sim.kernels.blocks import forget
from sim.kernels.jit import part, pure_kernel
from sim.kernels.requests import (
    BATCH,
    BLOCK_TOKENS,
    CLOCK,
    COMPUTED,
    FINISH,
    FINISH_IT,
    FREE,
    GENERATED,
    HEAD,
    HEAP,
    HIT,
    ITERATIONS,
    KV,
    KV_BLOCKS,
    LAST,
    NEXT,
    OUTPUT,
    OUTSTANDING,
    PARTIAL,
    PREFIX_CACHE,
    PREVIOUS,
    PROMPT,
    RUNNING,
    TAIL,
    TAKEN,
    Engines,
    EngineState,
)
from sim.kernels.routing import sum_weights
from sim.kernels.timers import push_timer
from sim.kernels.traffic import (
    DUE,
    ENGINE,
    HELD,
    LANE_LOST_TOKENS,
    LANE_RETURNED,
    NOBODY,
    PHASE,
    PLACED,
    POOL,
    READMIT,
    TENANT,
    Router,
    RouterState,
    Service,
)
from sim.types import Ints


@pure_kernel
def close_engine(router: Router, state: RouterState, e: int) -> bool:
    """Give engine e nothing new; False when it was not open."""
    pool = router.pool_of[e]
    first = router.pool_first[pool]
    for k in range(state.opens[pool]):
        if state.open[first + k] == e:
            for j in range(k, state.opens[pool] - 1):
                state.open[first + j] = state.open[first + j + 1]
            state.opens[pool] -= 1
            sum_weights(router, state)
            return True
    return False


@pure_kernel
def send_back(service: Service, e: int, t_s: float, kv_s_per_token: float) -> int:
    """Empty engine e: its requests go back to the router, in their order; how many.

    The iteration in progress ends. Tokens that were emitted stay with the client; their KV is lost
    and will be computed again, or moves along, `kv_s_per_token` [s] for each token, if that is
    above 0. At most one timer a request is set.
    """
    counts = service.engine_state.counts
    request = service.requests.counts
    back_s = max(t_s, service.engine_state.times[e, CLOCK])
    sent_back = 0
    slot = counts[e, LAST]  # the running list from its end, to find its front
    while slot >= 0 and request[slot, PREVIOUS] >= 0:
        slot = request[slot, PREVIOUS]
    while slot >= 0:
        behind = request[slot, NEXT]
        _sent_back(service, slot, _stop(service, e, slot), back_s, kv_s_per_token)
        sent_back += 1
        slot = behind
    slot = counts[e, HEAD]
    while slot >= 0:
        behind = request[slot, NEXT]
        _sent_back(service, slot, 0, back_s, kv_s_per_token)
        sent_back += 1
        slot = behind
    _clear(service, e)
    return sent_back


@part
def _stop(service: Service, e: int, slot: int) -> int:
    """A running request remembers what it has emitted; tokens whose KV it has."""
    counts = service.engine_state.counts
    request = service.requests.counts
    if slot == counts[e, PARTIAL]:
        return int(counts[e, COMPUTED])
    left = request[slot, FINISH_IT] - counts[e, ITERATIONS]
    request[slot, GENERATED] = request[slot, OUTPUT] - left
    return int(request[slot, PROMPT] + request[slot, OUTPUT] - left - 1)


@pure_kernel
def _sent_back(service: Service, slot: int, has: int, back_s: float, kv_s_per_token: float) -> None:
    """A request with the KV of `has` tokens is at the router again at `back_s` [s], or later."""
    request = service.requests.counts
    clients = service.clients
    lane = service.router.lane[clients.counts[slot, TENANT], clients.counts[slot, POOL]]
    request[slot, FINISH_IT] = -1
    due_s = back_s
    if request[slot, HIT] >= request[slot, PROMPT]:
        request[slot, HIT] = 0
    if kv_s_per_token > 0.0 and has > 0:
        request[slot, HIT] = has
        due_s += has * kv_s_per_token
    else:
        service.tally.lanes[LANE_LOST_TOKENS, lane] += has
    service.tally.lanes[LANE_RETURNED, lane] += 1
    clients.counts[slot, READMIT] = 1
    clients.counts[slot, PHASE] = HELD
    clients.times[slot, DUE] = due_s
    push_timer(service.state, due_s, slot)


@part
def _clear(service: Service, e: int) -> None:
    """Engine e has nothing."""
    counts = service.engine_state.counts
    for column in (BATCH, KV, RUNNING, HEAP, TAKEN, OUTSTANDING):
        counts[e, column] = 0
    for column in (PARTIAL, LAST, HEAD, TAIL):
        counts[e, column] = -1
    counts[e, FREE] = service.engines.size[service.engines.kind[e], KV_BLOCKS]
    due = service.engine_state.due
    for k in range(due.shape[1]):
        due[e, k] = 0


@pure_kernel
def forget_engine(engines: Engines, engine_state: EngineState, e: int) -> int:
    """Empty the block cache of an engine that is switched off; tokens that nobody used any more.

    To be called before `send_back`. Those of its running requests are LANE_LOST_TOKENS.
    """
    kind = engines.kind[e]
    if engines.size[kind, PREFIX_CACHE] == 0:
        return 0
    free = engine_state.counts[e, FREE]
    known = forget(engine_state.memory[e], free, engines.size[kind, KV_BLOCKS])
    return int(known * engines.size[kind, BLOCK_TOKENS])


@pure_kernel
def present(service: Service, lanes: Ints, held: Ints) -> None:
    """Count who is where: `lanes` (2, lane) waiting (or on its way) and running, `held` (tenant,).

    What has finished but ends after the step is running.
    """
    clients = service.clients
    for slot in range(clients.counts.shape[0]):
        phase = clients.counts[slot, PHASE]
        tenant = clients.counts[slot, TENANT]
        if phase == HELD:
            held[tenant] += 1
        elif phase != NOBODY:
            lane = service.router.lane[tenant, clients.counts[slot, POOL]]
            runs = phase == PLACED and (
                service.requests.counts[slot, FINISH_IT] >= 0
                or service.engine_state.counts[clients.counts[slot, ENGINE], PARTIAL] == slot
                or not np.isnan(service.requests.times[slot, FINISH])
            )
            lanes[1 if runs else 0, lane] += 1
