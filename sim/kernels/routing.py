"""From the clients to the engines and back: every request, in order of time.

A request is sent (`_on_arrival`) to a pool (`_send`), arrives there and gets an engine (`_place`);
who is refused comes back later or goes (`_refuse`). What is to happen later stands in the heap of
`timers` (`_on_timer`); `answers` tells those who have been served.
"""

from typing import Final

import numpy as np

from sim.kernels.answers import collect
from sim.kernels.balancing import choose, load_of
from sim.kernels.jit import part, pure_kernel, wrapping
from sim.kernels.requests import (
    ARRIVAL,
    CLOCK,
    FINISH_IT,
    FIRST_TOKEN,
    HEAD,
    HIT,
    LEAF,
    NEXT,
    OUTPUT,
    OUTSTANDING,
    PARTIAL,
    PREVIOUS,
    PROMPT,
    TAIL,
    TOLD,
    enqueue,
    fill_slot,
    fits,
)
from sim.kernels.serving import advance_engine, advance_engines
from sim.kernels.timers import pop_timer, push_timer
from sim.kernels.traffic import (
    ARRIVED,
    AWAY,
    BACKOFF_S,
    DONE,
    DUE,
    EMPTY,
    ENGINE,
    EXPIRED,
    HELD,
    HOLD_S,
    LANE_EXPIRED,
    LANE_REJECTED,
    LANE_RETURNED,
    LANE_SENT,
    LUCK,
    MORE_SLOTS,
    MORE_TIMERS,
    NEXT_REQUEST,
    NOBODY,
    NUMBER,
    NUMBERS,
    ON_ITS_WAY,
    PATIENCE_S,
    PHASE,
    PICK,
    PLACED,
    POOL,
    QUEUE_LIMIT,
    READMIT,
    REJECTED,
    RETRIED,
    RETRIES,
    SENT,
    TENANT,
    TIMERS,
    TRIES,
    Day,
    Router,
    RouterState,
    Service,
)
from sim.types import Ints

# Finished requests that wait until they are answered within a step.
RIPE: Final = 64

# What is to be done with a request next.
NOTHING: Final = 0
SEND: Final = 1  # choose a pool
PLACE: Final = 2  # it is there: choose an engine
REFUSE: Final = 3


@pure_kernel
def sum_weights(router: Router, state: RouterState) -> None:
    """Running sums of weight x open engines, for the choice of a site."""
    for tenant in range(state.weight.shape[0]):
        total = 0.0
        for pool in range(state.weight.shape[1]):
            if router.lane[tenant, pool] >= 0:
                total += state.weight[tenant, pool] * state.opens[pool]
            state.sums[tenant, pool] = total


@pure_kernel
def route(service: Service, day: Day, until_s: float) -> int:
    """Bring clients and engines to `until_s` [s]; DONE, or which table must grow to go on."""
    state = service.state
    marks = state.marks
    dones = service.engine_state.dones
    keeps_log = service.tally.log_counts.shape[0] > 0
    ripe = 1 << 60 if keeps_log else dones[0] + RIPE  # a log is for a step
    while True:
        i = marks[NEXT_REQUEST]
        stream_s = day.sent_s[i] if i < day.sent_s.shape[0] else np.inf
        awake_s = state.timer_s[0] if marks[TIMERS] > 0 else np.inf
        now_s = min(stream_s, awake_s)
        if now_s >= until_s:
            break
        if dones[0] >= ripe:  # so that the same slots come back, and stay in the cache
            collect(service, now_s)
            ripe = dones[0] + RIPE
        if marks[TIMERS] + 2 > state.timer_s.shape[0]:
            return MORE_TIMERS
        if stream_s <= awake_s:
            if marks[EMPTY] == 0:
                return MORE_SLOTS
            slot = _on_arrival(service, day)
            what = SEND
        else:
            slot = pop_timer(state)
            what = _on_timer(service, slot, now_s)
        if what == SEND:
            what = _send(service, slot, now_s)
        elif what == PLACE:
            what = _place(service, slot, now_s)
        if what == REFUSE:
            _refuse(service, slot, now_s)
    engines = service.engines
    advance_engines(
        engines, service.engine_state, service.requests, 0, engines.kind.shape[0], until_s
    )
    return DONE


@part
def _on_arrival(service: Service, day: Day) -> int:
    """The next request of the day gets a slot."""
    marks = service.state.marks
    client = service.clients.counts
    client_s = service.clients.times
    chain = service.requests.chains
    i = marks[NEXT_REQUEST]
    marks[NEXT_REQUEST] = i + 1
    marks[EMPTY] -= 1
    slot = service.state.idle[marks[EMPTY]]
    fill_slot(
        service.requests.counts, service.requests.times, slot,
        day.sent_s[i], day.prompt[i], day.output[i], day.hit[i],
    )  # fmt: skip
    if chain.shape[0] > 0 and day.leaf.shape[0] > 0:
        chain[slot, LEAF] = day.leaf[i]
        chain[slot, TOLD] = day.told[i]
    client[slot, TENANT] = day.tenant[i]
    client[slot, TRIES] = 0
    client[slot, READMIT] = 0
    client[slot, NUMBER] = marks[NUMBERS]
    marks[NUMBERS] += 1
    client_s[slot, SENT] = day.sent_s[i]
    client_s[slot, LUCK] = day.luck[i, 0]
    client_s[slot, PICK] = day.luck[i, 1]
    service.tally.tenants[ARRIVED, day.tenant[i]] += 1
    return int(slot)


@part
def _on_timer(service: Service, slot: int, now_s: float) -> int:
    """Somebody is woken: an engine that has loaded, or a request; what is to be done with it."""
    if slot < 0:
        _opens(service, -1 - slot, now_s)
        return NOTHING
    phase = service.clients.counts[slot, PHASE]
    if phase == NOBODY or service.clients.times[slot, DUE] != now_s:
        return NOTHING  # outdated
    if phase == HELD:
        return SEND
    if phase == ON_ITS_WAY:
        return PLACE
    return _impatient(service, slot, now_s)


@part
def _opens(service: Service, e: int, now_s: float) -> None:
    """An engine has loaded its weights, unless it was switched off meanwhile."""
    state = service.state
    if state.loads_s[e] != now_s:
        return
    state.loads_s[e] = np.inf
    pool = service.router.pool_of[e]
    state.open[service.router.pool_first[pool] + state.opens[pool]] = e
    state.opens[pool] += 1
    times = service.engine_state.times
    times[e, CLOCK] = max(times[e, CLOCK], now_s)
    sum_weights(service.router, state)


@part
def _impatient(service: Service, slot: int, now_s: float) -> int:
    """A client's patience ends: it leaves the queue, unless its prefill has begun."""
    if not np.isnan(service.requests.times[slot, FIRST_TOKEN]):
        return NOTHING
    client = service.clients.counts
    request = service.requests.counts
    counts = service.engine_state.counts
    e = client[slot, ENGINE]
    advance_engine(service.engines, service.engine_state, service.requests, e, now_s)
    waits = request[slot, FINISH_IT] < 0 and counts[e, PARTIAL] != slot
    if not np.isnan(service.requests.times[slot, FIRST_TOKEN]) or not waits:
        return NOTHING
    _unqueue(counts, request, e, slot)
    tenant = client[slot, TENANT]
    lane = service.router.lane[tenant, client[slot, POOL]]
    service.tally.lanes[LANE_EXPIRED, lane] += 1
    client[slot, PHASE] = NOBODY
    if client[slot, TRIES] < service.router.terms[tenant, RETRIES]:
        return REFUSE
    _gone(service, slot, EXPIRED)
    return NOTHING


@part
def _unqueue(counts: Ints, request: Ints, e: int, slot: int) -> None:
    """Take a request out of the queue of engine e."""
    before = request[slot, PREVIOUS]
    behind = request[slot, NEXT]
    if before >= 0:
        request[before, NEXT] = behind
    else:
        counts[e, HEAD] = behind
    if behind >= 0:
        request[behind, PREVIOUS] = before
    else:
        counts[e, TAIL] = before
    counts[e, OUTSTANDING] -= 1


@part
def _gone(service: Service, slot: int, row: int) -> None:
    """A client goes for good, and is counted in a row of the tenants."""
    marks = service.state.marks
    service.tally.tenants[row, service.clients.counts[slot, TENANT]] += 1
    service.state.idle[marks[EMPTY]] = slot
    marks[EMPTY] += 1


@part
def _wake(service: Service, slot: int, phase: int, due_s: float) -> None:
    """A request waits in a phase until `due_s` [s]."""
    service.clients.counts[slot, PHASE] = phase
    service.clients.times[slot, DUE] = due_s
    push_timer(service.state, due_s, slot)


@part
def _send(service: Service, slot: int, now_s: float) -> int:
    """Choose a pool by weight and send a request there; refuse it where none is open."""
    client = service.clients.counts
    client_s = service.clients.times
    sums = service.state.sums
    tenant = client[slot, TENANT]
    pools = sums.shape[1]
    total = sums[tenant, pools - 1] if pools > 0 else 0.0
    if total > 0.0:
        x = client_s[slot, LUCK] * total
        low = 0
        high = pools - 1
        while low < high:  # the first pool whose sum is above x
            middle = (low + high) >> 1
            if sums[tenant, middle] > x:
                high = middle
            else:
                low = middle + 1
        away_s = service.router.latency_s[tenant, low]
        client[slot, POOL] = low
        client_s[slot, AWAY] = away_s
        service.tally.lanes[LANE_SENT, service.router.lane[tenant, low]] += 1
        _wake(service, slot, ON_ITS_WAY, now_s + away_s)
        return NOTHING
    if client[slot, READMIT] == 1:  # the router keeps what came back
        _wake(service, slot, HELD, now_s + service.router.terms[tenant, HOLD_S])
        return NOTHING
    return REFUSE


@part
def _place(service: Service, slot: int, now_s: float) -> int:
    """Choose an engine and queue a request there, unless it is full."""
    client = service.clients.counts
    request = service.requests.counts
    engines = service.engines
    engine_state = service.engine_state
    lanes = service.tally.lanes
    pool = client[slot, POOL]
    lane = service.router.lane[client[slot, TENANT], pool]
    if service.state.opens[pool] == 0:  # switched off meanwhile
        lanes[LANE_RETURNED, lane] += 1
        _wake(service, slot, HELD, now_s)
        return NOTHING
    e = choose(service, slot, pool, now_s)
    queue_limit = service.router.rules[QUEUE_LIMIT]
    if engine_state.counts[e, OUTSTANDING] >= queue_limit:  # some may have finished since
        advance_engine(engines, engine_state, service.requests, e, now_s)
    full = load_of(service, e, now_s) >= queue_limit and client[slot, READMIT] == 0
    never = not fits(
        engines.size, engines.kind[e], request[slot, PROMPT], request[slot, OUTPUT],
        request[slot, HIT],
    )  # fmt: skip
    if never:
        client[slot, TRIES] = 1 << 40  # it need not come back
    if never or full:
        lanes[LANE_REJECTED, lane] += 1
        return REFUSE
    client[slot, PHASE] = PLACED
    client[slot, ENGINE] = e
    service.requests.times[slot, ARRIVAL] = now_s
    enqueue(engine_state.counts, request, e, slot)
    _be_patient(service, slot, now_s)
    return NOTHING


@part
def _be_patient(service: Service, slot: int, now_s: float) -> None:
    """Set the timer of a client that has placed a request and will not wait for ever."""
    client_s = service.clients.times
    patience_s = service.router.terms[service.clients.counts[slot, TENANT], PATIENCE_S]
    client_s[slot, DUE] = np.inf
    if patience_s < np.inf and np.isnan(service.requests.times[slot, FIRST_TOKEN]):
        until_s = max(now_s, client_s[slot, SENT] + patience_s)
        if service.clients.counts[slot, TRIES] > 0:
            until_s = now_s + patience_s
        client_s[slot, DUE] = until_s
        push_timer(service.state, until_s, slot)


@part
def _refuse(service: Service, slot: int, now_s: float) -> None:
    """A client comes back after a while, or goes."""
    client = service.clients.counts
    client_s = service.clients.times
    tenant = client[slot, TENANT]
    terms = service.router.terms
    if client[slot, TRIES] < terms[tenant, RETRIES]:
        wait_s = terms[tenant, BACKOFF_S] * 2.0 ** client[slot, TRIES]
        client[slot, TRIES] += 1
        client_s[slot, LUCK] = _redrawn(client_s[slot, LUCK])
        client_s[slot, PICK] = _redrawn(client_s[slot, PICK])
        service.tally.tenants[RETRIED, tenant] += 1
        _wake(service, slot, HELD, now_s + wait_s)
    else:
        client[slot, PHASE] = NOBODY
        _gone(service, slot, REJECTED)


@wrapping
def _redrawn(luck: float) -> float:
    """The luck of the next try, 0 to 1: a hash of the last one, whoever decides.

    SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """
    z = np.uint64(luck * 2.0**53) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53
